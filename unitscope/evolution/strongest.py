"""The strongest activation of each unit over a set of images, with the weights of one epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.data.images import MEAN, STD, Batch
from unitscope.projection.empty import constant_units
from unitscope.search.ranking import TopActivations
from unitscope.search.search import LayerSearch, search
from unitscope.vocabulary import Channels, UnitState

TOP = 2  # the second image tells whether the first one is tied


@dataclass(frozen=True)
class Strongest:
    """The strongest activation of each unit of a layer.

    Parameters
    ----------
    top
        the two images with the largest activations, [units, 2].
    not_finite
        bool [units]: units with a value that is NaN or infinite on some image; they have no image in ``top``.
    constant
        bool [units]: units whose weights are zero, so that they don't depend on the image; neither have they.
    """

    top: TopActivations
    not_finite: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, result: LayerSearch, constant: np.ndarray) -> Strongest:
        return cls(result.top.without(constant), result.not_finite, constant)

    @classmethod
    def merged(cls, parts: Sequence[Strongest]) -> Strongest:
        """Merge the results of several sets of images with the same weights."""
        not_finite = np.logical_or.reduce([part.not_finite for part in parts])
        top = TopActivations.best_of([part.top for part in parts]).without(not_finite)
        return cls(top, not_finite, parts[0].constant)

    @property
    def images(self) -> np.ndarray:
        """Top image of each unit: int64 [units], ``NO_IMAGE`` for units that are not active."""
        return self.top.image[:, 0]

    @property
    def active(self) -> np.ndarray:
        """Units with a top image: bool [units]."""
        return np.logical_not(self.top.dead)

    @property
    def tied(self) -> np.ndarray:
        """Units whose largest activation another image has as well: bool [units]."""
        return self.active & (self.top.activation[:, 0] == self.top.activation[:, 1])

    @property
    def states(self) -> list[UnitState]:
        """State of each unit."""
        return [
            "not finite" if not_finite else "constant" if constant else "active" if active else "dead"
            for not_finite, constant, active in zip(
                self.not_finite.tolist(), self.constant.tolist(), self.active.tolist(), strict=True
            )
        ]


def strongest_activations(
    model: nn.Module,
    layers: Mapping[str, int],
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
    mean: Channels = MEAN,
    std: Channels = STD,
    on_smaller: Callable[[int], None] = lambda at_once: None,
) -> dict[str, Strongest]:
    """Search all units of several layers in one pass.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    layers
        number of units, by module path of the convolution.
    batches, device, progress, mean, std, on_smaller
        see ``unitscope.search.search.search``.

    Returns
    -------
    Results by module path.
    """
    units = {path: list(range(count)) for path, count in layers.items()}
    found = search(model, units, batches, TOP, device, progress, mean, std, on_smaller=on_smaller)
    return {path: Strongest.of(result, constant_units(model, path, 0)) for path, result in found.items()}
