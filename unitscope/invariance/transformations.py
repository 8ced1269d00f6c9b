"""Vertical shifts, scales, and rotations of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from unitscope.vocabulary import Interpolation, Outside, Transformation

GREY = 128.0
PADDING = {"edge": "border", "mirror": "reflection"}  # otherwise a colour


def transformed(
    image: torch.Tensor,
    transformation: Transformation,
    values: Sequence[float],
    outside: Outside = "grey",
    interpolation: Interpolation = "bilinear",
) -> torch.Tensor:
    """Return an image after a transformation, for each of its values.

    Parameters
    ----------
    image
        uint8 [3, H, W].
    transformation
        "shift": downwards by so many pixels (upwards if negative). "scale": magnified so many times about the
        centre. "rotation": turned counter-clockwise about the centre by so many degrees.
    values
        the amounts.
    outside
        what is outside of the image: "grey" (128), "mean" (of the image, by channel), "black", "edge" (the nearest
        pixel), or "mirror" (the image, reflected at its edges).
    interpolation
        between pixels. A reduced image is not smoothed first.

    Returns
    -------
    torch.Tensor
        uint8 [N, 3, H, W]. Where a value changes nothing, the image is exactly the original.
    """
    height, width = image.shape[1:]
    pixels = image.to(torch.float64)[None]
    colour = _colour(pixels, outside)
    changed = []
    for value in values:
        grid = _grid(transformation, value, height, width)
        sampled = F.grid_sample(
            pixels - colour, grid, interpolation, PADDING.get(outside, "zeros"), align_corners=False
        )
        changed.append((sampled + colour).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(changed) if changed else image.new_zeros((0, *image.shape))


def _colour(pixels: torch.Tensor, outside: Outside) -> torch.Tensor:
    """Return the colour outside of the image: float64 [1, 3, 1, 1]."""
    if outside == "mean":
        return pixels.mean((2, 3), keepdim=True)
    return torch.full((1, 3, 1, 1), GREY if outside == "grey" else 0.0, dtype=torch.float64)


def _grid(transformation: Transformation, value: float, height: int, width: int) -> torch.Tensor:
    """Return the positions where the pixels come from, as ``grid_sample`` takes them: float64 [1, H, W, 2]."""
    down = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2  # from the centre
    across = torch.arange(width, dtype=torch.float64)[None] - (width - 1) / 2
    if transformation == "shift":
        from_down, from_across = down - value, across
    elif transformation == "scale":
        from_down, from_across = down / value, across / value
    else:
        cosine, sine = math.cos(math.radians(value)), math.sin(math.radians(value))
        from_down, from_across = cosine * down + sine * across, cosine * across - sine * down
    positions = torch.broadcast_tensors(2 * from_across / width, 2 * from_down / height)
    return torch.stack(positions, -1)[None]
