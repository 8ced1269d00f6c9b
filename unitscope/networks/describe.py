"""Describe a network: layers, shapes, receptive fields, numbers of parameters."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from unitscope.description import VERSION, LayerDescription, NetworkDescription, NetworkSpecification
from unitscope.errors import InvalidArgument
from unitscope.geometry.receptive_fields import Trace, TracedLayer, trace
from unitscope.networks.build import layer_names


def describe_module(model: nn.Module, specification: NetworkSpecification) -> NetworkDescription:
    """Describe any network; ``model`` itself is neither run nor changed.

    Where ``torch.fx`` can't trace the network, its modules are listed as a black image meets them, and no
    receptive fields are known.

    Parameters
    ----------
    model
        images float32 [N, 3, H, W] -> any output. Its parameters may be on the meta device.
    specification
        the name, and the size of the images.

    Raises
    ------
    InvalidArgument
        the network can't take images of that size.
    """
    traced = _traced(model, specification)
    names = layer_names(model)
    layers = [
        LayerDescription(
            path=layer.path,
            name=names.get(layer.path),
            kind=type(layer.module).__name__,
            output_shape=layer.output_shape,
            parameters=sum(p.numel() for p in layer.module.parameters()),
            receptive_field=layer.geometry.size if layer.geometry else None,
            stride=layer.geometry.stride if layer.geometry else None,
            start=layer.geometry.start if layer.geometry else None,
        )
        for layer in traced.layers
    ]
    tensors = [*model.parameters(), *model.buffers()]
    return NetworkDescription(
        specification=specification,
        chain=traced.chain,
        layers=layers,
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(t.numel() * t.element_size() for t in tensors),
        version=VERSION,
    )


def count_classes(model: nn.Module, image_size: int) -> int | None:
    """How many classes a network tells apart: K where its output is [N, K]; None for another output.

    Raises
    ------
    ValueError
        the network can't take images of that size.
    """
    _, output = _run_blank(model, image_size)
    is_logits = isinstance(output, torch.Tensor) and output.dim() == 2
    return int(output.shape[1]) if is_logits else None


def _traced(model: nn.Module, specification: NetworkSpecification) -> Trace:
    try:
        return trace(model, specification.image_size)
    except ValueError as error:
        try:
            layers, _ = _run_blank(model, specification.image_size)
        except ValueError:
            reason = f"{specification.name} can't take images of {specification.image_size} pixels: {error}."
            raise InvalidArgument(reason=reason) from error
        return Trace(layers, chain=False)


def _run_blank(model: nn.Module, image_size: int) -> tuple[list[TracedLayer], Any]:
    """Run a black image through a copy of ``model``: the modules that have none inside, in order, and the output.

    On the meta device, where nothing is computed; on the model's own if its code looks at values.

    Raises
    ------
    ValueError
        it can't be run.
    """
    own = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    failed: Exception | None = None
    for device in (torch.device("meta"), own):
        copied = copy.deepcopy(model).eval()
        layers: dict[str, TracedLayer] = {}
        for path, module in copied.named_modules():
            if not any(module.children()):
                module.register_forward_hook(_noting(path, layers))
        try:
            with torch.inference_mode():
                output = copied.to(device)(torch.zeros(1, 3, image_size, image_size, device=device))
            return list(layers.values()), output
        except Exception as error:  # whatever a foreign network's code raises
            failed = error
    raise ValueError((str(failed).splitlines() or [type(failed).__name__])[0]) from failed


def _noting(path: str, layers: dict[str, TracedLayer]) -> Any:
    def note(module: nn.Module, inputs: object, output: Any) -> None:
        main = output[0] if isinstance(output, tuple) else output
        if isinstance(main, torch.Tensor) and path not in layers:
            layers[path] = TracedLayer(path, module, tuple(main.shape[1:]), None)

    return note
