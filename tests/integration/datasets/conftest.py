"""A small VOC data set for every test to spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.datasets.helpers import Voc, an_object


@pytest.fixture
def voc(tmp_path: Path) -> Voc:
    """One good image, ``good``, with one good object, and a split ``train`` of ``good`` and ``bad``."""
    folder = Voc(tmp_path / "VOCdevkit")
    folder.add("good", an_object())
    folder.split("train", "good", "bad")
    return folder
