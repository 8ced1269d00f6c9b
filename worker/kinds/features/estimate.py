"""Measure the extraction of the features of an image, and of its pictures, on this machine."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from shared.kinds.features.specification import FeaturesSpecification
from unitscope.data.images import to_input
from unitscope.drawing import pictures
from unitscope.drawing.features import MeanMap, channel_grid, overview
from unitscope.features.extraction import extract_features
from unitscope.networks.placement import place
from worker.context import JobContext
from worker.kinds.measuring import Measured, seconds_of
from worker.networks.build import build


def measure(context: JobContext) -> Measured:
    """Measure an image of noise. The time does not depend on the values of the weights."""
    specification = cast(FeaturesSpecification, context.specification)
    network = specification.network
    model = place(build(context, network).eval(), context.device)
    size = network.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    places = {(layer.path, layer.call) for layer in specification.layers}
    kept = {(layer.path, layer.call) for layer in specification.layers if layer.channels}

    def one_image() -> None:
        images = to_input(batch, context.device, network.mean, network.std)
        found = extract_features(model, images, places, kept).values()
        means = [MeanMap(features.path, features.shape[0], features.mean_map) for features in found]
        pictures.png(overview("title", pixels, means))
        for features in found:
            if features.maps is not None:
                pictures.png(channel_grid("title", features.maps, specification.scale))

    first = seconds_of(one_image, context.device)
    seconds = seconds_of(one_image, context.device)
    details = {"layers": f"{len(places)}, of which {len(kept)} are drawn by channel"}
    return Measured({"extract": seconds}, {"extract": max(0.0, first - seconds)}, details)
