"""Programs of the worker's that run the user's code, under a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any

from shared.children import safe_environment
from shared.errors import NetworkNotBuilt, NetworkTooSlow, error_class
from shared.text import one_line

LARGEST_ANSWER = 64 * 2**20  # bytes
KEPT_LINES = 20
LONGEST_LINE = 300  # characters


def run_limited(
    network: str, arguments: Sequence[str], request: object, seconds: float, code: Path | None = None
) -> dict[str, Any]:
    """Run ``python -m`` with these arguments in an empty folder, and return the JSON object that it prints.

    When it ends, or the time is over, processes that it started and left are ended.

    Parameters
    ----------
    network
        for messages.
    request
        sent to stdin as JSON.
    code
        a folder from which Python must not import by itself, although ``PYTHONPATH`` names it.

    Raises
    ------
    NetworkTooSlow
    NetworkNotBuilt
        the program ended without an answer.
    UnitscopeError
        the error of the program.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(code),
            start_new_session=True,
        )
        assert process.stdin  # noqa: S101 - a pipe
        assert process.stderr  # noqa: S101 - a pipe
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        reader = Thread(target=_read, args=(process.stderr, lines), daemon=True)
        reader.start()
        with suppress(BrokenPipeError):  # it ended before it read
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError, PermissionError):  # of processes that it left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(1)
        if status is None:
            raise NetworkTooSlow(network=network, seconds=f"{seconds:g}")
        answer.seek(0)
        return _answer(network, status, answer.read(LARGEST_ANSWER), lines)


def _answer(network: str, status: int, content: bytes, lines: deque[str]) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        ended = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        said = f" ({one_line(lines[-1], LONGEST_LINE)})" if lines else ""
        raise NetworkNotBuilt(network=network, reason=f"the process that made it {ended}, without an answer{said}")
    if "error" in answer:
        raise error_class(answer["error"])(**answer["details"])
    return answer


def _environment(code: Path | None) -> dict[str, str]:
    """Return the environment of a program, without entries of ``PYTHONPATH`` that lead into the code folder."""
    environment = safe_environment()
    if code is not None and "PYTHONPATH" in environment:
        folder = code.resolve()
        kept = [
            entry
            for entry in environment["PYTHONPATH"].split(os.pathsep)
            if not Path(entry).resolve().is_relative_to(folder)
        ]
        environment["PYTHONPATH"] = os.pathsep.join(kept)
    return environment


def _read(stream: IO[bytes], lines: deque[str]) -> None:
    """Read a stream to its end and keep its last lines, which may be long."""
    while line := stream.readline(10_000):
        if text := line.decode(errors="replace").strip():
            lines.append(text)
