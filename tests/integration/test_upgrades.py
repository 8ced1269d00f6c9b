"""Databases of every released schema can be upgraded without losing rows, and their jobs can continue.

A new migration needs two files in ``tests/data/schemas``. Change this module only if it changes values on purpose.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import text

from producer.cli.main import cli
from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION, _config, current_revision, upgrade
from shared.jobs.transitions import MAX_ATTEMPTS
from shared.kinds.registry import kinds, parse
from shared.store.store import Store
from tests import commands
from tests.conftest import DATABASES, Analyze, fresh_database
from tests.integration.stored_schemas import (
    Content,
    content,
    give_files_of_version_1,
    give_images,
    give_weights,
    load,
    schema,
    stored_file,
)
from tests.stopped_upgrade import upgrade_and_stop

REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())
STORED = [
    (revision, kind) for revision in REVISIONS for kind in DATABASES if stored_file(revision, kind).is_file()
]
# Released with 0015, 0018 or 0021.
NEVER_NEWEST = {"0009", "0010", "0011", "0012", "0013", "0014", "0016", "0017", "0019", "0020"}
OLDER = [(revision, kind) for revision, kind in STORED if revision != NEWEST_REVISION]
# The oldest and the newest schema on both databases, and each other one on one of them in turn. That an upgrade
# keeps every row and gives the current schema, which reading depends on, is tested with all of them on both.
READ = [
    stored for number, stored in enumerate(STORED)
    if stored[0] in (REVISIONS[0], NEWEST_REVISION) or number // 2 % 2 == number % 2
]  # fmt: skip
ENDS = [*((REVISIONS[0], kind) for kind in DATABASES), (NEWEST_REVISION, "postgresql")]

# Columns that a migration changes on purpose: (revision, "table.column"). Views count as tables.
MEANT: set[tuple[str, str]] = set()

Schema = list[tuple[Any, ...]]


@pytest.fixture
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Analyze]:
    """The command line on a stored database of (revision, kind)."""
    revision, kind = request.param
    url = fresh_database(kind, request, tmp_path)
    load(revision, kind, url)
    command = Analyze(tmp_path / "home", url)
    yield command
    command.stop()


def opened(analyze: Analyze) -> Database:
    return Database(analyze.database_url)


def upgraded(analyze: Analyze) -> Database:
    """Upgrade the database. Runs in this process, since there are many databases."""
    database = opened(analyze)
    upgrade(database)
    return database


def said(analyze: Analyze, *arguments: object) -> str:
    """Run a command in this process and return its output."""
    done = CliRunner().invoke(cli, [str(a) for a in arguments], env=analyze.environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


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
    """Return all rows of ``jobs``, with parsed specifications."""
    found = rows(analyze, "SELECT * FROM jobs ORDER BY id")
    for job in found:
        if isinstance(job["specification"], str):  # SQLite returns JSON as text
            job["specification"] = json.loads(job["specification"])
    return found


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("revision", sorted({*REVISIONS} - NEVER_NEWEST))
def test_every_released_revision_has_a_stored_database(revision: str, kind: str) -> None:
    file = stored_file(revision, kind)
    assert file.is_file(), f"{file.name} is missing: {file.parent / 'README.md'} says how it is made"


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Schema]:
    """Return a function that returns the schema that all migrations give a database of a kind. ``test_schema``
    compares it with the models."""

    @cache
    def schema_of(kind: str) -> Schema:
        template = request.getfixturevalue(f"{kind}_template")
        database = Database(fresh_database(kind, request, tmp_path_factory.mktemp(kind), template))
        found = schema(database)
        database.close()
        return found

    return schema_of


@pytest.mark.parametrize("stored", STORED, ids="-".join, indirect=True)
def test_upgrade_keeps_every_row_and_gives_the_current_schema(
    stored: Analyze, request: pytest.FixtureRequest, made: Callable[[str], Schema]
) -> None:
    revision, kind = request.node.callspec.params["stored"]
    before = snapshot(stored)
    del before["alembic_version"]
    assert {job["state"] for job in jobs(stored)} == {"done", "failed", "cancelled", "running", "queued"}
    said(stored, "db", "upgrade")
    after = snapshot(stored, before)
    for table, (columns, kept) in before.items():
        meant = {f"{table}.{column}" for column in columns} & {what for made, what in MEANT if made > revision}
        positions = [position for position, column in enumerate(columns) if f"{table}.{column}" not in meant]
        compared = [
            sorted([[row[p] for p in positions] for row in some], key=repr) for some in (kept, after[table][1])
        ]
        assert compared[0] == compared[1], table
    found = opened(stored)
    assert schema(found) == made(kind)
    assert current_revision(found) == NEWEST_REVISION
    found.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE checkpoints DROP CONSTRAINT ck_checkpoints_kind",
        "ALTER TABLE checkpoints DROP CONSTRAINT ck_checkpoints_kind, ADD CONSTRAINT ck_checkpoints_kind "
        "CHECK (kind IN ('state', 'best', 'last'))",
        "ALTER TABLE checkpoints DROP CONSTRAINT ck_checkpoints_kind, ADD CONSTRAINT ck_checkpoints_kind "
        "CHECK (kind IN ('state', 'best', 'last', 'epoch') OR epoch = 0)",
        "ALTER TABLE checkpoints DROP CONSTRAINT ck_checkpoints_kind, ADD CONSTRAINT ck_checkpoints_kind "
        "CHECK (kind NOT IN ('state', 'best', 'last', 'epoch'))",
        "ALTER TABLE checkpoints RENAME CONSTRAINT ck_checkpoints_kind TO ck_kind",
        "ALTER TABLE checkpoints ADD CONSTRAINT ck_checkpoints_more CHECK (epoch > 0)",
        "ALTER TABLE checkpoints ALTER COLUMN sha256 DROP NOT NULL",
        "ALTER TABLE counters DROP CONSTRAINT pk_counters",
    ],
)
def test_schema_comparison_detects_changes(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_template: str, change: str
) -> None:
    """Checks the comparison used above, on PostgreSQL. SQLite's catalogue contains the statements themselves."""
    database = Database(fresh_database("postgresql", request, tmp_path, postgresql_template))
    before = schema(database)
    assert schema(database) == before
    with database.write() as session:
        session.execute(text(change))
    assert schema(database) != before
    database.close()


@pytest.mark.parametrize("stored", READ, ids="-".join, indirect=True)
def test_old_jobs_can_be_read(stored: Analyze, request: pytest.FixtureRequest) -> None:
    """Their files, which are not part of the database, are missing."""
    newest = request.node.callspec.params["stored"][0] == NEWEST_REVISION
    upgraded(stored).close()
    old = jobs(stored)
    listed = {job["id"]: job for job in json.loads(said(stored, "ls", "--limit", 100, "--json"))}
    assert listed.keys() == {job["id"] for job in old}
    for job in old:
        number = job["id"]
        specification = parse(job["kind"], job["specification"])
        if newest:  # submitting it again returns the job
            assert specification.key() == job["key"]
        assert "another version" not in listed[number]["what"]
        assert listed[number]["what"] in said(stored, "status", number)
        assert json.loads(said(stored, "status", number, "--json"))["state"] == job["state"]
        assert said(stored, "logs", number)
        if job["state"] == "done":
            assert json.loads(said(stored, "results", number, "--json"))
            assert said(stored, "results", number)
    said(stored, "compare", *(job["id"] for job in old if job["kind"] == "train" and job["state"] == "done"))
    assert {dataset["name"] for dataset in json.loads(said(stored, "dataset", "ls", "--json"))} == {
        "shapes",
        "pictures",
    }
    for view in {name for name in snapshot(stored) if name.endswith(("_activations", "_maps"))} | {"units"}:
        said(stored, "query", f"SELECT * FROM {view}")
    assert json.loads(said(stored, "query", "SELECT count(*) AS n FROM top_activations", "--json"))[0]["n"] > 0
    # A stage that the current worker doesn't know would wait forever.
    stages = rows(stored, "SELECT DISTINCT kind, stage_name FROM shards JOIN jobs ON jobs.id = job_id")
    assert {(shard["kind"], shard["stage_name"]) for shard in stages} <= {
        (name, stage) for name, kind in kinds().items() for stage in kind.stages
    }


@pytest.mark.parametrize("stored", ENDS, ids="-".join, indirect=True)
def test_old_jobs_continue(stored: Analyze, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Jobs that were queued, interrupted by a kill, or cancelled before they started can be finished.

    Jobs whose artifacts are missing, or were written by another version, fail immediately with an error. To save
    time, only the oldest schema and the newest one, which has jobs of all kinds, are tested;
    ``test_old_jobs_can_be_read`` covers all schemas.
    """
    oldest = request.node.callspec.params["stored"][0] == REVISIONS[0]
    database = upgraded(stored)
    give_images(database, tmp_path)
    database.close()
    before = jobs(stored)
    store = stored.home / "store"
    for job in before:
        if job["kind"] != "train" and job["specification"]["training_job_id"] is None:
            give_weights(job["specification"], store)

    def only(state: str, begun: bool = True) -> int:
        (number,) = [
            job["id"] for job in before if job["state"] == state and (job["started_at"] is not None) == begun
        ]
        return int(number)

    failed, stopped, idle = only("failed"), only("cancelled"), only("cancelled", begun=False)
    (half,) = [job["id"] for job in before if job["state"] == "running" and job["stage"] == 1]
    active = {job["id"] for job in before if job["state"] in ("queued", "running")}
    assert {job["kind"] for job in before if job["id"] in active} == {job["kind"] for job in before}
    state = f"UPDATE checkpoints SET path = :path WHERE job_id = {stopped} AND kind = 'state'"
    partial = f"UPDATE shards SET result_path = :path WHERE job_id = {half} AND state = 'done'"
    missing = f"00/{'0' * 64}.pt", f"00/{'0' * 64}.npz"
    paths = give_files_of_version_1(Store(store)) if oldest else missing
    database = opened(stored)
    with database.write() as session:
        for update, path in zip((state, partial), paths, strict=True):
            session.execute(text(update), {"path": path})
    database.close()
    for number in (failed, stopped, idle):
        said(stored, "retry", number)
    up = stored.start("up", "--devices", "cpu")
    query = "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running')"
    stored.wait(lambda: rows(stored, query)[0]["n"] == 0, up, seconds=240)
    ended = {job["id"]: job for job in jobs(stored)}
    for number in (active | {idle}) - {half}:
        assert ended[number]["state"] == "done", ended[number]["error"]
        assert json.loads(said(stored, "results", number, "--json"))
    for number, path in zip((stopped, half), paths, strict=True):
        expected = f"{path} was written by another version" if oldest else f"Artifact {path} is not in the store"
        assert expected in ended[number]["error"]
    assert re.match(r"Image /datasets/pictures/.* can't be read on ", ended[failed]["error"])
    for number, attempts in ((half, 1), (stopped, 1), (failed, MAX_ATTEMPTS)):
        assert ended[number]["state"] == "failed"
        tried = rows(stored, f"SELECT attempt FROM shards WHERE job_id = {number} AND state = 'failed'")
        assert [shard["attempt"] for shard in tried] == [attempts]


# --- killed upgrades ---


FIRST, LAST = "CREATE TABLE", f"UPDATE alembic_version SET version_num='{NEWEST_REVISION}'"
# From the oldest schema, all migrations are run, and with them those that are run from any other one. The schema
# before the newest one has jobs of more kinds.
KILLED = [
    (stored, begins)
    for stored in OLDER
    for begins in (FIRST, LAST)
    if stored[0] == REVISIONS[0] or (stored[0] == OLDER[-1][0] and begins == LAST)
]


@pytest.mark.parametrize(
    ("stored", "begins"),
    KILLED,
    ids=[f"{revision}-{kind}-{'last' if begins == LAST else 'first'}" for (revision, kind), begins in KILLED],
    indirect=["stored"],
)
def test_a_killed_upgrade_leaves_the_old_schema_unchanged(stored: Analyze, begins: str) -> None:
    database = opened(stored)
    before = schema(database), content(database)
    reading, writing = Pipe(duplex=False)
    process = commands.context.Process(
        target=upgrade_and_stop, args=(stored.environment, begins, writing), daemon=True
    )
    process.start()
    writing.close()
    assert reading.recv() == "in the middle"
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    reading.close()
    assert (schema(database), content(database)) == before
    upgrade(database)
    assert current_revision(database) == NEWEST_REVISION
    database.close()
