"""Batches of images. Threads decode image files (decoders release the GIL) while the network computes."""

from __future__ import annotations

import hashlib
import socket
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

from unitscope.cores import usable_cores
from unitscope.data.pixel_cache import PixelCache
from unitscope.errors import ImageChanged, ImageUnavailable
from unitscope.images.decoding import BrokenImage, UnavailableFile, decode, read_file
from unitscope.vocabulary import Channels

MEAN: Channels = (0.5, 0.5, 0.5)  # as in the replications: inputs from -1 to 1
STD: Channels = (0.5, 0.5, 0.5)
AHEAD = 3  # batches that are prepared in advance


@dataclass(frozen=True)
class ImageSource:
    """Location of an image.

    ``label`` is the index of its class, -1 for none. ``box`` is (left, top, right, bottom) in pixels, right and
    bottom exclusive; None is the whole image. ``sha256`` is the expected SHA-256 of the file, None for no check.
    ``position`` is the number of its record in a ``PixelCache``, -1 for none. With ``upright``, the image is
    turned as its EXIF orientation says, and the box refers to the turned image.
    """

    id: int
    path: Path
    label: int = -1
    box: tuple[int, int, int, int] | None = None
    sha256: str | None = None
    position: int = -1
    upright: bool = False


class UnreadableImage(Exception):
    """An image can't be used because of its content; the message is the reason."""


def read_image(source: ImageSource, size: int) -> np.ndarray:
    """Read an image, cropped to its box and resized (bilinear) to uint8 [size, size, 3], RGB.

    Raises
    ------
    UnreadableImage
        the file is damaged or too large, or its box is not inside of it; or, if ``source`` has no ``sha256``, it
        is missing.
    ImageUnavailable
        the file of a registered image, which has a ``sha256``, is missing or can't be read on this machine, or is
        another image there (``ImageChanged``).
    MemoryError
        a registered image, which was decoded before, needs more memory than this machine has now.
    """
    try:
        content = read_content(source)
        image = decode(content, upright=source.upright)
        if source.box and not _is_inside(source.box, image.size):  # a crop would allocate the whole box
            raise UnreadableImage(f"its box {source.box} is not inside of {image.width} x {image.height} pixels")
        # Cropped first: resize(box=...) would blend in pixels from outside of the box.
        region = image.crop(source.box) if source.box else image
        return np.asarray(region.resize((size, size), Image.Resampling.BILINEAR))
    except BrokenImage as error:
        if source.sha256 and isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        raise UnreadableImage(str(error)) from error


def read_content(source: ImageSource) -> bytes:
    """Read the file of an image. Of a registered image, which has a ``sha256``, it is the registered content.

    A changed file that can't be decoded is a broken image, which a job leaves out. A changed file that is another
    image is not left out: another machine may have the registered one.

    Raises
    ------
    UnreadableImage
        the file was registered with other content, and can't be decoded.
    ImageUnavailable, BrokenImage
        as in ``read_image``, before the content is decoded.
    MemoryError
        see ``read_image``.
    """
    try:
        content = read_file(source.path)
    except UnavailableFile as error:
        if source.sha256:
            raise ImageUnavailable(path=source.path, host=socket.gethostname(), reason=error.detail) from error
        raise
    if source.sha256 and hashlib.sha256(content).hexdigest() != source.sha256:
        try:
            decode(content)
        except BrokenImage as error:
            if isinstance(error.__cause__, MemoryError):
                raise error.__cause__ from None
            raise UnreadableImage("its content has changed since it was registered, and is broken") from error
        raise ImageChanged(path=source.path, host=socket.gethostname())
    return content


def _is_inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]


def read_cached(source: ImageSource, size: int, cache: PixelCache | None) -> np.ndarray:
    """Return ``read_image(source, size)``, from the cache if it contains the image; otherwise store it there.

    Raises
    ------
    UnreadableImage, ImageUnavailable
        the image is not in the cache and can't be read. The failure is not cached.
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
    """A batch: ``pixels`` uint8 [N, 3, H, W], of which the first ``len(sources)`` are images, the rest padding."""

    pixels: torch.Tensor
    sources: list[ImageSource]


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and the reason."""

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
    """Iterate over the images of ``sources`` in batches, in order; batches are prepared in advance by threads.

    Parameters
    ----------
    sources
        images to read.
    batch_size
        images per batch, before unreadable ones are left out.
    image_size
        height and width to which images are resized, in pixels.
    pad
        fill up every batch to ``batch_size`` with black images that have no source, so that all batches have the
        same shape. An image's batch depends on its index in ``sources`` only, with and without padding.
    skipped
        list to which unreadable images are appended; they are left out of the batches.
    threads
        number of decoding threads; by default one per core, at least 2.
    cache
        where decoded images are read and stored. Batches are the same with and without it.
    """
    threads = threads or max(2, usable_cores())
    groups = (sources[start : start + batch_size] for start in range(0, len(sources), batch_size))
    decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    # One thread, which starts the groups in order and doesn't wait for decoders, so that there is no deadlock.
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
    finally:  # also if the consumer stops early: running tasks finish, queued ones are cancelled
        assembler.shutdown(cancel_futures=True)
        decoders.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """A batch in preparation: ``pixels`` uint8 [N, H, W, 3], and the tasks that decode some of them, by index."""

    sources: Sequence[ImageSource]
    pixels: np.ndarray
    decoded: dict[int, Future[None]]


def _begin(
    sources: Sequence[ImageSource], image_size: int, cache: PixelCache | None, decoders: ThreadPoolExecutor
) -> _Group:
    """Read a group's images from the cache, and start decoding those that it doesn't contain."""
    if cache is None:
        pixels = np.empty((len(sources), image_size, image_size, 3), np.uint8)
        missing = list(range(len(sources)))
    else:
        pixels, present = cache.gather([source.position for source in sources])
        missing = np.flatnonzero(~present).tolist()

    def decode_into(row: np.ndarray, source: ImageSource) -> None:
        row[:] = _read_and_store(source, image_size, cache)

    decoded = {index: decoders.submit(decode_into, pixels[index], sources[index]) for index in missing}
    return _Group(sources, pixels, decoded)


def _end(group: _Group, at_least: int, skipped: list[Skipped] | None) -> Batch:
    """Wait for the decoders; return the readable images, padded with black ones up to ``at_least``."""
    unreadable = set()
    for index, future in group.decoded.items():
        try:
            future.result()
        except UnreadableImage as error:
            unreadable.add(index)
            if skipped is not None:
                skipped.append(Skipped(group.sources[index], str(error)))
    readable = [index for index in range(len(group.sources)) if index not in unreadable]
    pixels = group.pixels[readable] if unreadable else group.pixels
    if len(pixels) < at_least:
        pixels = np.concatenate([pixels, np.zeros((at_least - len(pixels), *pixels.shape[1:]), np.uint8)])
    return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), [group.sources[index] for index in readable])


def to_input(
    pixels: torch.Tensor, device: torch.device | str = "cpu", mean: Channels = MEAN, std: Channels = STD
) -> torch.Tensor:
    """Normalize pixels uint8 [N, 3, H, W] to a network's input float32 [N, 3, H, W] on ``device``.

    The input is (pixel / 255 - mean) / std by channel, in channels-last memory format.
    """
    device = torch.device(device)
    if device.type == "cuda" and not pixels.is_cuda:  # a copy from pageable memory would block
        pixels = pixels.pin_memory()
    pixels = pixels.to(device, non_blocking=True)
    images = pixels.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if len(set(mean)) == len(set(std)) == 1:
        return images.sub_(mean[0]).div_(std[0])
    # A row of pixels is contiguous in memory. Broadcasting over the three channels would not be vectorized.
    rows = images.permute(0, 2, 3, 1).view(-1, images.shape[3] * 3)
    rows.sub_(_row(mean, images.shape[3], device)).div_(_row(std, images.shape[3], device))
    return images


@lru_cache(maxsize=16)
def _row(values: Channels, columns: int, device: torch.device) -> torch.Tensor:
    """Repeat channel values for a row of pixels. Cached, because a copy to a GPU blocks for all queued work."""
    with torch.inference_mode(False):  # a cached inference tensor could not be used outside of inference mode
        return torch.tensor(values, device=device).repeat(columns)
