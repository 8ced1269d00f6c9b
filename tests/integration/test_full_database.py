"""SQLite on a full disk: a clear error, no partial writes, and normal operation once there is space again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import open_database
from shared.errors import DatabaseFull
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, ShardState
from tests.faults.servers import Storage
from tests.integration.cli.conftest import home, tensors, trained, weights
from tests.integration.cli.helpers import Home, refusal
from tests.integration.ledger.helpers import SHA256, claimed, dump, expire, queued, shards_of, states, top9

__all__ = ["home", "tensors", "trained", "weights"]  # fixtures

LINES = 20_000
SHARDS = 60
LEFT = 256 * 1024  # bytes: enough for SQLite's own files, but not for the rows of the tests


class Room:
    """Functions that take and give disk space for a database."""

    def __init__(self, folder: Path, take: Callable[[], None], give: Callable[[], None]) -> None:
        self.folder, self.take, self.give = folder, take, give


def disk(folder: Path) -> Storage:
    storage = Storage(folder)
    if not storage.mounted:
        pytest.skip("mounting isn't permitted; another parameter limits the size of the file instead")
    return storage


@pytest.fixture(params=["the disk", "the file's largest size"])
def full(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Ledger, Callable[[], None], Callable[[], None]]]:
    """A ledger, and functions that take and give disk space."""
    folder = tmp_path / "disk"
    storage = disk(folder) if request.param == "the disk" else None
    database = open_database(f"sqlite:///{folder / 'unitscope.sqlite3'}")
    if storage:
        take, give = (lambda: storage.leave(LEFT)), storage.enlarge
    else:
        take, give = bounded(database)
    yield Ledger(database), take, give
    database.close()
    if storage:
        storage.remove()


def bounded(database: Database) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return functions that limit the file to its current size and remove the limit."""
    largest = [2**30]

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={largest[0]}")

    event.listen(database.engine, "connect", limit)

    def set_to(pages: int) -> None:
        largest[0] = pages
        database.close()  # the limit applies to new connections

    def take() -> None:
        with database.read() as session:
            pages: int = session.scalar(text("PRAGMA page_count"))
        set_to(pages)

    return take, lambda: set_to(2**30)


def whole(file: Path) -> bool:
    connection = sqlite3.connect(file)
    try:
        integrity = connection.execute("PRAGMA integrity_check").fetchall()
        return integrity == [("ok",)] and connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


def specification(ledger: Ledger, shards: int) -> Any:
    with ledger.database.write() as session:
        row = Dataset(name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=["cat"])
        session.add(row)
        session.flush()
        return top9(row.id, search=shards)


def test_transactions_on_a_full_disk_are_atomic(
    full: tuple[Ledger, Callable[[], None], Callable[[], None]],
) -> None:
    ledger, take, give = full
    file = Path(ledger.database.url.database or "")
    small = specification(ledger, 2)
    large = small.model_copy(update={"shards": 5000, "image_count": 32 * 5000})
    job, _ = ledger.submit(small)
    claim = claimed(ledger, queued(ledger, job)[0])

    def lines(session: Session) -> None:
        session.add_all(Event(job_id=job, level="info", message="x" * 100) for _ in range(LINES))
        session.flush()

    before = dump(ledger)
    take()
    for refused in (
        lambda: ledger.submit(large),
        lambda: ledger.complete(claim, lines, f"ab/{SHA256}.npz"),
        lambda: ledger.record(claim, lines),
    ):
        with pytest.raises(DatabaseFull, match="No space left for the database"):
            refused()
        assert dump(ledger) == before
    give()
    assert whole(file)
    ledger.complete(claim, lines, f"ab/{SHA256}.npz")
    assert states(ledger, job)[0] == ShardState.DONE
    assert len(dump(ledger)["events"]) == len(before["events"]) + LINES + 1
    other, new = ledger.submit(large)
    assert new
    assert len(queued(ledger, other)) == 5000
    assert whole(file)


def test_claims_on_a_disk_that_fills_up_are_atomic(tmp_path: Path) -> None:
    """Shards are claimed and completed with less and less space: each transition is written completely or not at
    all."""
    storage = disk(tmp_path / "disk")
    file = storage.folder / "unitscope.sqlite3"
    ledger = Ledger(open_database(f"sqlite:///{file}"))
    try:
        job, _ = ledger.submit(specification(ledger, SHARDS))
        refused = 0
        for shard in queued(ledger, job):
            storage.leave(max(0, 60_000 - 4096 * refused))
            before = dump(ledger)
            try:
                ledger.complete(claimed(ledger, shard))
            except DatabaseFull:
                refused += 1
                rows = dump(ledger)
                claims = [row for row in rows["shards"] if row not in before["shards"]]
                assert len(claims) <= 1, "of claim and completion the first may have been done"
                assert len(rows["events"]) - len(before["events"]) == len(claims)
                if refused == 20:
                    break
        assert refused > 0
        storage.enlarge()
        assert whole(file)
        for shard in shards_of(ledger, job)[:SHARDS]:
            if shard.state != ShardState.DONE:
                expire(ledger, shard.id)
                ledger.complete(claimed(ledger, shard.id))
        assert set(states(ledger, job)[:SHARDS]) == {ShardState.DONE}
        assert whole(file)
    finally:
        ledger.database.close()
        storage.remove()


def test_the_command_line_reports_a_full_disk(home: Home, trained: int, tmp_path: Path) -> None:
    storage = disk(tmp_path / "disk")
    try:
        shutil.copytree(home.home, storage.folder / "home")
        here = Home(storage.folder / "home")
        submit = ("submit", "--layer", "5", "--dataset", "shapes", "--run", trained, "--shards", "1000",
                  "--ignore-space")  # fmt: skip
        jobs = here.jobs()
        storage.leave(65_536)
        line = refusal(here(*submit, "--force", code=3), 3, ("No space left", "Free some space"))
        assert "ANALYZE_DATABASE_URL" not in line
        storage.leave(0)
        if (
            looked := here("ls", code=None)
        ).returncode:  # the first connection of SQLite needs space even for reading
            refusal(looked, 3)
        storage.enlarge()
        assert here.jobs() == jobs
        assert whole(here.home / "unitscope.sqlite3")
        here(*submit, "--force")
        assert len(here.jobs()) == len(jobs) + 1
    finally:
        storage.remove()
