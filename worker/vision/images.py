"""From image files to batches: decoded by threads (the decoders let go of the GIL) while the network computes."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from shared.decoding import BrokenImage, decode, read_file

MEAN = STD = 0.5  # per channel, as in the replications: pixels come to lie in [-1, 1]


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from. ``box`` is (left, top, right, bottom) in pixels, exclusive; None is the whole
    file. ``sha256`` is what the file's content must hash to, None for no check."""

    id: int
    path: Path
    label: int = -1
    box: tuple[int, int, int, int] | None = None
    sha256: str | None = None


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
) -> Iterator[Batch]:
    """Decode ``sources`` in order, ``batch_size`` at a time, a few batches ahead of the reader.

    Unreadable images are left out and noted in ``skipped``. With ``pad`` every batch has the same shape, filled up
    with black images that have no source, and an image's batch depends on its place in ``sources`` only.
    """
    threads = threads or max(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        starts = iter(range(0, len(sources), batch_size))
        ahead: deque[list[tuple[ImageSource, Future[np.ndarray]]]] = deque()

        def read_ahead(count: int) -> None:
            for start in _take(starts, count):
                group = sources[start : start + batch_size]
                ahead.append([(source, pool.submit(read_image, source, image_size)) for source in group])

        read_ahead(3)
        try:
            while ahead:
                group = ahead.popleft()
                batch = _assemble(group, batch_size if pad else 0, image_size, skipped)
                read_ahead(1)
                if len(batch.pixels):
                    yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _take(iterator: Iterator[int], count: int) -> Iterable[int]:
    return (value for _, value in zip(range(count), iterator, strict=False))


def _assemble(
    group: list[tuple[ImageSource, Future[np.ndarray]]],
    at_least: int,
    image_size: int,
    skipped: list[Skipped] | None,
) -> Batch:
    """The readable images of ``group``, followed by black ones up to ``at_least``."""
    images: list[np.ndarray] = []
    sources: list[ImageSource] = []
    for source, future in group:
        try:
            images.append(future.result())
            sources.append(source)
        except UnreadableImage as error:
            if skipped is not None:
                skipped.append(Skipped(source, str(error)))
    pixels = np.zeros((max(len(images), at_least), image_size, image_size, 3), np.uint8)
    for place, image in enumerate(images):
        pixels[place] = image
    return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), sources)


def to_input(pixels: torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """Pixels uint8 [N, 3, H, W] -> the network's input: float32, normalised, channels last, on ``device``."""
    pixels = pixels.to(device, non_blocking=True)
    return pixels.to(torch.float32, memory_format=torch.channels_last).div_(255).sub_(MEAN).div_(STD)
