"""Measure the masking of an image, and a pair of images, on this machine."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from shared.kinds.correspondence.specification import CorrespondenceSpecification
from unitscope.correspondence.measure import Masking
from unitscope.correspondence.pairs import compare
from unitscope.networks.placement import place
from worker.context import JobContext
from worker.kinds.measuring import Measured, seconds_of
from worker.networks.build import build


def measure(context: JobContext) -> Measured:
    """Measure an image of noise with all parts. The time depends neither on its pixels nor on the weights."""
    specification = cast(CorrespondenceSpecification, context.specification)
    network, size = specification.network, specification.network.image_size
    masking = Masking(
        place(build(context, network).eval(), context.device),
        specification.layers,
        size,
        specification.parts,
        specification.draws,
        specification.fill,
        device=context.device,
        mean=network.mean,
        std=network.std,
    )
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8))
    boxes = {part: [(0, 0, size // 4 + 1, size // 4 + 1)] for part in specification.parts}
    first = seconds_of(lambda: masking.run(pixels, boxes, 0), context.device)
    signs = masking.run(pixels, boxes, 0)
    seconds = seconds_of(lambda: masking.run(pixels, boxes, 0), context.device)
    together = min(len(specification.images), 20)
    cpu = torch.device("cpu")
    compared = seconds_of(lambda: compare(together, 1, lambda image, draw: signs[0, 0, draw]), cpu) / 2
    pairs = len(specification.images) * (len(specification.images) - 1) / (together * (together - 1))
    details = {
        "parts": ", ".join(
            f"{part} in {sum(mask.part == part for mask in specification.masks)} images"
            for part in specification.parts
        ),
        "layers": ", ".join(f"{layer.layer} ({layer.path})" for layer in specification.layers),
        "masked images": f"{specification.draws + 1} for each part of each image",
        "time of an image": f"{seconds:.2f} s, at most",
    }
    return Measured({"mask": seconds, "compare": compared * pairs}, {"mask": max(first - seconds, 0.0)}, details)
