"""Search that runs all images in low precision, and again in float32 those that can be among the strongest.

The rankings are those of ``search.search``, bit for bit, in three steps:

1. All images are run in low precision. The largest value of every map is kept.
2. A sample of the images, and the ``top`` images of each unit by step 1, are run in float32.
3. Every other image whose value exceeds the unit's ninth (the last ranked float32 activation), or comes within a
   margin of it, is run in float32. This is repeated until there is no such image left: the ninth can only rise,
   and the margins can only widen.

Each image that is run in float32 also checks the margins of all units (``margins.ScreenedLayer``). Of an image
that is not, it is not proved that its error is within the margin: the margin is an estimate from the others, of
which there are usually thousands.

In float32 an image is computed at its index in a batch of the same shape as in ``search.search``, among other
images. The kernels, and the order of all sums, depend on shapes and indices only, so that the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.data.images import MEAN, STD, Batch, ImageSource
from unitscope.data.upload import Uploader
from unitscope.errors import ImageNotReadable
from unitscope.layers.forms import LayerForm
from unitscope.projection.empty import constant_units
from unitscope.search.low_precision import low_precision
from unitscope.search.margins import ScreenedLayer
from unitscope.search.ranking import TopActivations
from unitscope.search.search import MAPS, Extremes, LayerSearch, Maxima, joined
from unitscope.vocabulary import Channels, Screen

SAMPLE = 128  # images that are run in float32 in any case
BATCHES_AT_ONCE = 64  # run in float32 before the ninths and margins are computed again

Known = Mapping[str, TopActivations]


@dataclass(frozen=True)
class ScreenedSearch:
    """Results by module path, the number of images, how many of them were computed again in float32, and the
    number of units of all layers whose margin was exceeded by an image, and then widened."""

    layers: dict[str, LayerSearch]
    images: int
    recomputed: int
    widened: int


def screened_search(
    model: nn.Module,
    layers: Mapping[str, Sequence[int]],
    batches: Iterable[Batch],
    read_again: Callable[[Sequence[ImageSource]], Iterable[Batch]],
    precision: Screen,
    top: int = 9,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
    mean: Channels = MEAN,
    std: Channels = STD,
    *,
    known: Callable[[], Known] = dict,
    on_smaller: Callable[[int], None] = lambda at_once: None,
    forms: Mapping[str, LayerForm] = MAPS,
) -> ScreenedSearch:
    """Search several layers, screening the images in low precision.

    Parameters
    ----------
    model, layers, top, device, mean, std, on_smaller, forms
        see ``search.search``.
    batches
        images in ascending order of their ids, in batches of one shape. Those of another shape are run in both
        precisions.
    read_again
        function that returns the given images again, in batches of the shape of the first of ``batches``; an image
        can be given several times.
    precision
        of the screening.
    progress
        called with the number of its images after each batch in low precision, and with 0 after each in float32.
    known
        called after the low precision; returns rankings of other images of the same search, by module path. An
        image below their ninths is not ranked, so that merged rankings are right, but not those of these images.

    Returns
    -------
    Results by module path. Their ``maxima`` are in low precision, and their ``top`` in float32; see
    ``LayerSearch.exact``.

    Raises
    ------
    ScreeningNotPossible
        see ``low_precision``.
    ImageNotReadable
        an image could be read the first time, and not again.
    IndexError
        a layer has fewer units than requested.
    """
    device = torch.device(device)
    upload = Uploader(device, mean, std)
    with torch.inference_mode():
        records = {
            path: ScreenedLayer(
                len(units), constant_units(model, path, max(units) + 1)[list(units)], top, precision
            )
            for path, units in layers.items()
        }
        images = _Images()
        with low_precision(model, precision, device) as (low_model, dtype):
            extremes = Extremes(low_model, layers, upload, False, on_smaller, dtype, forms)
            for batch in batches:
                images.add(batch)
                for path, maxima in extremes.of(batch).items():
                    records[path].add_low(maxima.first(len(batch.sources)).maxima)
                progress(len(batch.sources))
        others = known() if images.sources else {}
        for path, record in records.items():
            record.end_low(others.get(path))
        del low_model, extremes
        in_float32 = Extremes(model, layers, upload, False, on_smaller, forms=forms)
        again = _Again(in_float32, images, records, read_again, progress)
        again.run_other_shapes()
        again.run(again.sample())
        again.run(again.strongest())
        while again.run(again.candidates(), BATCHES_AT_ONCE):
            pass
        results = {path: record.result() for path, record in records.items()}
    widened = sum(int(record.widened.sum()) for record in records.values())
    return ScreenedSearch(results, len(images.sources), int(again.done.sum()), widened)


class _Images:
    """The images of a search, and the index of each in its batch."""

    def __init__(self) -> None:
        self.sources: list[ImageSource] = []
        self.indices: list[int] = []
        self.batch_size = 0
        self.other_shapes: list[tuple[int, Batch]] = []  # batches, with the number of images before them

    def add(self, batch: Batch) -> None:
        self.batch_size = self.batch_size or len(batch.pixels)
        if len(batch.pixels) != self.batch_size:
            self.other_shapes.append((len(self.sources), batch))
        self.indices += range(len(batch.sources))
        self.sources += batch.sources


class _Again:
    """Runs images of a search in float32, and knows which."""

    def __init__(
        self,
        extremes: Extremes,
        images: _Images,
        records: Mapping[str, ScreenedLayer],
        read_again: Callable[[Sequence[ImageSource]], Iterable[Batch]],
        progress: Callable[[int], None],
    ) -> None:
        self.extremes, self.images, self.records = extremes, images, records
        self.read_again, self.progress = read_again, progress
        self.done = np.zeros(len(images.sources), bool)
        indices = np.array(images.indices, np.int64)
        self.by_index = [np.flatnonzero(indices == index) for index in range(images.batch_size)]

    def sample(self) -> np.ndarray:
        """Return images at equal distances: bool [images]."""
        count = len(self.done)
        chosen = np.zeros(count, bool)
        chosen[np.linspace(0, count - 1, min(SAMPLE, count)).astype(np.int64)] = True
        return chosen

    def strongest(self) -> np.ndarray:
        """Return the strongest images of each unit in low precision: bool [images]."""
        chosen = np.zeros(len(self.done), bool)
        for record in self.records.values():
            chosen |= record.strongest()
        return chosen

    def candidates(self) -> np.ndarray:
        """Return the images that can be in the ranking of a unit: bool [images]."""
        chosen = np.zeros(len(self.done), bool)
        for record in self.records.values():
            chosen |= record.candidates()
        return chosen

    def run(self, chosen: np.ndarray, batches: int | None = None) -> bool:
        """Run those of the chosen images, bool [images], that have not been run before, in at most this number of
        batches. Return whether there were any.

        Raises
        ------
        ImageNotReadable
        """
        chosen = chosen & ~self.done
        found = bool(chosen.any())
        while chosen.any():
            self._run(self._plan(chosen, batches or BATCHES_AT_ONCE))
            chosen &= ~self.done
            if batches is not None:
                break
        return found

    def run_other_shapes(self) -> None:
        """Run the batches whose shape differs from that of the first one."""
        for before, batch in self.images.other_shapes:
            numbers = np.arange(before, before + len(batch.sources))
            for path, maxima in self.extremes.of(batch).items():
                self.records[path].add_exact(numbers, maxima.first(len(numbers)), self.images.sources)
            self.done[numbers] = True
            self.progress(0)

    def _plan(self, chosen: np.ndarray, batches: int) -> np.ndarray:
        """Return the images of up to ``batches`` batches, int64 [batches, batch size], each image at its index.

        Places for which no chosen image is left are given to further images, which check the margins.
        """
        queues = [numbers[chosen[numbers]] for numbers in self.by_index]
        count = min(batches, max(map(len, queues)))
        plan = np.empty((count, len(queues)), np.int64)
        anything = int(chosen.argmax())
        for index, queue in enumerate(queues):
            places = count - len(queue)
            others = self.by_index[index]
            others = others[~(self.done | chosen)[others]]
            if places < len(others):
                others = others[np.linspace(0, len(others) - 1, max(places, 0)).astype(np.int64)]
            filled = np.concatenate([queue, others])[:count]
            plan[: len(filled), index] = filled
            plan[len(filled) :, index] = anything
        return plan

    def _run(self, plan: np.ndarray) -> None:
        """Run batches of images, int64 [batches, batch size]. Images at another index than theirs are ignored."""
        indices = np.array(self.images.indices, np.int64)
        parts: dict[str, list[Maxima]] = {path: [] for path in self.records}
        sources = [self.images.sources[number] for number in plan.flat]
        size = plan.shape[1]
        for start, batch in zip(range(0, len(sources), size), self.read_again(sources), strict=True):
            expected = sources[start : start + size]
            if batch.sources != expected:
                lost = next(source for source in expected if source not in batch.sources)
                raise ImageNotReadable(path=lost.path, reason="it could be read a short time ago")
            for path, maxima in self.extremes.of(batch).items():
                parts[path].append(maxima)
            self.progress(0)
        places = np.arange(plan.size)
        new = (indices[plan.flat] == places % size) & ~self.done[plan.flat]
        numbers, first = np.unique(plan.ravel()[new], return_index=True)
        self.done[numbers] = True
        for path, record in self.records.items():
            exact = joined(parts[path]).at(torch.from_numpy(places[new][first]))
            record.add_exact(numbers, exact, self.images.sources)
