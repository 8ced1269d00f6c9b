"""What people read of a stage's speed."""

from __future__ import annotations

import pytest

from producer.cli.jobs.watching import speed
from producer.results.progress import StageProgress


@pytest.mark.parametrize(
    ("kind", "stage", "said"),
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
def test_speed_says_what_a_stage_counts(kind: str, stage: str, said: str) -> None:
    assert speed(StageProgress(stage, 8, 64, {}, 0.5, 112.0), kind) == said


def test_nothing_is_said_before_anything_is_done() -> None:
    assert speed(StageProgress("sweep", 0, 64, {}, None, None), "occlusion") == ""
