"""Search: order of rankings, merging, and batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shared.kinds.specification import cut
from unitscope.data.images import Batch, ImageSource
from unitscope.search import search as search_module
from unitscope.search.ranking import NO_IMAGE, TopActivations, rank
from unitscope.search.search import LayerSearch, observe, search

Row = tuple[float, int, int, int]
FEW = st.sampled_from([0.5, 1.0, 1.0, 2.0])  # so that ties are frequent


def arrays(rows: list[Row], top: int) -> TopActivations:
    """Return the ``TopActivations`` of one unit from rows in any order."""
    result = TopActivations.empty(1, top)
    for row in rows:
        one = TopActivations(*(np.array([[value]], kind) for value, kind in zip(row, "flii", strict=True)))
        result = TopActivations.best_of([result, one])
    return result


def listed(found: TopActivations, unit: int = 0) -> list[Row]:
    stacked = zip(found.activation[unit], found.image[unit], found.row[unit], found.col[unit], strict=True)
    return [(float(a), int(i), int(r), int(c)) for a, i, r, c in stacked if i != NO_IMAGE]


ROWS = st.tuples(FEW, st.integers(1, 30), st.integers(0, 2), st.integers(0, 2))


@given(
    st.lists(ROWS, max_size=40, unique_by=lambda row: row[1]),
    st.integers(1, 9),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_merging_shards_in_any_order_gives_the_rows_of_one_pass(
    rows: list[Row], top: int, shards: int, random: object
) -> None:
    expected = sorted(rows, key=lambda r: (-r[0], r[1], r[2], r[3]))[:top]
    parts = [arrays(rows[start:stop], top) for start, stop in cut(len(rows), shards)] if rows else []
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert listed(TopActivations.best_of([TopActivations.empty(1, top), *parts])) == expected


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, *(0.5, 1.0)]), st.integers(0, 11)), max_size=20), st.data())
def test_ranking_equals_sorting(found: list[tuple[float, int]], data: st.DataObject) -> None:
    """One unit with maps of 3 x 4: only positive maxima are ranked, and ties are in the order of images."""
    top = data.draw(st.integers(1, 9))
    images = sorted(data.draw(st.sets(st.integers(1, 99), min_size=len(found), max_size=len(found))))
    rows = [(value, image, *divmod(place, 4)) for (value, place), image in zip(found, images, strict=True)]
    maxima = torch.tensor([value for value, _ in found]).reshape(-1, 1)
    places = torch.tensor([place for _, place in found], dtype=torch.int64).reshape(-1, 1)
    ranked = rank(maxima, places, images, 4, top)
    assert ranked.activation.shape == (1, top)
    assert listed(ranked) == sorted((row for row in rows if row[0] > 0), key=lambda r: (-r[0], r[1]))[:top]
    assert (ranked.activation[0, len(listed(ranked)) :] == -np.inf).all()


def batch(pixels: torch.Tensor, first: int = 0, images: int | None = None) -> Batch:
    count = len(pixels) if images is None else images
    return Batch(pixels, [ImageSource(first + i, None) for i in range(count)])  # type: ignore[arg-type]


def identity() -> nn.Sequential:
    """Return a network of three units, whose maps are the channels of the input."""
    convolution = nn.Conv2d(3, 3, 1, bias=False)
    convolution.weight.data = torch.eye(3)[:, :, None, None]
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


def test_of_equal_maxima_the_first_position_is_reported() -> None:
    pixels = torch.zeros(1, 3, 6, 7, dtype=torch.uint8)
    for row, col in ((2, 5), (2, 3), (4, 0), (5, 6)):
        pixels[0, :, row, col] = 255
    found = search(identity(), {"0": range(3)}, [batch(pixels)], top=2)["0"].top
    assert found.row[:, 0].tolist() == [2, 2, 2]
    assert found.col[:, 0].tolist() == [3, 3, 3]


def test_padding_is_not_searched_and_dead_units_have_no_rows() -> None:
    pixels = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
    pixels[:2, 0, 1, 1] = 255
    pixels[3, 1, 1, 1] = 255  # in the padding
    found = search(identity(), {"0": range(3)}, [batch(pixels, images=2)], top=9)["0"].top
    assert found.dead.tolist() == [False, True, True]
    assert (found.image[0] != NO_IMAGE).sum() == 2


def test_only_requested_units_are_searched() -> None:
    pixels = torch.zeros(1, 3, 5, 5, dtype=torch.uint8)
    pixels[0, 2] = 200
    found = search(identity(), {"0": [2]}, [batch(pixels)], top=1)["0"].top
    assert found.activation.shape == (1, 1)
    assert found.activation[0, 0] == pytest.approx(200 / 127.5 - 1)


def test_a_nan_in_a_map_is_a_state_of_its_unit() -> None:
    model = identity()
    model[0].weight.data[1, 1] = float("nan")
    images = torch.full((1, 3, 4, 4), 200, dtype=torch.uint8)
    found = search(model, {"0": range(3)}, [batch(images)], per_class=True)["0"]
    assert found.not_finite.tolist() == [False, True, False]
    assert found.dead.tolist() == [False, False, False]
    assert [len(listed(found.top, unit)) for unit in range(3)] == [1, 0, 1]
    assert [len(listed(top, 1)) for top in found.by_class.values()] == [0]


@pytest.mark.parametrize("block", [1, 2**28])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_unit_that_is_not_finite_on_one_image_leaves_the_others_unchanged(
    monkeypatch: pytest.MonkeyPatch, value: float, block: int
) -> None:
    """Whatever the blocks and shards, and wherever the image is: the unit is in no ranking, of any part."""
    monkeypatch.setattr(search_module, "BLOCK_BYTES", block)
    images = list(Batches(seed=7))
    units = {"0": range(3)}
    expected = search(identity(), units, images, TOP, bottom=True, per_class=True)["0"]
    for broken in (0, len(images) - 1):
        model = Spoiled(identity(), broken, value)
        found = search(model, {"model.0": range(3)}, images, TOP, bottom=True, per_class=True)["model.0"]
        model.batches = 0
        parts = [
            search(model, {"model.0": range(3)}, [one], TOP, bottom=True, per_class=True)["model.0"]
            for one in images
        ]
        for result in (found, LayerSearch.merged(parts)):
            assert result.not_finite.tolist() == [False, False, True]
            assert result.bottom is not None
            assert expected.bottom is not None
            pairs = [(result.top, expected.top), (result.bottom, expected.bottom)]
            pairs += [(result.by_class[label], top) for label, top in expected.by_class.items()]
            for ranking, other in pairs:
                assert [listed(ranking, unit) for unit in (0, 1)] == [listed(other, unit) for unit in (0, 1)]
                assert listed(ranking, 2) == []


class Spoiled(nn.Module):
    """Sets a value of the first image's map of unit 2 in one batch."""

    def __init__(self, model: nn.Module, broken: int, value: float) -> None:
        super().__init__()
        self.model, self.broken, self.value, self.batches = model, broken, value, 0
        model[0].register_forward_hook(self._spoil)  # type: ignore[index]

    def _spoil(self, module: nn.Module, inputs: object, maps: torch.Tensor) -> torch.Tensor:
        if self.batches == self.broken:
            maps = maps.clone()
            maps[0, 2, 0, 0] = self.value
        self.batches += 1
        return maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)  # type: ignore[no-any-return]


def test_the_forward_pass_stops_after_the_deepest_layer_and_removes_hooks() -> None:
    ran: list[str] = []
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    for name, module in model.named_children():
        module.register_forward_pre_hook(lambda m, i, name=name: ran.append(name))
    seen: dict[str, torch.Tensor] = {}
    observe(model, {p: lambda t, p=p: seen.__setitem__(p, t.clone()) for p in ("2", "0")}, torch.rand(1, 3, 4, 4))
    assert ran == ["0", "1", "2"]
    assert (seen["0"] < 0).any()  # seen before the in-place ReLU
    assert not any(module._forward_hooks for module in model)


@given(st.integers(1, 1000), st.integers(1, 50))
def test_cuts_cover_everything_once(count: int, pieces: int) -> None:
    parts = cut(count, pieces)
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(count))
    assert all(stop > start for start, stop in parts)
    assert len(parts) == min(count, pieces)


# --- all rankings, compared with sorting all images ---

CLASSES, TOP = 4, 5


class Batches:
    """Images with few distinct pixel values, so that ties are frequent, in padded batches of eight."""

    def __init__(self, seed: int, images: int = 37) -> None:
        random = np.random.default_rng(seed)
        self.pixels = random.choice(np.array([0, 60, 120, 180, 240], np.uint8), (images, 3, 2, 3))
        self.pixels[:, 1] //= 2  # a unit that is never active
        self.pixels[:, 2] |= 128  # a unit that is always active
        self.sources = [
            ImageSource(3 * number + 1, None, label=int(random.integers(CLASSES)))  # type: ignore[arg-type]
            for number in range(images)
        ]

    def __iter__(self) -> Iterable[Batch]:
        padded = np.concatenate(
            [self.pixels, np.full((8, 3, 2, 3), 255, np.uint8)]
        )  # larger than all values of the images
        for start in range(0, len(self.sources), 8):
            yield Batch(torch.from_numpy(padded[start : start + 8]), self.sources[start : start + 8])

    def expected(self, unit: int, sign: int = 1, label: int | None = None) -> list[Row]:
        """Rank the images of a unit by its maps, which are one channel of the pixels."""
        rows = []
        maps = (torch.from_numpy(self.pixels).float() / 255 - 0.5) / 0.5
        for source, values in zip(self.sources, sign * maps[:, unit].numpy(), strict=True):
            place = int(values.argmax())  # the first of equal maxima
            if values.max() > 0 and label in (None, source.label):
                rows.append((float(values.max()), source.id, *divmod(place, 3)))
        return sorted(rows, key=lambda row: (-row[0], row[1]))[:TOP]

    def check(self, found: LayerSearch) -> None:
        assert found.bottom is not None
        labels = {source.label for source in self.sources}
        assert set(found.by_class) == labels
        for unit in range(3):
            assert listed(found.top, unit) == self.expected(unit)
            assert listed(found.bottom, unit) == self.expected(unit, sign=-1)
            for label in labels:
                assert listed(found.by_class[label], unit) == self.expected(unit, label=label)
        values = (torch.from_numpy(self.pixels).float() / 255 - 0.5) / 0.5
        assert np.array_equal(found.maxima, values.amax((2, 3)).numpy())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [1, 1000, 2**28])
def test_every_ranking_equals_sorting_all_images(monkeypatch: pytest.MonkeyPatch, seed: int, block: int) -> None:
    """Blocks of one batch, of a few batches, and of all batches give the same rankings."""
    monkeypatch.setattr(search_module, "BLOCK_BYTES", block)
    images = Batches(seed)
    seen: list[int] = []
    model = identity()
    found = search(model, {"0": range(3)}, images, TOP, progress=seen.append, bottom=True, per_class=True)["0"]
    images.check(found)
    assert seen == [8, 8, 8, 8, 5]
    assert found.top.dead.tolist() == [False, True, False]


def test_merged_shards_equal_a_single_pass() -> None:
    images = Batches(seed=7)
    parts = [
        search(identity(), {"0": range(3)}, [one], TOP, bottom=True, per_class=True)["0"] for one in list(images)
    ]
    images.check(LayerSearch.merged(parts))


def test_only_requested_rankings_are_computed() -> None:
    found = search(identity(), {"0": range(3)}, Batches(0), TOP)["0"]
    assert found.bottom is None
    assert found.by_class == {}


def test_a_shard_without_usable_images_has_empty_rankings() -> None:
    found = search(identity(), {"0": range(3)}, [], TOP, bottom=True, per_class=True)["0"]
    assert found.top.dead.all()
    assert found.bottom is not None
    assert found.bottom.dead.all()
    assert found.by_class == {}
    assert found.maxima.shape == (0, 3)


class SmallMemory(nn.Module):
    """Raises an out-of-memory error for batches of more than ``images``."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images, self.ran = images, []  # type: ignore[var-annotated]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.ran.append(len(images))
        if len(images) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return images


@pytest.mark.parametrize(("limit", "sizes"), [(8, []), (7, [4]), (3, [4, 2]), (1, [4, 2, 1])])
def test_batches_are_halved_until_they_fit_into_memory(limit: int, sizes: list[int]) -> None:
    images, memory = Batches(seed=1), SmallMemory(limit)
    smaller: list[int] = []
    found = search(
        nn.Sequential(memory, *identity()), {"1": range(3)}, images, TOP,
        bottom=True, per_class=True, on_smaller=smaller.append,
    )["1"]  # fmt: skip
    images.check(found)
    assert smaller == sizes
    fits = (sizes or [8])[-1]
    assert memory.ran == [8, *sizes[:-1]] * bool(sizes) + [fits] * (
        5 * 8 // fits
    )  # halved once, for all further batches


def test_out_of_memory_with_a_single_image_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        search(nn.Sequential(SmallMemory(0), *identity()), {"1": range(3)}, Batches(0), TOP)


def test_other_errors_do_not_halve_the_batch() -> None:
    model = nn.Sequential(nn.Conv2d(4, 3, 1))  # for images of four channels
    smaller: list[int] = []
    with pytest.raises(RuntimeError, match="channels"):
        search(model, {"0": range(3)}, Batches(0), TOP, on_smaller=smaller.append)
    assert smaller == []


def test_a_minimum_that_is_not_finite_is_a_state_of_its_unit() -> None:
    """The maximum is finite, so that a check of maxima alone would not detect it."""
    model = identity()
    model[0].weight.data[1, 1] = 3e38
    pixels = torch.full((1, 3, 2, 2), 128, dtype=torch.uint8)
    pixels[0, 1, 0, 0] = 0
    model[0].bias = nn.Parameter(torch.tensor([0.0, -3e38, 0.0]))
    found = search(model, {"0": range(3)}, [batch(pixels)], bottom=True)["0"]
    assert found.not_finite.tolist() == [False, True, False]
    assert listed(found.top, 1) == []
