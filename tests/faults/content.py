"""Results of a job as values that must not depend on faults while it ran."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.networks import Checkpoint
from shared.jobs.tables import Artifact, Event, Job, Shard
from shared.store.store import IDENTITY_FILE

# Columns that differ between runs, since they hold durations or depend on the job's id: the pictures of a training
# run show the id, and its state contains it.
VARYING_COLUMNS = {
    "epochs": {"seconds"},
    "training_runs": {"environment", "curves_path", "confusion_path", "filters_path"},
    "checkpoints": {"path", "sha256", "bytes"},
    "left_out_images": {"worker"},
}
NOT_RESULTS = {"jobs", "shards", "events", "artifacts"}
PATHS = {("artifacts", "path"), ("checkpoints", "path")}  # in addition to all columns named ..._path
EXPIRED = "stopped responding in attempt"  # in the event of a lease that expired
MODULE_PATHS = {"layer_path", "read_path"}  # not of artifacts


def content_of(database: Database, job: int) -> dict[str, list[str]]:
    """Return the rows of a job by result table, sorted, each as JSON with full float precision."""
    with database.read() as session:
        content = {
            table.name: _rows(session, table, job)
            for table in Base.metadata.sorted_tables
            if table.name not in NOT_RESULTS and ("job_id" in table.c or "layer_id" in table.c)
        }
        weights = select(Checkpoint.kind, Checkpoint.epoch, Checkpoint.sha256)
        content["weights"] = sorted(
            json.dumps(list(row))
            for row in session.execute(weights.where(Checkpoint.job_id == job, Checkpoint.kind != "state"))
        )
        content["summary"] = [json.dumps(session.get_one(Job, job).summary, sort_keys=True)]
    return {name: rows for name, rows in content.items() if rows}


def _rows(session: Session, table: Table, job: int) -> list[str]:
    left_out = {"id", "job_id", "layer_id", *VARYING_COLUMNS.get(table.name, ())}
    columns = [column for column in table.c if column.name not in left_out]
    if "layer_id" in table.c:
        layers = _table_of_layers(table)
        query = select(layers.c.layer_path.label("of_layer"), *columns).join_from(
            table, layers, table.c.layer_id == layers.c.id
        )
        query = query.where(layers.c.job_id == job)
    else:
        query = select(*columns).where(table.c.job_id == job)
    return sorted(json.dumps(dict(row), sort_keys=True, default=str) for row in session.execute(query).mappings())


def _table_of_layers(table: Table) -> Table:
    """Return the table that ``layer_id`` refers to: each kind with layers has its own."""
    (reference,) = table.c.layer_id.foreign_keys
    return reference.column.table


def violations(
    database: Database,
    job: int,
    expected: dict[str, list[str]],
    extra: tuple[int, int],
    most_ends: int = 1,
    starved: bool = False,
) -> list[str]:
    """Describe how a done job differs from an undisturbed one.

    Parameters
    ----------
    expected
        the content of the undisturbed job.
    extra
        minimum and maximum number of additional attempts that the faults explain.
    most_ends
        how often the job, and each shard, may have ended.
    starved
        whether processes didn't run for a while, since the machine was busy: each lease that expired then explains
        an additional attempt, too.
    """
    errors: list[str] = []
    with database.read() as session:
        row = session.get_one(Job, job)
        shards = session.scalars(select(Shard).where(Shard.job_id == job)).all()
        counts = session.execute(
            select(Event.shard_id, Event.message, func.count())
            .where(Event.job_id == job)
            .group_by(Event.shard_id, Event.message)
        ).all()
    if (row.state, row.shards_left) != ("done", 0):
        errors.append(f"job {job} is {row.state}, {row.shards_left} shards left: {row.error}")
    errors += [f"shard {s.id} ({s.stage_name}) is {s.state}" for s in shards if s.state != "done"]
    errors += [f"shard {s.id} keeps token or lease" for s in shards if s.token or s.lease_until]
    errors += [f"shard {s.id} has had {s.attempt} attempts" for s in shards if not 1 <= s.attempt <= 3]
    more = sum(shard.attempt - 1 for shard in shards)
    expired = sum(count for _, message, count in counts if EXPIRED in message)
    if not extra[0] <= more <= extra[1] + (expired if starved else 0):
        errors.append(
            f"{more} additional attempts, but {extra[0]} to {extra[1]} are explained by the faults; "
            f"{expired} leases expired"
        )
    ends = {(shard, message): count for shard, message, count in counts}
    if not 1 <= ends.get((None, "job done"), 0) <= most_ends:
        errors.append(f"the job ended {ends.get((None, 'job done'), 0)} times")
    for shard in shards:
        if not 1 <= (count := ends.get((shard.id, f"{shard.stage_name}: done"), 0)) <= most_ends:
            errors.append(f"shard {shard.id} ({shard.stage_name}) ended {count} times")
    content = content_of(database, job)
    for name in sorted(expected.keys() | content.keys()):
        rows, others = content.get(name, []), expected.get(name, [])
        if len(set(rows)) != len(rows):
            errors.append(f"{name} has a duplicate row")
        if rows != others:
            differing = sorted(set(rows) ^ set(others))[:2]
            errors.append(f"{name}: {len(rows)} rows, undisturbed {len(others)}; {differing}")
    return errors


def damaged_artifacts(database: Database, store: Path) -> list[str]:
    """Describe artifacts that rows refer to and that are missing from the store or have other content."""
    errors: list[str] = []
    paths: dict[str, str] = {}
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for column in table.c:
                named = column.name.endswith("_path") and column.name not in MODULE_PATHS
                if not named and (table.name, column.name) not in PATHS:
                    continue
                for path in session.scalars(select(column).where(column.is_not(None)).distinct()):
                    paths.setdefault(path, f"{table.name}.{column.name}")
        for model in (Artifact, Checkpoint):
            for path, sha256, size in session.execute(select(model.path, model.sha256, model.bytes)):
                file = store / path
                if file.is_file() and (file.stat().st_size, name_of(file)) != (size, sha256):
                    errors.append(f"{path} has another size or hash than its row")
    for path, where in paths.items():
        file = store / path
        if not file.is_file():
            errors.append(f"{where} refers to {path}, which doesn't exist")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != name_of(file):
            errors.append(f"{where} refers to {path}, whose content has another hash")
    return errors


def name_of(file: Path) -> str:
    """Return the SHA-256 that an artifact is named by, and that of the store's identity file, which is not."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.name == IDENTITY_FILE else file.stem


def write_content(path: Path, content: dict[str, dict[str, list[str]]]) -> None:
    path.write_text(json.dumps(content))


def read_content(path: Path) -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, list[str]]] = json.loads(path.read_text())
    return content
