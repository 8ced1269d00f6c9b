"""Fixture with a small VOC data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.datasets.helpers import Voc, an_object


@pytest.fixture
def voc(tmp_path: Path) -> Voc:
    """A data set with a valid image ``good`` with one object, and a split ``train`` with ``good`` and ``bad``."""
    folder = Voc(tmp_path / "VOCdevkit")
    folder.add("good", an_object())
    folder.split("train", "good", "bad")
    return folder
