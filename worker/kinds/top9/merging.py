"""The merged maxima of a layer: a file, float32 [units, images], from which statistics and states are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared.store.store import Store, StoredFile
from unitscope.find.maxima import map_maxima, write_maxima
from unitscope.search.ranking import Groups
from unitscope.search.search import LayerSearch
from worker.kinds.top9.partials import load_partial
from worker.runner import ShardContext


@contextmanager
def merged_layer(
    context: ShardContext,
    partials: Sequence[str],
    number: int,
    units: int,
    images: int,
    keep: bool,
    groups: Groups | None = None,
) -> Iterator[tuple[LayerSearch, StoredFile | None]]:
    """Merge the partial results of a layer, and write its maxima to a file. One partial result is in memory at a
    time; the maxima of the merged result are mapped from the file.

    Parameters
    ----------
    number
        The layer's number in the partial results.
    images
        Number of images of all partial results.
    keep
        Whether the file stays in the store. If not, it is removed afterwards, and None is returned for it.
    groups
        Returns the groups of images of which only the best is ranked.
    """
    parts: list[LayerSearch] = []

    def maxima() -> Iterator[np.ndarray]:
        for path in partials:
            part = load_partial(context, path, number)
            parts.append(replace(part, maxima=np.zeros((0, units), np.float32)))  # a slice would keep the array
            yield part.maxima
            del part
            context.progress(0)

    with file_of_maxima(context.store, maxima(), units, images, keep) as (file, stored):
        values = map_maxima(file, units, images)
        yield replace(LayerSearch.merged(parts, groups), maxima=values.T).finite_only(), stored


@contextmanager
def file_of_maxima(
    store: Store, parts: Iterable[np.ndarray], units: int, images: int, keep: bool
) -> Iterator[tuple[Path, StoredFile | None]]:
    """Write the maxima of a layer to a file, for the duration of the block, or with ``keep`` to the store. See
    ``write_maxima``."""
    if keep:
        stored = store.write(".npy", lambda file: write_maxima(file, parts, units, images))
        yield store.locate(stored.path), stored
        return
    with store.temporary(lambda file: write_maxima(file, parts, units, images)) as path:
        yield path, None
