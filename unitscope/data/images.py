"""From image files to batches: decoded by threads (the decoders let go of the GIL) while the network computes."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unitscope.data.pixel_cache import PixelCache
from unitscope.images.decoding import BrokenImage, decode, read_file
from unitscope.vocabulary import Channels

MEAN: Channels = (0.5, 0.5, 0.5)  # as in the replications: pixels come to lie in [-1, 1]
STD: Channels = (0.5, 0.5, 0.5)
AHEAD = 3  # batches that are made while the reader is busy with the one before


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from. ``box`` is (left, top, right, bottom) in pixels, exclusive; None is the whole
    file. ``sha256`` is what the file's content must hash to, None for no check. ``position`` is the number of its
    record in a ``PixelCache``, -1 for none."""

    id: int
    path: Path
    label: int = -1
    box: tuple[int, int, int, int] | None = None
    sha256: str | None = None
    position: int = -1


class UnreadableImage(Exception):
    """An image that must be left out, and why."""


def read_image(source: ImageSource, size: int) -> np.ndarray:
    """The image's box squeezed to ``size`` x ``size``: uint8 [size, size, 3], RGB, bilinear.

    Raises
    ------
    UnreadableImage
        the file is missing, broken, too large to be believed, or not the one that was registered.
    """
    try:
        content = read_file(source.path)
        if source.sha256 and hashlib.sha256(content).hexdigest() != source.sha256:
            raise UnreadableImage("its content changed since it was registered")
        image = decode(content)
        # Cut out before it is resized: resize(box=...) would let pixels around the box shine in.
        region = image.crop(source.box) if source.box else image
        return np.asarray(region.resize((size, size), Image.Resampling.BILINEAR))
    except BrokenImage as broken:
        raise UnreadableImage(str(broken)) from broken


def read_cached(source: ImageSource, size: int, cache: PixelCache | None) -> np.ndarray:
    """What ``read_image`` gives, from the cache if it is there; otherwise it is put there.

    Raises
    ------
    UnreadableImage
        it is not in the cache, and can't be read. Nothing is kept of it: it is tried again the next time.
    """
    if cache is not None:
        pixels, present = cache.gather([source.position])
        if present[0]:
            return pixels[0]
    return _read_and_store(source, size, cache)


def _read_and_store(source: ImageSource, size: int, cache: PixelCache | None) -> np.ndarray:
    image = read_image(source, size)
    if cache is not None:
        cache.store(source.position, image)
    return image


@dataclass(frozen=True)
class Batch:
    """``pixels`` uint8 [size, 3, rows, columns]; the first ``len(sources)`` are images, the rest is padding."""

    pixels: torch.Tensor
    sources: list[ImageSource]


@dataclass(frozen=True)
class Skipped:
    """An image that was left out."""

    source: ImageSource
    reason: str


def batches(
    sources: Sequence[ImageSource],
    batch_size: int,
    image_size: int,
    *,
    pad: bool = False,
    skipped: list[Skipped] | None = None,
    threads: int | None = None,
    cache: PixelCache | None = None,
) -> Iterator[Batch]:
    """The images of ``sources`` in order, ``batch_size`` at a time, made a few batches ahead of the reader.

    Unreadable images are left out and noted in ``skipped``. With ``pad`` every batch has the same shape, filled up
    with black images that have no source, and an image's batch depends on its place in ``sources`` only. Images
    that are not in ``cache`` are decoded and put there; with it and without it the batches are the same.
    """
    threads = threads or max(2, os.cpu_count() or 1)
    groups = (sources[start : start + batch_size] for start in range(0, len(sources), batch_size))
    decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    # One thread, which takes the groups in order and waits for no decoder: it can't be held up.
    assembler = ThreadPoolExecutor(1, thread_name_prefix="assemble")
    ahead: deque[Future[_Group]] = deque()

    def read_ahead(count: int) -> None:
        for group in islice(groups, count):
            ahead.append(assembler.submit(_begin, group, image_size, cache, decoders))

    try:
        read_ahead(AHEAD)
        while ahead:
            batch = _end(ahead.popleft().result(), batch_size if pad else 0, skipped)
            read_ahead(1)
            if len(batch.pixels):
                yield batch
    finally:  # the reader may have had enough: what was begun is ended, the rest is not begun
        assembler.shutdown(cancel_futures=True)
        decoders.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """A batch in the making: rows of ``pixels``, uint8 [size, rows, columns, 3], that are being ``decoded``."""

    sources: Sequence[ImageSource]
    pixels: np.ndarray
    decoded: dict[int, Future[None]]


def _begin(
    sources: Sequence[ImageSource], image_size: int, cache: PixelCache | None, decoders: ThreadPoolExecutor
) -> _Group:
    """Take from the cache what is there, and have the rest decoded."""
    if cache is None:
        pixels = np.empty((len(sources), image_size, image_size, 3), np.uint8)
        missing = list(range(len(sources)))
    else:
        pixels, present = cache.gather([source.position for source in sources])
        missing = np.flatnonzero(~present).tolist()

    def decode_into(row: np.ndarray, source: ImageSource) -> None:
        row[:] = _read_and_store(source, image_size, cache)

    decoded = {place: decoders.submit(decode_into, pixels[place], sources[place]) for place in missing}
    return _Group(sources, pixels, decoded)


def _end(group: _Group, at_least: int, skipped: list[Skipped] | None) -> Batch:
    """The readable images of ``group``, followed by black ones up to ``at_least``."""
    unreadable = set()
    for place, future in group.decoded.items():
        try:
            future.result()
        except UnreadableImage as error:
            unreadable.add(place)
            if skipped is not None:
                skipped.append(Skipped(group.sources[place], str(error)))
    readable = [place for place in range(len(group.sources)) if place not in unreadable]
    pixels = group.pixels[readable] if unreadable else group.pixels
    if len(pixels) < at_least:
        pixels = np.concatenate([pixels, np.zeros((at_least - len(pixels), *pixels.shape[1:]), np.uint8)])
    return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), [group.sources[place] for place in readable])


def to_input(
    pixels: torch.Tensor, device: torch.device | str = "cpu", mean: Channels = MEAN, std: Channels = STD
) -> torch.Tensor:
    """Pixels uint8 [N, 3, H, W] -> the network's input: float32, (pixel / 255 - mean) / std by channel, channels
    last, on ``device``."""
    device = torch.device(device)
    if device.type == "cuda" and not pixels.is_cuda:  # from pageable memory a copy waits for the device
        pixels = pixels.pin_memory()
    pixels = pixels.to(device, non_blocking=True)
    images = pixels.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if len(set(mean)) == len(set(std)) == 1:
        return images.sub_(mean[0]).div_(std[0])
    # Row by row, as they lie in memory: broadcast over three channels, nothing would be vectorised.
    rows = images.permute(0, 2, 3, 1).view(-1, images.shape[3] * 3)
    rows.sub_(_row(mean, images.shape[3], device)).div_(_row(std, images.shape[3], device))
    return images


@lru_cache(maxsize=16)
def _row(values: Channels, columns: int, device: torch.device) -> torch.Tensor:
    """The channels' values for a row of pixels. Kept: making it on a GPU would wait for all work before it."""
    with torch.inference_mode(False):  # for whoever comes next, in inference mode or not
        return torch.tensor(values, device=device).repeat(columns)
