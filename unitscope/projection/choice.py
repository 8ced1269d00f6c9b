"""The way to project the units of a layer: windows along a chain, else the whole graph."""

from __future__ import annotations

import torch
from torch import nn

from unitscope.data.images import MEAN, STD
from unitscope.geometry.chains import chain
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
) -> Projector:
    """What projects the units of a layer of ``model``, which is in evaluation mode on ``device``.

    Parameters
    ----------
    layer
        module path of the convolution.
    counts
        see ``WindowProjector``.
    """
    steps = chain(model, layer, (image_size, image_size))
    if steps is None:
        return GraphProjector(Deconvnet(model, layer, method), device, mean, std)
    return WindowProjector(steps, method, counts, device, mean, std)
