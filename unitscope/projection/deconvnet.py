"""Deconvnet: projection of a unit's activation at one position back to pixels (paper, section 2.1).

Unpooling with the switches of the forward pass, rectification and filtering with transposed filters are the
backward pass of the network with one change: the backward pass of a ReLU is ``clamp(gradient, min=0)``, without
the mask of its forward pass. Where overlapping pooling windows share a switch, their gradients are accumulated.
The backward pass of contrast normalization is the identity; that of batch normalization scales, as if folded into
its convolution.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.description import UnsupportedOperation
from unitscope.errors import NoGradient, UnsupportedActivation
from unitscope.geometry.dependence import runs_as
from unitscope.geometry.receptive_fields import Window
from unitscope.layers.forms import NO_PLACE, LayerForm
from unitscope.layers.outputs import as_maps
from unitscope.projection.operations import unsupported_operations
from unitscope.search.search import observe
from unitscope.vocabulary import ProjectionMethod


class _Rectify(torch.autograd.Function):
    """ReLU whose backward pass rectifies the gradient; with ``masked`` it also applies the forward pass's mask."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ceiling: float | None, masked: bool) -> torch.Tensor:
        rectified = x.clamp(0, ceiling)
        if masked:
            ctx.save_for_backward(let_pass(rectified, ceiling))
        return rectified

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        rectified = gradient.clamp(min=0)
        for mask in ctx.saved_tensors:
            rectified = rectified * mask
        return rectified, None, None


def let_pass(rectified: torch.Tensor, ceiling: float | None) -> torch.Tensor:
    """Return the derivative of a ReLU, or of a ReLU6 with its ``ceiling``, from its output: a bool mask."""
    positive = rectified > 0
    return positive if ceiling is None else positive & (rectified < ceiling)


class DeconvReLU(nn.Module):
    """Replacement for ``nn.ReLU``, and for ``nn.ReLU6`` with a ``ceiling`` of 6.

    ``masked`` selects the backward pass of guided back-propagation instead of the deconvnet's.
    """

    def __init__(self, ceiling: float | None = None, masked: bool = False) -> None:
        super().__init__()
        self.ceiling, self.masked = ceiling, masked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Rectify.apply(x, self.ceiling, self.masked)


class _Normalize(torch.autograd.Function):
    """Local response normalization whose backward pass is the identity."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        return gradient, None, None, None, None


class DeconvLocalResponseNorm(nn.Module):
    """Replacement for ``nn.LocalResponseNorm`` whose backward pass is the identity."""

    def __init__(self, norm: nn.LocalResponseNorm) -> None:
        super().__init__()
        self.constants = (norm.size, norm.alpha, norm.beta, norm.k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Normalize.apply(x, *self.constants)


# Modules with a rule. Guided back-propagation uses the derivative of the normalization.
KNOWN = (DeconvReLU, DeconvLocalResponseNorm, nn.LocalResponseNorm)


class Deconvnet:
    """Deconvnet of a network, for the units of one layer.

    Parameters
    ----------
    model
        network. It is copied; the copy is set to evaluation mode, and its ReLUs are replaced.
    layer
        path of the module whose units are projected; of several runs, its first.
    method
        the deconvnet, or for comparison guided back-propagation or the gradient: see
        ``unitscope.vocabulary.ProjectionMethod``.
    form
        form of the layer's output; None for maps [N, C, H, W].
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        method: ProjectionMethod = "deconvnet",
        form: LayerForm | None = None,
    ) -> None:
        model = copy.deepcopy(model).eval()
        self.model = (model if method == "gradient" else with_rules(model, method)).requires_grad_(False)
        self.layer, self.form = layer, form
        self._checked = method == "gradient"  # which needs no rules

    def project(
        self, images: torch.Tensor, units: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Project one activation of each image.

        Parameters
        ----------
        images
            float32 [N, 3, H, W]: input of the network.
        units, rows, cols
            int64 [N]: unit, and place of its activation (``LayerForm``).

        Returns
        -------
        projections
            float32 [N, 3, H, W]; biases are not added, and the result is not rectified.
        activations
            float32 [N]: the projected activations.

        Raises
        ------
        UnsupportedActivation
            an operation before the layer has no rule: an activation that is not a ReLU module.
        NoGradient
            the network cuts the layer off from the pixels.
        """
        return self.forward(images).project(units, rows, cols)

    def forward(self, images: torch.Tensor) -> ForwardPass:
        """Run images float32 [N, 3, H, W] forward, for any number of projections; raises as ``project``."""
        if not self._checked:
            check_operations(self.model, self.layer, images[:1])
            self._checked = True
        with torch.enable_grad():
            images = images.detach().requires_grad_(True)
            outputs: list[torch.Tensor] = []
            observe(self.model, {self.layer: outputs.append}, images)
            maps = as_maps(outputs[0], self.form)
        if not maps.requires_grad:
            raise NoGradient(layer=self.layer)
        return ForwardPass(images, maps, self.form)


@dataclass(frozen=True)
class ForwardPass:
    """Images float32 [N, 3, H, W], and the deconvnet layer's output as maps, with their autograd graph."""

    images: torch.Tensor
    maps: torch.Tensor
    form: LayerForm | None = None

    def project(
        self, units: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Project one activation of each image: see ``Deconvnet.project``."""
        if self.form and self.form.kind != "maps":  # as ``LayerForm.at``
            columns, before = self.form.numbering
            cols = torch.where(rows == NO_PLACE, cols, before + rows * columns + cols)
            rows = torch.zeros_like(rows)
        each = torch.arange(len(self.images), device=self.images.device)
        activations = self.maps[each, units, rows, cols].detach()
        seed = torch.zeros_like(self.maps)
        seed[each, units, rows, cols] = activations
        (projections,) = torch.autograd.grad(self.maps, self.images, seed, retain_graph=True)
        return projections, activations


def check_operations(model: nn.Module, layer: str, images: torch.Tensor) -> None:
    """Check that a deconvnet, the result of ``with_rules``, has a rule for all operations before a layer.

    Raises
    ------
    UnsupportedActivation
    """
    unsupported = unsupported_operations(model, [layer], images, KNOWN).get(layer)
    if unsupported:
        raise UnsupportedActivation(layer=layer, **unsupported.model_dump())


def unsupported_before(
    model: nn.Module, layers: Collection[str], images: torch.Tensor
) -> dict[str, UnsupportedOperation | None]:
    """Find the operations that rule out the deconvnets of layers: see ``operations.unsupported_operations``.

    The network is copied.
    """
    return unsupported_operations(with_rules(copy.deepcopy(model).eval()), layers, images, KNOWN)


def with_rules(module: nn.Module, method: ProjectionMethod = "deconvnet") -> nn.Module:
    """Replace every ReLU in ``module``, and for the deconvnet every local response normalization, in place."""
    if runs_as(module, nn.ReLU, nn.ReLU6):
        return DeconvReLU(6.0 if isinstance(module, nn.ReLU6) else None, masked=method == "guided")
    if runs_as(module, nn.LocalResponseNorm) and method == "deconvnet":
        return DeconvLocalResponseNorm(module)  # type: ignore[arg-type]
    for name, child in module._modules.items():  # named_children() leaves out a module's second name
        if child is not None and (replacement := with_rules(child, method)) is not child:
            setattr(module, name, replacement)
    return module


def find_problem(
    projection: np.ndarray, activation: float, recorded: float, largest: float, window: Window | None
) -> str | None:
    """Check a projection; return the reason why it is wrong, None if it is right.

    The projected activation must be the recorded one, and the projection must be finite and lie inside the
    receptive field. It can be all zero: see ``unitscope.projection.empty``. Activations may differ by float32
    rounding, because the batch has another shape than that of the search. Rounding is in proportion to the summed
    terms, not to their sum, which may be near zero; ``largest`` is therefore part of the tolerance.

    Parameters
    ----------
    projection
        float32 [3, H, W].
    activation
        the projected activation.
    recorded
        the activation that the search recorded.
    largest
        largest activation recorded in the layer.
    window
        receptive field (top, left, bottom, right) in pixels of ``projection``; None for no check.
    """
    if not abs(activation - recorded) <= 1e-4 * abs(recorded) + 1e-5 * abs(largest):  # also if it is NaN
        return f"its activation is {activation!r}, but {recorded!r} was recorded"
    if not np.isfinite(projection).all():
        return "it contains values that are not finite"
    if window is not None:
        top, left, bottom, right = window
        inside = projection[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if np.count_nonzero(inside != 0) != np.count_nonzero(projection != 0):  # faster than those of floats
            return f"it extends outside the receptive field (rows {top}-{bottom - 1}, columns {left}-{right - 1})"
    return None
