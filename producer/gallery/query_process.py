"""SQL of a page, run by ``analyze query`` in a process of its own, with limits on time, memory and rows.

One such process is kept ready: see ``producer.gallery.prepared_query``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from starlette.exceptions import HTTPException

from producer.gallery.turns import Turns
from shared.children import safe_environment
from shared.errors import Unreachable, UsageError
from shared.settings import Settings, environment

AT_ONCE = 4  # queries; others are refused
SECONDS = 10  # time limit of a query
START_SECONDS = 20  # to start the process, beyond the query's own time limit
ROWS = 500  # of the page
CSV_ROWS = 100_000
LARGEST = 20_000_000  # bytes of an answer
LONGEST = 8000  # characters of a query

NO_DATABASE = (
    "The database for queries is unreachable at the moment. `analyze doctor` says why, on the gallery's machine."
)
COMMAND = [sys.executable, "-m", "producer.gallery.prepared_query"]

_turns = Turns(AT_ONCE, "queries run")
_lock = threading.Lock()
_ready: list[_Prepared] = []  # one at most


@dataclass(frozen=True)
class _Prepared:
    """A process that waits for the arguments of ``analyze query``, and the settings it was started with."""

    process: subprocess.Popen[bytes]
    settings: Settings


@dataclass(frozen=True)
class Answered:
    """What ``analyze query`` printed: the rows, and a note that the answer was cut, or about formulas."""

    output: str
    note: str


def run_query_process(settings: Settings, sql: str, form: str, rows: int) -> Answered:
    """Run one SELECT by ``analyze query``; ``form`` is ``json`` or ``csv``.

    Raises
    ------
    UsageError
        The query was refused, or its answer is too large.
    HTTPException
        ``AT_ONCE`` queries run already, or the database is unreachable (503).
    """
    if "\0" in sql:
        raise UsageError(reason="A query can't contain the character NUL.")
    with _turns.one():
        try:
            return _run(settings, sql, form, rows)
        finally:
            prepare(settings)


def prepare(settings: Settings) -> None:
    """Start the process of the next query, unless there is one. If that fails, the query starts it."""
    with _lock, suppress(OSError):
        if not _ready:
            _ready.append(_Prepared(_start(settings), settings))


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    variables = {**safe_environment(), **environment(settings), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    pipe = subprocess.PIPE
    return subprocess.Popen(COMMAND, env=variables, stdin=pipe, stdout=pipe, stderr=pipe)


def _started_with(settings: Settings, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Return a process that runs a query: the one that is ready if it was started with these settings."""
    with _lock:
        ready = _ready.pop() if _ready else None
    if ready is not None:
        with suppress(BrokenPipeError):  # the system has ended it
            if ready.settings == settings and ready.process.poll() is None:
                return _with_input(ready.process, arguments)
        _end(ready.process)
    return _with_input(_start(settings), arguments)


def _with_input(process: subprocess.Popen[bytes], arguments: list[str]) -> subprocess.Popen[bytes]:
    """Write the arguments to a process's input, and close it.

    Raises
    ------
    BrokenPipeError
    """
    assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
    try:
        process.stdin.write(json.dumps(arguments).encode())
    finally:
        process.stdin.close()
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.kill()


def _run(settings: Settings, sql: str, form: str, rows: int) -> Answered:
    options = ["--format", form, "--limit", str(rows), "--seconds", str(SECONDS)]
    with _started_with(settings, [*options, "--", sql]) as process:
        killed = threading.Event()
        timer = threading.Timer(SECONDS + START_SECONDS, _kill, [process, killed])
        timer.start()
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(_read(process.stderr, 100_000)), daemon=True)
        reader.start()
        try:
            output = _read(process.stdout, LARGEST + 1)
            if len(output) > LARGEST:
                process.kill()
                raise UsageError(
                    reason=f"The answer is larger than {LARGEST // 1_000_000} MB: select fewer rows or shorter "
                    "values, or use `analyze query`."
                )
            process.wait()
        finally:
            timer.cancel()
            with suppress(OSError):
                process.kill()
            reader.join(5)
    note = b"".join(errors).decode("utf-8", "replace").strip()
    if killed.is_set():
        raise UsageError(reason=f"The query took more than {SECONDS} s.")
    if process.returncode == Unreachable.exit_code:
        raise HTTPException(503, NO_DATABASE)
    if process.returncode:
        raise UsageError(reason=note.removeprefix("analyze: ") or "The query was refused.")
    return Answered(output.decode("utf-8", "replace"), note)


def _kill(process: subprocess.Popen[bytes], killed: threading.Event) -> None:
    killed.set()
    with suppress(OSError):
        process.kill()


def _read(stream: IO[bytes] | None, most: int) -> bytes:
    """Read at most ``most`` bytes of a pipe."""
    assert stream is not None  # noqa: S101 - it was opened as a pipe
    return stream.read(most)
