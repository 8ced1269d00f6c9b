"""Computation of network descriptions: layers, shapes, receptive fields, numbers of parameters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unitscope.description import (
    VERSION,
    LayerDescription,
    NetworkDescription,
    NetworkSpecification,
    UnsupportedOperation,
)
from unitscope.geometry.receptive_fields import Trace, TracedLayer, trace
from unitscope.networks.build import layer_names
from unitscope.networks.sizes import runs_on_meta, unsupported_size
from unitscope.projection.deconvnet import unsupported_before


def describe_module(model: nn.Module, specification: NetworkSpecification) -> NetworkDescription:
    """Describe any network. Copies of ``model`` are traced or run; the model itself is not changed.

    If ``torch.fx`` can't trace the network, its modules are listed in the order in which a forward pass of a black
    image runs them, and receptive fields are unknown (None).

    Parameters
    ----------
    model
        network that takes images float32 [N, 3, H, W]; its output may be anything. Parameters may be on the meta
        device.
    specification
        name and image size of the network.

    Raises
    ------
    UnsupportedSize
        the network can't process images of this size.
    """
    traced = _traced(model, specification)
    names = layer_names(model)
    unsupported = _unsupported(model, traced.layers, specification.image_size)
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
            unsupported=unsupported.get(layer.path),
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
    """Return the number of classes of a network: K if its output is a tensor [N, K], None otherwise.

    Raises
    ------
    ValueError
        the network can't process images of ``image_size`` x ``image_size`` pixels.
    """
    _, output = _run_blank(model, image_size)
    is_logits = isinstance(output, torch.Tensor) and output.dim() == 2
    return int(output.shape[1]) if is_logits else None


def _traced(model: nn.Module, specification: NetworkSpecification) -> Trace:
    try:
        return trace(model, specification.image_size)
    except ValueError:
        try:
            layers, _ = _run_blank(model, specification.image_size)
        except ValueError as error:
            name, size = specification.name, specification.image_size
            raise unsupported_size(name, size, runs_on_meta(model), str(error).rstrip(".")) from error
        return Trace(layers, chain=False)


def _unsupported(
    model: nn.Module, layers: Sequence[TracedLayer], image_size: int
) -> dict[str, UnsupportedOperation | None]:
    """Return by convolution the operation that rules out its deconvnet; {} if the network can't be followed."""
    convolutions = [layer.path for layer in layers if isinstance(layer.module, nn.Conv2d)]
    try:
        return unsupported_before(
            model, convolutions, torch.zeros(1, 3, image_size, image_size, device=_device(model))
        )
    except Exception:  # user code can raise anything. The projector checks it again
        return {}


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _run_blank(model: nn.Module, image_size: int) -> tuple[list[TracedLayer], Any]:
    """Run a black image through a copy of ``model``; return its leaf modules in execution order, and the output.

    The copy runs on the meta device, or on the model's own device if that fails (code that depends on values).

    Raises
    ------
    ValueError
        the model can't be run.
    """
    failed: Exception | None = None
    for device in (torch.device("meta"), _device(model)):
        copied = copy.deepcopy(model).eval()
        layers: dict[str, TracedLayer] = {}
        for path, module in copied.named_modules():
            if not any(module.children()):
                module.register_forward_hook(_recording_hook(path, layers))
        try:
            with torch.inference_mode():
                output = copied.to(device)(torch.zeros(1, 3, image_size, image_size, device=device))
            return list(layers.values()), output
        except Exception as error:  # user code can raise anything
            failed = error
    raise ValueError((str(failed).splitlines() or [type(failed).__name__])[0]) from failed


def _recording_hook(path: str, layers: dict[str, TracedLayer]) -> Any:
    def record(module: nn.Module, inputs: object, output: Any) -> None:
        main = output[0] if isinstance(output, tuple) else output
        if isinstance(main, torch.Tensor) and path not in layers:
            layers[path] = TracedLayer(path, module, tuple(main.shape[1:]), None)

    return record
