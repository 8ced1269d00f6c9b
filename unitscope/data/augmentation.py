"""Random changes of training images, on the device and for a whole batch at once.

torchvision's transforms would flip or cut all images of a batch alike; here each image has its own luck.
The random numbers are drawn on the CPU, so that a GPU sees the same images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def random_flip(images: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Images [N, C, H, W], each mirrored left to right with ``probability``."""
    flipped = torch.rand(len(images), generator=generator) < probability
    return torch.where(flipped.to(images.device, non_blocking=True)[:, None, None, None], images.flip(3), images)


def random_crop(images: torch.Tensor, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Images [N, C, H, W] padded with zeros on every side, and a window of H x W of each at a random place."""
    count, _, height, width = images.shape
    corners = torch.randint(2 * padding + 1, (2, count), generator=generator).to(images.device, non_blocking=True)
    rows = corners[0][:, None] + torch.arange(height, device=images.device)
    cols = corners[1][:, None] + torch.arange(width, device=images.device)
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)  # channels last, as it lies in memory
    numbers = torch.arange(count, device=images.device)[:, None, None]
    return padded[numbers, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)
