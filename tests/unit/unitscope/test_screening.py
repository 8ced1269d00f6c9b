"""Searches that screen their images in low precision, compared with the search in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unitscope.data.images import Batch, ImageSource
from unitscope.errors import ImageNotReadable, ScreeningNotPossible
from unitscope.search.ranking import FIELDS, TopActivations
from unitscope.search.screening import SAMPLE, ScreenedSearch, screened_search
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import tied

BATCH, TOP, SIZE = 8, 5, 12


class Pictures:
    """Images in padded batches, which can be read again."""

    def __init__(self, pixels: np.ndarray, first_id: int = 1) -> None:
        self.pixels = torch.from_numpy(np.ascontiguousarray(pixels))
        self.sources = [ImageSource(first_id + 3 * n, Path(str(n)), position=n) for n in range(len(pixels))]

    def batches(self, sources: Sequence[ImageSource] | None = None, pad: bool = True) -> Iterator[Batch]:
        sources = self.sources if sources is None else sources
        for start in range(0, len(sources), BATCH):
            part = list(sources[start : start + BATCH])
            pixels = self.pixels[[source.position for source in part]]
            if pad:
                rest = torch.zeros(BATCH - len(part), *pixels.shape[1:], dtype=torch.uint8)
                pixels = torch.cat([pixels, rest])
            yield Batch(pixels, part)

    def part(self, start: int, stop: int) -> Pictures:
        part = Pictures(self.pixels[start:stop].numpy())
        part.sources = [
            ImageSource(source.id, source.path, position=n) for n, source in enumerate(self.sources[start:stop])
        ]
        return part


def photographs(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """Return images with bright and dark regions, uint8 [images, 3, size, size]."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, 3, size // 4, size // 4)) * random.gamma(2.0, 1.0, (count, 1, 1, 1))
    fine = random.normal(size=(count, 3, size, size))
    return np.clip(128 + 30 * coarse.repeat(4, 2).repeat(4, 3) + 12 * fine, 0, 255).astype(np.uint8)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU(inplace=True),
        nn.Conv2d(12, 6, 3),
    ).eval()  # fmt: skip
    return model.to(memory_format=torch.channels_last)


LAYERS = {"0": range(8), "3": [0, 2, 3, 11], "5": range(6)}


def screen(
    model: nn.Module, images: Pictures, layers: dict[str, Sequence[int]] | None = None, **options: object
) -> ScreenedSearch:
    read_again = options.pop("read_again", images.batches)
    batches = options.pop("batches", None) or images.batches()
    chosen = LAYERS if layers is None else layers
    return screened_search(model, chosen, batches, read_again, "bfloat16", TOP, **options)  # type: ignore[arg-type]


def assert_equal(found: LayerSearch, expected: LayerSearch) -> None:
    for name in FIELDS:
        ours, other = getattr(found.top, name), getattr(expected.top, name)
        assert ours.dtype == other.dtype
        assert np.array_equal(ours, other), name
    assert np.array_equal(found.dead, expected.dead)
    assert np.array_equal(found.not_finite, expected.not_finite)
    ranked = expected.top.activation
    assert np.array_equal(tied(found.exact, ranked), tied(expected.maxima, ranked))


def check(model: nn.Module, images: Pictures, layers: dict[str, Sequence[int]] | None = None) -> ScreenedSearch:
    """Compare a screened search with the plain one, and return it."""
    found = screen(model, images, layers)
    expected = search(model, LAYERS if layers is None else layers, images.batches(), TOP)
    for path, result in found.layers.items():
        assert_equal(result, expected[path])
        assert result.precision == "bfloat16"
        assert result.maxima.shape == expected[path].maxima.shape
        assert len(result.exact) == found.recomputed
    return found


@pytest.mark.parametrize("seed", range(4))
def test_rankings_are_those_of_the_plain_search(seed: int) -> None:
    images = Pictures(photographs(1500, seed))
    found = check(network(seed), images)
    assert found.images == 1500
    assert SAMPLE <= found.recomputed < 700


def test_maxima_are_in_low_precision_whichever_images_are_computed_again() -> None:
    model, images = network(0), Pictures(photographs(400, 0))
    found, expected = screen(model, images).layers, search(model, LAYERS, images.batches(), TOP)
    for path, result in found.items():
        differences = np.abs(result.maxima - expected[path].maxima)
        assert 0 < differences.max() < 0.05 * np.abs(result.maxima).max()
        # A value of bfloat16 has sixteen bits.
        assert not (result.maxima.view(np.uint32) & 0xFFFF).any()


def test_equal_images_are_ranked_in_the_order_of_their_ids() -> None:
    once = photographs(300, 1)
    images = Pictures(once[np.random.default_rng(0).integers(0, 300, 1200)])
    found = check(network(1), images)
    assert found.recomputed < 1200
    ranked = found.layers["5"].top.activation
    assert tied(found.layers["5"].exact, ranked).any()


def test_dead_constant_and_nearly_constant_units() -> None:
    model = network(2)
    convolution = model[0]
    with torch.no_grad():
        convolution.weight[:4] = 0
        convolution.bias[:4] = torch.tensor([0.5, 0.0, -1.0, 0.1])
        convolution.weight[4] *= 1e-9
        convolution.bias[4] = -0.3
        convolution.bias[5] = -50
    found = check(model, Pictures(photographs(1000, 2)))
    assert found.layers["0"].dead.tolist() == [False, True, True, False, True, True, False, False]
    assert found.layers["0"].top.image[0].tolist() == [1, 4, 7, 10, 13]
    assert found.recomputed < 600


def test_a_unit_that_hardly_depends_on_the_image_is_right_although_all_images_are_computed_again() -> None:
    model = network(3)
    with torch.no_grad():
        model[0].weight[0] *= 1e-6
        model[0].bias[0] = 1.0
    found = check(model, Pictures(photographs(600, 3)), {"0": [0]})
    assert found.recomputed == 600


def test_one_image_that_dominates_all_others() -> None:
    pixels = photographs(900, 4) // 8 + 112
    pixels[577] = 255 * (np.indices((3, SIZE, SIZE)).sum(0) % 2)
    found = check(network(4), Pictures(pixels))
    assert found.recomputed < 500


@pytest.mark.parametrize("images", [1, 5, 8, 60])
def test_few_images(images: int) -> None:
    assert check(network(0), Pictures(photographs(images, 5))).recomputed == images


def test_no_images() -> None:
    found = screen(network(0), Pictures(photographs(0, 0)))
    assert (found.images, found.recomputed) == (0, 0)
    assert found.layers["0"].top.dead.all()
    assert found.layers["0"].maxima.shape == (0, 8)


class Overflowing(nn.Module):
    """Multiplies values above a threshold until they overflow."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.where(values > 0.9, values * 1e38 * 1e38, values)


@pytest.mark.parametrize("bright", [1, 40, 700])
def test_units_that_are_not_finite_on_some_images(bright: int) -> None:
    pixels = photographs(700, 6) // 4 + 96
    pixels[np.random.default_rng(0).permutation(700)[:bright], 1, 3, 3] = 255
    convolution = nn.Conv2d(3, 4, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0]])[:, :, None, None])
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Overflowing(), convolution).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3)[:, :, None, None])
        model[0].bias.zero_()
    found = check(model, Pictures(pixels), {"2": range(4)})
    # Infinity times a weight of zero is not a number. The last unit is minus infinity at a position, and so has a
    # finite maximum.
    assert found.layers["2"].not_finite.tolist() == [True, True, True, False]


def test_values_that_are_infinite_in_low_precision_only() -> None:
    """The largest value of bfloat16 is below that of float32."""
    convolution = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0], convolution.weight[1, 1] = 3.4e38, 1.0
    found = check(nn.Sequential(convolution).eval(), Pictures(photographs(300, 7) | 128), {"0": range(2)})
    assert np.isfinite(found.layers["0"].maxima).all()
    assert not found.layers["0"].not_finite.any()


def test_a_sample_unlike_the_other_images_widens_the_margin() -> None:
    """The unit is a difference of two channels. The images of the sample are grey, and so nearly exact; in the
    others the channels are bright and nearly equal, so that rounding decides."""
    random = np.random.default_rng(8)
    count = 15 * (SAMPLE - 1) + 1  # the sample is each 15th image: as many at each index of a batch
    pixels = np.full((count, 3, 2, 2), 128, np.uint8)
    pixels[:, 0] = random.integers(250, 256, (count, 2, 2))
    pixels[:, 1] = random.integers(245, 251, (count, 2, 2))
    sample = np.linspace(0, count - 1, SAMPLE).astype(int)
    pixels[sample, 0], pixels[sample, 1] = 128, 128
    convolution = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, -1.0, 0.0])[None, :, None, None])
        convolution.bias.fill_(0.01)
    images = Pictures(pixels)
    found = check(nn.Sequential(convolution).eval(), images, {"0": [0]})
    assert found.widened == 1
    differences = (
        found.layers["0"].maxima[:, 0]
        - search(nn.Sequential(convolution).eval(), {"0": [0]}, images.batches(), TOP)["0"].maxima[:, 0]
    )
    assert np.abs(differences[sample]).max() < 0.1 * np.abs(differences).max()


class DependsOnIndex(nn.Module):
    """Adds to each image what depends on its index in the batch: kernels may round by it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        index = torch.arange(len(images), device=images.device) + len(images)
        return images * (1 + 1e-3 * index.to(images.dtype))[:, None, None, None]


def test_an_image_keeps_its_index_and_the_shape_of_the_batch() -> None:
    model = nn.Sequential(DependsOnIndex(), *network(5)).eval()
    layers = {"1": range(8), "6": range(6)}
    assert check(model, Pictures(photographs(1003, 9)), layers).recomputed < 700


def test_a_batch_of_another_shape_is_computed_in_its_shape() -> None:
    model, images = nn.Sequential(DependsOnIndex(), *network(5)).eval(), Pictures(photographs(1003, 10))
    layers = {"1": range(8), "6": range(6)}
    found = screen(model, images, layers, batches=images.batches(pad=False))
    expected = search(model, layers, images.batches(pad=False), TOP)
    for path, result in found.layers.items():
        assert_equal(result, expected[path])


@pytest.mark.parametrize("cuts", [(), (400,), (160, 320, 480, 640, 800, 960)])
def test_merged_shards_equal_the_plain_search(cuts: tuple[int, ...]) -> None:
    """Each shard knows the rankings of those before it."""
    model, images = network(6), Pictures(photographs(1200, 11))
    expected = search(model, LAYERS, images.batches(), TOP)
    parts: dict[str, list[LayerSearch]] = {path: [] for path in LAYERS}
    recomputed = []

    def known() -> dict[str, TopActivations]:
        return {path: TopActivations.best_of([p.top for p in done]) for path, done in parts.items() if done}

    for start, stop in zip((0, *cuts), (*cuts, 1200), strict=True):
        found = screen(model, images.part(start, stop), known=known)
        recomputed.append(found.recomputed / found.images)
        for path, result in found.layers.items():
            parts[path].append(result)
    for path, results in parts.items():
        merged = LayerSearch.merged(results)
        assert_equal(merged, expected[path])
        assert not merged.incomplete.any()
        assert len(merged.maxima) == 1200
    low = {path: screen(model, images).layers[path].maxima for path in LAYERS}
    assert all(np.array_equal(LayerSearch.merged(parts[path]).maxima, low[path]) for path in LAYERS)


def test_a_ranking_without_the_images_that_it_was_compared_with_is_incomplete() -> None:
    model, images = network(6), Pictures(photographs(600, 12))
    first = screen(model, images.part(0, 200)).layers
    others = {path: result.top for path, result in first.items()}
    second = screen(model, images.part(200, 600), known=lambda: others).layers
    for path in LAYERS:
        assert not LayerSearch.merged([first[path], second[path]]).incomplete.any()
    assert any(second[path].incomplete.any() for path in LAYERS)


def test_progress_counts_each_image_once() -> None:
    seen: list[int] = []
    screen(network(0), Pictures(photographs(300, 0)), progress=seen.append)
    assert sum(seen) == 300
    assert seen.count(0) >= SAMPLE // BATCH


def test_an_image_that_cannot_be_read_again_is_an_error() -> None:
    images = Pictures(photographs(300, 0))

    def read_again(sources: Sequence[ImageSource]) -> Iterator[Batch]:
        for batch in images.batches(sources):
            yield Batch(batch.pixels, batch.sources[1:])

    with pytest.raises(ImageNotReadable, match="could be read a short time ago"):
        screen(network(0), images, read_again=read_again)


class SmallMemory(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > BATCH // 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return images


def test_batches_that_do_not_fit_into_memory_are_halved() -> None:
    model = nn.Sequential(SmallMemory(), *network(0)).eval()
    layers = {"1": range(8), "6": range(6)}
    images, smaller = Pictures(photographs(600, 0)), []
    found = screen(model, images, layers, on_smaller=smaller.append)
    expected = search(model, layers, images.batches(), TOP)
    assert smaller == [BATCH // 2, BATCH // 2]  # in low precision, and in float32
    for path, result in found.layers.items():
        assert_equal(result, expected[path])


class Float32Only(nn.Module):
    def __init__(self, operation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.operation(images)


def test_a_network_that_cannot_compute_in_low_precision_is_refused() -> None:
    matrix = torch.eye(SIZE)
    model = nn.Sequential(Float32Only(lambda images: images @ matrix), *network(0)).eval()
    with pytest.raises(ScreeningNotPossible, match="bfloat16"):
        screen(model, Pictures(photographs(20, 0)), {"1": range(8)})


def test_contrast_normalization_is_computed_in_float32() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(5), nn.Conv2d(8, 4, 3)).eval()
    assert check(model, Pictures(photographs(1000, 13)), {"3": range(4)}).recomputed < 500


def test_tf32_is_refused_on_a_cpu() -> None:
    images = Pictures(photographs(20, 0))
    with pytest.raises(ScreeningNotPossible, match="'cpu' is not a GPU"):
        screened_search(network(0), LAYERS, images.batches(), images.batches, "tf32", TOP)


def test_the_network_itself_is_not_changed() -> None:
    model, images = network(0), Pictures(photographs(40, 0))
    before = {name: values.clone() for name, values in model.state_dict().items()}
    screen(model, images)
    for name, values in model.state_dict().items():
        assert values.dtype == torch.float32
        assert torch.equal(values, before[name])
    assert not any(module._forward_hooks for module in model.modules())
