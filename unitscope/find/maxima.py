"""The file of a layer's maxima: a NumPy array, float32 [units, images], so that a unit's values are contiguous.

Images are in ascending order of their ids. Readers map the file into memory; a scan reads the rows of the units
that it needs.
"""

from __future__ import annotations

import io
import mmap
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from unitscope.errors import MaximaNotReadable

# Errors of NumPy about files that are no arrays; their headers are parsed as literals of Python.
UNREADABLE = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
)
BLOCKS_AHEAD = 4  # of images, that are read from the disk at once
BLOCK_BYTES = 2**26  # of values that are collected before they are written, unit by unit


def write_maxima(file: IO[bytes], parts: Iterable[np.ndarray], units: int, images: int) -> None:
    """Write the maxima of a layer. The content depends on the values only, not on how they are divided into parts.

    Values are written with ``seek``, not through a memory map: a full disk then raises an error.

    Parameters
    ----------
    file
        An empty file, open for writing.
    parts
        float32 [some images, units] each, in the order of the images.
    units, images
        Shape of the array.

    Raises
    ------
    ValueError
        The parts have another number of images or units.
    OSError
        The disk is full.
    """
    header = io.BytesIO()
    description = {"descr": "<f4", "fortran_order": False, "shape": (units, images)}
    np.lib.format.write_array_header_1_0(header, description)
    file.write(header.getvalue())
    offset, done = file.tell(), 0
    for block in _blocks(parts, units):
        if done + len(block) > images:
            raise ValueError(f"the parts have more than {images} images")
        for unit, values in enumerate(np.ascontiguousarray(block.T, "<f4")):
            file.seek(offset + 4 * (unit * images + done))
            file.write(values.tobytes())
        done += len(block)
    if done != images:
        raise ValueError(f"the parts have {done} images, not {images}")


def _blocks(parts: Iterable[np.ndarray], units: int) -> Iterator[np.ndarray]:
    """Join small parts, so that each unit's values are written in large pieces."""
    waiting: list[np.ndarray] = []
    size = 0
    for part in parts:
        if part.ndim != 2 or part.shape[1] != units:
            raise ValueError(f"a part has the shape {part.shape}, not [images, {units}]")
        waiting.append(part)
        size += part.nbytes
        if size >= BLOCK_BYTES:
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)


def map_maxima(path: Path, units: int, images: int) -> np.ndarray:
    """Map a file of maxima into memory, read-only: float32 [units, images].

    Raises
    ------
    MaximaNotReadable
        The file is not an array of this type and shape.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise MaximaNotReadable(path=path, reason=error) from error
    if not isinstance(values, np.memmap):
        raise MaximaNotReadable(path=path, reason="it is an archive of arrays")
    if values.dtype != np.dtype("<f4") or not values.flags.c_contiguous:
        raise MaximaNotReadable(path=path, reason="its values are not rows of float32")
    if values.shape != (units, images):
        expected = f"{units} units x {images} images"
        raise MaximaNotReadable(path=path, reason=f"its shape is {list(values.shape)}, not {expected}")
    return np.asarray(values)  # rows of a plain array are made faster than those of a memory map


def with_read_ahead(rows: Sequence[np.ndarray], blocks: Iterable[slice]) -> Iterator[slice]:
    """Iterate over blocks of images, while the system reads the next ones from the disk.

    A scan of several units alternates between their rows: the system alone would read small pieces, and late.
    """
    listed = [*blocks]
    parts = [listed[start : start + BLOCKS_AHEAD] for start in range(0, len(listed), BLOCKS_AHEAD)]
    for number, part in enumerate(parts):
        for ahead in parts[:2] if number == 0 else parts[number + 1 : number + 2]:
            for row in rows:
                read_ahead(row[ahead[0].start : ahead[-1].stop])
        yield from part


def read_ahead(values: np.ndarray) -> None:
    """Ask the system to read values, a part of a row of a mapped file, from the disk. Other arrays are ignored."""
    mapped = values
    while not isinstance(mapped, np.memmap) and isinstance(mapped.base, np.ndarray):
        mapped = mapped.base
    if not isinstance(mapped, np.memmap) or not isinstance(mapped.base, mmap.mmap) or not values.nbytes:
        return
    map_start = np.frombuffer(mapped.base, np.uint8).ctypes.data
    start = (values.ctypes.data - map_start) // mmap.PAGESIZE * mmap.PAGESIZE
    length = values.ctypes.data - map_start + values.nbytes - start
    mapped.base.madvise(mmap.MADV_WILLNEED, start, length)
