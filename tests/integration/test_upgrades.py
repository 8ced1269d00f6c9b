"""Databases of every released schema come to the newest with all they hold, and their jobs go on.

A new migration needs two files in ``tests/data/schemas``, and nothing here unless it changes values on purpose.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import text

from producer.cli.main import cli
from shared.database import Database
from shared.models import Base
from shared.schema import NEWEST_REVISION, _config, current_revision, upgrade
from shared.specifications import parse
from tests.conftest import DATABASES, Analyze, fresh_database
from tests.integration.stored_schemas import (
    Content,
    content,
    give_images,
    give_weights,
    load,
    schema,
    stored_file,
)

REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())
STORED = [
    (revision, kind) for revision in REVISIONS for kind in DATABASES if stored_file(revision, kind).is_file()
]
OLDER = [(revision, kind) for revision, kind in STORED if revision != NEWEST_REVISION]

# What a migration changed on purpose: (its revision, "table.column"). Views count as tables.
MEANT: set[tuple[str, str]] = set()


@pytest.fixture
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Analyze]:
    """The command line on a database as (revision, kind) left it."""
    revision, kind = request.param
    url = fresh_database(kind, request, tmp_path)
    load(revision, kind, url)
    command = Analyze(tmp_path / "home", url)
    yield command
    command.stop()


def opened(analyze: Analyze) -> Database:
    return Database(analyze.database_url)


def rows(analyze: Analyze, query: str) -> list[dict[str, Any]]:
    database = opened(analyze)
    with database.read() as session:
        found = [dict(row) for row in session.execute(text(query)).mappings()]
    database.close()
    return found


def snapshot(analyze: Analyze, like: Content | None = None) -> Content:
    database = opened(analyze)
    found = content(database, like)
    database.close()
    return found


def jobs(analyze: Analyze) -> list[dict[str, Any]]:
    """Every job's row, its specification parsed."""
    found = rows(analyze, "SELECT * FROM jobs ORDER BY id")
    for job in found:
        if isinstance(job["specification"], str):  # SQLite keeps JSON as text
            job["specification"] = json.loads(job["specification"])
    return found


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_has_a_stored_database(revision: str, kind: str) -> None:
    file = stored_file(revision, kind)
    assert file.is_file(), f"{file.name} is missing: {file.parent / 'README.md'} says how it is made"


@pytest.mark.parametrize("stored", STORED, ids="-".join, indirect=True)
def test_upgrade_keeps_every_row_and_makes_the_newest_schema(
    stored: Analyze, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    revision, kind = request.node.callspec.params["stored"]
    before = snapshot(stored)
    del before["alembic_version"]
    assert {job["state"] for job in jobs(stored)} == {"done", "failed", "cancelled", "running", "queued"}
    stored("db", "upgrade")
    after = snapshot(stored, before)
    for table, (columns, kept) in before.items():
        meant = {f"{table}.{column}" for column in columns} & {what for made, what in MEANT if made > revision}
        places = [place for place, column in enumerate(columns) if f"{table}.{column}" not in meant]
        wanted = [sorted([[row[p] for p in places] for row in some], key=repr) for some in (kept, after[table][1])]
        assert wanted[0] == wanted[1], table
    found = opened(stored)
    fresh = Database(fresh_database(kind, request, tmp_path / "fresh"))
    upgrade(fresh)
    assert schema(found) == schema(fresh)
    assert current_revision(found) == NEWEST_REVISION
    with found.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    found.close()
    fresh.close()


@pytest.mark.parametrize("stored", STORED, ids="-".join, indirect=True)
def test_old_jobs_can_be_read(stored: Analyze) -> None:
    """Without their files, which are no part of a database."""

    def said(*arguments: object) -> str:
        """What a command prints, in this process: there are many."""
        done = CliRunner().invoke(cli, [str(a) for a in arguments], env=stored.environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    stored("db", "upgrade")
    old = jobs(stored)
    listed = {job["id"]: job for job in json.loads(said("ls", "--limit", 100, "--json"))}
    assert listed.keys() == {job["id"] for job in old}
    for job in old:
        number = job["id"]
        assert "another version" not in listed[number]["what"]
        assert listed[number]["what"] in said("status", number)
        assert json.loads(said("status", number, "--json"))["state"] == job["state"]
        assert said("logs", number)
        if job["state"] == "done":
            assert json.loads(said("results", number, "--json"))
            assert said("results", number)
    said("compare", *(job["id"] for job in old if job["kind"] == "train" and job["state"] == "done"))
    assert {dataset["name"] for dataset in json.loads(said("dataset", "ls", "--json"))} == {"shapes", "pictures"}
    for view in {name for name in snapshot(stored) if name.endswith(("_activations", "_maps"))} | {"units"}:
        said("query", f"SELECT * FROM {view}")
    assert json.loads(said("query", "SELECT count(*) AS n FROM top_activations", "--json"))[0]["n"] > 0


@pytest.mark.parametrize("stored", STORED, ids="-".join, indirect=True)
def test_old_jobs_go_on(stored: Analyze, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Those that were queued, whose worker was killed, and that were cancelled before they began come to their
    end; those whose files are gone fail at once, and say so."""
    stored("db", "upgrade")
    database = opened(stored)
    give_images(database, tmp_path)
    database.close()
    before = jobs(stored)
    for job in before:
        if job["kind"] != "train" and job["specification"]["training_job_id"] is None:
            give_weights(job["specification"], stored.home / "store")
    half = [job["id"] for job in before if job["state"] == "running" and job["stage"] == 1]
    idle = [job["id"] for job in before if job["state"] == "cancelled" and job["started_at"] is None]
    failed = [job["id"] for job in before if job["state"] == "failed"]
    active = [job["id"] for job in before if job["state"] in ("queued", "running")]
    assert len(half) == len(idle) == len(failed) == 1
    assert {job["kind"] for job in before if job["id"] in active} == {job["kind"] for job in before}
    for number in idle + failed:
        stored("retry", number)
    up = stored.up()
    query = "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running')"
    stored.wait(lambda: rows(stored, query)[0]["n"] == 0, up, seconds=240)
    ended = {job["id"]: job for job in jobs(stored)}
    for number in active + idle:
        if number not in half:
            assert ended[number]["state"] == "done", ended[number]["error"]
            assert stored.json("results", number)
    assert "is not in the store" in ended[half[0]]["error"]
    assert "None of the 4 images could be read" in ended[failed[0]]["error"]
    for number in half + failed:
        assert ended[number]["state"] == "failed"
        tried = rows(stored, f"SELECT attempt FROM shards WHERE job_id = {number} AND state = 'failed'")
        assert [shard["attempt"] for shard in tried] == [1]
    if request.node.callspec.params["stored"][0] == NEWEST_REVISION:
        assert all(parse(job["kind"], job["specification"]).key() == job["key"] for job in before)


# --- an upgrade that is killed ---

# Stops for ever, in the middle of the upgrade's transaction, behind the statement that argv[1] begins.
STOPPED = """
import sys, time
from sqlalchemy import Engine, event

begins = sys.argv.pop(1)

@event.listens_for(Engine, "after_cursor_execute")
def stop(connection, cursor, statement, *rest):
    if statement.strip().startswith(begins):
        print("in the middle", flush=True)
        time.sleep(3600)

from producer.cli.main import main
main()
"""


@pytest.mark.parametrize("begins", ["CREATE TABLE", f"UPDATE alembic_version SET version_num='{NEWEST_REVISION}'"])
@pytest.mark.parametrize("stored", OLDER, ids="-".join, indirect=True)
def test_a_killed_upgrade_leaves_the_old_schema_whole(stored: Analyze, begins: str) -> None:
    database = opened(stored)
    before = schema(database), content(database)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, begins, "db", "upgrade"],
        env=stored.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    stored.started.append(process)  # type: ignore[arg-type]
    assert process.stdout
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert (schema(database), content(database)) == before
    stored("db", "upgrade")
    assert current_revision(database) == NEWEST_REVISION
    database.close()
