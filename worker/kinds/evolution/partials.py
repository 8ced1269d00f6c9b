"""Intermediate results of an evolution: arrays in the store that a later stage reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.errors import IncompatibleVersion
from shared.store.store import StoredFile
from unitscope.evolution.strongest import Strongest
from unitscope.search.ranking import FIELDS, TopActivations
from worker.kinds.common import stage_results
from worker.runner import ShardContext

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Partial:
    """Result of a search shard: the strongest activations of each layer, and the ids of images left out."""

    layers: list[Strongest]
    left_out: np.ndarray


@dataclass(frozen=True)
class MergedLayer:
    """A layer's strongest activations over all images, for each epoch, and the units to draw."""

    epochs: list[Strongest]
    drawn: list[int]

    @property
    def images(self) -> np.ndarray:
        """Top images: int64 [epochs, units]."""
        return np.stack([strongest.images for strongest in self.epochs])


def store_partial(context: ShardContext, partial: Partial) -> StoredFile:
    """Store the result of a search shard."""
    arrays: Arrays = {"left_out": partial.left_out}
    for number, strongest in enumerate(partial.layers):
        arrays |= _arrays_of(f"{number}", strongest)
    return _store(context, arrays)


def load_partial(context: ShardContext, path: str, layers: int) -> Partial:
    """Load the result of a search shard."""
    arrays = _load(context, path)
    with _Versions(path):
        return Partial([_strongest(arrays, f"{number}") for number in range(layers)], arrays["left_out"])


def load_left_out(context: ShardContext, path: str) -> list[int]:
    """Load the ids of the images that a search shard left out."""
    arrays = _load(context, path)
    with _Versions(path):
        left_out: list[int] = arrays["left_out"].tolist()
        return left_out


def store_merged(context: ShardContext, layers: Sequence[MergedLayer]) -> StoredFile:
    """Store the merged results of all layers."""
    arrays: Arrays = {}
    for number, layer in enumerate(layers):
        arrays[f"{number}.drawn"] = np.array(layer.drawn, np.int64)
        for epoch, strongest in enumerate(layer.epochs):
            arrays |= _arrays_of(f"{number}.{epoch}", strongest)
    return _store(context, arrays)


def load_merged(context: ShardContext, checkpoint: int, layers: int) -> list[tuple[Strongest, list[int]]]:
    """Load each layer's activations at one epoch, and its drawn units, which the stage *select* stored."""
    path = stage_results(context, "select")[0]
    arrays = _load(context, path)
    with _Versions(path):
        return [
            (_strongest(arrays, f"{number}.{checkpoint}"), arrays[f"{number}.drawn"].tolist())
            for number in range(layers)
        ]


def _arrays_of(prefix: str, strongest: Strongest) -> Arrays:
    return {
        **{f"{prefix}.{name}": getattr(strongest.top, name) for name in FIELDS},
        f"{prefix}.not_finite": strongest.not_finite,
        f"{prefix}.constant": strongest.constant,
    }


def _strongest(arrays: Mapping[str, np.ndarray], prefix: str) -> Strongest:
    top = TopActivations(*(arrays[f"{prefix}.{name}"] for name in FIELDS))
    return Strongest(top, arrays[f"{prefix}.not_finite"], arrays[f"{prefix}.constant"])


def _load(context: ShardContext, path: str) -> Arrays:
    with np.load(context.store.verified(path), allow_pickle=False) as arrays:
        return dict(arrays)


class _Versions:
    """Turns a missing array into ``IncompatibleVersion``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError):
            raise IncompatibleVersion(path=self.path, reason=error.args[0]) from error


def _store(context: ShardContext, arrays: Arrays) -> StoredFile:
    return context.store.write(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
