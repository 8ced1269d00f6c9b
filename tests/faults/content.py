"""What a job left, as values that must not depend on what happened on the way."""

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
from shared.kinds.top9.tables import SearchedLayer

# What a row says of its making, or of its number: another in every run. The pictures of a training run show its
# number, and its state has it inside.
OF_THE_MAKING = {
    "epochs": {"seconds"},
    "training_runs": {"environment", "curves_path", "confusion_path", "filters_path"},
    "checkpoints": {"path", "sha256", "bytes"},
}
NO_RESULTS = {"jobs", "shards", "events", "artifacts"}
PATHS = {("artifacts", "path"), ("checkpoints", "path")}  # beside all that are called ..._path
LAYERS = SearchedLayer.__table__


def content_of(database: Database, job: int) -> dict[str, list[str]]:
    """All rows of a job in all tables of results, each as JSON with all bits, in one order."""
    with database.read() as session:
        found = {
            table.name: _rows(session, table, job)
            for table in Base.metadata.sorted_tables
            if table.name not in NO_RESULTS and ("job_id" in table.c or "layer_id" in table.c)
        }
        weights = select(Checkpoint.kind, Checkpoint.epoch, Checkpoint.sha256)
        found["weights"] = sorted(
            json.dumps(list(row))
            for row in session.execute(weights.where(Checkpoint.job_id == job, Checkpoint.kind != "state"))
        )
        found["summary"] = [json.dumps(session.get_one(Job, job).summary, sort_keys=True)]
    return {name: rows for name, rows in found.items() if rows}


def _rows(session: Session, table: Table, job: int) -> list[str]:
    left_out = {"id", "job_id", "layer_id", *OF_THE_MAKING.get(table.name, ())}
    columns = [column for column in table.c if column.name not in left_out]
    if "layer_id" in table.c:
        query = select(LAYERS.c.layer_path.label("of_layer"), *columns).join_from(
            table, LAYERS, table.c.layer_id == LAYERS.c.id
        )
        query = query.where(LAYERS.c.job_id == job)
    else:
        query = select(*columns).where(table.c.job_id == job)
    return sorted(json.dumps(dict(row), sort_keys=True, default=str) for row in session.execute(query).mappings())


def violations(database: Database, job: int, wanted: dict[str, list[str]], extra: tuple[int, int]) -> list[str]:
    """In what a job that is done differs from one that nothing disturbed, but for ``extra`` attempts, at least and
    at most."""
    wrong: list[str] = []
    with database.read() as session:
        row = session.get_one(Job, job)
        shards = session.scalars(select(Shard).where(Shard.job_id == job)).all()
        said = session.execute(
            select(Event.shard_id, Event.message, func.count())
            .where(Event.job_id == job)
            .group_by(Event.shard_id, Event.message)
        ).all()
    if (row.state, row.shards_left) != ("done", 0):
        wrong.append(f"job {job} is {row.state}, {row.shards_left} shards left: {row.error}")
    wrong += [f"shard {s.id} ({s.stage_name}) is {s.state}" for s in shards if s.state != "done"]
    wrong += [f"shard {s.id} keeps token or lease" for s in shards if s.token or s.lease_until]
    wrong += [f"shard {s.id} has had {s.attempt} attempts" for s in shards if not 1 <= s.attempt <= 3]
    more = sum(shard.attempt - 1 for shard in shards)
    if not extra[0] <= more <= extra[1]:
        wrong.append(f"{more} attempts more than shards, {extra[0]} to {extra[1]} are explained")
    ends = {(shard, message): count for shard, message, count in said}
    if ends.get((None, "job done")) != 1:
        wrong.append(f"the job ended {ends.get((None, 'job done'), 0)} times")
    for shard in shards:
        if (count := ends.get((shard.id, f"{shard.stage_name}: done"), 0)) != 1:
            wrong.append(f"shard {shard.id} ({shard.stage_name}) ended {count} times")
    found = content_of(database, job)
    for name in sorted(wanted.keys() | found.keys()):
        rows, others = found.get(name, []), wanted.get(name, [])
        if len(set(rows)) != len(rows):
            wrong.append(f"{name} has a row twice")
        if rows != others:
            differing = sorted(set(rows) ^ set(others))[:2]
            wrong.append(f"{name}: {len(rows)} rows, undisturbed {len(others)}; {differing}")
    return wrong


def damaged_artifacts(database: Database, store: Path) -> list[str]:
    """What rows refer to and the store doesn't have as its name and the rows say."""
    wrong: list[str] = []
    paths: dict[str, str] = {}
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for column in table.c:
                named = column.name.endswith("_path") and column.name != "layer_path"
                if not named and (table.name, column.name) not in PATHS:
                    continue
                for path in session.scalars(select(column).where(column.is_not(None)).distinct()):
                    paths.setdefault(path, f"{table.name}.{column.name}")
        for model in (Artifact, Checkpoint):
            for path, sha256, size in session.execute(select(model.path, model.sha256, model.bytes)):
                file = store / path
                if file.is_file() and (file.stat().st_size, Path(path).stem) != (size, sha256):
                    wrong.append(f"{path} is not what its row says")
    for path, where in paths.items():
        file = store / path
        if not file.is_file():
            wrong.append(f"{where} refers to {path}, which is not there")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != Path(path).stem:
            wrong.append(f"{where} refers to {path}, whose content is another")
    return wrong


def write_content(path: Path, found: dict[str, dict[str, list[str]]]) -> None:
    path.write_text(json.dumps(found))


def read_content(path: Path) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = json.loads(path.read_text())
    return found
