"""Code folders with networks of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SIZE = 32
NET = """
from torch import nn

from my_models.blocks import block


def make(width=4, classes=20):
    top = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
    return nn.Sequential(*block(3, width), *block(width, 8), *top)
"""
BLOCKS = """
from torch import nn


def block(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, stride=2), nn.ReLU()
"""
FILES = {"my_models/__init__.py": "", "my_models/net.py": NET, "my_models/blocks.py": BLOCKS}
FACTORY = "my_models.net:make"


def write_code(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write source files into a folder, and return it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
