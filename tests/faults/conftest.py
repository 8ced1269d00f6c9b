"""Selection of faults, databases and job kinds; fixtures with the homes, which the tests of a module share."""

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

SHARE = 4  # the short run has 1 / SHARE of each module's faults, chosen by the seed


@dataclass(frozen=True)
class Fault:
    """A fault to cause while a job runs."""

    name: str
    run: Callable[[Case], None]
    databases: tuple[str, ...]
    kinds: tuple[str, ...]
    private: bool  # use the private Redis of the home


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
        elif option.faults == "databases":
            draw = random.Random(f"{option.seed} {fault.name}")
            every = [(database, draw.choice(fault.kinds)) for database in fault.databases]
        rounds = option.rounds if option.faults == "long" else 1
        chosen += [(fault, *both, number) for number in range(rounds) for both in every]
    names = [f"{fault.name}, {kind} on {database}, {number}" for fault, database, kind, number in chosen]
    metafunc.parametrize("case", chosen, ids=names, indirect=True)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Common:
    """The initial content of all homes, created once by the first process that runs tests."""
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
    """The homes of a module, created on demand.

    The module can define the names of its machines, ``HOSTS``, and settings of its homes, ``ENVIRONMENT``.
    """

    folder: Path
    common: Common
    request: pytest.FixtureRequest
    made: dict[tuple[str, bool], tuple[Home, Storage]] = field(default_factory=dict)

    def get(self, database: str, private: bool) -> Home:
        key = database, private
        if key not in self.made:
            self.made[key] = self.make(database, private)
            self.made[key][0].serve(hosts=getattr(self.request.module, "HOSTS", ("", "")))
        return self.made[key][0]

    def make(self, database: str, private: bool) -> tuple[Home, Storage]:
        folder = self.folder / f"{database}-{secrets.token_hex(3)}"
        folder.mkdir()
        url = None
        if database == "postgresql":
            url = self.request.getfixturevalue("postgresql").new_database()
        storage = Storage(folder / "store")
        home = self.common.begin(folder, url, None if private else RedisServer(), storage)
        home.environment |= getattr(self.request.module, "ENVIRONMENT", {})
        return home, storage

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
    homes = Homes(tmp_path_factory.mktemp("homes"), common, request)
    yield homes
    for key in list(homes.made):
        homes.end(key)


@pytest.fixture
def case(
    request: pytest.FixtureRequest, homes: Homes, common: Common, record_property: Callable[[str, object], None]
) -> Iterator[Callable[[], None]]:
    """A function that causes the fault and checks the result. A home in which a test failed isn't used again."""
    fault, database, kind, number = request.param
    home = homes.get(database, fault.private)
    home.reset()
    draw = random.Random(f"{request.config.option.seed} {fault.name} {database} {kind} {number}")
    server = request.getfixturevalue("postgresql") if database == "postgresql" else None
    case = Case(home, kind, draw, common, server)
    passed = False

    def run() -> None:
        nonlocal passed
        try:
            fault.run(case)
            case.check()
            passed = True
        finally:
            record_property("faults injected", case.faults)
            record_property("jobs run", len(case.jobs))

    yield run
    if not passed:
        homes.end((database, fault.private))
