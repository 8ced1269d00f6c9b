"""Which faults run, on which databases and with which kinds of job; homes, of which a module keeps its own."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import DATABASES
from tests.faults.content import read_content, write_content
from tests.faults.harness import KINDS, Case, Common, Home
from tests.faults.servers import PostgreSQLServer, RedisServer, Storage

SHARE = 4  # of the faults of each module one in so many is in the short run, drawn by the seed


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong while a job runs."""

    name: str
    run: Callable[[Case], None]
    databases: tuple[str, ...]
    kinds: tuple[str, ...]
    private: bool  # with the private Redis of the home


@dataclass
class Catalogue:
    """The faults of a module."""

    faults: list[Fault] = field(default_factory=list)

    def add(
        self,
        name: str,
        run: Callable[[Case], None],
        *,
        databases: tuple[str, ...] = DATABASES,
        kinds: tuple[str, ...] = tuple(KINDS),
        private: bool = False,
    ) -> None:
        self.faults.append(Fault(name, run, databases, kinds, private))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    option = metafunc.config.option
    chosen = []
    faults = metafunc.module.CATALOGUE.faults
    if option.faults == "short":
        drawn = random.Random(f"{option.seed} {metafunc.module.__name__}").sample(faults, -(-len(faults) // SHARE))
        faults = [fault for fault in faults if fault in drawn]
    for fault in faults:
        every = [(database, kind) for database in fault.databases for kind in fault.kinds]
        if option.faults in ("short", "each"):
            every = [random.Random(f"{option.seed} {fault.name}").choice(every)]
        rounds = option.rounds if option.faults == "long" else 1
        chosen += [(fault, *both, number) for number in range(rounds) for both in every]
    names = [f"{fault.name}, {kind} on {database}, {number}" for fault, database, kind, number in chosen]
    metafunc.parametrize("case", chosen, ids=names, indirect=True)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Common:
    """Made once, by the first of the processes that run the tests."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "faults"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "undisturbed.json").exists():
            write_content(folder / "undisturbed.json", Common.make(folder).undisturbed)
    return Common(folder / "home", read_content(folder / "undisturbed.json"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    server = PostgreSQLServer()
    yield server
    server.remove()


@dataclass
class Homes:
    """The homes of a module, made when they are needed."""

    folder: Path
    common: Common
    request: pytest.FixtureRequest
    made: dict[tuple[str, bool], tuple[Home, Storage]] = field(default_factory=dict)

    def get(self, database: str, private: bool) -> Home:
        key = database, private
        if key not in self.made:
            self.made[key] = self.make(database, private)
            self.made[key][0].serve()
        return self.made[key][0]

    def make(self, database: str, private: bool) -> tuple[Home, Storage]:
        folder = self.folder / f"{database}-{secrets.token_hex(3)}"
        folder.mkdir()
        url = None
        if database == "postgresql":
            url = self.request.getfixturevalue("postgresql").new_database()
        storage = Storage(folder / "store")
        return self.common.begin(folder, url, None if private else RedisServer(), storage), storage

    def end(self, key: tuple[str, bool]) -> None:
        home, storage = self.made.pop(key)
        try:
            home.end()
        finally:
            home.database.close()
            if home.redis:
                home.redis.stop()
            storage.remove()


@pytest.fixture(scope="module")
def homes(
    tmp_path_factory: pytest.TempPathFactory, common: Common, request: pytest.FixtureRequest
) -> Iterator[Homes]:
    found = Homes(tmp_path_factory.mktemp("homes"), common, request)
    yield found
    for key in list(found.made):
        found.end(key)


@pytest.fixture
def case(
    request: pytest.FixtureRequest, homes: Homes, common: Common, record_property: Callable[[str, object], None]
) -> Iterator[Callable[[], None]]:
    """Carries out a fault, and looks at what came of it. A home in which something went wrong isn't used again."""
    fault, database, kind, number = request.param
    home = homes.get(database, fault.private)
    home.settle()
    draw = random.Random(f"{request.config.option.seed} {fault.name} {database} {kind} {number}")
    server = request.getfixturevalue("postgresql") if database == "postgresql" else None
    found = Case(home, kind, draw, common, server)
    good = False

    def carry_out() -> None:
        nonlocal good
        try:
            fault.run(found)
            found.check()
            good = True
        finally:
            record_property("faults injected", found.faults)
            record_property("jobs run", len(found.jobs))

    yield carry_out
    if not good:
        homes.end((database, fault.private))
