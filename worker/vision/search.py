"""The search: for every unit of a layer, the images with the highest spatial maximum (paper, Fig. 2).

One order holds everywhere: activation descending, then image, row and column ascending. It is total, so merging
the results of shards gives the same rows as one pass over everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from shared.errors import NotFinite
from worker.vision.images import MEAN, STD, Batch, ByChannel, to_input

NO_IMAGE = -1


@dataclass
class TopActivations:
    """The best images of every searched unit of a layer, best first; where there are fewer, image is ``NO_IMAGE``.

    Arrays [units, top]: ``activation`` float32, ``image`` int64 (``ImageSource.id``), ``row`` and ``col`` int32.
    """

    activation: np.ndarray
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray

    @classmethod
    def empty(cls, units: int, top: int) -> TopActivations:
        shape = (units, top)
        return cls(
            np.full(shape, -np.inf, np.float32),
            np.full(shape, NO_IMAGE, np.int64),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.int32),
        )

    def merged(self, other: TopActivations) -> TopActivations:
        """The best of both, in the one order."""
        activation = np.concatenate([self.activation, other.activation], 1)
        image = np.concatenate([self.image, other.image], 1)
        row = np.concatenate([self.row, other.row], 1)
        col = np.concatenate([self.col, other.col], 1)
        order = np.lexsort((col, row, image, -activation), axis=1)[:, : self.activation.shape[1]]
        return TopActivations(*(np.take_along_axis(a, order, 1) for a in (activation, image, row, col)))

    @property
    def dead(self) -> np.ndarray:
        """bool [units]: units that were positive on no image."""
        return self.image[:, 0] == NO_IMAGE


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
    mean: ByChannel = MEAN,
    std: ByChannel = STD,
) -> dict[str, TopActivations]:
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

    Raises
    ------
    NotFinite
        a layer gave NaN or infinity.
    """
    found = {path: TopActivations.empty(len(units), top) for path, units in layers.items()}
    chosen = {path: torch.as_tensor(units, device=device) for path, units in layers.items()}
    with torch.inference_mode():
        for batch in batches:
            best: dict[str, TopActivations] = {}

            def note(maps: torch.Tensor, path: str, batch: Batch = batch, best: dict = best) -> None:
                best[path] = _strongest(maps[: len(batch.sources)], chosen[path], path, batch)

            observers = {path: partial(note, path=path) for path in layers}
            observe(model, observers, to_input(batch.pixels, device, mean, std))
            for path in layers:
                found[path] = found[path].merged(best[path])
            progress(len(batch.sources))
    return found


def _strongest(maps: torch.Tensor, units: torch.Tensor, path: str, batch: Batch) -> TopActivations:
    """Maximum and its place for each image and unit; of equal maxima the first row and column."""
    if maps.shape[1] != len(units):
        maps = maps[:, units]
    columns = maps.shape[3]
    # Pooling over the whole map: on channels-last maps several times faster than max() of flattened ones.
    value, place = (t.flatten(1) for t in F.adaptive_max_pool2d(maps, 1, return_indices=True))
    if not torch.isfinite(value).all():
        bad = value[~torch.isfinite(value)][0].item()
        raise NotFinite(where=f"layer {path}", value=bad)
    activation, position = value.T.cpu().numpy(), place.T.cpu().numpy()
    ids = np.array([source.id for source in batch.sources], np.int64)
    image = np.broadcast_to(ids, activation.shape)
    dead = ~(activation > 0)
    return TopActivations(
        np.where(dead, -np.inf, activation).astype(np.float32),
        np.where(dead, NO_IMAGE, image),
        np.where(dead, 0, position // columns).astype(np.int32),
        np.where(dead, 0, position % columns).astype(np.int32),
    )
