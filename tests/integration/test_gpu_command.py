"""``python -m benchmarks.gpu`` as a subprocess on the CPU, with small sizes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from producer.service.supervisor import MALLOC

ROOT = Path(__file__).parents[2]
STEPS = [
    "tests", "search", "screening", "decoding", "projection", "job", "occlusion", "training", "precision",
    "profile",
]  # fmt: skip
ROWS = {
    "search": 4,
    "screening": 1,
    "decoding": 2,
    "projection": 1,
    "job": 1,
    "occlusion": 6,
    "training": 4,
    "precision": 3,
}


def _run(folder: Path, *arguments: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--output", str(folder), *map(str, arguments)]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def _steps(folder: Path) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in json.loads((folder / "gpu.json").read_text())["steps"]}


def test_all_steps_except_the_tests_run_on_the_cpu(tmp_path: Path) -> None:
    # Takes about a minute on an idle machine.
    done = _run(tmp_path / "report", "--device", "cpu", "--minutes", 4.5)
    steps = _steps(tmp_path / "report")
    assert list(steps) == STEPS
    assert {name: step["state"] for name, step in steps.items()} == {
        "tests": "skipped",
        **dict.fromkeys(STEPS[1:], "done"),
    }
    assert {name: len(steps[name]["rows"]) for name in ROWS} == ROWS
    for row in (row for step in steps.values() for row in step["rows"]):
        assert row["met"] is None  # goals are not evaluated on a CPU
        assert all(seconds > 0 for seconds in row["ours"] + row["peer"])
        assert row["ratio"] or not row["peer"]
    for profile in steps["profile"]["profiles"]:
        assert len(profile["operations"]) == 10
        assert sum(operation["milliseconds"] for operation in profile["operations"]) > 0
        assert profile["idle"] is None
    assert len(steps["profile"]["profiles"]) == 3

    page = (tmp_path / "report" / "gpu.md").read_text()
    assert done.stdout == page + "\n"
    table = page.partition("## Benchmarks")[2].partition("\nTimes are")[0]
    assert len(re.findall(r"(?m)^\|", table)) == 2 + sum(ROWS.values())
    assert "needs a CUDA device" in page


def test_a_time_limit_that_is_too_short_gives_an_empty_table(tmp_path: Path) -> None:
    done = _run(tmp_path / "report", "--device", "cpu", "--minutes", 0.01)
    steps = _steps(tmp_path / "report")
    assert list(steps) == STEPS
    assert {(step["state"], step["reason"]) for step in steps.values()} == {("timed out", "not started")}
    assert "| Profiles | timed out: not started |" in done.stdout
    assert "| benchmark | compared with | unitscope | peer | ratio | goal | met |" in done.stdout


def test_without_a_cuda_device_the_reason_is_printed_and_the_exit_code_is_2(tmp_path: Path) -> None:
    done = _run(tmp_path / "report", code=2, CUDA_VISIBLE_DEVICES="")
    assert done.stderr.startswith("There is no CUDA device: torch ")
    assert "CUDA_VISIBLE_DEVICES is ''" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("empty", [True, False])
def test_given_images_are_used_and_an_empty_folder_fails_the_steps(
    tmp_path: Path, shapes_root: Path, empty: bool
) -> None:
    (tmp_path / "images").mkdir()
    images = tmp_path / "images" if empty else shapes_root / "VOC2007" / "JPEGImages"
    names = ["decoding", "precision"] if empty else ["decoding"]  # a step that fails doesn't stop the next one
    only = [f"--only={name}" for name in names]
    # With these variables, the program need not start itself again, as it does in the other tests.
    _run(tmp_path / "report", "--device", "cpu", "--images", images, *only, code=int(empty), **MALLOC)
    steps = _steps(tmp_path / "report")
    assert list(steps) == names
    if empty:
        for step in steps.values():
            assert step["state"] == "failed"
            assert (
                step["reason"] == f"FileNotFoundError: {images} contains neither PASCAL VOC objects nor JPEG files"
            )
        assert "## Failed: TF32 and bfloat16 compared with float32" in (tmp_path / "report" / "gpu.md").read_text()
    else:
        assert "images of a folder" in steps["decoding"]["rows"][0]["note"]
