"""Disk usage: every byte of the store is counted once, and by whom it is used is right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import update

from producer.datasets.removal import OWN_FOLDER
from producer.operations.disk_usage import disk_usage, folder_size
from shared.database.datasets import Dataset
from shared.jobs.ledger import Ledger
from shared.jobs.removal import removable_jobs, remove_job
from shared.jobs.tables import Job
from shared.kinds.top9.tables import SearchedLayer
from shared.settings import Settings
from shared.store.store import Store, StoredFile
from tests.integration.ledger.helpers import claimed, queued, top9
from worker.kinds.common import register_artifacts
from worker.runner import ShardContext


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.resolved_store)


def write(ledger: Ledger, store: Store, job: int, *files: StoredFile) -> None:
    """Complete a shard of the job that writes these files, the first as its result."""
    context = ShardContext(claimed(ledger, queued(ledger, job)[0]), ledger, store, "cpu")
    context.complete(lambda session: register_artifacts(context, session, files), files[0].path)


def test_jobs_with_what_they_share_and_everything_else(
    ledger: Ledger, settings: Settings, store: Store, job: int, dataset: int
) -> None:
    database = ledger.database
    other = ledger.submit(top9(dataset, seed=1))[0]
    used_by_row, used_by_layer, own = (store.put(c * 100, ".npz") for c in (b"a", b"b", b"c"))
    superseded, of_specification = store.put(b"d" * 10, ".npz"), store.put(b"e" * 1000, ".safetensors")
    write(ledger, store, job, used_by_row, used_by_layer, superseded, of_specification)
    write(ledger, store, job, own, used_by_row)
    write(ledger, store, other, used_by_row)
    with database.write() as session:
        session.add(SearchedLayer(job_id=other, layer="c", layer_path="c", contact_sheet_path=used_by_layer.path))
        changed = {**top9(dataset, seed=1).model_dump(mode="json"), "weights_path": of_specification.path}
        session.execute(update(Job).where(Job.id == other).values(specification=changed))
    given = store.put(b"weights" * 10, ".safetensors")  # no row names it
    (store.root / "incoming" / "tmp1").write_bytes(b"x" * 5)
    for file in (given, superseded):
        os.utime(store.root / file.path, (1, 1))
    for shard in queued(ledger, job):
        ledger.complete(claimed(ledger, shard))

    usage = disk_usage(database, settings, store)
    assert [(row.job_id, row.bytes, row.shared_bytes) for row in usage.jobs] == [(job, 1310, 1200), (other, 0, 0)]
    assert usage.kinds == {"top9": 1310}
    assert (usage.of_removed_jobs, usage.incoming, usage.other) == (0, 5, 70)
    assert usage.unreferenced == 80
    assert folder_size(store.root) == 1310 + 5 + 70

    ledger.cancel(job)
    with database.write() as session:
        (removable,) = removable_jobs(session, [job])
    remove_job(database, removable)
    usage = disk_usage(database, settings, store)
    assert [(row.job_id, row.bytes, row.shared_bytes) for row in usage.jobs] == [(other, 0, 0)]
    assert (usage.of_removed_jobs, usage.incoming, usage.other) == (1310, 5, 70)


def test_data_sets_in_the_home_the_cache_and_the_database(
    ledger: Ledger, settings: Settings, store: Store, dataset: int
) -> None:
    database, folder = ledger.database, settings.home / "datasets" / "shapes"
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "images" / "deep" / "1.png").write_bytes(b"x" * 300)
    (folder / "images" / "linked").symlink_to(Path(__file__))
    with database.write() as session:
        for name, root, options in (
            ("drawn", folder / "images", {OWN_FOLDER: True}),
            ("same", folder, {OWN_FOLDER: True}),
            ("mine", Path(__file__).parent, {}),
        ):
            row = {"kind": "folder", "fingerprint": name, "class_names": ["a"], "options": options}
            session.add(Dataset(name=name, root=str(root), **row))
    usage = disk_usage(database, settings, store)
    (found,) = usage.datasets
    assert (found.name, found.folder) == ("drawn, same", str(folder))
    assert 300 < found.bytes < 300 + 500  # the link itself, not what it links to
    assert usage.database > 10_000
    assert usage.pixel_cache == 0
    assert usage.total == found.bytes + usage.database
    assert usage.free > 0


def test_a_store_that_does_not_exist_yet(ledger: Ledger, settings: Settings, store: Store) -> None:
    usage = disk_usage(ledger.database, settings, store)
    assert (usage.total, usage.unreferenced, usage.jobs) == (usage.database, 0, [])
