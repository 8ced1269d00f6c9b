"""Searches on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.gpu.devices import SHARES, Device
from tests.gpu.networks import batches, convolutions, network, pictures
from unitscope.data.images import Batch, ImageSource, to_input
from unitscope.data.upload import Uploader
from unitscope.search import screening
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch, observe, search, strongest
from unitscope.search.statistics import unit_statistics
from unitscope.vocabulary import SCREENS, Screen

SIZE, IMAGES, BATCH, TOP = 64, 33, 4, 5
ROUNDING = 1e-4


def search_on(
    device: torch.device | str, images: np.ndarray, start: int = 0, stop: int | None = None, **options: Any
) -> dict[str, LayerSearch]:
    model = network("zfnet", SIZE, device)
    paths = convolutions(model)
    layers = {paths[0]: range(64), paths[2]: [30, 7, 7, 12, 0], paths[4]: range(32)}
    batched = batches(images, BATCH, start, stop)
    return search(model, layers, batched, TOP, device, bottom=True, per_class=True, **options)


@cache
def expected_rows() -> dict[str, LayerSearch]:
    """The results of the CPU."""
    return search_on("cpu", pictures(IMAGES, SIZE))


def rankings(actual: LayerSearch) -> dict[str, TopActivations]:
    assert actual.bottom is not None
    return {"top": actual.top, "bottom": actual.bottom, **{f"class {k}": v for k, v in actual.by_class.items()}}


def bits(actual: dict[str, LayerSearch]) -> dict[str, bytes]:
    return {
        f"{path} {name} {place}": array.tobytes()
        for path, layer in actual.items()
        for name, ranking in rankings(layer).items()
        for place, array in enumerate(astuple(ranking))
    } | {f"{path} maxima": layer.maxima.tobytes() for path, layer in actual.items()}


class Maps:
    """The feature maps of all images, to determine whether two positions or images have equal activations."""

    def __init__(self, path: str, units: list[int], images: np.ndarray) -> None:
        seen: list[torch.Tensor] = []
        model = network("zfnet", SIZE)
        with torch.inference_mode():
            for image in torch.from_numpy(images).permute(0, 3, 1, 2).split(4):
                observe(model, {path: lambda maps: seen.append(maps.clone())}, to_input(image))
        self.maps = torch.cat(seen)[:, units].numpy()

    def value(self, unit: int, image_id: int, row: int, col: int) -> float:
        return float(self.maps[(image_id - 3) // 10, unit, row, col])


def assert_same_rows(actual: TopActivations, expected: TopActivations, maps: Maps, sign: int) -> None:
    """Check that activations agree up to rounding, and images and positions agree except for ties up to
    rounding."""
    scale = max(float(np.abs(maps.maps).max()) * 0.01, 1e-6)
    known = expected.image != NO_IMAGE
    assert (known == (actual.image != NO_IMAGE)).mean() > 0.999  # rounding may lift a unit just above zero
    known &= actual.image != NO_IMAGE
    np.testing.assert_allclose(
        actual.activation[known], expected.activation[known], rtol=ROUNDING, atol=ROUNDING * scale
    )
    same = (actual.image == expected.image) & (actual.row == expected.row) & (actual.col == expected.col)
    assert same[known].mean() > 0.98
    for unit, rank in zip(*(known & ~same).nonzero(), strict=True):
        place = (int(a[unit, rank]) for a in (actual.image, actual.row, actual.col))
        there = sign * maps.value(unit, *place)
        assert there == pytest.approx(
            float(expected.activation[unit, rank]), rel=2 * ROUNDING, abs=ROUNDING * scale
        )


def test_rows_equal_those_of_the_cpu(device: torch.device) -> None:
    images = pictures(IMAGES, SIZE)
    actual, expected = search_on(device, images), expected_rows()
    for path, units in ((p, actual[p].maxima.shape[1]) for p in actual):
        maps = Maps(path, [30, 7, 7, 12, 0] if units == 5 else list(range(units)), images)
        np.testing.assert_allclose(actual[path].maxima, expected[path].maxima, rtol=ROUNDING, atol=ROUNDING)
        assert set(actual[path].by_class) == set(expected[path].by_class)
        for name, ranking in rankings(actual[path]).items():
            sign = -1 if name == "bottom" else 1
            assert_same_rows(ranking, rankings(expected[path])[name], maps, sign)


def test_statistics_equal_those_of_the_cpu(device: torch.device) -> None:
    images = pictures(IMAGES, SIZE)
    actual, expected = search_on(device, images), expected_rows()
    for path in actual:
        for one, other in zip(*(unit_statistics(s[path].maxima) for s in (actual, expected)), strict=True):
            assert one.images == other.images == IMAGES
            assert abs(one.fired_share - other.fired_share) <= 1 / IMAGES
            numbers = [(s.mean, s.minimum, s.maximum, *s.quantiles) for s in (one, other)]
            np.testing.assert_allclose(*numbers, rtol=ROUNDING, atol=ROUNDING)


def test_repeated_searches_are_bitwise_equal(device: torch.device) -> None:
    images = pictures(IMAGES, SIZE)
    assert bits(search_on(device, images)) == bits(search_on(device, images))


@pytest.mark.parametrize("precision", SCREENS)
def test_a_screening_has_the_rankings_of_the_search(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, precision: Screen
) -> None:
    monkeypatch.setattr(screening, "SAMPLE", 8)
    model, images = network("zfnet", SIZE, device), pictures(4 * IMAGES, SIZE)
    layers = {path: [0, 3] for path in convolutions(model)}

    def read_again(sources: Sequence[ImageSource]) -> Iterator[Batch]:
        for start in range(0, len(sources), BATCH):
            part = list(sources[start : start + BATCH])
            pixels = np.stack([images[(source.id - 3) // 10] for source in part])
            yield Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), part)

    if precision == "tf32" and device.type != "cuda":
        pytest.skip("a CPU has no TF32")
    expected = search(model, layers, batches(images, BATCH), TOP, device)
    found = screening.screened_search(model, layers, batches(images, BATCH), read_again, precision, TOP, device)
    assert found.recomputed < len(images)
    for path, result in found.layers.items():
        assert [a.tobytes() for a in astuple(result.top)] == [a.tobytes() for a in astuple(expected[path].top)]
        assert result.precision == precision
    assert not torch.backends.cudnn.allow_tf32


def test_results_do_not_depend_on_the_number_of_shards(device: torch.device) -> None:
    """Shards start at batch boundaries."""
    images = pictures(IMAGES, SIZE)
    bounds = [*(np.linspace(0, IMAGES // BATCH, 6).astype(int) * BATCH)[:-1].tolist(), IMAGES]
    parts = [search_on(device, images, *pair) for pair in pairwise(bounds)]
    merged = {path: LayerSearch.merged([part[path] for part in parts]) for path in parts[0]}
    assert bits(merged) == bits(search_on(device, images))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_equal_maxima_give_the_first_row_and_column(device: torch.device, layout: torch.memory_format) -> None:
    """The same position must be found as on the CPU, for the rows of a search and for the switches of a
    pooling."""
    drawn = np.random.default_rng(0)
    maps = torch.from_numpy(drawn.integers(-2, 3, (6, 40, 37, 29)).astype(np.float32))
    maps[0], maps[1] = 0.0, float("-inf")
    maps[2, :, 30, 20] = maps[2, :, 11, 28] = float("nan")
    maxima, places = strongest(maps.to(device, memory_format=layout))
    flat = maps.flatten(2).numpy()
    np.testing.assert_array_equal(maxima.cpu().numpy(), flat.max(2))
    # The position of the first NaN doesn't matter, since the search raises an error for NaN.
    expected, at = flat.argmax(2), places.cpu().numpy()
    np.testing.assert_array_equal(np.delete(at, 2, 0), np.delete(expected, 2, 0))
    pooled, switches = nn.functional.max_pool2d(
        maps.to(device, memory_format=layout), 3, 2, padding=1, return_indices=True
    )
    expected, where = nn.functional.max_pool2d(maps, 3, 2, padding=1, return_indices=True)
    known = ~(expected.isnan() | expected.isinf())
    np.testing.assert_array_equal(pooled.cpu()[known].numpy(), expected[known].numpy())
    np.testing.assert_array_equal(switches.cpu()[known].numpy(), where[known].numpy())


def test_activations_that_are_not_finite_are_detected(device: torch.device) -> None:
    model = network("zfnet", SIZE, device)
    with torch.no_grad():
        model.features[0].weight[5] = float("nan")
    found = search(model, {"features.0": range(64)}, batches(pictures(3, SIZE), 4), device=device)["features.0"]
    assert np.flatnonzero(found.not_finite).tolist() == [5]


def test_queued_batches_are_not_overwritten(device: torch.device) -> None:
    """Many batches are queued, each in memory that an earlier one has freed."""
    upload = Uploader(device, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    many = [torch.from_numpy(pictures(4, 96, seed)).permute(0, 3, 1, 2) for seed in range(24)]
    with torch.inference_mode():
        sums = [upload(pixels).double().sum((0, 2, 3)) for pixels in many]
        for pixels, actual in zip(many, sums, strict=True):
            expected = to_input(pixels, "cpu", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)).double().sum((0, 2, 3))
            # The values cancel in the sums. Pixels of other images would change them by hundreds.
            np.testing.assert_allclose(actual.cpu().numpy(), expected.numpy(), rtol=1e-5, atol=0.05)


def test_when_memory_runs_out_a_search_runs_fewer_images_at_once(gpu: Device) -> None:
    count = gpu.scaled(64, 512)
    images = pictures(count, SIZE)
    model = network("zfnet", SIZE, gpu.device)
    layers = {"features.0": range(64), "features.3": range(192)}
    batched = batches(images, count)

    def run(**options: Any) -> dict[str, LayerSearch]:
        return search(model, layers, batched, TOP, gpu.device, **options)

    run()  # allocates the workspaces of the libraries
    with gpu.measured() as peak:
        expected = run()
    smaller: list[int] = []
    for share in SHARES:
        with gpu.limited(share * peak.reserved):
            actual = run(on_smaller=smaller.append)
        if smaller:
            break
    assert smaller
    assert smaller[0] == count // 2
    for path in layers:
        np.testing.assert_allclose(actual[path].maxima, expected[path].maxima, rtol=ROUNDING, atol=ROUNDING)
        assert (actual[path].top.image == expected[path].top.image).mean() > 0.98
