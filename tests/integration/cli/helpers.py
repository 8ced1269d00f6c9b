"""A command line with access to its database, and the check of an error message."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests import programs
from tests.conftest import Analyze

SECRET = "hunter2"
NETWORK = ("--network", "zfnet", "--size", "64", "--fc", "16")
NOT_TEXT = os.fsdecode(b"\xff")
DIGITS = "9" * 5000

Done = subprocess.CompletedProcess[str]
Call = tuple[Sequence[object], Mapping[str, str]]  # arguments, and settings: redis_url for ANALYZE_REDIS_URL

MANY = """
import io, json, os, sys, traceback
from producer.cli.main import main

class Printed(io.BytesIO):
    # What is printed to a stream that the command replaces, and whose wrapper is deleted.

    def close(self):
        pass

given, answers = dict(os.environ), []
for arguments, variables in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(given | variables)
    out, err = Printed(), Printed()
    streams = sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(out, "utf-8")
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(err, "utf-8", "backslashreplace", line_buffering=True)
    try:
        main(arguments)
        code = None
    except SystemExit as end:
        code = end.code
    except BaseException:
        code = 1
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__ = streams
    answers.append([code, out.getvalue().decode(), err.getvalue().decode()])
json.dump(answers, sys.stdout)
"""


class Home(Analyze):
    """A command line with access to its SQLite database."""

    def jobs(self) -> list[tuple[int, str]]:
        """Return the ids and states of all jobs."""
        with sqlite3.connect(f"file:{self.home / 'unitscope.sqlite3'}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT id, state FROM jobs ORDER BY id").fetchall()

    def change(self, sql: str) -> None:
        with sqlite3.connect(self.home / "unitscope.sqlite3") as connection:
            connection.execute(sql)

    def many(self, calls: Sequence[Call]) -> list[Done]:
        """Run many commands in one process, and return their outcomes."""
        asked = [
            (list(map(str, words)), {f"ANALYZE_{name.upper()}": value for name, value in settings.items()})
            for words, settings in calls
        ]
        answers = json.loads(programs.run_code(MANY, self.environment, json.dumps(asked)))
        return [Done(words, *answer) for (words, _), answer in zip(asked, answers, strict=True)]

    def refused(self, *arguments: object, code: int, says: Sequence[str] = ()) -> str:
        """Run a command that fails without creating or changing a job, and return its error message."""
        before = self.jobs()
        line = refusal(self(*arguments, code=code), code, says)
        assert self.jobs() == before
        return line


def refusal(done: Done, code: int | tuple[int, ...], says: Sequence[str] = ()) -> str:
    """Check that a command failed with a single line on stderr, and return the line."""
    assert "Traceback" not in done.stderr, done.stderr[-1500:]
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    if lines[0].startswith("Usage: "):
        lines = lines[lines.index("") + 1 :]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(("analyze: ", "Error: "))
    for word in says:
        assert word in lines[0]
    assert SECRET not in done.stderr
    return lines[0]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def started(home: Home, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "producer", *map(str, arguments)],
        env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
