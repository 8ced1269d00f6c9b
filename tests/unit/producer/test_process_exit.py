"""How the end of a process is described, and the kernel's files that say whether memory ran out."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from producer.service import process_exit
from producer.service.process_exit import OutOfMemoryKills, describe_exit, exit_code_of, memory_limit


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this process's cgroup, in place of the kernel's."""
    folder = tmp_path / "fs" / "service"
    folder.mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/service\n")
    monkeypatch.setattr(process_exit, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(process_exit, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(process_exit, "HOST_COUNTS", tmp_path / "vmstat")
    return folder


def events(kills: int) -> str:
    return f"low 0\nhigh 0\nmax 7\noom 3\noom_kill {kills}\noom_group_kill 0\n"


def test_out_of_memory_is_named_with_the_limit(cgroup: Path) -> None:
    (cgroup / "memory.events").write_text(events(1))
    (cgroup / "memory.max").write_text(f"{4 * 2**30}\n")
    kills = OutOfMemoryKills()
    assert describe_exit(-9, kills.since_last()) == "was killed by SIGKILL"
    (cgroup / "memory.events").write_text(events(2))
    said = describe_exit(-9, kills.since_last())
    assert said == "was killed by SIGKILL, probably out of memory (its limit is 4.0 GiB)"
    assert describe_exit(-9, kills.since_last()) == "was killed by SIGKILL"


def test_version_1_of_cgroups_and_the_host(cgroup: Path) -> None:
    process_exit.MEMBERSHIP.write_text("4:cpu,memory:/job\n0::/\n")
    folder = process_exit.CGROUPS / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    (folder / "memory.limit_in_bytes").write_text(str(2**63 - 4096))
    assert OutOfMemoryKills().count == 5
    assert memory_limit() is None
    (folder / "memory.oom_control").unlink()
    process_exit.HOST_COUNTS.write_text("nr_dirty 5\noom_kill 12\n")
    assert OutOfMemoryKills().count == 12


def test_nothing_can_be_read(cgroup: Path) -> None:
    assert OutOfMemoryKills().since_last() is None
    assert describe_exit(-9, None) == "was killed by SIGKILL, perhaps out of memory"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(3)", "exited with code 3"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("import os; os.abort()", "was killed by SIGABRT"),
        (f"import os; os.kill(os.getpid(), {signal.SIGRTMIN + 2})", f"was killed by signal {signal.SIGRTMIN + 2}"),
    ],
)
def test_ends_of_processes(code: str, said: str) -> None:
    assert describe_exit(subprocess.run([sys.executable, "-c", code], check=False).returncode, False) == said


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Worker exited prematurely: signal 9 (SIGKILL) Job: 0.", -9),
        ("Worker exited prematurely: exitcode 1 Job: 12.", 1),
        ("Could not start worker processes", None),
    ],
)
def test_words_of_billiard(text: str, code: int | None) -> None:
    assert exit_code_of(text) == code
