"""Random flips and crops: independent for each image, and drawn from the given generator."""

from __future__ import annotations

import torch

from unitscope.data.augmentation import random_crop, random_flip


def test_each_image_is_flipped_independently() -> None:
    images = torch.rand(64, 3, 4, 5)
    flipped = random_flip(images, 0.5, torch.Generator().manual_seed(0))
    mirrored = [torch.equal(flipped[i], images[i].flip(2)) for i in range(64)]
    same = [torch.equal(flipped[i], images[i]) for i in range(64)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_crops_are_windows_of_the_padded_image() -> None:
    images = torch.rand(200, 3, 6, 7)
    cropped = random_crop(images, 2, torch.Generator().manual_seed(0))
    assert cropped.shape == images.shape
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    places = set()
    for number, image in enumerate(cropped):
        fitting = [
            (row, col)
            for row in range(5)
            for col in range(5)
            if torch.equal(image, padded[number, :, row : row + 6, col : col + 7])
        ]
        assert len(fitting) == 1
        places.add(fitting[0])
    assert len(places) > 20  # of 25 positions


def test_results_depend_on_the_generator_only() -> None:
    images = torch.rand(16, 3, 8, 8)
    first, again, other = (random_crop(images, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_channels_last_memory_format_is_kept() -> None:
    images = torch.rand(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert random_crop(images, 1, torch.Generator()).is_contiguous(memory_format=torch.channels_last)
