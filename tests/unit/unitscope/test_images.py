"""Batches with and without a pixel cache, and the network's input."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unitscope.data import images
from unitscope.data.images import ImageSource, Skipped, UnreadableImage, batches, read_cached, read_image, to_input
from unitscope.data.pixel_cache import PixelCache
from unitscope.vocabulary import Channels

SIZE = 16
COUNT = 21
BROKEN = (0, 5, 6, 20)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[ImageSource]:
    """Images, some of which are damaged, and some of which are crops of a larger one."""
    folder = tmp_path_factory.mktemp("images")
    found = []
    for number in range(COUNT):
        file = folder / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(file)
        if number in BROKEN:
            file.write_bytes(b"no image")
        box = (2, 3, 19, 18) if number % 2 else None
        found.append(ImageSource(100 + number, file, box=box, position=number))
    return found


@pytest.fixture
def good(sources: list[ImageSource]) -> list[ImageSource]:
    return [source for source in sources if source.position not in BROKEN]


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache", COUNT, SIZE)


def content_of(
    sources: Sequence[ImageSource], cache: PixelCache | None, pad: bool = True
) -> tuple[list[tuple[bytes, tuple[int, ...], list[ImageSource]]], list[Skipped]]:
    """Return the content of all batches, and the skipped images."""
    skipped: list[Skipped] = []
    found = batches(sources, 4, SIZE, pad=pad, skipped=skipped, cache=cache)
    return [(b.pixels.numpy().tobytes(), tuple(b.pixels.stride()), b.sources) for b in found], skipped


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: ImageSource, size: int) -> np.ndarray:
        raise AssertionError(f"image {source.id} is decoded")

    monkeypatch.setattr(images, "read_image", fail)


def pipeline_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "assemble"))]


# --- the cache ---


@pytest.mark.parametrize("pad", [True, False])
def test_batches_are_the_same_with_and_without_a_cache(
    sources: list[ImageSource], cache: PixelCache, pad: bool
) -> None:
    expected = content_of(sources, None, pad)
    assert [item.source.position for item in expected[1]] == list(BROKEN)
    for _ in range(3):
        assert content_of(sources, cache, pad) == expected
    shuffled = [sources[place] for place in np.random.default_rng(0).permutation(COUNT)]
    assert content_of(shuffled, cache, pad) == content_of(shuffled, None, pad)


def test_a_half_filled_cache_gives_the_same_batches(sources: list[ImageSource], cache: PixelCache) -> None:
    content_of(sources[3:12:2], cache)
    assert content_of(sources, cache) == content_of(sources, None)


def test_cached_images_are_not_decoded_again(
    good: list[ImageSource], cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = content_of(good, cache)
    forbid_reading(monkeypatch)
    assert content_of(good, cache) == first


def test_unreadable_images_are_read_again_every_time(sources: list[ImageSource], cache: PixelCache) -> None:
    for _ in range(2):
        assert [item.source.position for item in content_of(sources, cache)[1]] == list(BROKEN)
    present = cache.gather(range(COUNT))[1]
    assert np.flatnonzero(~present).tolist() == list(BROKEN)


def test_images_without_a_position_are_decoded(good: list[ImageSource], cache: PixelCache) -> None:
    nowhere = [ImageSource(source.id, source.path, box=source.box) for source in good]
    assert [found[0] for found in content_of(nowhere, cache)[0]] == [
        found[0] for found in content_of(good, None)[0]
    ]
    assert not cache.gather(range(COUNT))[1].any()


def test_single_images_use_the_same_cache(
    sources: list[ImageSource], good: list[ImageSource], cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [read_image(source, SIZE) for source in good]
    for source, image in zip(good, expected, strict=True):
        for kept in (None, cache, cache):
            np.testing.assert_array_equal(read_cached(source, SIZE, kept), image)
    for kept in (None, cache):
        with pytest.raises(UnreadableImage):
            read_cached(sources[BROKEN[0]], SIZE, kept)
    forbid_reading(monkeypatch)
    for source, image in zip(good, expected, strict=True):
        np.testing.assert_array_equal(read_cached(source, SIZE, cache), image)
    assert len(content_of(good, cache)[0]) == 5


# --- threads ---


@pytest.mark.parametrize("cached", [True, False])
def test_batches_are_prepared_in_advance(
    good: list[ImageSource], cache: PixelCache, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    begun: list[int] = []
    begin = images._begin

    def noted(*arguments: object) -> object:
        begun.append(len(begun))
        return begin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "_begin", noted)
    reading = batches(good, 1, SIZE, cache=cache if cached else None)
    next(reading)
    deadline = time.monotonic() + 20
    while len(begun) < 1 + images.AHEAD:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(begun) == 1 + images.AHEAD  # no more, because batches take memory
    reading.close()


@pytest.mark.parametrize("taken", [0, 1, 2, 5])
@pytest.mark.parametrize("cached", [True, False])
def test_stopping_early_leaves_no_thread(
    good: list[ImageSource], cache: PixelCache, monkeypatch: pytest.MonkeyPatch, taken: int, cached: bool
) -> None:
    decoded: list[int] = []

    def slow(source: ImageSource, size: int) -> np.ndarray:
        time.sleep(0.02)
        decoded.append(source.id)
        return read_image(source, size)

    monkeypatch.setattr(images, "read_image", slow)
    reading = batches(good * 20, 8, SIZE, threads=2, cache=cache if cached else None)
    for _ in range(taken):
        next(reading)
    reading.close()
    assert not pipeline_threads()
    assert len(decoded) < 8 * (taken + 1 + images.AHEAD)  # queued images are not decoded


@pytest.mark.parametrize("cached", [True, False])
def test_an_exception_reaches_the_reader(
    good: list[ImageSource], cache: PixelCache, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    def fail(source: ImageSource, size: int) -> np.ndarray:
        if source.id == good[6].id:
            raise MemoryError("no more")
        return read_image(source, size)

    monkeypatch.setattr(images, "read_image", fail)
    reading = batches(good, 4, SIZE, cache=cache if cached else None)
    assert len(next(reading).sources) == 4
    with pytest.raises(MemoryError, match="no more"):
        next(reading)
    assert not pipeline_threads()


def test_an_exception_of_the_cache_reaches_the_reader(good: list[ImageSource], cache: PixelCache) -> None:
    cache.gather = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        next(batches(good, 4, SIZE, cache=cache))
    assert not pipeline_threads()


def test_an_exception_of_the_reader_ends_the_threads(good: list[ImageSource], cache: PixelCache) -> None:
    def read() -> None:
        for _ in batches(good, 4, SIZE, cache=cache):
            raise KeyError

    with pytest.raises(KeyError):
        read()
    assert not pipeline_threads()


# --- the input ---


def some_pixels(memory_format: torch.memory_format, shape: tuple[int, ...] = (3, 3, 9, 7)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return pixels.contiguous(memory_format=memory_format)


ALL_VALUES = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("pixels", [some_pixels(FORMATS[0]), some_pixels(FORMATS[0], (1, 3, 1, 1)), ALL_VALUES])
def test_the_usual_input_is_the_same_to_the_last_bit(
    pixels: torch.Tensor, memory_format: torch.memory_format
) -> None:
    pixels = pixels.contiguous(memory_format=memory_format)
    floats = pixels.to(torch.float32, memory_format=torch.channels_last)
    expected = floats.div_(255).sub_(0.5).div_(0.5)
    found = to_input(pixels)
    assert torch.equal(found, expected)
    assert torch.equal(to_input(pixels, "cpu", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("shape", [(3, 3, 9, 7), (1, 3, 9, 7), (2, 3, 1, 1), (2, 3, 1, 5), (0, 3, 4, 4)])
def test_each_channel_has_its_mean_and_standard_deviation(
    shape: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    pixels = some_pixels(memory_format, shape)
    mean, std = IMAGENET
    expected = pixels.float() / 255
    expected = (expected - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    for inference in (True, False):
        with torch.inference_mode(inference):
            found = to_input(pixels, "cpu", mean, std)
            assert torch.equal(found, expected)
            assert found.is_contiguous(memory_format=torch.channels_last)


def test_either_mean_or_std_may_be_equal_for_all_channels() -> None:
    pixels = some_pixels(FORMATS[0])
    found = to_input(pixels, "cpu", (0.5, 0.5, 0.5), (0.5, 0.25, 0.125))
    torch.testing.assert_close(found[:, 2], (pixels[:, 2] / 255 - 0.5) / 0.125)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("mean", "std"), [IMAGENET, ((0.5,) * 3, (0.5,) * 3)])
def test_inputs_are_the_same_on_gpu_and_cpu(mean: Channels, std: Channels) -> None:
    pixels = some_pixels(torch.channels_last)
    found = to_input(pixels, "cuda", mean, std)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.cpu(), to_input(pixels, "cpu", mean, std), rtol=1e-6, atol=1e-6)
