"""Why a process ended, in words, with what the kernel says about memory."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
HOST_COUNTS = Path("/proc/vmstat")
NO_LIMIT = 2**60  # version 1 of cgroups writes a number near 2**63 where there is no limit


class OutOfMemoryKills:
    """The kernel's count of processes that it killed because memory ran out, in this cgroup or on this host."""

    def __init__(self) -> None:
        self.count = _oom_kills()

    def since_last(self) -> bool | None:
        """Return whether the count has grown since the last call; None if it can't be read."""
        before, self.count = self.count, _oom_kills()
        if before is None or self.count is None:
            return None
        return self.count > before


def describe_exit(code: int, out_of_memory: bool | None = None) -> str:
    """Describe an exit code, negative for a signal, as the end of a sentence about a process.

    ``out_of_memory`` is whether the kernel has just killed a process for memory, None if that is unknown.
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    killed = f"was killed by {name}"
    if -code != signal.SIGKILL or out_of_memory is False:
        return killed
    reason = "probably out of memory" if out_of_memory else "perhaps out of memory"
    limit = memory_limit()
    return f"{killed}, {reason}" + (f" (its limit is {limit / 2**30:.1f} GiB)" if limit else "")


def exit_code_of(text: str) -> int | None:
    """Return the exit code in billiard's ``signal 9 (SIGKILL)`` or ``exitcode 1``, negative for a signal."""
    if found := re.search(r"signal (\d+)", text):
        return -int(found[1])
    found = re.search(r"exitcode (\d+)", text)
    return int(found[1]) if found else None


def memory_limit() -> int | None:
    """Return the memory limit of this process's cgroup in bytes, or None."""
    for folder in _cgroups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # ``max``: no limit
                limit = int((folder / name).read_text())
                if limit < NO_LIMIT:
                    return limit
    return None


def _oom_kills() -> int | None:
    files = [folder / name for folder in _cgroups() for name in ("memory.events", "memory.oom_control")]
    for file in (*files, HOST_COUNTS):
        with suppress(OSError):
            if found := re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE):
                return int(found[1])
    return None


def _cgroups() -> Iterator[Path]:
    """Yield the folders of this process's cgroup (version 2, then 1) and of its container."""
    with suppress(OSError):
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield CGROUPS / path.lstrip("/")
            elif "memory" in controllers.split(","):
                yield CGROUPS / "memory" / path.lstrip("/")
    yield from (CGROUPS, CGROUPS / "memory")
