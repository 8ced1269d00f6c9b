"""Signs of changes of features, packed into bits, and their Hamming distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

ROUNDING = 1e-5  # changes below this share of the layer's largest feature are rounding errors: their sign is 0

Key = tuple[int, int, int]  # number of the part, number of the layer, draw (0: the part itself)


@dataclass(frozen=True)
class Signs:
    """Signs of a vector, -1, 0 or 1: two bits an element."""

    bits: np.ndarray  # uint8 [2, bytes]: positive elements, negative elements
    length: int

    def unpacked(self) -> np.ndarray:
        """Return the signs: int8 [length]."""
        positive, negative = np.unpackbits(self.bits, axis=1, count=self.length).astype(np.int8)
        signs: np.ndarray = positive - negative
        return signs


def signs_of(change: torch.Tensor, largest: float) -> Signs:
    """Return the signs of a change of features, any shape; ``largest`` is the magnitude of the largest feature."""
    values = change.flatten()
    limit = ROUNDING * largest
    both = torch.stack([values > limit, values < -limit]).cpu().numpy()
    return Signs(np.packbits(both, axis=1), values.numel())


def hamming(one: Signs, other: Signs) -> float:
    """Return the share of the elements whose signs differ.

    Raises
    ------
    ValueError
        the vectors have different lengths.
    """
    return float(hamming_to_all(one, [other])[0])


def hamming_to_all(one: Signs, others: Sequence[Signs]) -> np.ndarray:
    """Return the Hamming distance of a vector to each of others: float64 [N].

    Raises
    ------
    ValueError
        the vectors have different lengths.
    """
    if any(other.length != one.length for other in others):
        raise ValueError("vectors of different lengths have no Hamming distance")
    if not others:
        return np.zeros(0)
    different = np.stack([other.bits for other in others]) ^ one.bits
    # An element differs if one of its bits does; both differ for 1 and -1.
    counts = np.bitwise_count(different[:, 0] | different[:, 1]).sum(1, dtype=np.int64)
    distances: np.ndarray = counts / one.length
    return distances


def write_signs(file: IO[bytes], signs: dict[Key, Signs]) -> None:
    """Write signs to an open binary file, as a NumPy archive: ``PART-LAYER-DRAW`` is uint8 [2, bytes], and
    ``lengths`` int64 [layers]."""
    lengths = {layer: vector.length for (_, layer, _), vector in signs.items()}
    arrays = {"-".join(map(str, key)): vector.bits for key, vector in signs.items()}
    listed = np.array([lengths[layer] for layer in sorted(lengths)], np.int64)
    np.savez_compressed(file, allow_pickle=False, lengths=listed, **arrays)


def read_signs(path: Path, part: int, layer: int, draw: int) -> Signs:
    """Read a vector of a file that ``write_signs`` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return Signs(archive[f"{part}-{layer}-{draw}"], int(archive["lengths"][layer]))
