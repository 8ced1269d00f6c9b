"""A store that goes away or isn't shared, and programs with another database on the same store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.jobs.tables import JobState
from shared.settings import sqlite_url
from tests.conftest import Analyze
from tests.faults.conftest import Catalogue
from tests.faults.harness import Case, Home

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


@contextmanager
def store_away(home: Home) -> Iterator[Path]:
    """Put an empty folder in the store's place: another disk if the store is one, as when it is not mounted."""
    away = home.store.with_name("away")
    if home.storage and home.storage.mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "empty", str(home.store)], check=True)
    else:
        home.store.rename(away)
        home.store.mkdir()
    try:
        yield home.store
    finally:
        if home.storage and home.storage.mounted:
            subprocess.run(["umount", str(home.store)], check=True)
        else:
            home.store.rmdir()
            away.rename(home.store)


def unmounted(case: Case) -> None:
    """The store goes away while a shard is computed. Nothing is written in its place, and the job fails with a
    message that says so; it can be retried when the store is back."""
    state = case.draw.choice(("claimed", "computing", "written"))
    skip = case.passes_before_fault("computing") if state == "computing" else 0
    held = case.inject(state, "hold", stage=case.stage(state), skip=skip)
    job = case.submit()
    held.reached()
    with store_away(case.home) as folder:
        held.release()
        case.home.wait(lambda: case.home.ended(job))
        row = case.home.job(job)
        assert row.state == JobState.FAILED, case.events()
        assert f"The artifact store {folder} is not available on" in (row.error or ""), row.error
        assert list(folder.iterdir()) == []
    case.home("retry", job)


def refused(home: Home, code: int, says: str, changed: dict[str, str], *arguments: object) -> None:
    """Run a command with changed settings, which is refused."""
    other = Analyze(home.home)
    other.environment = home.environment | changed
    assert says in other(*arguments, code=code).stderr


def unshared(case: Case) -> None:
    """A worker with a store of its own doesn't start, and takes no shard."""
    job = case.submit()
    case.faults += 1
    own = case.home.home / "own store"
    refused(
        case.home, 3, "is not available on", {"ANALYZE_STORE": str(own)}, "worker", "--devices", "cpu"
    )  # fmt: skip
    assert not own.exists()
    case.home.wait(lambda: case.home.ended(job))


def wrong_database(case: Case) -> None:
    """Workers and gc with another database are refused while the job runs."""
    job = case.submit()
    url = sqlite_url(case.home.home / "other.sqlite3")
    for arguments in (("worker", "--devices", "cpu"), ("gc", "--delete", "--yes")):
        case.faults += 1
        refused(case.home, 2, "belongs to another database", {"ANALYZE_DATABASE_URL": url}, *arguments)
    case.home.wait(lambda: case.home.ended(job))


CATALOGUE.add("store unmounted", unmounted)
CATALOGUE.add("store unshared", unshared)
CATALOGUE.add("wrong database", wrong_database)
