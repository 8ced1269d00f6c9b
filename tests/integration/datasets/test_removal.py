"""``analyze dataset rm``: refused while jobs need the data set; only the program's own files are deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.ledger import Ledger
from tests.conftest import Analyze
from tests.integration.datasets.helpers import encoded, noise
from tests.integration.ledger.helpers import top9
from unitscope.images.pixel_files import file_name


@pytest.fixture
def analyze(tmp_path: Path, database_url: str) -> Analyze:
    """The command line on each database, with a data set of its own drawing, ``shapes``."""
    found = Analyze(tmp_path / "home", database_url)
    found("db", "upgrade")
    found("dataset", "add", "shapes", "--images", 20)
    return found


def submit(analyze: Analyze, name: str = "shapes") -> int:
    database = Database(analyze.database_url)
    with database.read() as session:
        dataset = session.scalars(select(Dataset).where(Dataset.name == name)).one()
    asked = top9(dataset.id).model_copy(update={"dataset_fingerprint": dataset.fingerprint})
    job = Ledger(database).submit(asked)[0]
    database.close()
    return job


def rows(analyze: Analyze) -> dict[str, int]:
    database = Database(analyze.database_url)
    with database.read() as session:
        names = ("datasets", "images", "image_splits", "dataset_problems", "jobs", "shards", "events")
        tables = Base.metadata.tables
        counts = {name: session.scalar(select(func.count()).select_from(tables[name])) or 0 for name in names}
    database.close()
    return {name: count for name, count in counts.items() if count}


def test_what_the_program_drew_is_deleted_and_the_name_is_free(analyze: Analyze) -> None:
    folder = analyze.home / "datasets" / "shapes"
    assert analyze.json("dataset", "rm", "shapes", "--dry-run")["folder"] == str(folder)
    assert folder.is_dir()
    assert str(folder) in analyze("dataset", "rm", "shapes").stdout
    assert rows(analyze) == {}
    assert not folder.exists()
    analyze("dataset", "add", "shapes", "--images", 40)
    assert analyze.json("dataset", "ls")[0]["images"] == 80


def test_the_programs_own_files_can_be_kept(analyze: Analyze) -> None:
    analyze("dataset", "rm", "shapes", "--keep-files")
    assert (analyze.home / "datasets" / "shapes").is_dir()


def test_files_that_another_data_set_uses_stay(analyze: Analyze) -> None:
    folder = analyze.home / "datasets" / "shapes"
    analyze("dataset", "add", "shapes", "--root", folder, "--whole", "--name", "whole")
    analyze("dataset", "rm", "shapes")
    assert folder.is_dir()
    analyze("dataset", "rm", "whole")  # added with --root: not the program's own
    assert folder.is_dir()


def test_files_of_the_user_are_not_touched(analyze: Analyze, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "a.png").write_bytes(encoded(noise()))
    analyze("dataset", "add", "folder", "--root", tmp_path / "mine", "--name", "mine")
    assert "stay" in analyze("dataset", "rm", "mine").stdout
    assert len(list((tmp_path / "mine").rglob("*.png"))) == 2
    assert [row["name"] for row in analyze.json("dataset", "ls")] == ["shapes"]


def test_decoded_images_go_unless_the_same_content_is_registered_twice(analyze: Analyze) -> None:
    folder = analyze.home / "datasets" / "shapes"
    analyze("dataset", "add", "shapes", "--root", folder, "--name", "again")
    fingerprint = analyze.json("dataset", "ls")[0]["fingerprint"]
    pixels = analyze.home / "cache" / file_name(fingerprint, 64)
    pixels.parent.mkdir()
    pixels.write_bytes(bytes(100))
    analyze("dataset", "rm", "again")
    assert pixels.exists()
    analyze("dataset", "rm", "shapes")
    assert not pixels.exists()


def test_a_data_set_with_jobs_is_refused_and_they_are_named(analyze: Analyze) -> None:
    job = submit(analyze)
    before = rows(analyze)
    for options in ([], ["--dry-run"]):
        refused = analyze("dataset", "rm", "shapes", *options, code=2)
        assert f"used by job {job}" in refused.stderr
        assert "--with-jobs" in refused.stderr
    refused = analyze("dataset", "rm", "shapes", "--with-jobs", code=2)
    assert f"`analyze cancel {job}`" in refused.stderr
    assert rows(analyze) == before
    assert (analyze.home / "datasets" / "shapes").is_dir()


def test_with_jobs_they_are_removed_too(analyze: Analyze) -> None:
    job = submit(analyze)
    analyze("cancel", job)
    shown = analyze.json("dataset", "rm", "shapes", "--with-jobs", "--dry-run")
    assert [row["job_id"] for row in shown["jobs"]] == [job]
    assert rows(analyze)["jobs"] == 1
    analyze("dataset", "rm", "shapes", "--with-jobs")
    assert rows(analyze) == {}
    assert "was removed on" in analyze("status", job, code=4).stderr


def test_a_data_set_that_is_not_registered(analyze: Analyze) -> None:
    assert "shapes" in analyze("dataset", "rm", "nothing", code=4).stderr
