"""Measure the transformations of an image, and a figure, on this machine."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from shared.kinds.invariance.specification import InvarianceSpecification
from unitscope.drawing.invariance import DrawnImage, draw_invariance, examples
from unitscope.invariance.measure import Measurement
from unitscope.networks.placement import place
from worker.context import JobContext
from worker.kinds.measuring import Measured, seconds_of
from worker.networks.build import build


def measure(context: JobContext) -> Measured:
    """Measure an image of noise with the initial weights: the time does not depend on the values of either."""
    specification = cast(InvarianceSpecification, context.specification)
    network = specification.network
    measurement = Measurement(
        place(build(context, network).eval(), context.device),
        specification.layers,
        specification.series,
        specification.outside,
        specification.interpolation,
        device=context.device,
        mean=network.mean,
        std=network.std,
    )
    size = network.image_size
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8))
    first = seconds_of(lambda: measurement.run(pixels, 0), context.device)
    seconds = seconds_of(lambda: measurement.run(pixels, 0), context.device)
    measured = measurement.run(pixels, 0)
    layers = [layer.layer for layer in specification.layers]

    def draw_one() -> None:
        pictures = examples(pixels, specification.series, specification.outside, specification.interpolation)
        draw_invariance("title", layers, [DrawnImage("class", measured, pictures)])

    draw_one()  # the first one loads fonts
    values = sum(len(values) for values in specification.series.values())
    details = {
        "transformed images": f"{values} of each of {len(specification.images)} images",
        "layers": ", ".join(f"{layer.layer} ({layer.path})" for layer in specification.layers),
        "time of an image": f"{seconds:.2f} s",
    }
    drawing = seconds_of(draw_one, torch.device("cpu"))
    return Measured({"measure": seconds, "draw": drawing}, {"measure": max(first - seconds, 0.0)}, details)
