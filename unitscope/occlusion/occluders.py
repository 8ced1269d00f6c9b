"""Positions and content of the square that occludes a part of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from unitscope.vocabulary import Fill

GREY = 128


@dataclass(frozen=True)
class Grid:
    """Positions of a square of side ``patch``, ``stride`` apart, in ``size`` x ``size`` images (pixels)."""

    size: int
    patch: int
    stride: int

    @cached_property
    def starts(self) -> list[int]:
        """First rows of the square in pixels, equal to its first columns; the last touches the image's border."""
        last = self.size - self.patch
        return sorted({*range(0, last + 1, self.stride), last})

    @property
    def positions(self) -> int:
        return len(self.starts) ** 2

    def all_positions(self) -> torch.Tensor:
        """Return all positions, int64 [N, 2], as indices of row and column in ``starts``, row by row."""
        each = torch.arange(len(self.starts))
        return torch.cartesian_prod(each, each).view(-1, 2)


def filling(pixels: torch.Tensor, fill: Fill, patch: int, seed: int = 0) -> torch.Tensor:
    """Return images uint8 [N, 3, H, W] whose pixels replace those of ``pixels`` inside the square.

    Parameters
    ----------
    pixels
        clear images, uint8 [N, 3, H, W].
    fill
        ``grey`` (128, as in the paper), ``black``, ``mean`` (mean of the image by channel), ``noise`` (uniform,
        the same for every image), or ``blur`` (the image, blurred by a Gaussian with a standard deviation of a
        quarter of ``patch``, at least 0.5 pixels).
    patch
        side of the square in pixels.
    seed
        seed of ``noise``.
    """
    if fill == "blur":
        from torchvision.transforms.v2 import functional as transforms  # see unitscope.networks.build

        sigma = max(patch / 4, 0.5)
        reach = 2 * min(round(2 * sigma), min(pixels.shape[2:]) - 1) + 1
        return transforms.gaussian_blur(pixels, [reach, reach], [sigma, sigma])
    if fill == "noise":
        drawn = torch.Generator().manual_seed(seed)
        noise = torch.randint(256, pixels.shape[1:], generator=drawn, dtype=torch.uint8)
        return noise.expand(pixels.shape).clone()
    if fill == "mean":
        return pixels.float().mean((2, 3), keepdim=True).round().to(torch.uint8).expand(pixels.shape).clone()
    return torch.full_like(pixels, GREY if fill == "grey" else 0)
