"""Features of several layers, and the logits, from one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from unitscope.errors import InvalidArgument
from unitscope.layer_features import FeatureLayer


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
    calls: Counter[str] = Counter()
    found: dict[tuple[str, int], torch.Tensor] = {}
    wanted = {(layer.path, layer.call) for layer in layers}

    def hook_for(path: str) -> Callable[[nn.Module, object, Any], None]:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            place = path, calls[path]
            calls[path] += 1
            main = output[0] if isinstance(output, tuple) and output else output
            if place in wanted and isinstance(main, torch.Tensor) and len(main) == len(images):
                found[place] = main.clone()

        return hook

    paths = sorted({layer.path for layer in layers})
    handles = [model.get_submodule(path).register_forward_hook(hook_for(path)) for path in paths]
    try:
        outputs = model(images)
    finally:
        for handle in handles:
            handle.remove()
    for layer in layers:
        if (layer.path, layer.call) not in found:
            reason = f"Layer {layer.layer} has no features: module {layer.path} outputs no tensor [images, ...]."
            raise InvalidArgument(reason=reason)
    return [found[layer.path, layer.call] for layer in layers], outputs
