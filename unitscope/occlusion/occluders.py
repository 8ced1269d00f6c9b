"""The square of an occlusion sweep: where it is put, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from unitscope.vocabulary import Fill

GREY = 128


@dataclass(frozen=True)
class Grid:
    """Places of a square of ``patch`` pixels on images of ``size`` x ``size`` pixels, ``stride`` apart."""

    size: int
    patch: int
    stride: int

    @cached_property
    def starts(self) -> list[int]:
        """First rows of the square, which are also its first columns: from 0 on, and at the far border, once."""
        last = self.size - self.patch
        return sorted({*range(0, last + 1, self.stride), last})

    @property
    def places(self) -> int:
        return len(self.starts) ** 2

    def all_places(self) -> torch.Tensor:
        """int64 [places, 2]: numbers of row and column among ``starts``, row by row."""
        each = torch.arange(len(self.starts))
        return torch.cartesian_prod(each, each).view(-1, 2)


def filling(pixels: torch.Tensor, fill: Fill, patch: int, seed: int = 0) -> torch.Tensor:
    """What the square shows of images uint8 [N, 3, H, W]: as large as they are, it uncovers a part of it.

    Parameters
    ----------
    fill
        ``grey`` (128; the paper's), ``black``, ``mean`` (of the image, by channel), ``noise`` (uniform, the same
        for every image) or ``blur`` (the image, Gaussian of a quarter of the patch).
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
