"""Positions and content of the square of an occlusion sweep."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unitscope.occlusion.occluders import Grid, filling
from unitscope.vocabulary import Fill

FILLS = get_args(Fill)
GRIDS = st.integers(1, 300).flatmap(
    lambda size: st.builds(Grid, st.just(size), patch=st.integers(1, size), stride=st.integers(1, 60))
)


def images(count: int, size: int = 24, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(drawn)


@given(GRIDS)
def test_the_square_stays_in_the_image(grid: Grid) -> None:
    assert all(0 <= start <= grid.size - grid.patch for start in grid.starts)
    assert grid.positions == len(grid.starts) ** 2


@given(GRIDS)
def test_the_first_and_the_last_square_touch_the_borders_once(grid: Grid) -> None:
    assert grid.starts[0] == 0
    assert grid.starts[-1] == grid.size - grid.patch
    assert grid.starts == sorted(set(grid.starts))


@given(GRIDS)
def test_steps_equal_the_stride_but_the_last_may_be_shorter(grid: Grid) -> None:
    steps = np.diff(grid.starts)
    assert (steps[:-1] == grid.stride).all()
    assert (steps[-1:] <= grid.stride).all()


@given(GRIDS)
def test_every_pixel_is_hidden_unless_the_stride_leaves_gaps(grid: Grid) -> None:
    hidden = {pixel for start in grid.starts for pixel in range(start, start + grid.patch)}
    assert hidden == set(range(grid.size)) or grid.stride > grid.patch


@given(st.integers(1, 300), st.integers(1, 60))
def test_a_square_as_large_as_the_image_has_one_position(size: int, stride: int) -> None:
    assert Grid(size, size, stride).starts == [0]
    assert Grid(size, size, stride).positions == 1


def test_starts_of_examples() -> None:
    assert Grid(20, 6, 5).starts == [0, 5, 10, 14]
    assert Grid(20, 5, 5).starts == [0, 5, 10, 15]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("count", "size", "patch"), [(3, 24, 7), (1, 24, 24), (2, 4, 1), (2, 4, 4), (1, 1, 1)])
def test_a_filling_has_the_shape_of_the_images_and_shares_no_memory(
    fill: Fill, count: int, size: int, patch: int
) -> None:
    pixels = images(count, size)
    before = pixels.clone()
    found = filling(pixels, fill, patch)
    assert (found.shape, found.dtype) == (pixels.shape, torch.uint8)
    assert torch.equal(pixels, before)
    found.add_(1)  # in place: neither shared with the images nor among its own pixels
    assert torch.equal(pixels, before)
    assert torch.equal(found, filling(pixels, fill, patch) + 1)


@pytest.mark.parametrize("fill", FILLS)
def test_a_filling_does_not_depend_on_the_memory_format(fill: Fill) -> None:
    pixels = images(2)
    as_read = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(filling(as_read, fill, 6), filling(pixels, fill, 6))


@pytest.mark.parametrize("fill", FILLS)
def test_a_filling_does_not_depend_on_other_images_of_the_batch(fill: Fill) -> None:
    pixels = images(3)
    alone = torch.cat([filling(image[None], fill, 6, seed=2) for image in pixels])
    assert torch.equal(filling(pixels, fill, 6, seed=2), alone)


@pytest.mark.parametrize(("fill", "value"), [("grey", 128), ("black", 0)])
def test_grey_and_black_are_constants(fill: Fill, value: int) -> None:
    assert (filling(images(2), fill, 6) == value).all()


def test_mean_is_that_of_each_image_and_channel() -> None:
    pixels = images(3)
    pixels[0, 1] //= 4
    pixels[2, 0] = 255
    means = pixels.numpy().mean((2, 3), dtype=np.float64).round()
    assert len(np.unique(means)) > 4
    assert (filling(pixels, "mean", 6).numpy() == means[:, :, None, None]).all()


def test_the_mean_of_a_large_bright_image_is_exact() -> None:
    assert (filling(torch.full((1, 3, 512, 512), 255, dtype=torch.uint8), "mean", 6) == 255).all()


def test_noise_depends_on_the_seed_and_is_the_same_for_every_image() -> None:
    pixels = images(3, 64)
    noise = filling(pixels, "noise", 6, seed=4)
    assert torch.equal(noise, filling(images(3, 64, seed=9), "noise", 6, seed=4))
    assert not torch.equal(noise, filling(pixels, "noise", 6, seed=5))
    assert torch.equal(noise, noise[:1].expand_as(noise))


def test_noise_is_uniform() -> None:
    noise = filling(images(1, 224), "noise", 6)
    counts = noise.flatten().bincount(minlength=256)
    # 588 of each are expected, with a standard deviation of 24: six of them.
    assert (counts - 588).abs().max() < 150
    assert not torch.equal(noise[0, 0], noise[0, 1])


def test_noise_does_not_use_torch_s_global_generator() -> None:
    state = torch.random.get_rng_state()
    filling(images(1), "noise", 6)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("size", [4, 24])
@pytest.mark.parametrize("patch", [1, 3, 4])
def test_blur_keeps_a_constant_image_and_smooths_others(patch: int, size: int) -> None:
    constant = torch.tensor([0, 77, 255], dtype=torch.uint8)[None, :, None, None].expand(2, 3, size, size)
    assert torch.equal(filling(constant, "blur", patch), constant)
    pixels = images(2, size)
    blurred = filling(pixels, "blur", patch)
    assert not torch.equal(blurred, pixels)
    assert (blurred.float().std((2, 3)) < pixels.float().std((2, 3))).all()


def test_a_larger_square_is_blurred_more() -> None:
    pixels = images(1, 64)
    spread = [filling(pixels, "blur", patch).float().std().item() for patch in (2, 4, 8, 16, 64)]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < spread[0] / 4


def test_blur_is_a_gaussian_with_a_sigma_of_a_quarter_of_the_patch() -> None:
    pixels = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    pixels[..., 16] = 255  # a line, whose cross-section after blurring is the kernel
    across = filling(pixels, "blur", 12)[0, 0, 16].double()
    expected = 255 * torch.exp(-((torch.arange(33) - 16) ** 2) / (2 * 3.0**2)) / (3.0 * (2 * np.pi) ** 0.5)
    # The kernel is truncated at two sigmas (0.046 of it) and renormalized; then pixels are rounded.
    near = (torch.arange(33) - 16).abs() <= 6
    torch.testing.assert_close(across[near], expected[near].double(), rtol=0.05, atol=0.6)
    assert (across[~near] == 0).all()


def test_all_positions_are_in_row_order() -> None:
    grid = Grid(10, 4, 5)
    assert grid.starts == [0, 5, 6]
    assert grid.all_positions().tolist() == [[row, col] for row in range(3) for col in range(3)]
    assert Grid(4, 4, 1).all_positions().tolist() == [[0, 0]]
