"""Choice of a projector: windows for layers of a chain, automatic differentiation of the graph for others."""

from __future__ import annotations

import torch
from torch import nn

from unitscope.data.images import MEAN, STD
from unitscope.geometry.chains import chain
from unitscope.layers.forms import LayerForm
from unitscope.projection.deconvnet import Deconvnet
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projector
from unitscope.projection.windows import WindowProjector
from unitscope.vocabulary import Channels, ProjectionMethod


def projector_for(
    model: nn.Module,
    layer: str,
    image_size: int,
    method: ProjectionMethod = "deconvnet",
    counts: dict[int, int] | None = None,
    device: torch.device | str = "cpu",
    mean: Channels = MEAN,
    std: Channels = STD,
    form: LayerForm | None = None,
) -> Projector:
    """Make a projector for the units of a layer.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    layer
        module path.
    image_size
        height and width of the input, in pixels.
    method
        see ``unitscope.vocabulary.ProjectionMethod``.
    counts
        number of units that each image serves, by id: see ``WindowProjector``.
    device
        device to compute on.
    mean, std
        the input's normalization by channel: see ``unitscope.data.images.to_input``.
    form
        form of the layer's output; None for maps [N, C, H, W].
    """
    steps = chain(model, layer, (image_size, image_size))
    if steps is None:
        return GraphProjector(Deconvnet(model, layer, method, form), device, mean, std)
    return WindowProjector(steps, method, counts, device, mean, std)
