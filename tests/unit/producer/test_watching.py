"""Formatting of a stage's speed and remaining time."""

from __future__ import annotations

import pytest

from producer.cli.jobs.watching import speed
from producer.results.progress import StageProgress


@pytest.mark.parametrize(
    ("kind", "stage", "text"),
    [
        ("top9", "search", "0.5 images/s, 1:52 left"),
        ("top9", "project", "0.5 units/s, 1:52 left"),
        ("train", "train", "0.5 images/s, 1:52 left"),
        ("occlusion", "sweep", "0.5 images/s, 1:52 left"),
        ("occlusion", "draw", "0.5 images/s, 1:52 left"),
        ("top9", "finish", "1:52 left"),
        ("of another version", "sweep", "1:52 left"),
    ],
)
def test_speed_has_the_unit_that_the_stage_counts(kind: str, stage: str, text: str) -> None:
    assert speed(StageProgress(stage, 8, 64, {}, 0.5, 112.0), kind) == text


def test_speed_is_empty_before_any_work_is_done() -> None:
    assert speed(StageProgress("sweep", 0, 64, {}, None, None), "occlusion") == ""
