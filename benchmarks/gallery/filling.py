"""A database with many jobs, whose rows are copies of those of a few jobs that ran."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from benchmarks.database import filling
from benchmarks.gallery.models import Models
from shared.database.base import Base
from shared.database.connection import Database
from shared.jobs.tables import Artifact, Job, StudyJob
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation, UnitSelectivity, UnitStatistics

COPIED_WITH_LAYERS = (SearchedUnit, TopActivation, UnitStatistics, UnitSelectivity)
NOT_COPIED = (Job, Artifact, StudyJob, SearchedLayer)
DIGITS = 9  # of a SHA-256 that are replaced by those of ``FIRST`` + the job's number
FIRST = 10 ** (DIGITS - 1)
KEPT = 3 + 64 - DIGITS  # first characters of a path, ``ab/SHA256.png``, which the copy has as well
OTHER_KINDS = ("occlusion", "train")


def fill_database(database: Database, kind: str, models: Models, rows: int, jobs: int, own_units: int) -> None:
    """Copy the rows of the jobs that ran, with searches until there are ``rows`` top activations.

    Parameters
    ----------
    database
        An empty database with the current schema.
    kind
        ``sqlite`` or ``postgresql``.
    jobs
        Number of all jobs. Those that are no searches are sweeps and training runs.
    own_units
        Number of units, those of the last searches, whose mosaics have addresses and files of their own. The
        others share those of the search that ran.
    """
    _copy_everything(models.database, database)
    with database.read() as session:
        of_search = select(SearchedLayer.id).where(SearchedLayer.job_id == models.jobs["top9"])
        of_unit = select(func.count()).select_from(TopActivation).where(TopActivation.layer_id.in_(of_search))
        rows_of_search = session.scalar(of_unit) or 0
        layers = len(session.scalars(of_search).all())
        last_layer = session.scalar(select(func.max(SearchedLayer.id))) or 0
        ran = session.scalar(select(func.max(Job.id))) or 0
        units = session.scalar(select(func.count()).where(SearchedUnit.layer_id.in_(of_search))) or 0
    searches = min(max(round(rows / rows_of_search) - 1, 1), jobs - ran)
    kinds = ["top9"] * searches + [OTHER_KINDS[n % 2] for n in range(jobs - ran - searches)]
    random.Random(0).shuffle(kinds)  # noqa: S311
    shared_searches = searches - own_units // units
    database.close()  # `PRAGMA journal_mode = OFF` needs exclusive access to the SQLite file
    with filling(database, kind) as connection:
        if kind == "postgresql":
            _advance_sequences(connection)
            # Rows that were copied have no statistics yet: each copy would scan those of all jobs before it.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        copied = 0
        for job, name in enumerate(kinds, ran + 1):
            _copy_job(connection, models.jobs[name], job)
            if name == "top9":
                further = last_layer + layers * copied
                copied += 1
                _copy_layers(connection, models.jobs[name], job, further, copied > shared_searches)
        if kind == "postgresql":
            _advance_sequences(connection)


def link_mosaics(database: Database, store: Path, models: Models) -> int:
    """Make a file for each mosaic that has an address of its own, as a hard link to that of the search that ran,
    and return the number of files."""
    with database.read() as session:
        of_search = select(SearchedLayer.id).where(SearchedLayer.job_id == models.jobs["top9"])
        columns = select(SearchedUnit.patches_path, SearchedUnit.projections_path)
        originals = {
            path[:KEPT]: path
            for row in session.execute(columns.where(SearchedUnit.layer_id.in_(of_search)))
            for path in row
            if path
        }
        files = 0
        for row in session.execute(columns.where(SearchedUnit.layer_id.not_in(of_search))):
            for path in row:
                original = originals.get(path[:KEPT]) if path else None
                if original is None or original == path or (store / path).exists():
                    continue
                os.link(store / original, store / path)
                files += 1
    return files


def _copy_everything(source: Database, target: Database) -> None:
    """Copy all rows of a small database."""
    with source.read() as reading, target.engine.begin() as connection:
        if not target.is_sqlite:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table))
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(table)).mappings()]
            if rows:
                connection.execute(insert(table), rows)


def _copy_job(connection: Connection, model: int, job: int) -> None:
    """Copy a job with its rows, except those of layers."""
    _copy(connection, Job.__table__, {"id": ":job", "key": _own("key", 64)}, "id = :model", model=model, job=job)
    left_out = {one.__table__ for one in NOT_COPIED}
    for table in Base.metadata.sorted_tables:
        if "job_id" in table.columns and table not in left_out:
            changes = {"job_id": ":job", **({"shard_id": "NULL"} if "shard_id" in table.columns else {})}
            _copy(connection, table, changes, "job_id = :model", model=model, job=job)


def _copy_layers(connection: Connection, model: int, job: int, further: int, own_files: bool) -> None:
    """Copy the layers of a search and their rows; ids of layers are larger by ``further``."""
    values = {"model": model, "job": job, "further": further}
    of_layer = "layer_id IN (SELECT id FROM searched_layers WHERE job_id = :model)"
    layer = {"id": "id + :further", "job_id": ":job"}
    _copy(connection, SearchedLayer.__table__, layer, "job_id = :model", **values)
    for model_class in COPIED_WITH_LAYERS:
        table = model_class.__table__
        changes = {"layer_id": "layer_id + :further"}
        if own_files:
            paths = [column.name for column in table.columns if column.info.get("artifact")]
            changes |= {path: _own(path, 3 + 64) for path in paths}
        _copy(connection, table, changes, of_layer, **values)


def _own(column: str, end: int) -> str:
    """Return the expression of a SHA-256, which ends at character ``end``, or a path with one, of the copy."""
    kept = f"substr({column}, 1, {end - DIGITS})"
    return f"{kept} || CAST({FIRST} + CAST(:job AS INTEGER) AS TEXT) || substr({column}, {end + 1})"


def _copy(
    connection: Connection, table: Table, changes: Mapping[str, str], condition: str, **values: object
) -> None:
    """Copy rows of a table with other values in some columns; ids that the database gives are new ones."""
    new_id = table.autoincrement_column
    columns = [c.name for c in table.columns if c is not new_id or c.name in changes]
    names = ", ".join(f'"{name}"' for name in columns)
    expressions = ", ".join(changes.get(name, f'"{name}"') for name in columns)
    order = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    rows = f"SELECT {expressions} FROM {table.name} WHERE {condition} ORDER BY {order}"  # noqa: S608
    statement = f"INSERT INTO {table.name} ({names}) {rows}"
    named = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.execute(text(statement), named)


def _advance_sequences(connection: Connection) -> None:
    """Let PostgreSQL give ids beyond those that were inserted."""
    for table in Base.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            last = f"(SELECT max({column.name}) FROM {table.name})"  # noqa: S608
            connection.exec_driver_sql(f"SELECT setval({sequence}, {last}) WHERE {last} IS NOT NULL")
