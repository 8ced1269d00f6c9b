"""Empty projections: those without values, and the reason for each.

A projection can rightly be zero everywhere: the unit doesn't depend on the image, or every contribution is removed
on the way back. It can also be too large for float32. None of these is an error of the computation, and each is
checked before it is believed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import nn

from unitscope.data.images import MEAN, STD
from unitscope.layers.forms import LayerForm
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projector, Requests
from unitscope.vocabulary import Channels, ProjectionMethod

CONSTANT = "constant unit"
OVERFLOW = "too large for float32"
ZERO: dict[ProjectionMethod, str] = {
    "deconvnet": "rectified to zero",
    "guided": "masked to zero",
    "gradient": "zero gradient",
}
ROUNDING = 1e-6  # of the activation: sums that cancel out can be zero in one order of the terms only


class WrongProjection(Exception):
    """A projection failed its check; the message is the reason."""


def constant_units(model: nn.Module, layer: str, units: int) -> np.ndarray:
    """Return the units of a convolution or linear layer whose weights are all zero: bool [units or more].

    Such a unit has the value of its bias at every position of every image. Other modules have no such units.
    """
    module = model.get_submodule(layer)
    if not isinstance(module, (nn.Conv2d, nn.Linear)):
        return np.zeros(units, bool)
    weight = module.weight
    return np.logical_not(weight.detach().flatten(1).ne(0).any(1).cpu().numpy())


def is_empty(values: np.ndarray) -> bool:
    """Return whether a projection has nothing to show: it is all zero, or not finite."""
    return not (values.any() and np.isfinite(values).all())


class EmptyProjections:
    """Finds the reasons of empty projections of a layer's units.

    Parameters
    ----------
    model, layer, method, device, mean, std, form
        those of ``projector``: see ``choice.projector_for``.
    projector
        projector that computed the projections; None if there are none. Those of a ``WindowProjector`` are
        computed again by automatic differentiation, the other implementation.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        method: ProjectionMethod,
        projector: Projector | None,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
        form: LayerForm | None = None,
    ) -> None:
        self.model, self.layer, self.method, self.form = model, layer, method, form
        self.projector, self.device, self.mean, self.std = projector, device, mean, std
        self.constant = constant_units(model, layer, form.units if form else 0)

    def reason(self, values: np.ndarray, pixels: np.ndarray, unit: int, row: int, col: int) -> str:
        """Return why a projection is empty.

        Parameters
        ----------
        values
            the projection: float32 [3, H, W], for which ``is_empty`` holds.
        pixels
            uint8 [H, W, 3]: its image.
        unit, row, col
            the projected activation.

        Raises
        ------
        WrongProjection
            the other implementation has another result.
        """
        zero = not values.any()
        if zero and self.constant[unit]:
            return CONSTANT
        if not isinstance(self.projector, GraphProjector):
            self._compare(zero, pixels, unit, row, col)
        return ZERO[self.method] if zero else OVERFLOW

    def _compare(self, zero: bool, pixels: np.ndarray, unit: int, row: int, col: int) -> None:
        request = Requests(*(np.array([value], np.int64) for value in (unit, 0, 0, row, col)))
        ((_, other),) = self._graph.project([pixels], request)
        if zero and not np.abs(other.values).max() <= ROUNDING * abs(other.activation):
            raise WrongProjection("it is all zero, but automatic differentiation gives another projection")
        if not zero and np.isfinite(other.values).all():
            raise WrongProjection("it contains values that are not finite")

    @cached_property
    def _graph(self) -> GraphProjector:
        deconvnet = Deconvnet(self.model, self.layer, self.method, self.form)
        return GraphProjector(deconvnet, self.device, self.mean, self.std)
