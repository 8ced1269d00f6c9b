"""The deconvnet: one unit's activation at one place, taken back to pixels (paper, section 2.1).

Unpooling with the switches of the forward pass, rectification and transposed filters are the backward pass of the
network with one change: a ReLU passes back ``clamp(gradient, min=0)`` and applies no mask of its forward pass.
Where pooling windows overlap, several share a switch, and the backward pass accumulates them. Contrast
normalisation passes everything back unchanged; batch normalisation scales, as if folded into its convolution.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from unitscope.errors import FunctionalActivation
from unitscope.geometry.receptive_fields import Window
from unitscope.search.search import observe
from unitscope.vocabulary import ProjectionMethod

FUNCTIONAL_ACTIVATIONS = {
    getattr(place, name)
    for place in (F, torch, torch.Tensor)
    for name in ("relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "threshold")
    if hasattr(place, name)
}


class _Rectify(torch.autograd.Function):
    """ReLU forward; backward it rectifies what comes back. ``masked``: it lets pass only where it did forward."""

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
    """Where a ReLU, or a ReLU6 with its ``ceiling``, changed nothing: its derivative is one there, else zero."""
    positive = rectified > 0
    return positive if ceiling is None else positive & (rectified < ceiling)


class DeconvReLU(nn.Module):
    """Takes the place of ``nn.ReLU``, and of ``nn.ReLU6`` with its ``ceiling``; ``masked`` is for guided
    back-propagation."""

    def __init__(self, ceiling: float | None = None, masked: bool = False) -> None:
        super().__init__()
        self.ceiling, self.masked = ceiling, masked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Rectify.apply(x, self.ceiling, self.masked)


class _Normalise(torch.autograd.Function):
    """Contrast normalisation forward, identity backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        return gradient, None, None, None, None


class DeconvLocalResponseNorm(nn.Module):
    """Takes the place of ``nn.LocalResponseNorm``."""

    def __init__(self, norm: nn.LocalResponseNorm) -> None:
        super().__init__()
        self.constants = (norm.size, norm.alpha, norm.beta, norm.k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Normalise.apply(x, *self.constants)


class Deconvnet:
    """The deconvnet of a network, which itself stays as it is.

    Parameters
    ----------
    model
        the network; a copy of it is changed and put into evaluation mode.
    layer
        module path of the convolution whose units are projected.
    method
        guided back-propagation and the plain gradient are offered for comparison: see
        ``unitscope.vocabulary.ProjectionMethod``.

    Raises
    ------
    FunctionalActivation
        a ReLU before the layer is a function call, not a module: its backward pass can't be replaced.
        (Found at the first projection.)
    """

    def __init__(self, model: nn.Module, layer: str, method: ProjectionMethod = "deconvnet") -> None:
        model = copy.deepcopy(model).eval()
        self.model = (model if method == "gradient" else _changed(model, method)).requires_grad_(False)
        self.layer = layer
        self._checked = method == "gradient"

    def project(
        self, images: torch.Tensor, units: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Project one unit's activation at one place of each image.

        Parameters
        ----------
        images
            float32 [N, 3, H, W], the network's input.
        units, rows, cols
            int64 [N]: which unit, and where in its map.

        Returns
        -------
        projections
            float32 [N, 3, H, W]: no bias added, not rectified.
        activations
            float32 [N]: the activations that were projected.
        """
        return self.forward(images).project(units, rows, cols)

    def forward(self, images: torch.Tensor) -> ForwardPass:
        """Run images forward, to be projected from as often as is needed."""
        with torch.enable_grad():
            images = images.detach().requires_grad_(True)
            seen: list[torch.Tensor] = []
            if self._checked:
                observe(self.model, {self.layer: seen.append}, images)
            else:
                with _RefuseFunctionalActivations(self.model):
                    observe(self.model, {self.layer: seen.append}, images)
                self._checked = True
        return ForwardPass(images, seen[0])


@dataclass(frozen=True)
class ForwardPass:
    """Images [N, 3, H, W], and the maps that a deconvnet's layer made of them."""

    images: torch.Tensor
    maps: torch.Tensor

    def project(
        self, units: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``Deconvnet.project``."""
        each = torch.arange(len(self.images), device=self.images.device)
        activations = self.maps[each, units, rows, cols].detach()
        seed = torch.zeros_like(self.maps)
        seed[each, units, rows, cols] = activations
        (projections,) = torch.autograd.grad(self.maps, self.images, seed, retain_graph=True)
        return projections, activations


def _changed(module: nn.Module, method: ProjectionMethod) -> nn.Module:
    """Replace every ReLU inside ``module``, and for the deconvnet every contrast normalisation."""
    if isinstance(module, (nn.ReLU, nn.ReLU6)):
        return DeconvReLU(6.0 if isinstance(module, nn.ReLU6) else None, masked=method == "guided")
    if isinstance(module, nn.LocalResponseNorm) and method == "deconvnet":
        return DeconvLocalResponseNorm(module)
    for name, child in module.named_children():
        setattr(module, name, _changed(child, method))
    return module


class _RefuseFunctionalActivations(TorchFunctionMode):
    """Notices an activation that is called as a function, and the module that does it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.running: list[str] = []
        self.handles = []
        for path, module in model.named_modules():
            self.handles.append(module.register_forward_pre_hook(self._enter(path or type(model).__name__)))
            self.handles.append(module.register_forward_hook(self._leave))

    def _enter(self, path: str) -> Any:
        return lambda module, inputs: self.running.append(path)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self.running.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in FUNCTIONAL_ACTIVATIONS:
            raise FunctionalActivation(module=self.running[-1], function=func.__name__)
        return func(*args, **(kwargs or {}))

    def __exit__(self, *exception: Any) -> None:
        for handle in self.handles:
            handle.remove()
        super().__exit__(*exception)  # type: ignore[no-untyped-call]


def why_wrong(
    projection: np.ndarray, activation: float, recorded: float, largest: float, window: Window | None
) -> str | None:
    """What is wrong with a projection [3, H, W], None if nothing.

    It must come from the activation that was recorded, lie inside the unit's receptive field, and not be all
    zero. The activation is allowed float32 rounding, the batch having another shape than the search's: it is in
    proportion to the terms that are summed, not to a sum near zero, hence ``largest``, that of the layer.
    """
    if abs(activation - recorded) > 1e-4 * abs(recorded) + 1e-5 * abs(largest):
        return f"its activation is {activation!r} now, {recorded!r} was recorded"
    if not np.isfinite(projection).all():
        return "it has values that are not finite"
    if not (nonzero := np.count_nonzero(projection)):
        return "it is all zero"
    if window is not None:
        top, left, bottom, right = window
        inside = projection[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if np.count_nonzero(inside) != nonzero:
            return f"it reaches outside the receptive field (rows {top}-{bottom - 1}, columns {left}-{right - 1})"
    return None
