"""The Slurm recipe with real workers: one for each granted GPU, ended by `--max-idle` and by SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Analyze

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "worker.sbatch"
GRANTED = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0a11)\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-1b22)\n"


@pytest.fixture
def node(analyze: Analyze, tmp_path: Path) -> Analyze:
    """A node on which nvidia-smi lists two granted GPUs, and a service with another worker elsewhere."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (
        ("analyze", f'exec {sys.executable} -m producer "$@"'),
        ("nvidia-smi", f"printf '{GRANTED}'"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    analyze.environment |= {"UNITSCOPE_VENV": str(programs.parent), "SLURM_CPUS_PER_TASK": "2"}
    analyze.environment["SLURM_GPUS_ON_NODE"] = "2"
    analyze.up("--queues", "cpu")
    return analyze


def start(node: Analyze, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", SCRIPT],
        env=node.environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_workers_of_a_slurm_job(node: Analyze) -> None:
    """They end by themselves without work, and soon after the signal for the end of the job."""
    idle = start(node, MAX_IDLE="1s", CUDA_VISIBLE_DEVICES="0,1")
    said = idle.communicate(timeout=90)[0]
    assert idle.returncode == 0, said
    for number in (0, 1):
        assert f"cuda:{number} NVIDIA H100 80GB HBM3) for training, analysis, cpu" in said

    told = start(node, CUDA_VISIBLE_DEVICES="", SLURM_JOB_END_TIME=str(int(time.time()) + 3600))
    assert told.stdout
    while "@unitscope ready" not in (line := told.stdout.readline()):
        assert line  # it has not ended
    told.send_signal(signal.SIGTERM)
    told.communicate(timeout=60)
    assert told.returncode == 0
