"""Rows that no version of the program writes, such as earlier imports left: each command says what is wrong, or
goes on without them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, text, update

from producer.operations.garbage import find_garbage
from shared.database.catalogue import find_network_description, insert_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import Network
from shared.errors import DatabaseDamaged, DatabaseUnreachable
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from tests.hostile.exports import found_dataset, make_victim, new_home
from tests.integration.cli.helpers import Done, Home
from unitscope.data.images import ImageSource, UnreadableImage, read_image
from unitscope.description import VERSION, NetworkDescription, NetworkSpecification

TOP9, TRAIN, OCCLUSION = 1, 2, 3
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
UNCLAIMED = {"token": None, "lease_until": None}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    make_victim(tmp_path / "home")
    return Home(tmp_path / "home")


DAMAGED: dict[str, dict[str, str]] = {
    "a text as summary": {"summary": '"x"'},
    "a summary of another shape": {"summary": '{"layers": [{"layer": []}, 5]}'},
    "a list as specification": {"specification": "[]"},
    "an empty specification": {"specification": "{}"},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_commands_show_a_job_with_a_damaged_row(name: str, home: Home, tmp_path: Path) -> None:
    for column, value in DAMAGED[name].items():
        home.change(f"UPDATE jobs SET {column} = '{value}'")
    jobs = (TOP9, TRAIN, OCCLUSION)
    calls: list[tuple[Any, dict[str, str]]] = [(("ls",), {}), (("ls", "--json"), {})]
    for job in jobs:
        page = tmp_path / f"{job}.html"
        calls += [((*words, job), {}) for words in (("status",), ("status", "--json"), ("results",))]
        calls += [(("results", job, *words), {}) for words in (("--html", page), ("--layer", "5"))]
    calls += [(("results", TOP9, "--bottom"), {}), (("results", OCCLUSION, "--positions"), {})]
    calls += [(("compare", TRAIN), {}), (("export", TOP9, tmp_path / "x.tar"), {})]
    done = home.many(calls)
    assert [(words, said.stderr) for (words, _), said in zip(calls, done, strict=True) if is_broken(said)] == []
    codes = {" ".join(map(str, words)): said.returncode for (words, _), said in zip(calls, done, strict=True)}
    for job in jobs:
        assert {codes[f"{command} {job}"] for command in ("status", "status --json", "results")} == {0}
    assert codes["ls"] == 0
    if "summary" in DAMAGED[name]:
        shown = done[[words for words, _ in calls].index(("status", TOP9))]
        assert "The summary of this 'top9' job can't be read" in shown.stderr
        assert "done, 100%" in shown.stdout


# Column -> a value in SQL that the program never writes, and commands that read it.
WRONG_VALUES: list[tuple[str, str, str, tuple[object, ...]]] = [
    ("jobs", "specification", "'{bad'", ("ls",)),
    ("jobs", "summary", "'{bad'", ("status", TOP9)),
    ("jobs", "created_at", "'yesterday'", ("ls", "--json")),
    ("jobs", "created_at", "5", ("du",)),
    ("jobs", "error", "CAST(x'ff41' AS TEXT)", ("status", TOP9, "--json")),
    ("jobs", "shards_total", "'many'", ("ls",)),
    ("datasets", "options", "'{bad'", ("dataset", "ls")),
    ("datasets", "options", "'[]'", ("dataset", "show", "mine")),
    ("datasets", "options", "x'ff'", ("results", TOP9, "--html", "page.html")),
    ("datasets", "class_names", "'[5]'", ("dataset", "show", "mine")),
    ("datasets", "name", "CAST(x'ff41' AS TEXT)", ("dataset", "ls", "--json")),
    ("events", "at", "''", ("logs", TOP9)),
    ("unit_statistics_rows", "histogram", "'['", ("results", TOP9, "--statistics")),
    ("shards", "payload", "'['", ("status", OCCLUSION)),
    ("shards", "work_done", "'x'", ("status", TOP9, "--json")),
    ("training_runs", "environment", "'{'", ("compare", TRAIN)),
]


def test_a_value_that_cannot_be_read_is_named(home: Home, tmp_path: Path) -> None:
    """The message names the table, the column, and the row, and the exit code is that of a failure."""
    calls: list[tuple[Any, dict[str, str]]] = []
    for number, (table, column, value, words) in enumerate(WRONG_VALUES):
        copy = tmp_path / str(number)
        shutil.copytree(home.home, copy)
        with closing(sqlite3.connect(copy / "unitscope.sqlite3")) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(f"UPDATE {table} SET {column} = {value}")
        calls.append((words, {"home": str(copy)}))
    for (table, column, *_), said in zip(WRONG_VALUES, home.many(calls), strict=True):
        (line,) = said.stderr.splitlines()  # stdout can have what was printed before the value was reached
        assert said.returncode == 1
        assert f"`{column}` of the row of the table `{table}` with " in line
        assert re.search("id = [12] |unit = 1 ", line), line
        assert "analyze db restore" in line


def test_a_damaged_value_is_named_on_both_databases(database: Database) -> None:
    found = found_dataset()
    with database.write() as session:
        insert_dataset(session, "mine", found)
    wrong = {"class_names": "'{}'", "created_at": "'infinity'"}
    for column, value in wrong.items():
        with database.write() as session:
            session.execute(text(f"UPDATE datasets SET {column} = {value}"))
        with pytest.raises(
            DatabaseDamaged, match=f"`{column}` of the row of the table `datasets` with id = '?1'? is"
        ):
            database.refuse_damage(ValueError())
        with database.write() as session:
            session.execute(text("UPDATE datasets SET class_names = '[]', created_at = '2026-01-01 00:00:00'"))
        database.refuse_damage(ValueError())
    with database.write() as session:
        session.execute(text("UPDATE datasets SET created_at = 'infinity'"))
    with pytest.raises(DatabaseDamaged), database.read() as session:
        session.scalars(select(Dataset)).all()


def test_damaged_files_of_postgresql_give_a_line(database: Database) -> None:
    if not database.is_sqlite:
        damaged = "DO $$ BEGIN RAISE EXCEPTION 'invalid page in block 3' USING ERRCODE = 'XX001'; END $$"
        with pytest.raises(DatabaseUnreachable, match="invalid page in block 3"), database.read() as session:
            session.execute(text(damaged))


def is_broken(said: Done) -> bool:
    """Return whether a command ended in anything but success or an error message of a line."""
    return said.returncode not in (0, 1, 2, 4) or "Traceback" in said.stderr


def test_shards_of_a_done_job_are_neither_sent_nor_swept(tmp_path: Path) -> None:
    """Nor does a shard that seems to run keep `analyze gc` from finding files."""
    make_victim(tmp_path / "home")
    database, store = new_home(tmp_path / "home")
    ledger = Ledger(database)
    orphan = store.put(b"nobody's", ".png")
    long_ago = time.time() - 1e6
    os.utime(store.locate(orphan.path), (long_ago, long_ago))
    states: list[dict[str, Any]] = [
        {"state": "queued", "sent_at": None},
        {"state": "queued", "sent_at": 1.0},
        {"state": "running", "token": "x", "lease_until": 1.0},
        {"state": "running", "token": "x", "lease_until": 1e300},
    ]
    for values in states:
        with database.write() as session:
            session.execute(update(Shard).values({**UNCLAIMED, "started_at": LONG_AGO, **values}))
        assert ledger.take_unsent() == []
        assert ledger.mark_lost(["analysis"], 10) == 0
        assert ledger.sweep() == 0
        assert [file.path for file in find_garbage(database, store, 3600)] == [orphan.path]
    with database.write() as session:  # those of an active job are
        session.execute(update(Job).values(state="running", shards_left=1))
        session.execute(update(Shard).values(lease_until=1.0))
    assert ledger.sweep() > 0
    assert ledger.take_unsent() != []
    database.close()


def describe(specification: NetworkSpecification) -> dict[str, Any]:
    described = NetworkDescription(
        specification=specification, chain=True, layers=[], parameters=0, bytes=0, version=VERSION
    )
    return json.loads(described.model_dump_json())  # type: ignore[no-any-return]


def test_a_wrong_description_of_a_network_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    database, _ = new_home(tmp_path / "home")
    asked = NetworkSpecification(name="zfnet", classes=20, image_size=64)
    other = NetworkSpecification(name="zfnet", classes=21, image_size=64)
    with database.write() as session:
        session.add(Network(key=asked.key(), name="zfnet", description={}))
    wrong: list[Any] = [{}, [], "x", {"layers": 5}, describe(other), describe(asked) | {"version": VERSION - 1}]
    for description in wrong:
        with database.write() as session:
            session.execute(update(Network).values(description=description))
        assert find_network_description(database, asked) is None
    with database.write() as session:
        session.execute(update(Network).values(description=describe(asked)))
    assert find_network_description(database, asked) is not None
    database.close()


@pytest.mark.parametrize(
    "box", [(0, 0, 9400, 9400), (0, 0, 50_000, 50_000), (-5, 0, 4, 4), (4, 0, 4, 4), (0, 3, 4, 2), (0, 0, 9, 7)]
)
def test_a_box_outside_of_its_image_is_not_cropped(box: tuple[int, int, int, int], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(UnreadableImage, match="is not inside of 8 x 6 pixels"):
        read_image(ImageSource(1, tmp_path / "small.png", box=box), 4)
    assert read_image(ImageSource(1, tmp_path / "small.png", box=(0, 0, 8, 6)), 4).shape == (4, 4, 3)
