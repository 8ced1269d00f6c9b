"""Stored occlusion maps, read without the vision library's sweep, and drawn as small pictures.

A picture has a pixel for each position of the square, or several where the last step is shorter; pages enlarge it.
An archive can come from another machine, so that it is checked before its arrays are used.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from shared.store.store import Store
from unitscope.occlusion.cells import cell_edges, own_span

LARGEST_SIDE = 256  # positions along a side
LARGEST_INPUT = 4096  # pixels: side of a network's input
LARGEST_PICTURE = 1024  # pixels: side of a picture, at most
MOST_BYTES = 8 * LARGEST_SIDE**2 + 4096  # of an array in an archive
NAMED_CLASSES = 8  # in the legend, the most frequent ones; the others have one colour
UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, MemoryError)
MAPS = ("activation", "probability", "classes")
# Anchors of viridis, which is legible for people who are colour-blind, and in print.
SCALE = np.array(
    [
        (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142),
        (31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37),
    ],
    np.float64,
)  # fmt: skip
# Of Okabe and Ito; the last one is that of all other classes.
COLOURS = np.array(
    [
        (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167),
        (86, 180, 233), (213, 94, 0), (240, 228, 66), (90, 60, 30), (150, 150, 150),
    ],
    np.uint8,
)  # fmt: skip


class MapsNotReadable(Exception):
    """The archive is not one of a sweep; the message is the reason."""


@dataclass(frozen=True)
class Maps:
    """The maps of an image: arrays [positions, positions], by row and column of the square.

    ``starts`` are the square's first rows, equal to its first columns, in pixels of the network's input.
    """

    starts: list[int]
    patch: int
    activation: np.ndarray  # float64
    probability: np.ndarray  # float64
    classes: np.ndarray  # int64

    @property
    def edges(self) -> np.ndarray:
        """Borders of the cells drawn for positions: see ``cell_edges``."""
        return cell_edges(self.starts, self.patch)

    def as_cells(self, values: np.ndarray) -> np.ndarray:
        """Return an array [positions, positions, ...] with each position as often as its cell is long and wide."""
        edges = self.edges
        halves = (2 * np.diff(edges)).round().astype(np.int64)  # borders are at halves of pixels
        repeats = halves // np.gcd.reduce(halves)
        if repeats.sum() > LARGEST_PICTURE:
            share = LARGEST_PICTURE / (edges[-1] - edges[0])
            repeats = np.diff(((edges - edges[0]) * share).round()).astype(np.int64)
        return values.repeat(repeats, 0).repeat(repeats, 1)

    def ordered_classes(self) -> list[tuple[int, float]]:
        """Return the classes and their shares of the positions, the most frequent first."""
        numbers, counts = np.unique(self.classes, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [(int(numbers[place]), float(counts[place] / self.classes.size)) for place in order]


def read_maps(store: Store, path: str) -> Maps:
    """Read the maps in an archive of the store.

    Raises
    ------
    ArtifactMissing, MapsNotReadable
    """
    file = store.locate(path)
    try:
        with zipfile.ZipFile(file) as members:
            if any(member.file_size > MOST_BYTES for member in members.infolist()):
                raise ValueError("an array is too large")
        with np.load(file, allow_pickle=False) as archive:
            starts, patch = archive["starts"], archive["patch"]
            arrays = [np.asarray(archive[name]) for name in MAPS]
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise MapsNotReadable(f"{path}: {error}") from error
    side = len(starts) if starts.ndim == 1 else 0
    numeric = all(array.dtype.kind in "fiu" for array in arrays)
    numeric &= starts.dtype.kind in "iu" and patch.dtype.kind in "iu" and patch.size == 1
    if not (0 < side <= LARGEST_SIDE and numeric and all(array.shape == (side, side) for array in arrays)):
        raise MapsNotReadable(
            f"{path}: its arrays are not maps of at most {LARGEST_SIDE} x {LARGEST_SIDE} positions"
        )
    whole, side = [int(start) for start in starts], int(patch)
    inside = whole[0] >= 0 and side > 0 and whole[-1] + side <= LARGEST_INPUT
    if not inside or any(after <= before for before, after in pairwise(whole)):
        raise MapsNotReadable(f"{path}: its positions are not those of a square in an image")
    activation, probability, classes = arrays
    return Maps(
        whole,
        side,
        activation.astype(np.float64),
        probability.astype(np.float64),
        classes.astype(np.int64),
    )


def span(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest finite value; (0, 1) if there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def probability_span(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the own scale of a map of probabilities: see ``own_span``."""
    return own_span(*span(values))


def draw_values(values: np.ndarray, limits: tuple[float, float] | None = None) -> bytes:
    """Draw a map as a PNG file, from its least value (dark) to its largest (bright), or between ``limits``; values
    that are not finite are grey."""
    low, high = limits or span(values)
    finite = np.isfinite(values)
    shares = np.where(finite, (np.where(finite, values, low) - low) / ((high - low) or 1.0), 0.0)
    places = shares * (len(SCALE) - 1)
    channels = [np.interp(places, np.arange(len(SCALE)), SCALE[:, channel]) for channel in range(3)]
    pixels = np.stack(channels, axis=-1).round().astype(np.uint8)
    pixels[~finite] = 128
    return _png(pixels)


def draw_classes(maps: Maps) -> bytes:
    """Draw the map of the most probable class, in the colours of the legend, as a PNG file."""
    pixels = np.empty((*maps.classes.shape, 3), np.uint8)
    pixels[:] = COLOURS[-1]
    for place, (number, _) in enumerate(maps.ordered_classes()[:NAMED_CLASSES]):
        pixels[maps.classes == number] = COLOURS[place]
    return _png(maps.as_cells(pixels))


def colour(channels: Sequence[int]) -> str:
    """Return a colour as an attribute of SVG: ``#0072b2``."""
    return "#" + "".join(f"{int(channel):02x}" for channel in channels)


def scale_colours() -> list[str]:
    """Return the colours of the scale, from the least value to the largest."""
    return [colour(anchor) for anchor in SCALE]


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
