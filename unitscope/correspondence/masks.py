"""Masking of parts of an image, and random masks of the same sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from unitscope.occlusion.occluders import filling
from unitscope.vocabulary import MaskFill

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the network's input, exclusive


def masked(image: torch.Tensor, boxes: Sequence[Box], fill: MaskFill = "grey", seed: int = 0) -> torch.Tensor:
    """Return an image with boxes filled.

    Parameters
    ----------
    image
        uint8 [3, H, W].
    boxes
        the parts.
    fill
        "grey" (128), "mean" (of the image, by channel), "black", or "noise" (uniform, the same for every image).
    seed
        seed of the noise.

    Returns
    -------
    torch.Tensor
        uint8 [3, H, W].
    """
    filled = filling(image[None], fill, 1, seed)[0]
    result = image.clone()
    for left, top, right, bottom in boxes:
        result[:, top:bottom, left:right] = filled[:, top:bottom, left:right]
    return result


def random_boxes(boxes: Sequence[Box], size: int, seed: int, part: str, image: int, draw: int) -> list[Box]:
    """Return boxes of the same sizes at random positions in an image of ``size`` x ``size`` pixels.

    All positions inside the image are equally probable, also those that overlap the part. They follow from the
    SHA-256 of seed, part, number of the image, draw, and number of the box: they are the same in every version of
    NumPy and torch, and for any number of shards.
    """
    moved = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        width, height = right - left, bottom - top
        text = f"{seed}\0{part}\0{image}\0{draw}\0{number}"
        digest = hashlib.sha256(text.encode()).digest()
        column = int.from_bytes(digest[:8], "big") % (size - width + 1)
        row = int.from_bytes(digest[8:16], "big") % (size - height + 1)
        moved.append((column, row, column + width, row + height))
    return moved


def masked_share(boxes: Sequence[Box], size: int) -> float:
    """Return the share of the pixels of an image of ``size`` x ``size`` pixels that are inside of the boxes."""
    inside = torch.zeros(size, size, dtype=torch.bool)
    for left, top, right, bottom in boxes:
        inside[top:bottom, left:right] = True
    return float(inside.double().mean())
