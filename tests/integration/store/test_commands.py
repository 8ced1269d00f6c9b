"""Commands and workers with a store that belongs to another database, isn't shared, or would lose much."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
from sqlalchemy import delete, select

from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.database.schema import database_identity
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Artifact, Event, Job, Shard
from shared.kinds.specification import QUEUES
from shared.settings import load_settings, sqlite_url
from shared.store.ownership import open_store
from shared.store.store import IDENTITY_FILE
from tests.conftest import Analyze
from tests.integration.ledger.helpers import top9
from tests.integration.store.helpers import DAY, add_dataset, files, grow_old, register
from unitscope.networks.build import build
from unitscope.networks.initialization import initialize
from worker.runner import run

REFERENCED = 8  # with two orphans: not more than a fifth would be removed


class Service:
    """A home with a store whose files are two days old: some that rows refer to, and two orphans."""

    def __init__(self, analyze: Analyze, root: Path) -> None:
        self.analyze, self.root = analyze, root
        analyze.environment["ANALYZE_STORE"] = str(root)
        self.database = Database(analyze.database_url)
        add_dataset(self.database)
        self.ledger = Ledger(self.database)
        self.job, _ = self.ledger.submit(top9(1, search=REFERENCED))
        self.store = open_store(self.database, root)
        self.orphans = [self.store.put(content, ".npz").path for content in (b"x", b"y")]
        written = [self.store.put(bytes([number]), ".npz") for number in range(REFERENCED)]
        register(self.database, *written)
        with self.database.write() as session:
            shards = session.scalars(select(Shard).where(Shard.job_id == self.job).order_by(Shard.id)).all()
            for shard, file in zip(shards, written, strict=False):
                shard.result_path = file.path
        grow_old(root)

    def as_other(self) -> Analyze:
        """The command line with the same store, without the setting of the database."""
        other = Analyze(self.analyze.home)
        other.environment |= {"ANALYZE_STORE": str(self.root)}
        other.environment["ANALYZE_DATABASE_URL"] = sqlite_url(self.analyze.home / "forgotten.sqlite3")
        return other


@pytest.fixture
def service(analyze_on: Analyze, root: Path) -> Iterator[Service]:
    service = Service(analyze_on, root)
    yield service
    service.database.close()


def weights_of(folder: Path) -> Path:
    model = build("zfnet", 20, 64, fc=8)
    initialize(model, "he")
    safetensors.torch.save_file(model.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


# --- another database ---


def test_gc_with_a_forgotten_database_url_removes_nothing(service: Service) -> None:
    """What the issue reports: everything was removed, without a question."""
    before = files(service.root)
    other = service.as_other()
    for options in ((), ("--delete",), ("--delete", "--yes")):
        error = other("gc", *options, code=2).stderr
        assert "belongs to another database" in error
        assert "forgotten.sqlite3" in error
        assert database_identity(service.database) in error
    assert files(service.root) == before
    assert service.analyze.json("gc", "--delete")["bytes"] > 0
    assert before - files(service.root) == set(service.orphans)


def test_everything_that_writes_is_refused(service: Service, tmp_path: Path) -> None:
    """Commands that only read go on, and doctor shows the error."""
    before = files(service.root)
    other = service.as_other()
    generate(tmp_path / "shapes", images=12)
    other("dataset", "add", "shapes", "--root", tmp_path / "shapes")
    network = ("--weights", weights_of(tmp_path), "--network", "zfnet", "--size", 64, "--fc", 8)
    submit = ("submit", "--layer", 1, "--dataset", "shapes", *network)
    for refused in (submit, ("worker", "--devices", "cpu"), ("up", "--devices", "cpu")):
        assert "belongs to another database" in other(*refused, code=2).stderr
    assert other.json("ls") == []
    done = other("doctor", code=None)
    assert "error   store identity: The artifact store" in done.stdout
    assert done.returncode == 2
    assert files(service.root) == before
    other("db", "adopt-store", code=2)  # a question, and no terminal
    other("db", "adopt-store", "--yes")
    assert other(*submit).stdout == "1\n"
    assert "belongs to another database" in service.analyze("gc", "--delete", code=2).stderr


# --- a store that isn't shared ---


@pytest.mark.parametrize("mounted", ["nothing", "empty folder"])
def test_a_worker_without_the_shared_store_does_not_start(service: Service, mounted: str) -> None:
    shutil.rmtree(service.root)
    if mounted == "empty folder":
        service.root.mkdir()
    for verb in ("worker", "up"):
        error = service.analyze(verb, "--devices", "cpu", code=3).stderr
        assert f"The artifact store {service.root} is not available on {os.uname().nodename}" in error
        assert "Mount there the store that all workers share" in error
    assert "is not available on" in service.analyze("doctor", code=None).stdout
    assert files(service.root) == set()


def test_a_shard_is_handed_back_where_the_store_is_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt isn't counted while another machine may have the store, and no file is written."""
    here, there = "a-cpu-000000", "b-cpu-000000"
    for name, value in service.analyze.environment.items():
        monkeypatch.setenv(name, value)
    for worker in (here, there):
        service.ledger.worker_seen(worker, "cpu", QUEUES, 1)
    monkeypatch.setenv("ANALYZE_WORKER_NAME", here)
    shard, _ = next(iter(service.ledger.take_unsent(100)))
    service.root.rename(service.root.with_name("away"))
    run(shard, load_settings())
    with service.database.read() as session:
        row = session.get_one(Shard, shard)
        state = session.get_one(Job, service.job).state
    assert (row.state, row.attempt, state) == ("queued", 0, "running")
    assert "is not available on" in str(row.error)
    assert not service.root.exists()


# --- much would be removed ---


def orphan(service: Service, count: int = 1, size: int = 10) -> None:
    """Add files that no row refers to."""
    for number in range(count):
        service.store.put(bytes([number]) * size, ".png")
    grow_old(service.root)


@pytest.mark.parametrize(("count", "size"), [(1, 10), (1, 10_000)], ids=["files", "bytes"])
def test_more_than_a_fifth_needs_yes(service: Service, count: int, size: int) -> None:
    orphan(service, count, size)
    before = files(service.root)
    error = service.analyze("gc", "--delete", code=2).stderr
    assert "3 of 11 files" in error
    assert "add --yes" in error
    assert "older backup" not in error
    assert files(service.root) == before
    assert "3 files" in service.analyze("gc", "--delete", "--yes").stdout
    assert len(files(service.root)) == REFERENCED + 1


def test_one_large_file_is_more_than_a_fifth(service: Service) -> None:
    for path in service.orphans:
        (service.root / path).unlink()
    orphan(service, 1, 10_000)
    assert "1 of 9 files" in service.analyze("gc", "--delete", code=2).stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_the_question_is_asked(service: Service, answer: str) -> None:
    orphan(service)
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "producer", "gc", "--delete"]
    process = subprocess.Popen(
        command, env=service.analyze.environment, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    os.write(ours, f"{answer}\n".encode())
    assert process.communicate(timeout=60)[0].startswith(b"3 files" if answer == "y" else b"")
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "Remove them? [y/N]" in shown
    assert process.returncode == (0 if answer == "y" else 2)
    assert len(files(service.root)) == REFERENCED + 1 + (0 if answer == "y" else 3)


def test_a_database_restored_from_an_older_backup_is_named(service: Service) -> None:
    """Its identity is the same. Files that were written since are unknown to it."""
    grow_old(service.root, 2)
    with service.database.write() as session:
        session.execute(delete(Event))
        session.execute(delete(Artifact).where(Artifact.path != IDENTITY_FILE))
        for shard in session.scalars(select(Shard)):
            shard.result_path = None
        job = session.get_one(Job, service.job)
        job.created_at = job.created_at.fromtimestamp(job.created_at.timestamp() - 5 * DAY, job.created_at.tzinfo)
    error = service.analyze("gc", "--delete", code=2).stderr
    assert "10 of 10 files" in error
    assert "10 of them are newer than everything in the database" in error
    assert len(files(service.root)) == 11
