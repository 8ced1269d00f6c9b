"""Steps, time limits and reports of ``python -m benchmarks.gpu``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.gpu import marked_tests
from benchmarks.gpu.crops import SourceImage, plan_crops, write_crops
from benchmarks.gpu.profiling import union_length
from benchmarks.gpu.report import Finding, LimitedRow, Operation, Outcome, Profile, Report
from benchmarks.gpu.steps import Step, StepFailed, StepSkipped, run
from benchmarks.gpu.time_budget import OutOfTime, TimeBudget, time_interleaved
from benchmarks.timing import Goal, Row, Timed

ROW = Row("search", "some work", [1.0, 2.0], "a peer", [2.0, 3.0], Goal(1.2), "a note")


def _report(folder: Path) -> Report:
    return Report(folder, {"device": "a card"}, {"minutes": 1})


def _read_steps(folder: Path) -> dict[str, dict[str, object]]:
    """Read the steps from the JSON file, by name."""
    return {step["name"]: step for step in json.loads((folder / "gpu.json").read_text())["steps"]}


def _succeeds(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    yield ROW
    yield {"a fact": 7}


def _breaks(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    yield ROW
    raise ValueError("first line\nsecond line")


def _out_of_memory(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90 GiB")
    yield ROW


def _finds_a_failure(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    yield {"tests": "1 failed"}
    raise StepFailed("1 tests failed")


def _not_here(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    raise StepSkipped("needs a device")
    yield ROW


def _never_ends(setting: None, budget: TimeBudget) -> Iterator[Finding]:
    yield ROW
    while True:
        time.sleep(0.05)


def test_a_failing_step_is_recorded_and_the_other_steps_run(tmp_path: Path) -> None:
    measures = [_breaks, _out_of_memory, _finds_a_failure, _not_here, _succeeds]
    steps = [Step(measure.__name__, f"Step {measure.__name__}", 0.5, measure) for measure in measures]
    report = _report(tmp_path)
    assert run(steps, None, TimeBudget(60), report) == []

    recorded = _read_steps(tmp_path)
    assert [step["state"] for step in recorded.values()] == ["failed", "failed", "failed", "skipped", "done"]
    assert recorded["_breaks"]["reason"] == "ValueError: first line"
    assert "in _breaks" in str(recorded["_breaks"]["traceback"])
    assert len(recorded["_breaks"]["rows"]) == 1  # type: ignore[arg-type]
    assert recorded["_out_of_memory"]["reason"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 90 GiB"
    assert recorded["_succeeds"]["facts"] == {"a fact": 7}
    page = (tmp_path / "gpu.md").read_text()
    assert page == report.page()
    assert "| Step _breaks | failed: ValueError: first line |" in page
    assert "## Failed: Step _out_of_memory" in page
    assert "| Step _not_here | skipped: needs a device |" in page


def test_the_time_limit_interrupts_a_step_and_keeps_its_rows(tmp_path: Path) -> None:
    steps = [Step("first", "First", 0.1, _never_ends), Step("second", "Second", 0.9, _succeeds)]
    began = time.monotonic()
    run(steps, None, TimeBudget(4), _report(tmp_path))
    assert time.monotonic() - began < 10
    recorded = _read_steps(tmp_path)
    assert recorded["first"]["state"] == recorded["second"]["state"] == "timed out"
    assert len(recorded["first"]["rows"]) == 1  # type: ignore[arg-type]
    assert recorded["second"]["reason"] == "not started"
    assert "| First | timed out: after 1 rows |" in (tmp_path / "gpu.md").read_text()


def test_the_alarm_is_cancelled_at_the_end_of_the_block() -> None:
    budget = TimeBudget(0.2)
    with budget.enforce():
        pass
    time.sleep(0.4)
    with pytest.raises(OutOfTime), TimeBudget(0.1).enforce():
        time.sleep(5)


def test_rounds_are_added_while_time_remains() -> None:
    def variant(seconds: float) -> Timed:
        time.sleep(seconds)
        return Timed(seconds)

    variants = {"a": lambda: variant(0.02), "b": lambda: variant(0.03)}
    assert time_interleaved(variants, TimeBudget(60), rounds=3).seconds == {"a": [0.02] * 3, "b": [0.03] * 3}
    assert time_interleaved(variants, TimeBudget(0.05), rounds=3).seconds == {"a": [0.02], "b": [0.03]}


def test_a_row_with_a_time_limit_must_meet_both_limit_and_ratio() -> None:
    def row(ours: list[float], limit: float | None, judged: bool = True) -> LimitedRow:
        return LimitedRow("g", "w", ours, "p", [3.0] * len(ours), Goal(2), judged=judged, limit=limit)

    assert row([1.0], None).met
    assert row([1.0], 1.5).met
    assert not row([1.0], 0.5).met
    assert not row([2.0], 10).met  # the ratio is below the goal
    assert row([1.0], 0.5, judged=False).met is None
    assert row([1.0], 0.5).goal_text == "at least 2x, at most 0.5 s"


def test_a_report_read_from_its_file_equals_the_one_written(tmp_path: Path) -> None:
    limited = LimitedRow("g", "w", [1.0], "p", [3.0], Goal(2, at_most=True), limit=2.0)
    profile = Profile("search", 1.0, 0.5, 0.5, 3, [Operation("aten::copy_", 2, 0.1)])
    first = _report(tmp_path)
    first.outcomes = [
        Outcome("search", "Search", "done", 3.0, rows=[limited], profiles=[profile], facts={"a": "b"})
    ]
    first.write()
    second = _report(tmp_path)
    second.read()
    assert second.outcomes == first.outcomes
    assert second.page() == first.page()


def test_a_profile_states_how_long_the_device_is_idle(tmp_path: Path) -> None:
    report = _report(tmp_path)
    report.outcomes = [
        Outcome("profile", "Profile", "done", profiles=[Profile("a sweep", 2.0, 0.5, 0.75, 12, [])])
    ]
    assert "2 s; the device computes for 0.5 s and is idle 75% of the time" in report.page()
    assert "Python waits for the device 12 times" in report.page()


def test_union_length_counts_overlapping_spans_once() -> None:
    assert union_length([]) == 0
    assert union_length([(5, 7), (0, 2), (1, 3), (1.5, 1.6), (6, 9)]) == 3 + 4


def test_copies_of_an_object_give_different_crops(tmp_path: Path) -> None:
    pictures = SourceImage.draw(4)
    plans = plan_crops(pictures, 50, tmp_path, 40)
    assert sum(len(plan.crops) for plan in plans) == 50
    for folder in {file.parent for plan in plans for _, _, file in plan.crops}:
        folder.mkdir()
    for plan in plans:
        write_crops(plan)
    files = sorted(tmp_path.glob("*/*.jpg"))
    assert len({file.read_bytes() for file in files}) == 50
    assert {file.parent.name for file in files} == {
        f"{label:02}" for picture in pictures for label in picture.labels
    }
    assert {Image.open(file).size for file in files} == {(40, 40)}


def test_crops_of_given_images_have_the_size_of_their_boxes(tmp_path: Path) -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    image[10:20, 20:40] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    (tmp_path / "00").mkdir()
    for plan in plan_crops(
        [SourceImage(0, tmp_path / "image.png", ((20, 10, 40, 20), None), (0, 0))], 2, tmp_path, None
    ):
        write_crops(plan)
    crop, whole = (np.asarray(Image.open(tmp_path / "00" / f"00000{n}.jpg")) for n in (0, 1))
    assert crop.shape == (10, 20, 3)
    assert crop.min() > 250
    assert whole.shape == (30, 50, 3)


MARKED = """
import time
import pytest

@pytest.mark.gpu
def test_passes(): pass

@pytest.mark.gpu
def test_fails(): assert 1 + 1 == 3, "sum"

@pytest.mark.gpu
def test_is_skipped(): pytest.skip("no device")

def test_that_is_not_marked(): assert False

@pytest.mark.gpu
def test_takes_long(): time.sleep(SECONDS)
"""


def _write_test_files(folder: Path, seconds: float) -> list[Path]:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_device.py").write_text(MARKED.replace("SECONDS", str(seconds)))
    (folder / "tests" / "test_other.py").write_text("import missing_module")
    return marked_tests.marked_files(folder / "tests")


def _outcomes(folder: Path) -> dict[str, str]:
    tests = marked_tests.read(folder / "tests.jsonl")
    return {test["test"].rpartition("::")[2]: test["outcome"] for test in tests}


def test_marked_tests_run_and_the_outcome_of_each_is_recorded(tmp_path: Path) -> None:
    files = _write_test_files(tmp_path, seconds=0)
    code = marked_tests.run(files, tmp_path / "tests.jsonl", tmp_path / "log", TimeBudget(60))
    assert code == 1, (tmp_path / "log").read_text()
    assert _outcomes(tmp_path) == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_is_skipped": "skipped",
        "test_takes_long": "passed",
    }
    texts = {test["outcome"]: test["text"] for test in marked_tests.read(tmp_path / "tests.jsonl")}
    assert marked_tests.last_lines(texts["failed"]).startswith("AssertionError: sum / assert (1 + 1) == 3")
    assert marked_tests.last_lines(texts["skipped"]) == "Skipped: no device"


def test_marked_tests_are_stopped_at_the_time_limit(tmp_path: Path) -> None:
    files = _write_test_files(tmp_path, seconds=300)
    began = time.monotonic()
    assert marked_tests.run(files, tmp_path / "tests.jsonl", tmp_path / "log", TimeBudget(20)) is None
    assert time.monotonic() - began < 60
    assert _outcomes(tmp_path) == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_is_skipped": "skipped",
        "test_takes_long": "not finished",
    }


ENDS_EARLY = """
import os
import pytest

@pytest.mark.gpu
def test_first(): pass

@pytest.mark.gpu
def test_ends_the_process(): os._exit(86)

@pytest.mark.gpu
def test_last(): pass
"""


def test_after_a_test_that_ends_the_process_a_new_one_runs_the_others(tmp_path: Path) -> None:
    file = tmp_path / "test_device.py"
    file.write_text(ENDS_EARLY)
    assert marked_tests.run([file], tmp_path / "tests.jsonl", tmp_path / "log", TimeBudget(60)) == 0
    assert _outcomes(tmp_path) == {
        "test_first": "passed",
        "test_ends_the_process": "not finished",
        "test_last": "passed",
    }
