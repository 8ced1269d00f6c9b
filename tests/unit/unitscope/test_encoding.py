"""PNG files of photographic pixels, read by Pillow, which didn't write them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from unitscope.images.encoding import photographic_png


def _read(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_every_pixel_is_kept(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(_read(photographic_png(pixels)), pixels)


def test_a_view_of_a_picture_is_encoded() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)[3:-3, ::-2]
    np.testing.assert_array_equal(_read(photographic_png(pixels)), pixels)


@pytest.mark.parametrize("smooth", [1, 8, 32])
def test_smooth_pictures_are_small(smooth: int) -> None:
    """Gradients, with noise of one step in 256."""
    noise = np.random.default_rng(0).integers(0, 2, (200, 200, 3))
    pixels = (np.add.outer(np.arange(200), np.arange(200))[..., None] // smooth + noise).astype(np.uint8)
    assert len(photographic_png(pixels)) < 0.45 * pixels.size


def test_bytes_depend_on_the_pixels_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert photographic_png(pixels) == photographic_png(np.asfortranarray(pixels))
