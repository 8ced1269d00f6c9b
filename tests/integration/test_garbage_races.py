"""Races between `analyze gc --delete` and workers: files that a worker commits exist afterwards and are
complete."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from producer.operations.garbage import find_garbage, remove_garbage
from shared.database.base import utc_now
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.ledger import Claim, Ledger
from shared.jobs.tables import Artifact, Job, Shard, ShardState
from shared.store.references import referenced_artifacts
from shared.store.store import Store, StoredFile, sha256_of, sha256_of_file
from tests.integration.ledger.helpers import SHA256, claimed, queued, shards_of, top9
from worker.kinds.common import register_artifacts
from worker.runner import ShardContext

HOUR = 3600.0
DAY = 24 * HOUR
CONTENT = b"the winners of unit 7"
# State of a content in the store when a worker puts it: missing; left by a killed attempt; or left with a row in
# the table `artifacts`, since the row that referred to it was replaced.
STATES = ("nothing", "an old file", "an old file with its row")
RIVALS = multiprocessing.get_context("spawn")


class Scene:
    """A store and a database with a job whose shards write files."""

    def __init__(self, database: Database, folder: Path, shards: int = 1) -> None:
        self.database, self.ledger, self.store = database, Ledger(database), Store(folder / "store")
        with database.write() as session:
            row = Dataset(
                name="voc", kind="voc", root="/data", options={}, fingerprint=SHA256, class_names=["cat", "dog"]
            )
            session.add(row)
            session.flush()
            self.dataset = row.id
        self.job = self.ledger.submit(top9(self.dataset, search=shards))[0]

    def leave(self, content: bytes, state: str) -> None:
        """Put a content into the store in the given state."""
        if state == "nothing":
            return
        file = self.store.put(content, ".npz")
        grow_old(self.store, file.path)
        if state == "an old file with its row":
            with self.database.write() as session:
                row = Artifact(path=file.path, sha256=file.sha256, bytes=file.bytes, job_id=self.job)
                session.add(row)

    def claim(self) -> Claim:
        return claimed(self.ledger, queued(self.ledger, self.job)[0])

    def collect(self, seconds: float = DAY) -> None:
        remove_garbage(self.database, self.store, find_garbage(self.database, self.store, seconds))

    def check(self, committed: int) -> None:
        """Check that all files named by rows exist, are complete and registered, and count the done shards."""
        with self.database.read() as session:
            named = sorted(
                {*referenced_artifacts(session)} - {f"ab/{SHA256}.safetensors"}
            )  # the weights are not real
            known = set(session.scalars(select(Artifact.path)))
        wrong = [path for path in named if sha256_of_file(self.store.locate(path)) != sha256_of(path)]
        assert wrong == []
        assert set(named) <= known
        done = [shard for shard in shards_of(self.ledger, self.job) if shard.state == ShardState.DONE]
        assert len(done) == committed
        assert list(self.store.root.glob("incoming/*")) == []


def grow_old(store: Store, path: str) -> None:
    os.utime(store.root / path, (time.time() - 2 * DAY,) * 2)


def commit(ledger: Ledger, store: Store, claim: Claim, file: StoredFile) -> None:
    """Complete a shard as a worker does."""
    context = ShardContext(claim, ledger, store, "cpu")
    context.complete(lambda session: register_artifacts(context, session, [file]), file.path)


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Scene:
    return Scene(database, tmp_path)


# --- interleavings ---


@pytest.mark.parametrize("state", STATES)
def test_gc_between_writing_a_file_and_its_row(scene: Scene, state: str) -> None:
    scene.leave(CONTENT, state)
    claim = scene.claim()
    file = scene.store.put(CONTENT, ".npz")
    scene.collect()
    commit(scene.ledger, scene.store, claim, file)
    scene.check(committed=1)


@pytest.mark.parametrize("state", STATES)
def test_a_worker_writes_between_the_choice_and_the_removal_of_a_file(scene: Scene, state: str) -> None:
    scene.leave(CONTENT, state)
    claim = scene.claim()
    chosen = find_garbage(scene.database, scene.store, DAY)
    assert len(chosen) == (state != "nothing")
    commit(scene.ledger, scene.store, claim, scene.store.put(CONTENT, ".npz"))
    assert remove_garbage(scene.database, scene.store, chosen) == []
    scene.check(committed=1)


class Writer:
    """A worker that puts the content when called; its commit may have to wait for gc's transaction."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.claim = scene, scene.claim()
        self.thread: threading.Thread | None = None
        self.failed: list[BaseException] = []

    def __call__(self) -> None:
        file = self.scene.store.put(CONTENT, ".npz")
        self.thread = threading.Thread(target=self._commit, args=(file,))
        self.thread.start()
        self.thread.join(1)  # on PostgreSQL it may finish before gc

    def _commit(self, file: StoredFile) -> None:
        try:
            commit(self.scene.ledger, self.scene.store, self.claim, file)
        except BaseException as error:
            self.failed.append(error)

    def end(self) -> None:
        assert self.thread is not None, "gc never came there"
        self.thread.join()
        assert self.failed == []


def once(thread: int, condition: Callable[[], bool], then: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls ``then`` the first time that ``condition`` holds in the thread."""
    left = [then]

    def look() -> None:
        if left and threading.get_ident() == thread and condition():
            left.pop()()

    return look


@pytest.mark.parametrize("state", STATES[1:])
@pytest.mark.parametrize("moment", ["looked at", "gone"])
def test_a_worker_writes_during_the_removal_of_a_file(
    scene: Scene, state: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes right before the file is removed, and right after."""
    scene.leave(CONTENT, state)
    chosen = find_garbage(scene.database, scene.store, DAY)
    (target,) = (scene.store.root / file.path for file in chosen)
    writer = Writer(scene)
    gone = moment == "gone"
    looked = [False]
    look = once(threading.get_ident(), lambda: (looked[0] and not gone) or (gone and not target.exists()), writer)
    real = {name: getattr(Path, name) for name in ("stat", "unlink", "rename")}

    def watched(name: str) -> Callable[..., Any]:
        def call(path: Path, *arguments: Any, **options: Any) -> Any:
            answer = real[name](path, *arguments, **options)
            looked[0] |= (name, path) == ("stat", target)
            if name != "stat" or not gone:
                look()
            return answer

        return call

    for name in real:
        monkeypatch.setattr(Path, name, watched(name))
    removed = remove_garbage(scene.database, scene.store, chosen)
    monkeypatch.undo()
    writer.end()
    assert len(removed) == gone
    scene.check(committed=1)


def test_gc_while_a_worker_commits_what_it_wrote_long_ago(scene: Scene) -> None:
    """The worker has found its old file in the store and has not committed.

    gc has already chosen the file, and does not recognize it as recent, since the worker's clock is wrong.
    """
    claim = scene.claim()
    file = scene.store.put(CONTENT, ".npz")
    grow_old(scene.store, file.path)
    chosen = find_garbage(scene.database, scene.store, DAY)
    assert [one.path for one in chosen] == [file.path]
    remover = threading.Thread(target=remove_garbage, args=(scene.database, scene.store, chosen))
    context = ShardContext(claim, scene.ledger, scene.store, "cpu")

    def write(session: Any) -> None:
        register_artifacts(context, session, [file])
        remover.start()
        remover.join(1)  # on SQLite it waits for this transaction

    context.complete(write, file.path)
    remover.join()
    scene.check(committed=1)


def test_gc_keeps_files_that_a_running_shard_may_have_written(scene: Scene) -> None:
    """Files of any age since the start of the attempt, which can take days."""
    claim = scene.claim()
    before = scene.store.put(b"left by a dead attempt", ".npz")
    os.utime(scene.store.root / before.path, (time.time() - 5 * DAY,) * 2)
    with scene.database.write() as session:
        session.execute(
            update(Shard).where(Shard.id == claim.shard_id).values(started_at=utc_now() - timedelta(days=3))
        )
    file = scene.store.put(CONTENT, ".npz")
    grow_old(scene.store, file.path)
    scene.collect(HOUR)
    assert not (scene.store.root / before.path).exists()
    commit(scene.ledger, scene.store, claim, file)
    scene.check(committed=1)


# --- concurrent processes ---

ROUNDS = 8
WRITERS = 2
SHARDS_OF_EACH = 6
PATIENCE = 120  # seconds
CONTENTS = [f"the winners of shard {number}".encode() * 1000 for number in range(8)]


def _write(url: str, root: str, number: int, claims: Any, begin: Barrier, over: Barrier, failed: Any) -> None:
    """Write and commit the claims of each round. Runs as a worker process."""
    database = Database(url)
    ledger, store, draw = Ledger(database), Store(Path(root)), random.Random(number)
    for _ in range(ROUNDS):
        begin.wait()
        for claim in claims.get():
            try:
                commit(ledger, store, claim, store.put(draw.choice(CONTENTS), ".npz"))
            except BaseException as error:
                failed.put(f"{type(error).__name__}: {error}")
        over.wait()
    database.close()


def _collect(url: str, root: str, begin: Barrier, over: Barrier, writing: Event, removed: Any) -> None:
    """Run `analyze gc --delete` repeatedly while the workers write."""
    database, store = Database(url), Store(Path(root))
    for _ in range(ROUNDS):
        begin.wait()
        count = 0
        while True:
            last = not writing.is_set()
            count += len(remove_garbage(database, store, find_garbage(database, store, DAY)))
            if last:
                break
        removed.put(count)
        over.wait()
    database.close()


def test_concurrent_gc_removes_no_committed_files(database: Database, tmp_path: Path) -> None:
    """In each round, some contents are new, and some exist as old unreferenced files with or without rows."""
    count = WRITERS * SHARDS_OF_EACH
    scene = Scene(database, tmp_path, shards=count)
    url, root = database.url.render_as_string(hide_password=False), str(scene.store.root)
    begin, over = RIVALS.Barrier(WRITERS + 2), RIVALS.Barrier(WRITERS + 1)
    finished = RIVALS.Barrier(2)
    writing, claims, failed, removed = RIVALS.Event(), RIVALS.Queue(), RIVALS.Queue(), RIVALS.Queue()
    processes = [
        RIVALS.Process(target=_write, args=(url, root, number, claims, begin, over, failed), daemon=True)
        for number in range(WRITERS)
    ]
    processes.append(
        RIVALS.Process(target=_collect, args=(url, root, begin, finished, writing, removed), daemon=True)
    )
    for process in processes:
        process.start()
    draw, total = random.Random(1), 0
    for number in range(ROUNDS):
        if number:
            with database.write() as session:  # remove the references to the files of the previous round
                session.execute(update(Shard).values(result_path=None))
                session.execute(update(Job).where(Job.id == scene.job).values(state="done", shards_left=0))
            scene.job = scene.ledger.submit(top9(scene.dataset, search=count), force=True)[0]
        for file in scene.store.root.glob("??/*"):
            os.utime(file, (time.time() - 2 * DAY,) * 2)
        for content in draw.sample(CONTENTS, 4):
            path = scene.store.put(content, ".npz").path
            grow_old(scene.store, path)
        for _ in range(WRITERS):
            claims.put([scene.claim() for _ in range(SHARDS_OF_EACH)])
        writing.set()
        begin.wait(PATIENCE)
        over.wait(PATIENCE)
        writing.clear()
        finished.wait(PATIENCE)
        assert failed.empty(), failed.get()
        total += removed.get(timeout=PATIENCE)
        scene.check(committed=count)
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert total > 0
