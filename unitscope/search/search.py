"""The search: for every unit of a layer, the images with the highest spatial maximum (paper, Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.data.images import MEAN, STD, Batch, ImageSource
from unitscope.data.upload import Uploader
from unitscope.errors import NotFinite
from unitscope.memory import halved, is_out_of_memory
from unitscope.search.ranking import TopActivations, rank
from unitscope.vocabulary import Channels

BLOCK_BYTES = 2**28  # of maxima and places on the device, before they are ranked


@dataclass(frozen=True)
class LayerSearch:
    """What a search found in a layer."""

    top: TopActivations
    bottom: TopActivations | None  # the same of the negated maps: their strongest inhibition
    by_class: dict[int, TopActivations]  # by ``ImageSource.label``
    maxima: np.ndarray  # float32 [images, units]: the largest value of each map, images as they were searched

    @classmethod
    def empty(cls, units: int, top: int, bottom: bool) -> LayerSearch:
        nothing = TopActivations.empty(units, top)
        return cls(nothing, nothing if bottom else None, {}, np.zeros((0, units), np.float32))

    @classmethod
    def merged(cls, parts: Sequence[LayerSearch]) -> LayerSearch:
        """The result of all parts as one."""
        labels = sorted({label for part in parts for label in part.by_class})
        bottoms = [part.bottom for part in parts if part.bottom is not None]
        return cls(
            TopActivations.best_of([part.top for part in parts]),
            TopActivations.best_of(bottoms) if bottoms else None,
            {
                label: TopActivations.best_of([p.by_class[label] for p in parts if label in p.by_class])
                for label in labels
            },
            np.concatenate([part.maxima for part in parts]),
        )


class _StopForward(Exception):
    """Every layer that is asked for has run."""


def observe(
    model: nn.Module, observers: Mapping[str, Callable[[torch.Tensor], None]], images: torch.Tensor
) -> None:
    """Run ``images`` forward and show each observer the output of its module, at the moment it is made: an
    in-place ReLU may change it afterwards. The pass stops behind the deepest of these modules."""
    waiting = set(observers)

    def hook_for(path: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            observers[path](output)
            waiting.discard(path)
            if not waiting:
                raise _StopForward

        return hook

    handles = [model.get_submodule(path).register_forward_hook(hook_for(path)) for path in observers]
    try:
        model(images)
    except _StopForward:
        pass
    finally:
        for handle in handles:
            handle.remove()


def search(
    model: nn.Module,
    layers: Mapping[str, Sequence[int]],
    batches: Iterable[Batch],
    top: int = 9,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
    mean: Channels = MEAN,
    std: Channels = STD,
    *,
    bottom: bool = False,
    per_class: bool = False,
    on_smaller: Callable[[int], None] = lambda at_once: None,
) -> dict[str, LayerSearch]:
    """Search several layers in one pass.

    Parameters
    ----------
    model
        in evaluation mode, on ``device``.
    layers
        units to search, by module path of the convolution.
    batches
        images in ascending order of their ids.
    progress
        called after each batch with the number of its images.
    mean, std
        the input's normalisation: see ``images.to_input``.
    bottom
        also the images with the lowest spatial minimum, where it is negative.
    per_class
        also the best images of each class.
    on_smaller
        called with the images that run at once from now on, when the device's memory is too small for a batch.

    Raises
    ------
    NotFinite
        a layer gave NaN or infinity.
    """
    extremes = _Extremes(model, layers, Uploader(device, mean, std), bottom, on_smaller)
    records = {path: _LayerRecord(path, len(units), top, bottom, per_class) for path, units in layers.items()}
    with torch.inference_mode():
        for batch in batches:
            for path, found in extremes.of(batch).items():
                records[path].add(found, batch.sources)
            progress(len(batch.sources))
        return {path: record.result() for path, record in records.items()}


@dataclass(frozen=True)
class _Found:
    """Of some images and a layer's units: the largest value of each map and its place, [images, units] each; the
    same of the negated maps where it is wanted."""

    maxima: torch.Tensor
    places: torch.Tensor
    columns: int
    negated: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def of(cls, maps: torch.Tensor, units: torch.Tensor, bottom: bool) -> _Found:
        if maps.shape[1] != len(units):
            maps = maps[:, units]
        maxima, places = strongest(maps)
        return cls(maxima, places, maps.shape[3], strongest(-maps) if bottom else None)

    def first(self, images: int) -> _Found:
        if images == len(self.maxima):
            return self
        negated = (self.negated[0][:images], self.negated[1][:images]) if self.negated else None
        return _Found(self.maxima[:images], self.places[:images], self.columns, negated)

    @property
    def bytes(self) -> int:
        pairs = [(self.maxima, self.places), *([self.negated] if self.negated else [])]
        return sum(maxima.nbytes + places.nbytes for maxima, places in pairs)


def strongest(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maximum of each map and its place; of equal maxima the first row and column."""
    if maps.is_cuda:  # where pooling would leave a whole map to one thread
        maxima, places = maps.flatten(2).max(2)
        return maxima, places
    # Pooling over the whole map: on channels-last maps several times faster than max() of flattened ones.
    maxima, places = F.adaptive_max_pool2d(maps, 1, return_indices=True)
    return maxima.flatten(1), places.flatten(1)


class _Extremes:
    """Runs batches forward, in parts once the memory didn't hold a whole one."""

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Sequence[int]],
        upload: Uploader,
        bottom: bool,
        on_smaller: Callable[[int], None],
    ) -> None:
        self.model, self.upload, self.bottom, self.on_smaller = model, upload, bottom, on_smaller
        self.units = {path: torch.as_tensor(units, device=upload.device) for path, units in layers.items()}
        self.at_once = 0  # images; 0: a whole batch

    def of(self, batch: Batch) -> dict[str, _Found]:
        images = self.upload(batch.pixels)
        while True:
            try:
                parts = [self._run(part) for part in images.split(self.at_once or len(images))]
                break
            except RuntimeError as error:
                size = self.at_once or len(images)
                if not is_out_of_memory(error) or size == 1:
                    raise
            # Outside of the handler, whose traceback holds on to tensors.
            self.at_once = halved(size, images.device)
            self.on_smaller(self.at_once)
        return {path: _joined([part[path] for part in parts]) for path in self.units}

    def _run(self, images: torch.Tensor) -> dict[str, _Found]:
        found: dict[str, _Found] = {}

        def note(maps: torch.Tensor, path: str) -> None:
            found[path] = _Found.of(maps, self.units[path], self.bottom)

        observe(self.model, {path: partial(note, path=path) for path in self.units}, images)
        return found


def _joined(parts: Sequence[_Found]) -> _Found:
    if len(parts) == 1:
        return parts[0]
    pairs = [part.negated for part in parts if part.negated]
    return _Found(
        torch.cat([part.maxima for part in parts]),
        torch.cat([part.places for part in parts]),
        parts[0].columns,
        (torch.cat([m for m, _ in pairs]), torch.cat([p for _, p in pairs])) if pairs else None,
    )


class _LayerRecord:
    """Collects a layer's maxima on the device and ranks them a block at a time: no batch waits for an answer."""

    def __init__(self, path: str, units: int, top: int, bottom: bool, per_class: bool) -> None:
        self.path, self.top, self.per_class = path, top, per_class
        self.found: list[_Found] = []
        self.sources: list[ImageSource] = []
        self.bytes = 0
        self.ranked = [LayerSearch.empty(units, top, bottom)]

    def add(self, found: _Found, sources: Sequence[ImageSource]) -> None:
        """What was found on a batch; behind its images comes padding, which is left out."""
        found = found.first(len(sources))
        self.found.append(found)
        self.sources += sources
        self.bytes += found.bytes
        if self.bytes >= BLOCK_BYTES:
            self._rank()

    def result(self) -> LayerSearch:
        if self.found:
            self._rank()
        return LayerSearch.merged(self.ranked)

    def _rank(self) -> None:
        found = _joined(self.found)
        for values in (found.maxima, *(found.negated or ())[:1]):
            if not torch.isfinite(values).all():
                raise NotFinite(where=f"layer {self.path}", value=values[~torch.isfinite(values)][0].item())
        images = [source.id for source in self.sources]
        labels = torch.tensor([source.label for source in self.sources], device=found.maxima.device)
        by_class: dict[int, TopActivations] = {}
        for label in labels.unique().tolist() if self.per_class else ():
            of_class = (labels == label).nonzero().flatten()
            ids = [images[place] for place in of_class.tolist()]
            by_class[label] = rank(found.maxima[of_class], found.places[of_class], ids, found.columns, self.top)
        self.ranked.append(
            LayerSearch(
                rank(found.maxima, found.places, images, found.columns, self.top),
                rank(*found.negated, images, found.columns, self.top) if found.negated else None,
                by_class,
                found.maxima.cpu().numpy(),
            )
        )
        self.found, self.sources, self.bytes = [], [], 0
