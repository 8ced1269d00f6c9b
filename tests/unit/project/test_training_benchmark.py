"""The benchmark of training, on a few small images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.setting import Setting


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(training, "BATCH", 2)
    monkeypatch.setattr(training, "SIZE", 95)
    monkeypatch.setattr(training, "FC", 16)
    monkeypatch.setattr(training, "LOADERS", (0,))
    return Setting(None, 6, None, 1, "cpu", 1, tmp_path)


def test_rows_have_a_time_of_each_variant(setting: Setting) -> None:
    rows = list(training.measure(setting))
    assert [(row.group, len(row.ours), len(row.peer)) for row in rows] == [("training", 1, 1)] * 4
    assert len({(row.work, row.against) for row in rows}) == 4
    assert all(seconds > 0 for row in rows for seconds in row.ours + row.peer)
    assert " 6 crops, batch 2" in rows[0].work


def test_too_few_images_are_an_error(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 64)
    with pytest.raises(ValueError, match="batches of 64 images, but there are 6"):
        next(training.measure(setting))
