"""Random augmentation of training images, on the device and for a whole batch at once.

Each image is flipped and cropped independently; torchvision's transforms would apply the same flip and crop to all
images of a batch. Random numbers are drawn on the CPU, so that results don't depend on the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def random_flip(images: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Flip each of the images [N, C, H, W] horizontally with ``probability`` (0 to 1), independently."""
    flipped = torch.rand(len(images), generator=generator) < probability
    return torch.where(flipped.to(images.device, non_blocking=True)[:, None, None, None], images.flip(3), images)


def random_crop(images: torch.Tensor, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Pad images [N, C, H, W] with zeros on every side, and crop each to H x W at a random position."""
    count, _, height, width = images.shape
    corners = torch.randint(2 * padding + 1, (2, count), generator=generator).to(images.device, non_blocking=True)
    rows = corners[0][:, None] + torch.arange(height, device=images.device)
    cols = corners[1][:, None] + torch.arange(width, device=images.device)
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)  # [N, H, W, C]: the order of channels-last memory
    numbers = torch.arange(count, device=images.device)[:, None, None]
    return padded[numbers, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)
