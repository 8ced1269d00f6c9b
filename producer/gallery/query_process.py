"""SQL of a page, run by ``analyze query`` in a process of its own, with limits on time, memory and rows."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from starlette.exceptions import HTTPException

from shared.children import safe_environment
from shared.errors import UsageError
from shared.settings import Settings, environment

AT_ONCE = 4  # queries; others are refused
SECONDS = 10  # time limit of a query
START_SECONDS = 20  # to start the process, beyond the query's own time limit
ROWS = 500  # of the page
CSV_ROWS = 100_000
LARGEST = 20_000_000  # bytes of an answer
LONGEST = 8000  # characters of a query

_free = threading.BoundedSemaphore(AT_ONCE)


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
        ``AT_ONCE`` queries run already (503).
    """
    if "\0" in sql:
        raise UsageError(reason="A query can't contain the character NUL.")
    if not _free.acquire(blocking=False):
        raise HTTPException(503, f"{AT_ONCE} queries run already. Try again in some seconds.")
    try:
        return _run(settings, sql, form, rows)
    finally:
        _free.release()


def _run(settings: Settings, sql: str, form: str, rows: int) -> Answered:
    options = ["--format", form, "--limit", str(rows), "--seconds", str(SECONDS)]
    command = [sys.executable, "-m", "producer", "query", *options, "--", sql]
    variables = {**safe_environment(), **environment(settings), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
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
