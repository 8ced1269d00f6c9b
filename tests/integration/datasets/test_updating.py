"""Reading a data set again: what has changed, and which content jobs refer to afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select

from producer.datasets.reading import chosen_before, read_dataset
from producer.datasets.updating import DatasetUpdate, compare, update_dataset
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image
from shared.errors import NoSuchDataset, UsageError
from shared.jobs.ledger import Ledger
from shared.jobs.removal import removable_jobs, remove_job
from tests.integration.datasets.helpers import GOOD, encoded, noise
from tests.integration.ledger.helpers import job_of, top9


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of two images each."""
    for name in ("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"):
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(noise(seed=len(name) + ord(name[0]) + ord(name[4]))))
    return tmp_path / "pictures"


def add(database: Database, root: Path, kind: str = "folder", **chosen: object) -> int:
    return register(database, "mine", read_dataset(kind, root, chosen, lambda done, total: None))[0]


def update(database: Database, root: Path | None = None, dry_run: bool = False) -> DatasetUpdate:
    with database.read() as session:
        dataset = session.scalars(select(Dataset).where(Dataset.name == "mine")).one()
    found = read_dataset(
        dataset.kind, root or Path(dataset.root), chosen_before(dataset), lambda done, total: None
    )
    return (compare if dry_run else update_dataset)(database, "mine", found)


def submit(database: Database, dataset_id: int) -> int:
    with database.read() as session:
        fingerprint = session.get_one(Dataset, dataset_id).fingerprint
    asked = top9(dataset_id).model_copy(update={"dataset_fingerprint": fingerprint})
    return Ledger(database).submit(asked)[0]


def registered(database: Database) -> dict[str, tuple[int, str, int]]:
    """Name -> (id, root, images)."""
    with database.read() as session:
        return {
            dataset.name: (
                dataset.id,
                dataset.root,
                session.scalar(select(func.count()).where(Image.dataset_id == dataset.id)) or 0,
            )
            for dataset in session.scalars(select(Dataset))
        }


def spoil(root: Path) -> None:
    """Add one image, remove one, and change one."""
    (root / "cat" / "new.png").write_bytes(encoded(noise(seed=1)))
    (root / "cat" / "a.png").unlink()
    (root / "dog" / "a.png").write_bytes(encoded(noise(seed=2)))


def test_the_same_content_changes_nothing(database: Database, pictures: Path) -> None:
    add(database, pictures)
    before = registered(database)
    assert update(database).is_same
    assert registered(database) == before


def test_what_was_added_removed_and_changed_is_named(database: Database, pictures: Path) -> None:
    add(database, pictures)
    spoil(pictures)
    for found in (update(database, dry_run=True), update(database)):
        assert (found.added, found.removed, found.changed) == (["cat/new.png"], ["cat/a.png"], ["dog/a.png"])
        assert found.fingerprint != found.fingerprint_before
        assert found.earlier_version is None
    after = registered(database)
    assert list(after) == ["mine"]  # no job needs the version before
    assert after["mine"][2] == 4


def test_a_dry_run_changes_nothing(database: Database, pictures: Path) -> None:
    add(database, pictures)
    spoil(pictures)
    before = registered(database)
    update(database, dry_run=True)
    assert registered(database) == before


def test_a_change_of_the_split_is_a_change(database: Database, pictures: Path) -> None:
    for name in ("train", "val"):
        shutil.copytree(pictures / "cat", pictures.parent / "split" / name / "cat")
    split = pictures.parent / "split"
    (split / "val" / "cat" / "b.png").unlink()
    add(database, split)
    (split / "train" / "cat" / "b.png").rename(split / "val" / "cat" / "b.png")
    found = update(database)
    assert (found.added, found.removed) == (["val/cat/b.png"], ["train/cat/b.png"])


def test_jobs_keep_the_content_that_they_were_submitted_on(database: Database, pictures: Path) -> None:
    first = add(database, pictures)
    job = submit(database, first)
    spoil(pictures)
    found = update(database)
    names = registered(database)
    assert found.earlier_version == f"mine@{found.fingerprint_before[:8]}"
    assert names[found.earlier_version][0] == job_of(Ledger(database), job).dataset_id == first
    assert names["mine"][0] != first
    assert submit(database, names["mine"][0]) != job


def test_content_that_comes_back_is_the_earlier_version(database: Database, pictures: Path) -> None:
    """So that the same request finds the old job."""
    kept = shutil.copytree(pictures, pictures.parent / "kept")
    first = add(database, pictures)
    job = submit(database, first)
    spoil(pictures)
    update(database)
    submit(database, registered(database)["mine"][0])
    shutil.rmtree(pictures)
    shutil.copytree(kept, pictures)
    back = update(database)
    assert registered(database)["mine"][0] == first
    assert submit(database, first) == job
    assert back.earlier_version
    assert set(registered(database)) == {"mine", back.earlier_version}


def test_a_folder_that_was_moved(database: Database, pictures: Path) -> None:
    """The data set and its earlier versions are looked for at the new place."""
    first = add(database, pictures)
    submit(database, first)
    spoil(pictures)
    earlier = update(database).earlier_version
    moved = pictures.rename(pictures.parent / "moved")
    assert update(database, moved).is_same
    assert {name: root for name, (_, root, _) in registered(database).items()} == {
        "mine": str(moved),
        earlier: str(moved),
    }


def test_problems_are_replaced_by_an_update(database: Database, pictures: Path) -> None:
    (pictures / "cat" / "broken.png").write_bytes(GOOD[:40])
    add(database, pictures)
    (pictures / "cat" / "broken.png").unlink()
    assert update(database).is_same
    with database.read() as session:
        assert session.scalars(select(DatasetProblem)).all() == []


def test_what_was_chosen_is_chosen_again(database: Database, pictures: Path, shapes_root: Path) -> None:
    add(database, shapes_root, "voc", whole=True, splits=("val",))
    found = read_dataset("voc", shapes_root, {"whole": True, "splits": ("val",)}, lambda done, total: None)
    assert update(database, dry_run=True).fingerprint == found.fingerprint
    with database.read() as session:
        dataset = session.scalars(select(Dataset)).one()
    assert chosen_before(dataset) == {"whole": True, "splits": ["val"], "classes": "auto", "boxes": "from-1"}
    before = dict(dataset.options)
    del before["chosen"]  # as an older program registered it
    dataset.options = before
    assert chosen_before(dataset)["splits"] == ["val"]


@pytest.mark.parametrize(
    "options",
    [
        {"chosen": []},
        {"chosen": {"years": True}},
        {"chosen": {"splits": ["../../etc"]}},
        {"chosen": {"splits": "val"}},
        {"chosen": {"whole": "yes"}},
        {"splits": [7]},
    ],
    ids=str,
)
def test_options_of_an_imported_data_set_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="options of data set 'mine' can't be read"):
        chosen_before(Dataset(name="mine", kind="voc", root="/data", options=options))


def test_a_kind_that_is_not_known_is_an_error() -> None:
    with pytest.raises(UsageError, match="can't be read"):
        chosen_before(Dataset(name="mine", kind="other", root="/data", options={}))


def test_an_earlier_version_can_be_removed_with_its_job(database: Database, pictures: Path) -> None:
    job = submit(database, add(database, pictures))
    Ledger(database).cancel(job)
    spoil(pictures)
    update(database)
    with database.write() as session:
        jobs = removable_jobs(session, [job])
    remove_job(database, jobs[0])
    spoiled = pictures / "cat" / "new.png"
    spoiled.unlink()
    assert update(database).earlier_version is None
    assert len(registered(database)) == 2  # the version of the removed job stays until it is removed


def test_a_data_set_that_is_not_registered(database: Database, pictures: Path) -> None:
    found = read_dataset("folder", pictures, {}, lambda done, total: None)
    with pytest.raises(NoSuchDataset):
        update_dataset(database, "mine", found)
    register(database, "pets", found)
    with pytest.raises(NoSuchDataset, match=r"'petz' \(did you mean pets\?\)\. Registered: pets\. "):
        update_dataset(database, "petz", found)
