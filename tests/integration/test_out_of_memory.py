"""A job that needs more memory than the worker has fails with advice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from producer.datasets.shapes import generate
from tests.conftest import Analyze

# A worker process that runs a small job and then has a limited amount of additional memory for a large one.
WORKER = """
import re, resource, sys
from pathlib import Path
from shared.settings import load_settings
from worker.runner import run

run(1, load_settings())
size = int(re.search(r"VmSize:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
limit = size + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for attempt in range(3):
    run(2, load_settings())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_training_run_without_enough_memory_fails_with_advice(analyze: Analyze, tmp_path: Path) -> None:
    generate(tmp_path / "shapes", images=4)
    analyze("dataset", "add", "shapes", "--root", tmp_path / "shapes")
    train = ("submit", "train", "--dataset", "shapes", "--network", "zfnet", "--size", 64, "--epochs", 1)
    for fc in (4, 4096):  # 2 and 58 million weights
        analyze(*train, "--batch-size", 4, "--fc", fc)
    command = [sys.executable, "-c", WORKER, "500"]
    subprocess.run(command, env=analyze.environment, check=True, capture_output=True, timeout=200)
    assert analyze.json("status", 1)["state"] == "done"
    status = analyze.json("status", 2)
    assert status["state"] == "failed"
    assert "Not enough memory on cpu (" in status["error"]
    assert "--batch-size" in status["error"]
    assert "`analyze retry 2`" in status["error"]
    said = analyze("logs", 2).stdout
    assert "Traceback" not in said
    assert said.count("begins on") == 3
