"""A store belongs to one database: everything else that would write or remove files is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.database.connection import Database
from shared.database.schema import database_identity, open_database
from shared.errors import StoreNotKnown, StoreNotUsable, StoreOfAnotherDatabase, StoreUnavailable
from shared.jobs.ledger import Ledger
from shared.store.ownership import adopt_store, check_store, open_store
from shared.store.store import IDENTITY_FILE, Store
from tests.integration.ledger.helpers import top9
from tests.integration.store.helpers import add_dataset, files, register

RIVALS = multiprocessing.get_context("spawn")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    yield database
    database.close()


def owned(root: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((root / IDENTITY_FILE).read_text())
    return content


# --- first use ---


def test_the_first_writer_makes_the_store_its_databases(database: Database, root: Path) -> None:
    assert check_store(database, root).content is None
    assert not root.exists()  # a check creates nothing
    store = open_store(database, root)
    assert owned(root)["database"] == database_identity(database)
    assert files(root) == {IDENTITY_FILE}
    assert (store.identity, open_store(database, root).identity) == ((root / IDENTITY_FILE).read_bytes(),) * 2


def first_user(url: str, root: str, go: float, answers: Any) -> None:
    """Open the store at the time ``go`` in a process of its own."""
    database = Database(url)
    time.sleep(max(0.0, go - time.time()))
    try:
        answer = open_store(database, Path(root)).identity
    except StoreNotUsable as error:
        answer = type(error).__name__
    answers.put((root, answer))


def race(*users: tuple[str, Path]) -> list[tuple[str, bytes | str]]:
    answers = RIVALS.SimpleQueue()
    go = time.time() + 3
    started = [RIVALS.Process(target=first_user, args=(url, str(root), go, answers)) for url, root in users]
    for process in started:
        process.start()
    found = [answers.get() for _ in started]
    for process in started:
        process.join()
    return found


def test_two_first_users_of_one_store_agree(database: Database, root: Path) -> None:
    url = database.url.render_as_string(hide_password=False)
    answers = race(*[(url, root)] * 4)
    assert {answer for _, answer in answers} == {(root / IDENTITY_FILE).read_bytes()}


def test_of_two_first_stores_of_a_database_one_is_refused(database: Database, tmp_path: Path) -> None:
    """Two machines with a folder of their own under the same path."""
    url = database.url.render_as_string(hide_password=False)
    answers = race(*[(url, tmp_path / name) for name in "abcd"])
    refused = [answer for _, answer in answers if answer == "StoreUnavailable"]
    (winner,) = [root for root, answer in answers if isinstance(answer, bytes)]
    assert len(refused) == 3
    for name in "abcd":
        if str(tmp_path / name) != winner:
            with pytest.raises(StoreUnavailable, match=r"not the (folder|one) that the database's files are in"):
                open_store(database, tmp_path / name)
    open_store(database, Path(winner))


# --- wrong store, wrong database ---


def test_another_database_is_refused(database: Database, other: Database, root: Path) -> None:
    open_store(database, root)
    with pytest.raises(StoreOfAnotherDatabase) as caught:
        open_store(other, root)
    for part in (root, database_identity(database), database_identity(other), other, "analyze db adopt-store"):
        assert str(part) in str(caught.value)


def test_a_password_is_not_in_the_error(root: Path) -> None:
    secret = Database("postgresql://unitscope:hunter2@db.example/unitscope")
    error = StoreOfAnotherDatabase(root=root, owner="a", identity="b", url=secret, host="c")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("known", "refused"), [(0, True), (1, True), (2, False), (4, False)], ids=lambda value: str(value)
)
def test_a_store_of_an_earlier_version_is_taken_if_the_database_knows_it(
    database: Database, root: Path, known: int, refused: bool
) -> None:
    written = [Store(root).put(bytes([number]), ".png") for number in range(4)]
    register(database, *written[:known])
    if refused:
        with pytest.raises(StoreNotKnown, match=f"knows {known} of 4 of its files"):
            open_store(database, root)
        assert not (root / IDENTITY_FILE).exists()
    else:
        open_store(database, root)
        assert owned(root)["database"] == database_identity(database)


def test_weights_in_a_specification_are_known(database: Database, root: Path) -> None:
    weights = Store(root).put(b"weights", ".safetensors")
    add_dataset(database)
    specification = top9(1).model_copy(update={"weights_path": weights.path})
    Ledger(database).submit(specification)
    open_store(database, root)


@pytest.mark.parametrize("missing", ["empty", "absent", "without its file", "damaged"])
@pytest.mark.parametrize("earlier", [True, False], ids=["never opened", "opened before"])
def test_a_store_that_is_not_shared_is_refused(
    database: Database, root: Path, missing: str, earlier: bool
) -> None:
    """A worker's machine without the mount."""
    store = Store(root) if earlier else open_store(database, root)
    register(database, store.put(b"1", ".png"), store.put(b"2", ".png"))
    if earlier and missing in ("without its file", "damaged"):
        pytest.skip("a store of an earlier version has no file")
    if missing == "without its file":
        (root / IDENTITY_FILE).unlink()
    elif missing == "damaged":
        (root / IDENTITY_FILE).write_text("{}")
    else:
        shutil.rmtree(root)
        if missing == "empty":
            root.mkdir()
    for use in (open_store, check_store):
        with pytest.raises(StoreUnavailable, match=rf"{re.escape(str(root))} is not available on .*adopt-store"):
            use(database, root)
    assert missing != "empty" or files(root) == set()


# --- a store that goes away while it is used ---


@pytest.mark.parametrize("kind", ["pipe", "device", "nested lists", "folder"])
def test_an_identity_file_of_another_kind_is_refused(kind: str, database: Database, root: Path) -> None:
    """None of them is read for ever, or takes more memory than a few kilobytes."""
    store = open_store(database, root)
    file = root / IDENTITY_FILE
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"[" * 200_000)
    for use in (lambda: check_store(database, root), lambda: open_store(database, root), store.require_present):
        with pytest.raises(StoreUnavailable, match=IDENTITY_FILE):
            use()


def test_an_opened_store_that_is_unmounted_gets_no_files(database: Database, root: Path) -> None:
    """Another folder is then at its path. Nothing is written there, and missing files are the machine's fault."""
    store = open_store(database, root)
    stored = store.put(b"1", ".png")
    root.rename(root.with_name("away"))
    root.mkdir()
    for use in (
        lambda: store.put(b"2", ".png"),
        lambda: store.locate(stored.path),
        lambda: store.verified(stored.path),
        lambda: store.make_durable([stored.path]),
        lambda: store.remove(stored.path),
    ):
        with pytest.raises(StoreUnavailable, match="probably unmounted"):
            use()
    assert files(root) == set()
    root.rmdir()
    root.with_name("away").rename(root)
    assert store.put(b"1", ".png") == stored


# --- taking over ---


def test_a_store_can_be_taken_over(database: Database, other: Database, root: Path) -> None:
    open_store(database, root)
    adopt_store(other, root)
    open_store(other, root)
    with pytest.raises(StoreOfAnotherDatabase):
        open_store(database, root)
    adopt_store(database, root)
    shutil.rmtree(root)
    adopt_store(database, root)  # the files were lost
    open_store(database, root)
    assert files(root) == {IDENTITY_FILE}
