"""Imports of a worker's child process before its first shard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, types
runner, devices = types.ModuleType("worker.runner"), types.ModuleType("worker.devices")
runner.run, devices.DeviceUnusable = lambda *arguments, **named: None, OSError
sys.modules |= {"worker.runner": runner, "worker.devices": devices}
from worker import app
app.IDLE_SECONDS = 0.1
if sys.argv[1] == "busy":
    app.run_shard(1)
app._import_code()
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(("state", "imported"), [("idle", "True"), ("busy", "False")])
def test_an_idle_worker_imports_what_shards_need_later(tmp_path: Path, state: str, imported: str) -> None:
    (tmp_path / "torch").mkdir()  # in place of the real one, which takes seconds
    for module in ("__init__", "_dynamo"):
        (tmp_path / "torch" / f"{module}.py").touch()
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "ANALYZE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, state]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == imported, done.stderr
