"""Fixtures with a few images in folders per class, and a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unitscope as us
from tests.unit.face.networks import CLASSES, SIZE, Residual, trained_looking

COLOURS = {"blue": (30, 60, 220), "green": (40, 200, 50), "red": (220, 40, 40)}
EACH = 8
MEAN, STD = (0.4, 0.5, 0.6), (0.3, 0.25, 0.2)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three class folders with 8 images of different sizes each. Tests must not modify it."""
    root = tmp_path_factory.mktemp("images") / "photos"
    drawn = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(EACH):
            height, width = drawn.integers(30, 60, 2)
            noise = drawn.integers(-40, 41, (height, width, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def paths(photos: Path) -> list[Path]:
    """The sorted paths of the images."""
    return sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).as_posix())


@pytest.fixture
def residual() -> us.Network:
    """A user-defined network with its own normalization."""
    names = list(COLOURS)[:CLASSES]
    return us.Network(trained_looking(Residual()), size=SIZE, mean=MEAN, std=STD, class_names=names)
