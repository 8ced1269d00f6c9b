"""What can be registered under a name, and what is refused: nothing usable, and a name that is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from producer.datasets.folder import read_folder
from shared.database import catalogue
from shared.database.catalogue import FoundDataset, register
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.errors import DatasetElsewhere, DatasetExists
from tests.conftest import Analyze
from tests.integration.datasets.helpers import GOOD, Voc, an_annotation, an_object, write_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", ["ant/a.png", "bee/b.png"])


def counted(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Dataset)) or 0


def test_the_same_content_at_another_root_is_called_so(photos: Path, tmp_path: Path, database: Database) -> None:
    assert register(database, "photos", read_folder(photos))[1]
    copy = shutil.copytree(photos, tmp_path / "copy")
    with pytest.raises(DatasetElsewhere) as refused:
        register(database, "photos", read_folder(copy))
    said = str(refused.value)
    assert f"with the same content is already registered, at {photos}" in said
    assert f"`analyze dataset update photos --root {copy}`" in said
    assert "other content" not in said
    assert not register(database, "photos", read_folder(photos))[1]
    assert register(database, "copy", read_folder(copy))[1]


def test_other_content_is_called_so_and_where_it_is(photos: Path, database: Database) -> None:
    register(database, "photos", read_folder(photos))
    write_folder(photos, ["bee/c.png"])
    expected = r"with other content is already registered \(at .*photos\).*`analyze dataset update photos`"
    with pytest.raises(DatasetExists, match=expected):
        register(database, "photos", read_folder(photos))


@pytest.mark.parametrize("which", ["same", "elsewhere", "other"])
def test_a_name_that_another_process_takes_meanwhile(
    photos: Path, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """It comes between the look at the name and the insertion, which the database then refuses."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: nothing comes between")
    found = read_folder(photos)
    theirs = {
        "same": found,
        "elsewhere": read_folder(shutil.copytree(photos, tmp_path / "copy")),
        "other": read_folder(write_folder(tmp_path / "other", ["ant/a.png"])),
    }[which]
    insert = catalogue.insert_dataset

    def too_late(session: Session, name: str, found: FoundDataset) -> int:
        monkeypatch.undo()
        register(database, name, theirs)
        return insert(session, name, found)

    monkeypatch.setattr(catalogue, "insert_dataset", too_late)
    if which == "same":
        assert register(database, "photos", found) == (1, False)
    else:
        with pytest.raises(DatasetElsewhere if which == "elsewhere" else DatasetExists):
            register(database, "photos", found)
    assert counted(database) == 1


def test_a_data_set_of_which_nothing_is_usable_is_an_error_and_takes_no_name(
    analyze: Analyze, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "photos", ["ant/a.png", "ant/b.png"], b"no image")
    (root / "ant" / "c.png").symlink_to("nothing.png")
    done = analyze("dataset", "add", "folder", "--root", root, "--name", "photos", code=2)
    assert done.stdout == ""
    assert f"No image at {root} can be used (broken image: 2, missing file: 1)" in " ".join(done.stderr.split())
    assert analyze.json("dataset", "ls") == []
    (root / "ant" / "a.png").write_bytes(GOOD)
    assert analyze("dataset", "add", "folder", "--root", root, "--name", "photos").stdout == "photos\n"


def test_annotations_without_a_usable_object_are_counted(analyze: Analyze, tmp_path: Path) -> None:
    voc = Voc(tmp_path / "VOCdevkit")
    voc.add("one", an_object("unicorn"), an_object("dog", (5, 5, 2, 2)))
    voc.annotation("two", an_annotation("missing.png", an_object()))
    voc.split("train", "one", "two", "three")
    said = " ".join(analyze("dataset", "add", "voc", "--root", voc.root, code=2).stderr.split())
    for count in ("unknown class: 1", "box without area: 1", "missing file: 1", "missing annotation: 1"):
        assert count in said
    voc.split("train")
    voc.add("one")
    assert "none is listed" in " ".join(
        analyze("dataset", "add", "voc", "--root", voc.root, code=2).stderr.split()
    )
    assert analyze.json("dataset", "ls") == []
