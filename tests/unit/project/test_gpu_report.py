"""The parts of ``python -m benchmarks.gpu`` that decide what is tried, cut, and reported."""

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
from benchmarks.gpu.clock import Clock, OutOfTime, in_turn
from benchmarks.gpu.cutting import Picture, cut, plan
from benchmarks.gpu.profiling import covered
from benchmarks.gpu.report import Finding, LimitedRow, Operation, Outcome, Profile, Report
from benchmarks.gpu.steps import Failed, LeftOut, Step, run
from benchmarks.measuring import Goal, Row, Timed

ROW = Row("search", "some work", [1.0, 2.0], "a peer", [2.0, 3.0], Goal(1.2), "a note")


def _report(folder: Path) -> Report:
    return Report(folder, {"device": "a card"}, {"minutes": 1})


def _kept(folder: Path) -> dict[str, dict[str, object]]:
    """The steps of the JSON file, by their names."""
    return {step["name"]: step for step in json.loads((folder / "gpu.json").read_text())["steps"]}


def _fine(setting: None, clock: Clock) -> Iterator[Finding]:
    yield ROW
    yield {"a fact": 7}


def _breaks(setting: None, clock: Clock) -> Iterator[Finding]:
    yield ROW
    raise ValueError("what broke it\nand more")


def _out_of_memory(setting: None, clock: Clock) -> Iterator[Finding]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90 GiB")
    yield ROW


def _finds_a_failure(setting: None, clock: Clock) -> Iterator[Finding]:
    yield {"tests": "1 failed"}
    raise Failed("1 tests failed")


def _not_here(setting: None, clock: Clock) -> Iterator[Finding]:
    raise LeftOut("it needs a device")
    yield ROW


def _never_ends(setting: None, clock: Clock) -> Iterator[Finding]:
    yield ROW
    while True:
        time.sleep(0.05)


def test_a_failing_step_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    measures = [_breaks, _out_of_memory, _finds_a_failure, _not_here, _fine]
    steps = [Step(measure.__name__, f"Step {measure.__name__}", 0.5, measure) for measure in measures]
    report = _report(tmp_path)
    assert run(steps, None, Clock(60), report) == []

    kept = _kept(tmp_path)
    assert [step["state"] for step in kept.values()] == ["failed", "failed", "failed", "left out", "done"]
    assert kept["_breaks"]["reason"] == "ValueError: what broke it"
    assert "in _breaks" in str(kept["_breaks"]["traceback"])
    assert len(kept["_breaks"]["rows"]) == 1  # type: ignore[arg-type]
    assert kept["_out_of_memory"]["reason"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 90 GiB"
    assert kept["_fine"]["facts"] == {"a fact": 7}
    page = (tmp_path / "gpu.md").read_text()
    assert page == report.page()
    assert "| Step _breaks | failed: ValueError: what broke it |" in page
    assert "## Failed: Step _out_of_memory" in page
    assert "| Step _not_here | left out: it needs a device |" in page


def test_the_end_of_the_time_interrupts_a_step_and_keeps_what_it_found(tmp_path: Path) -> None:
    steps = [Step("first", "First", 0.1, _never_ends), Step("second", "Second", 0.9, _fine)]
    began = time.monotonic()
    run(steps, None, Clock(4), _report(tmp_path))
    assert time.monotonic() - began < 10
    kept = _kept(tmp_path)
    assert kept["first"]["state"] == kept["second"]["state"] == "cut"
    assert len(kept["first"]["rows"]) == 1  # type: ignore[arg-type]
    assert kept["second"]["reason"] == "not begun"
    assert "| First | cut by the time limit: 1 rows until then |" in (tmp_path / "gpu.md").read_text()


def test_no_alarm_outlives_its_step() -> None:
    clock = Clock(0.2)
    with clock.enforced():
        pass
    time.sleep(0.4)
    with pytest.raises(OutOfTime), Clock(0.1).enforced():
        time.sleep(5)


def test_rounds_are_added_while_they_fit() -> None:
    def way(seconds: float) -> Timed:
        time.sleep(seconds)
        return Timed(seconds)

    ways = {"a": lambda: way(0.02), "b": lambda: way(0.03)}
    assert in_turn(ways, Clock(60), rounds=3).seconds == {"a": [0.02] * 3, "b": [0.03] * 3}
    assert in_turn(ways, Clock(0.05), rounds=3).seconds == {"a": [0.02], "b": [0.03]}


def test_a_limit_of_the_own_time_counts_beside_the_ratio() -> None:
    def row(ours: list[float], limit: float | None, judged: bool = True) -> LimitedRow:
        return LimitedRow("g", "w", ours, "p", [3.0] * len(ours), Goal(2), judged=judged, limit=limit)

    assert row([1.0], None).met
    assert row([1.0], 1.5).met
    assert not row([1.0], 0.5).met
    assert not row([2.0], 10).met  # the ratio is missed
    assert row([1.0], 0.5, judged=False).met is None
    assert row([1.0], 0.5).goal_text == "at least 2x, at most 0.5 s"


def test_a_report_is_taken_up_again_by_another_process(tmp_path: Path) -> None:
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


def test_a_profile_says_how_long_the_device_waits(tmp_path: Path) -> None:
    report = _report(tmp_path)
    report.outcomes = [
        Outcome("profile", "Profile", "done", profiles=[Profile("a sweep", 2.0, 0.5, 0.75, 12, [])])
    ]
    assert "2 s; the device computes for 0.5 s and waits for 75% of the time" in report.page()
    assert "Python waits for the device 12 times" in report.page()


def test_spans_that_overlap_are_counted_once() -> None:
    assert covered([]) == 0
    assert covered([(5, 7), (0, 2), (1, 3), (1.5, 1.6), (6, 9)]) == 3 + 4


def test_copies_of_an_object_are_different_crops(tmp_path: Path) -> None:
    pictures = Picture.drawn(4)
    cuts = plan(pictures, 50, tmp_path, 40)
    assert sum(len(of.crops) for of in cuts) == 50
    for folder in {file.parent for of in cuts for _, _, file in of.crops}:
        folder.mkdir()
    for of in cuts:
        cut(of)
    files = sorted(tmp_path.glob("*/*.jpg"))
    assert len({file.read_bytes() for file in files}) == 50
    assert {file.parent.name for file in files} == {f"{label:02}" for of in pictures for label in of.labels}
    assert {Image.open(file).size for file in files} == {(40, 40)}


def test_given_images_keep_their_size_and_their_boxes(tmp_path: Path) -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    image[10:20, 20:40] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    (tmp_path / "00").mkdir()
    for of in plan([Picture(0, tmp_path / "image.png", ((20, 10, 40, 20), None), (0, 0))], 2, tmp_path, None):
        cut(of)
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


def _marked(folder: Path, seconds: float) -> list[Path]:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_device.py").write_text(MARKED.replace("SECONDS", str(seconds)))
    (folder / "tests" / "test_other.py").write_text("import a_module_that_is_not_there")
    return marked_tests.marked_files(folder / "tests")


def _outcomes(folder: Path) -> dict[str, str]:
    found = marked_tests.read(folder / "tests.jsonl")
    return {test["test"].rpartition("::")[2]: test["outcome"] for test in found}


def test_the_marked_tests_are_run_and_each_is_told(tmp_path: Path) -> None:
    files = _marked(tmp_path, seconds=0)
    code = marked_tests.run(files, tmp_path / "tests.jsonl", tmp_path / "log", Clock(60))
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


def test_marked_tests_that_take_too_long_are_ended(tmp_path: Path) -> None:
    files = _marked(tmp_path, seconds=300)
    began = time.monotonic()
    assert marked_tests.run(files, tmp_path / "tests.jsonl", tmp_path / "log", Clock(20)) is None
    assert time.monotonic() - began < 60
    assert _outcomes(tmp_path) == {"test_passes": "passed", "test_fails": "failed", "test_is_skipped": "skipped"}
