"""Computation of network descriptions: layers, shapes, receptive fields, numbers of parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from unitscope.description import (
    VERSION,
    BlockDescription,
    LayerDescription,
    NetworkDescription,
    NetworkSpecification,
    UnsupportedOperation,
)
from unitscope.geometry.receptive_fields import Trace, TracedBlock, TracedLayer, trace
from unitscope.layers.inspection import Inspection, inspect, run_blank
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
    size = specification.image_size
    try:
        inspection = inspect(model, size)
    except ValueError as error:
        raise unsupported_size(specification.name, size, runs_on_meta(model), str(error).rstrip(".")) from error
    traced = _traced(model, inspection, size)
    names = layer_names(model)
    unsupported = _unsupported(model, inspection, size)

    def described(layer: TracedLayer) -> dict[str, Any]:
        return {
            "path": layer.path,
            "name": names.get(layer.path),
            "kind": type(layer.module).__name__,
            "output_shape": layer.output_shape,
            "parameters": sum(p.numel() for p in layer.module.parameters()),
            "receptive_field": layer.geometry.size if layer.geometry else None,
            "stride": layer.geometry.stride if layer.geometry else None,
            "start": layer.geometry.start if layer.geometry else None,
            "unsupported": unsupported.get(layer.path),
            "form": inspection.forms.get(layer.path),
            "no_form": inspection.reasons.get(layer.path),
        }

    layers = [LayerDescription(**described(layer)) for layer in traced.layers]
    blocks = [
        BlockDescription(**described(block), after=block.after)
        for block in traced.blocks
        # Whose first output is no tensor while it is traced, as a number computed from a shape.
        if block.path in inspection.run.outputs
        and inspection.run.outputs[block.path].shape[1:] == block.output_shape
    ]
    tensors = [*model.parameters(), *model.buffers()]
    return NetworkDescription(
        specification=specification,
        chain=traced.chain,
        layers=layers,
        blocks=blocks,
        last=inspection.run.last,
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
    output = run_blank(model, image_size).result
    is_logits = isinstance(output, torch.Tensor) and output.dim() == 2
    return int(output.shape[1]) if is_logits else None


def _traced(model: nn.Module, inspection: Inspection, image_size: int) -> Trace:
    """Trace a network; if that isn't possible, its modules are those that ran, and their geometry is not known."""
    try:
        return trace(model, image_size)
    except ValueError:
        run, layers, blocks = inspection.run, dict[str, TracedLayer](), list[TracedBlock]()
        for path, module, shape in run.returned:
            if path in layers or any(block.path == path for block in blocks):
                continue
            if any(module.children()):
                blocks.append(TracedBlock(path, module, shape[1:], None, len(layers)))
            else:
                layers[path] = TracedLayer(path, module, shape[1:], None)
        return Trace([*layers.values()], False, blocks)


def _unsupported(
    model: nn.Module, inspection: Inspection, image_size: int
) -> dict[str, UnsupportedOperation | None]:
    """Return by module path the operation that rules out its deconvnet; {} if the network can't be followed."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    pixels = torch.zeros(1, 3, image_size, image_size, device=device)
    try:
        return unsupported_before(model, list(inspection.run.outputs), pixels)
    except Exception:  # user code can raise anything. The projector checks it again
        return {}
