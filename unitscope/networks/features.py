"""Features of several layers, and the logits, from one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unitscope.errors import InvalidArgument
from unitscope.features.choice import FeatureLayer
from unitscope.features.hooks import Place, observed


@torch.inference_mode()
def layer_features(
    model: nn.Module, layers: Sequence[FeatureLayer], images: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Run a forward pass.

    Parameters
    ----------
    model
        network in evaluation mode, on the device of ``images``.
    layers
        layers to observe.
    images
        float32 [N, 3, H, W].

    Returns
    -------
    features
        for each layer a copy of its features, float32 [N, ...]: modules that work in place don't change it.
    outputs
        the network's output.

    Raises
    ------
    InvalidArgument
        a layer is not run, or its output is not a tensor of one item per image.
    """
    found: dict[Place, torch.Tensor] = {}
    wanted = {(layer.path, layer.call) for layer in layers}

    def see(place: Place, output: Any) -> None:
        main = output[0] if isinstance(output, tuple) and output else output
        if place in wanted and isinstance(main, torch.Tensor) and main.dim() > 0 and len(main) == len(images):
            found[place] = main.clone()

    with observed(model, {layer.path for layer in layers}, see):
        outputs = model(images)
    for layer in layers:
        if (layer.path, layer.call) not in found:
            reason = f"Layer {layer.layer} has no features: module {layer.path} outputs no tensor [images, ...]."
            raise InvalidArgument(reason=reason)
    return [found[layer.path, layer.call] for layer in layers], outputs
