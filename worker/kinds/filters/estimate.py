"""Measure the drawing of a layer's filters on this machine."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch

from shared.kinds.filters.specification import FiltersSpecification
from unitscope.drawing import pictures
from unitscope.drawing.filters import filter_sheet
from unitscope.filters.layers import LayerFilters, layer_filters
from unitscope.vocabulary import Scale
from worker.context import JobContext
from worker.kinds.measuring import Measured, seconds_of
from worker.networks.build import build


def measure(context: JobContext) -> Measured:
    """Draw the layer with the most weights. The time depends little on their values."""
    specification = cast(FiltersSpecification, context.specification)
    seconds, largest = 0.0, ""
    for chosen in specification.networks:
        model = build(context, chosen.network)
        layers = [
            layer_filters(model, chosen.network.name, layer.layer, layer.path, chosen.network.std)
            for layer in chosen.layers
        ]
        filters = max(layers, key=lambda layer: layer.weight.size)
        drawn = seconds_of(partial(_draw, filters, specification.scale), torch.device("cpu"))
        if drawn > seconds:
            seconds, largest = drawn, f"{filters.network} {filters.layer}: {drawn:.2f} s"
    return Measured({"draw": seconds}, details={"largest layer": largest})


def _draw(filters: LayerFilters, scale: Scale) -> bytes:
    return pictures.png(filter_sheet(filters, scale))
