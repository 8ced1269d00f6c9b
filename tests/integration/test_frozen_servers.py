"""Commands against servers that accept connections and don't answer: they end within about 5 s, and say why."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psutil
import pytest

from tests.conftest import Analyze
from tests.faults.servers import PostgreSQLServer

SECONDS = 5.0  # that commands may take
START_SECONDS = 10.0  # to start several Python processes at once on a busy machine


def run_together(analyze: Analyze, *commands: Sequence[str]) -> list[tuple[int, str]]:
    """Run commands at the same time; return the exit code and the output of each, which all end in time."""
    words = [[sys.executable, "-m", "producer", *command] for command in commands]
    began = time.monotonic()
    started = [
        subprocess.Popen(
            command, env=analyze.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for command in words
    ]
    try:
        outputs = [process.communicate(timeout=60)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert time.monotonic() - began < SECONDS + START_SECONDS
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


@pytest.fixture
def silent() -> Iterator[int]:
    """Port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


@pytest.fixture
def frozen_postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server whose processes are all stopped."""
    server = PostgreSQLServer()
    url = server.new_database()
    (postmaster,) = (int(line) for line in (server.folder / "postmaster.pid").read_text().splitlines()[:1])
    processes = [psutil.Process(postmaster), *psutil.Process(postmaster).children(recursive=True)]
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # some of them end by themselves
                process.suspend()
        yield url
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        server.remove()


def test_frozen_postgresql(analyze: Analyze, frozen_postgresql: str) -> None:
    analyze.environment["ANALYZE_DATABASE_URL"] = frozen_postgresql
    quiet, jobs, status = run_together(analyze, ["doctor", "--quiet"], ["ls"], ["status", "1"])
    assert quiet == (3, "")
    for code, output in (jobs, status):
        assert code == 3
        assert "is unreachable: connection timeout expired" in output


def test_database_that_does_not_answer(analyze: Analyze, silent: int) -> None:
    analyze.environment["ANALYZE_DATABASE_URL"] = f"postgresql://u:secret@127.0.0.1:{silent}/d"
    quiet, jobs, status = run_together(analyze, ["doctor", "--quiet"], ["ls"], ["status", "1"])
    assert (quiet[0], jobs[0], status[0]) == (3, 3, 3)
    done = analyze("doctor", code=3)
    assert f"u:***@127.0.0.1:{silent}/d does not answer within 4 s" in done.stdout
    assert "workers: unknown: the database does not answer" in done.stdout


def test_redis_that_does_not_answer(analyze: Analyze, silent: int) -> None:
    analyze.environment["ANALYZE_REDIS_URL"] = f"redis://127.0.0.1:{silent}"
    ((code, output),) = run_together(analyze, ["doctor", "--quiet"])
    assert (code, output) == (3, "")
    checks = {check["name"]: check for check in analyze_json(analyze, 3)}
    assert not checks["redis"]["well"]
    assert checks["database"]["well"]


def test_locked_sqlite(analyze: Analyze) -> None:
    """A process that holds the file exclusively blocks even readers."""
    analyze("ls")
    holder = sqlite3.connect(analyze.home / "unitscope.sqlite3", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE alembic_version SET version_num = version_num")
    try:
        ((code, _),) = run_together(analyze, ["doctor", "--quiet"])
        assert code == 3
        checks = {check["name"]: check for check in analyze_json(analyze, 3)}
    finally:
        holder.close()
    assert f"is locked by process {os.getpid()} (" in checks["database"]["found"]


def analyze_json(analyze: Analyze, code: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(analyze("doctor", "--json", code=code).stdout)["checks"]
    return found
