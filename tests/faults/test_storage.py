"""Full and read-only stores; artifacts that are deleted or changed while a job runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.database.networks import Checkpoint, CheckpointKind
from shared.jobs.tables import JobState, Shard
from shared.kinds.correspondence.tables import CorrespondenceImage
from tests.faults.conftest import Catalogue
from tests.faults.harness import ANALYSES, FIRST_RUN, Case, send_signal
from tests.faults.servers import Storage

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def failed_with(case: Case, job: int, words: str) -> None:
    """Wait until the job has failed at the first attempt, with this text in its error."""
    case.home.wait(lambda: case.home.ended(job))
    row = case.home.job(job)
    assert row.state == JobState.FAILED, case.events()
    assert words in (row.error or ""), row.error
    shards = [shard for shard in case.home.shards(job) if shard.state == "failed"]
    assert [shard.attempt for shard in shards] == [1]


def storage_of(case: Case) -> Storage:
    """The store's own disk."""
    assert case.home.storage
    if not case.home.storage.mounted:
        pytest.skip("mounting isn't permitted; the acceptance tests limit the file size instead")
    return case.home.storage


# --- the disk ---


def disk_full(case: Case) -> None:
    storage = storage_of(case)
    left = set((case.home.store / "incoming").iterdir())
    case.faults += 1
    storage.leave(case.draw.choice((0, 4096, 50_000)))
    try:
        job = case.submit()
        failed_with(case, job, "No space left in the artifact store")
        case.wait_until(lambda: set((case.home.store / "incoming").iterdir()) <= left)
    finally:
        storage.enlarge()
    case.home("retry", job)


def read_only(case: Case) -> None:
    storage = storage_of(case)
    case.faults += 1
    storage.allow_writing(False)
    try:
        job = case.submit()
        failed_with(case, job, "can't be written")
    finally:
        storage.allow_writing(True)
    case.home("retry", job)


CATALOGUE.add("disk full", disk_full)
CATALOGUE.add("store read-only", read_only)


# --- artifacts ---


def delete(file: Path) -> None:
    file.unlink()


def change(file: Path) -> None:
    """Change a byte in the second half of the file."""
    content = bytearray(file.read_bytes())
    place = len(content) * 3 // 4
    content[place] ^= 0x55
    file.write_bytes(content)


READING = {  # the stage that reads files which the job has written; the kind ``filters`` has none
    "train": "train",
    "top9": "select",
    "occlusion": "finish",
    "features": "finish",
    "evolution": "select",
    "invariance": "finish",
    "correspondence": "compare",
    "probe": "fit",
}


def needed_later(case: Case) -> Path:
    """Hold a job after it has written a file that it will read later; returns the file.

    The shard that reads the file is claimed, or will be claimed again.
    """
    stage = READING[case.kind]
    if case.kind == "train":  # in its second or third epoch; it resumes from the state of the epoch before
        killed = case.inject("computing", "kill child", stage=stage, skip=case.draw.randrange(7, 15))
        case.extra = (0, 0)  # the retry resets the number of attempts
    held = case.inject("claimed", "hold", stage=stage, skip=0)
    if case.kind == "train":
        # The first worker to claim is released and killed later; the worker of the next attempt is held instead.
        job = case.submit()
        held.reached()
        second = case.inject("claimed", "hold", stage=stage)
        held.release()
        killed.reached()
        second.reached()
        case.release = second.release
        with case.home.database.read() as session:
            state = select(Checkpoint.path).where(
                Checkpoint.job_id == job, Checkpoint.kind == CheckpointKind.STATE
            )
            return case.home.store / session.scalars(state).one()
    job = case.submit()
    held.reached()
    case.release = held.release
    with case.home.database.read() as session:
        results = session.scalars(
            select(CorrespondenceImage.array_path).where(CorrespondenceImage.job_id == job)
            if case.kind == "correspondence"
            else select(Shard.result_path).where(Shard.job_id == job, Shard.result_path.is_not(None))
        ).all()
    return case.home.store / case.draw.choice(sorted(filter(None, results)))


def artifact(case: Case, harm: Callable[[Path], None], says: str) -> None:
    """The job fails with an error and no results; once the file is restored, it can be retried."""
    file = needed_later(case)
    content = file.read_bytes()
    harm(file)
    try:
        case.release()
        job = max(case.jobs)
        case.home.wait(lambda: case.home.ended(job))
        row = case.home.job(job)
        assert row.state == JobState.FAILED, case.events()
        assert says in (row.error or ""), row.error
        assert file.name in (row.error or "")
    finally:
        file.write_bytes(content)
    case.home("retry", job)


def weights_of_run(case: Case, kind: CheckpointKind) -> Path:
    """Return the first weights of this kind that the training run of the home kept."""
    query = select(Checkpoint.path).where(Checkpoint.job_id == FIRST_RUN, Checkpoint.kind == kind)
    with case.home.database.read() as session:
        return case.home.store / session.scalars(query.order_by(Checkpoint.epoch).limit(1)).one()


def weights(case: Case, harm: Callable[[Path], None], says: str) -> None:
    """Do the same with the weights of the network that is analysed."""
    file = weights_of_run(case, CheckpointKind.EPOCH if case.kind == "evolution" else CheckpointKind.BEST)
    for worker in case.home.children():  # they have the network in memory
        send_signal(worker.pid, signal.SIGKILL)
    content = file.read_bytes()
    case.faults += 1
    harm(file)
    try:
        job = case.submit()
        failed_with(case, job, says)
        assert file.name in (case.home.job(job).error or "")
    finally:
        file.write_bytes(content)
    case.home("retry", job)


def changed_before(case: Case) -> None:
    """A damaged file is repaired when a later job writes the same content."""
    file = weights_of_run(case, CheckpointKind.BEST)
    case.faults += 1
    change(file)
    case.submit("train")


for harm, word, says in ((delete, "deleted", "is not in the store"), (change, "changed", "is damaged")):
    CATALOGUE.add(f"artifact {word}", partial(artifact, harm=harm, says=says), kinds=tuple(READING))
    CATALOGUE.add(
        f"weights {word}",
        partial(weights, harm=harm, says=says),
        # An evolution whose weights are deleted is refused when it is submitted.
        kinds=tuple(kind for kind in ANALYSES if (kind, word) != ("evolution", "deleted")),
    )
CATALOGUE.add("artifact changed and made again", changed_before, kinds=("train",))
