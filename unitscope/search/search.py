"""Search for the images with the largest spatial maximum of each unit of a layer (paper, Fig. 2).

Layers of any form are searched as maps: see ``unitscope.layers.outputs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.data.images import MEAN, STD, Batch, ImageSource
from unitscope.data.upload import Uploader
from unitscope.layers.forms import LayerForm
from unitscope.layers.outputs import as_maps, first_tensor
from unitscope.memory import run_in_parts
from unitscope.search.ranking import Groups, TopActivations, rank, rank_distinct
from unitscope.vocabulary import Channels

FLOAT32 = "float32"
MAPS: Mapping[str, LayerForm] = MappingProxyType({})  # forms of layers that are all maps [N, C, H, W]
UNITS_AT_ONCE = 64  # whose maxima are tested at once: those of a large search are mapped from a file
BLOCK_BYTES = 2**28  # bytes of maxima and positions to collect on the device before they are ranked


@dataclass(frozen=True)
class LayerSearch:
    """Search results of a layer. Units with a value that is not finite on some image are in no ranking."""

    top: TopActivations
    bottom: TopActivations | None  # of the negated maps: the images with the lowest minima
    by_class: dict[int, TopActivations]  # by ``ImageSource.label``
    # float32 [images, units]: largest value of each map, in the order of the search; NaN or infinite where the map
    # has such a value
    maxima: np.ndarray
    # of ``maxima``; rankings are always in float32
    precision: str = FLOAT32
    # float32 [some images, units]: maxima of the images that were computed again in float32, in the order of the
    # search; None if ``maxima`` are in float32
    recomputed: np.ndarray | None = None
    # float32 [units]: last activations of rankings of other images, below which no image was ranked; None without
    presupposed: np.ndarray | None = None

    @classmethod
    def empty(cls, units: int, top: int, bottom: bool) -> LayerSearch:
        nothing = TopActivations.empty(units, top)
        return cls(nothing, nothing if bottom else None, {}, np.zeros((0, units), np.float32))

    @classmethod
    def merged(cls, parts: Sequence[LayerSearch], groups: Groups | None = None) -> LayerSearch:
        """Merge the results of several sets of images; ``maxima`` are concatenated in the order of ``parts``. With
        ``groups``, only the best image of each group is ranked."""
        labels = sorted({label for part in parts for label in part.by_class})
        bottoms = [part.bottom for part in parts if part.bottom is not None]
        presupposed = [part.presupposed for part in parts if part.presupposed is not None]
        merged = cls(
            TopActivations.best_of([part.top for part in parts], groups),
            TopActivations.best_of(bottoms, groups) if bottoms else None,
            {
                label: TopActivations.best_of([p.by_class[label] for p in parts if label in p.by_class], groups)
                for label in labels
            },
            np.concatenate([part.maxima for part in parts]),
            parts[0].precision,
            np.concatenate([part.exact for part in parts]) if parts[0].recomputed is not None else None,
            np.max(presupposed, axis=0) if presupposed else None,
        )
        return merged.finite_only()

    @property
    def exact(self) -> np.ndarray:
        """Maxima in float32, float32 [images, units]: of all images, or, after a screening, of those that were
        computed again. No other image equals or exceeds a ranked activation."""
        return self.maxima if self.recomputed is None else self.recomputed

    @cached_property
    def not_finite(self) -> np.ndarray:
        """Units with a value that is NaN or infinite on some image: bool [units]."""
        exact = self.exact
        some = [exact[:, start : start + UNITS_AT_ONCE] for start in range(0, exact.shape[1], UNITS_AT_ONCE)]
        return np.concatenate([np.zeros(0, bool), *(np.logical_not(np.isfinite(part).all(0)) for part in some)])

    @property
    def incomplete(self) -> np.ndarray:
        """Units whose ranking lacks images that a part presupposed (``presupposed``): bool [units]."""
        if self.presupposed is None:
            return np.zeros(len(self.top.activation), bool)
        return (self.top.activation[:, -1] < self.presupposed) & ~self.not_finite

    @property
    def dead(self) -> np.ndarray:
        """Dead units, which are positive on no image: bool [units]."""
        return self.top.dead & ~self.not_finite

    def finite_only(self) -> LayerSearch:
        """Empty the rankings of units that are not finite: other parts of the search may have ranked them."""
        broken = self.not_finite
        if not broken.any():
            return self
        return LayerSearch(
            self.top.without(broken),
            self.bottom.without(broken) if self.bottom else None,
            {label: top.without(broken) for label, top in self.by_class.items()},
            self.maxima,
            self.precision,
            self.recomputed,
            self.presupposed,
        )


class _StopForward(Exception):
    """Raised to end a forward pass when all observed layers have run."""


def observe(
    model: nn.Module, observers: Mapping[str, Callable[[torch.Tensor], None]], images: torch.Tensor
) -> None:
    """Run a forward pass and call each observer with the first tensor that its module returns.

    Observers are called when the module returns for the first time; an in-place ReLU may modify the output
    afterwards. The forward pass stops after the last observed module.

    Parameters
    ----------
    model
        network, on the device of ``images``.
    observers
        functions of a module's output, by module path.
    images
        float32 [N, 3, H, W].

    Raises
    ------
    ValueError
        an observed module returns no tensor.
    """
    waiting = set(observers)

    def hook_for(path: str) -> Callable[[nn.Module, object, Any], None]:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            if path not in waiting:  # it runs again
                return
            main = first_tensor(output)
            if main is None:
                raise ValueError(f"module {path} returns no tensor")
            observers[path](main)
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
    forms: Mapping[str, LayerForm] = MAPS,
    groups: Groups | None = None,
) -> dict[str, LayerSearch]:
    """Search several layers in one pass.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    layers
        units to search, by module path.
    batches
        images in ascending order of their ids.
    top
        number of images to rank for each unit.
    progress
        called after each batch with the number of its images.
    mean, std
        the input's normalization by channel: see ``images.to_input``.
    bottom
        also rank the images with the lowest spatial minimum, where it is negative.
    per_class
        also rank the images of each class.
    on_smaller
        called with the new number of images per forward pass when a batch doesn't fit into the device's memory.
    forms
        forms of the layers' outputs by module path; layers that are missing are maps [N, C, H, W].
    groups
        returns the groups of images, by their ids: only the best image of each group is ranked.

    Returns
    -------
    Results by module path. Units with NaN or infinity are in no ranking: see ``LayerSearch.not_finite``.

    Raises
    ------
    IndexError
        a layer has fewer units than requested.
    ValueError
        a layer's output has another form, or a layer is not run.
    """
    extremes = Extremes(model, layers, Uploader(device, mean, std), bottom, on_smaller, forms=forms)
    records = {path: _LayerRecord(len(units), top, bottom, per_class, groups) for path, units in layers.items()}
    with torch.inference_mode():
        for batch in batches:
            for path, maxima in extremes.of(batch).items():
                records[path].add(maxima, batch.sources)
            progress(len(batch.sources))
        return {path: record.result() for path, record in records.items()}


@dataclass(frozen=True)
class Maxima:
    """Maxima of a layer's maps, and their positions ``before`` + row * ``columns`` + column: [images, units] each.

    ``negated`` is the same of the negated maps; None if ``bottom`` was not requested.
    """

    maxima: torch.Tensor
    positions: torch.Tensor
    columns: int
    negated: tuple[torch.Tensor, torch.Tensor] | None
    before: int = 0

    @classmethod
    def of(cls, maps: torch.Tensor, units: torch.Tensor, bottom: bool, form: LayerForm | None = None) -> Maxima:
        """Return the maxima of maps [N, C, H, W], which are those of an output of another form (``as_maps``)."""
        if maps.shape[1] != len(units):
            maps = maps[:, units]
        maxima, positions = strongest(maps)
        columns, before = (maps.shape[3], 0) if form is None or form.kind == "maps" else form.numbering
        return cls(maxima, positions, columns, strongest(-maps) if bottom else None, before)

    def first(self, images: int) -> Maxima:
        if images == len(self.maxima):
            return self
        negated = (self.negated[0][:images], self.negated[1][:images]) if self.negated else None
        return Maxima(self.maxima[:images], self.positions[:images], self.columns, negated, self.before)

    def at(self, images: torch.Tensor) -> Maxima:
        """Return the maxima of some images, int64 indices on the CPU."""
        images = images.to(self.maxima.device)
        negated = (self.negated[0][images], self.negated[1][images]) if self.negated else None
        return Maxima(self.maxima[images], self.positions[images], self.columns, negated, self.before)

    @property
    def bytes(self) -> int:
        pairs = [(self.maxima, self.positions), *([self.negated] if self.negated else [])]
        return sum(maxima.nbytes + positions.nbytes for maxima, positions in pairs)


def strongest(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the maximum of each map and its position.

    Of equal maxima, the one in the first row, then in the first column, is returned.

    Parameters
    ----------
    maps
        [images, units, rows, columns].

    Returns
    -------
    maxima
        [images, units].
    positions
        int64 [images, units]: row * columns + column.
    """
    if maps.is_cuda:  # where pooling would process a whole map in one thread
        # Without a copy: flattening channels-last maps directly would reorder them first.
        maxima, positions = maps.permute(0, 2, 3, 1).flatten(1, 2).max(1)
        return maxima, positions
    # Pooling over the whole map: for channels-last maps several times faster than max() of flattened ones.
    maxima, positions = F.adaptive_max_pool2d(maps, 1, return_indices=True)
    return maxima.flatten(1), positions.flatten(1)


class Extremes:
    """Maxima of the maps of batches, which are split once a whole batch didn't fit into memory.

    ``dtype`` is that of the network's weights, to which images are converted.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Sequence[int]],
        upload: Uploader,
        bottom: bool,
        on_smaller: Callable[[int], None],
        dtype: torch.dtype = torch.float32,
        forms: Mapping[str, LayerForm] = MAPS,
    ) -> None:
        self.model, self.upload, self.bottom, self.on_smaller = model, upload, bottom, on_smaller
        self.dtype, self.forms = dtype, forms
        self.units = {path: torch.as_tensor(units, device=upload.device) for path, units in layers.items()}
        self.largest = {path: max(units, default=-1) for path, units in layers.items()}
        self.at_once = 0  # images per forward pass; 0: a whole batch

    def of(self, batch: Batch) -> dict[str, Maxima]:
        images = self.upload(batch.pixels)
        parts, self.at_once = run_in_parts(self._run, images, self.at_once, self.on_smaller)
        return {path: joined([part[path] for part in parts]) for path in self.units}

    def _run(self, images: torch.Tensor) -> dict[str, Maxima]:
        maxima: dict[str, Maxima] = {}

        def record(output: torch.Tensor, path: str) -> None:
            form = self.forms.get(path)
            try:
                maps = as_maps(output, form)
            except ValueError as error:
                raise ValueError(f"layer {path}: {error}") from None
            if len(maps) != len(images):
                raise ValueError(f"layer {path}: the output has {len(maps)} items for {len(images)} images")
            # On a GPU, a wrong index would make CUDA unusable in this process.
            if self.largest[path] >= maps.shape[1]:
                raise IndexError(f"layer {path} has {maps.shape[1]} units, none of number {self.largest[path]}")
            maxima[path] = Maxima.of(maps, self.units[path], self.bottom, form)

        observe(self.model, {path: partial(record, path=path) for path in self.units}, images.to(self.dtype))
        if missing := [path for path in self.units if path not in maxima]:
            raise ValueError(f"layer {missing[0]} is not run by the network")
        return maxima


def joined(parts: Sequence[Maxima]) -> Maxima:
    """Concatenate the maxima of several batches of a layer."""
    if len(parts) == 1:
        return parts[0]
    pairs = [part.negated for part in parts if part.negated]
    return Maxima(
        torch.cat([part.maxima for part in parts]),
        torch.cat([part.positions for part in parts]),
        parts[0].columns,
        (torch.cat([m for m, _ in pairs]), torch.cat([p for _, p in pairs])) if pairs else None,
        parts[0].before,
    )


def only_finite(block: Maxima) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
    """Return the maxima, and what to rank: maxima and negated minima, -inf for units that are not finite.

    A map whose minimum is infinite has a NaN in place of its maximum.
    """
    maxima, negated = block.maxima, block.negated
    if negated:
        maxima = maxima.masked_fill(~torch.isfinite(negated[0]), torch.nan)
    broken = ~torch.isfinite(maxima).all(0)
    ranked = maxima.masked_fill(broken, -torch.inf)
    return maxima, ranked, (negated[0].masked_fill(broken, -torch.inf), negated[1]) if negated else None


class _LayerRecord:
    """Maxima of a layer, collected on the device and ranked in blocks, so that batches need no synchronization."""

    def __init__(self, units: int, top: int, bottom: bool, per_class: bool, groups: Groups | None = None) -> None:
        self.top, self.per_class, self.groups = top, per_class, groups
        self.maxima: list[Maxima] = []
        self.sources: list[ImageSource] = []
        self.bytes = 0
        self.ranked = [LayerSearch.empty(units, top, bottom)]

    def add(self, maxima: Maxima, sources: Sequence[ImageSource]) -> None:
        """Add the maxima of a batch; those of padding, which follows the images, are dropped."""
        maxima = maxima.first(len(sources))
        self.maxima.append(maxima)
        self.sources += sources
        self.bytes += maxima.bytes
        if self.bytes >= BLOCK_BYTES:
            self._rank()

    def result(self) -> LayerSearch:
        if self.maxima:
            self._rank()
        return LayerSearch.merged(self.ranked, self.groups)

    def _rank(self) -> None:
        block = joined(self.maxima)
        maxima, ranked, negated = only_finite(block)
        images = [source.id for source in self.sources]
        labels = torch.tensor([source.label for source in self.sources], device=block.maxima.device)
        by_class: dict[int, TopActivations] = {}
        for label in labels.unique().tolist() if self.per_class else ():
            of_class = (labels == label).nonzero().flatten()
            ids = [images[index] for index in of_class.tolist()]
            by_class[label] = self._best(ranked[of_class], block.positions[of_class], ids, block)
        self.ranked.append(
            LayerSearch(
                self._best(ranked, block.positions, images, block),
                self._best(*negated, images, block) if negated else None,
                by_class,
                maxima.cpu().numpy(),
            )
        )
        self.maxima, self.sources, self.bytes = [], [], 0

    def _best(
        self, maxima: torch.Tensor, positions: torch.Tensor, images: Sequence[int], block: Maxima
    ) -> TopActivations:
        ranked = partial(rank, maxima, positions, images, block.columns, before=block.before)
        if self.groups is None:
            return ranked(self.top)
        return rank_distinct(ranked, self.groups, len(images), self.top)
