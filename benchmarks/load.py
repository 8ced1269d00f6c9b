"""Large numbers of queued shards, jobs, concurrent submits, result rows, and shards per worker process."""

from __future__ import annotations

import multiprocessing
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy import delete, func, select, text

from benchmarks.database import NAMES, fill_database, postgresql
from benchmarks.merge import UNITS
from benchmarks.servers import Home
from benchmarks.setting import TOP, Setting
from benchmarks.statements import count_statements
from benchmarks.timing import Goal, Row, Timed, time_interleaved
from benchmarks.worker_memory import TINY_IMAGE_SIZE, measure_memory
from producer.kinds.top9.results import TOP_ACTIVATIONS
from producer.results.filters import Filters
from producer.results.progress import job_events, job_progress, list_jobs
from producer.results.query import run_query
from producer.service.private_redis import private_redis
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.jobs.broker import Broker, broker_for, dispatch
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard, ShardState
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.settings import Settings, sqlite_url
from unitscope.description import NetworkSpecification

REPEATS = 5  # calls of a function per round; their median is recorded
OVERHEAD_SHARDS = 200  # maximum per process and round
PROCESSES = 4  # processes that submit at the same time
DUPLICATES = 4  # submits of each specification
QUERY = "SELECT * FROM top_activations WHERE job_id = {job} LIMIT 1000"
UNITS_READ = range(16)
METHOD = f"""
Functions of the ledger and its readers are called directly; `analyze` commands run as separate processes and are
compared with `analyze --version`. *Dispatch* sends a message for each shard of a job to a private Redis; its peer
sends the same messages without using the ledger. *Concurrent submits*: {PROCESSES} processes with many threads
submit each specification {DUPLICATES} times; each specification must become exactly one job, and all its submits
must return that job. *Ledger overhead* is claim, one heartbeat and complete: three transactions, compared with
three transactions with one UPDATE of one row each on the same database. The result rows are those of the group
*database*. *Memory* is that of the process that runs the shards, in jobs that differ only in their weights:
searches of five layers with projections, with a tiny network and tiny images.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield all rows for SQLite and PostgreSQL, and the row for memory."""
    with postgresql() as server:
        for kind in ("sqlite", "postgresql"):
            with _new_database(server, kind, setting.folder, "load") as database:
                yield from _measure_queue(setting, database, kind)
                yield from _measure_overhead(setting, database, kind)
                yield from _measure_listing(setting, database, kind)
            with _new_database(server, kind, setting.folder, "submits") as database:
                yield from _measure_submits(setting, database, kind)
            with _new_database(server, kind, setting.folder, "rows") as database:
                yield from _measure_rows(setting, database, kind)
    yield from measure_memory(setting)


@contextmanager
def _new_database(server: Database, kind: str, folder: Path, name: str) -> Iterator[Database]:
    """Create a database with the current schema, and close it at the end."""
    if kind == "sqlite":
        database = Database(sqlite_url(folder / f"{name}.sqlite3"))
    else:
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        database = Database(server.url.set(database=name).render_as_string(hide_password=False))
    upgrade(database)
    try:
        yield database
    finally:
        database.close()


def _specification(seed: int, shards: int) -> Top9Specification:
    """Return a search whose first stage has this number of shards."""
    return Top9Specification(
        dataset_id=1,
        dataset_fingerprint="0" * 64,
        split="val",
        image_count=32 * shards,
        network=NetworkSpecification(name="zfnet", classes=20, image_size=TINY_IMAGE_SIZE),
        weights_sha256=f"{seed:064x}",
        weights_path="ab/0.safetensors",
        training_job_id=None,
        layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=[0])],
        shards=shards,
    )


def _register(database: Database) -> None:
    with database.write() as session:
        session.add(
            Dataset(
                id=1, name="data", kind="folder", root="/", options={}, fingerprint="0" * 64, class_names=["cat"]
            )
        )


def _vacuum(database: Database) -> None:
    """Vacuum and analyze now, so that autovacuum doesn't run during the measurement. No effect on SQLite."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- many shards ---


def _measure_queue(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    _register(database)
    ledger = Ledger(database)
    seconds_by_round: dict[str, list[float]] = {"submit": [], "dispatch": [], "messages only": []}
    settings = Settings(home=setting.folder / f"redis-{kind}")
    with private_redis(settings):
        broker = broker_for(settings)
        for number in range(setting.rounds + 1):
            with database.write() as session:
                session.execute(delete(Job))
            _vacuum(database)
            seconds = _queue_round(ledger, broker, setting.shards, number)
            click.echo(f"  {NAMES[kind]}, round {number} of {setting.rounds}: {seconds}", err=True)
            if number:
                for name, value in seconds.items():
                    seconds_by_round[name].append(value)
    many = f"{setting.shards:,} shards, {NAMES[kind]}"
    yield Row("load", f"submit of a job of {many}", seconds_by_round["submit"])
    yield Row(
        "load",
        f"dispatch of {many}",
        seconds_by_round["dispatch"],
        "sending the same messages without the ledger",
        seconds_by_round["messages only"],
        Goal(1.5, at_most=True),
    )


def _queue_round(ledger: Ledger, broker: Broker, shards: int, seed: int) -> dict[str, float]:
    specification = _specification(seed, shards)
    submit = _seconds(lambda: ledger.submit(specification))
    broker.redis.flushdb()
    dispatched = _seconds(lambda: dispatch(ledger, broker))
    with ledger.database.read() as session:
        messages = [(row.id, row.queue) for row in session.execute(select(Shard.id, Shard.queue).limit(shards))]
    assert sum(broker.depth(queue) for queue in {queue for _, queue in messages}) == shards
    broker.redis.flushdb()
    messages_only = _seconds(lambda: broker.send(messages))
    return {"submit": submit, "dispatch": dispatched, "messages only": messages_only}


@dataclass(frozen=True)
class _Span:
    began: float
    ended: float


_barrier: Any = None  # shared by the processes of a pool


def _set_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Start a pool whose processes share a barrier, so that they can start timing at the same moment."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _set_barrier, (context.Barrier(processes),)) as pool:
        yield pool


def _do_shards(url: str, ids: Sequence[int], synchronized: bool) -> _Span:
    """Claim, heartbeat and complete shards without computing anything. Runs in a process of the pool."""
    database = Database(url)
    ledger = Ledger(database)
    ledger.live_workers()  # opens the connection before timing starts
    if synchronized:
        _barrier.wait()
    began = time.perf_counter()
    for shard_id in ids:
        claim = ledger.claim(shard_id, "load")
        assert claim is not None
        ledger.heartbeat(claim, 1)
        ledger.complete(claim)
    span = _Span(began, time.perf_counter())
    database.close()
    return span


def _update_only(url: str, ids: Sequence[int], synchronized: bool) -> _Span:
    """Run three transactions with one UPDATE each per shard. Runs in a process of the pool."""
    database = Database(url)
    update = text("UPDATE shards SET work_done = :done WHERE id = :id")
    with database.engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    if synchronized:
        _barrier.wait()
    began = time.perf_counter()
    for shard_id in ids:
        for done in range(3):
            with database.engine.begin() as connection:
                connection.execute(update, {"done": done % 2, "id": shard_id})
    span = _Span(began, time.perf_counter())
    database.close()
    return span


def _measure_overhead(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    """Measure the ledger's overhead on shards that ``_measure_queue`` left in the database."""
    url = database.url.render_as_string(hide_password=False)
    with database.read() as session:
        first = select(Shard.id).where(Shard.state == ShardState.QUEUED, Shard.stage == 0).order_by(Shard.id)
        ids = list(session.scalars(first))
    # Leave some shards undone: the end of the job would add work to the last one.
    count = min(OVERHEAD_SHARDS, (len(ids) - 1) // (3 * (setting.rounds + 1)))
    left = iter(ids)
    _vacuum(database)
    with _pool(2) as pool:

        def run_processes(work: Callable[[str, Sequence[int], bool], _Span], processes: int) -> Timed:
            pieces = [[next(left) for _ in range(count)] for _ in range(processes)] if work is _do_shards else []
            pieces = pieces or [ids[-count * (n + 1) : len(ids) - count * n] for n in range(processes)]
            futures: list[Future[_Span]] = [pool.submit(work, url, piece, processes > 1) for piece in pieces]
            spans = [future.result() for future in futures]
            seconds = max(span.ended for span in spans) - min(span.began for span in spans)
            return Timed(seconds / (count * processes))

        variants = {
            f"{name}, {processes}": lambda work=work, processes=processes: run_processes(work, processes)
            for name, work in (("ledger", _do_shards), ("updates only", _update_only))
            for processes in (1, 2)
        }
        timings = time_interleaved(variants, setting.rounds)
    for processes in (1, 2):
        concurrency = "one process" if processes == 1 else "two processes at once"
        yield Row(
            "load",
            f"ledger overhead per shard, {len(ids):,} shards queued, {concurrency}, {NAMES[kind]}",
            timings.seconds[f"ledger, {processes}"],
            "three transactions with one UPDATE each",
            timings.seconds[f"updates only, {processes}"],
            Goal(10, at_most=True),
        )


def _measure_listing(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    ledger = Ledger(database)
    with database.read() as session:
        big = session.scalars(select(Job.id)).one()
    few = _count_per_operation(ledger, big, [1])
    for number in range(1, setting.jobs):
        ledger.submit(_specification(10**6 + number, 1))
    many = _count_per_operation(ledger, big, [1])
    _vacuum(database)
    scale = f"{setting.jobs:,} jobs, {setting.shards:,} shards, {NAMES[kind]}"
    reads = {
        "`ls`": (lambda: list_jobs(database, None, None, setting.jobs), ["ls", "--limit", setting.jobs]),
        "`status`": (lambda: job_progress(database, big), ["status", big]),
    }
    yield from _measure_reads(setting, database, scale, reads)
    yield Row(
        "load",
        f"SQL statements of ls, status, results, logs, claim and complete, {scale}",
        [sum(many.values())],
        "the same with one job",
        [sum(few.values())],
        Goal(1, at_most=True),
        details={"few": few, "many": many},
        unit="statements",
    )


def _count_per_operation(ledger: Ledger, job: int, units: Sequence[int]) -> dict[str, int]:
    """Return the number of SQL statements of each operation."""
    with ledger.database.read() as session:
        query = select(Shard.id).where(Shard.job_id == job, Shard.state == ShardState.QUEUED).limit(1)
        shard = session.scalars(query).one()
    claims: list[Any] = []
    operations: dict[str, Callable[[], Any]] = {
        "ls": lambda: list_jobs(ledger.database, None, None, 10_000),
        "status": lambda: job_progress(ledger.database, job),
        "results": lambda: list(TOP_ACTIVATIONS.rows(ledger.database, job)),
        "logs": lambda: job_events(ledger.database, job),
        "claim": lambda: claims.append(ledger.claim(shard, "load")),
        "complete": lambda: ledger.complete(claims[0]),
    }
    counts = {}
    for name, operation in operations.items():
        with count_statements(ledger.database) as statements:
            operation()
        counts[name] = len(statements)
    return counts


Reads = dict[str, tuple[Callable[[], Any], list[Any]]]


def _measure_reads(setting: Setting, database: Database, scale: str, reads: Reads) -> Iterator[Row]:
    """Time the functions, and the corresponding commands compared with ``analyze --version``."""
    home = Home(setting.folder / f"home-{secrets.token_hex(4)}")
    home.environment["ANALYZE_DATABASE_URL"] = database.url.render_as_string(hide_password=False)

    def median(work: Callable[[], Any], times: int = REPEATS) -> Timed:
        return Timed(statistics.median(_seconds(work) for _ in range(times)))

    def command(arguments: list[Any]) -> Callable[[], Timed]:
        return lambda: median(lambda: home.analyze(*arguments), 1)

    functions = {name: lambda work=work: median(work) for name, (work, _) in reads.items()}
    commands = {f"{name} as a command": command(arguments) for name, (_, arguments) in reads.items()}
    timings = time_interleaved({**functions, **commands, "--version": command(["--version"])}, setting.rounds)
    for name in reads:
        yield Row("load", f"{name}, {scale}", timings.seconds[name])
        yield Row(
            "load",
            f"{name} as a command, {scale}",
            timings.seconds[f"{name} as a command"],
            "`analyze --version`",
            timings.seconds["--version"],
        )
    home.stop()


# --- concurrent submits ---


def _measure_submits(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    _register(database)
    url = database.url.render_as_string(hide_password=False)
    each = setting.submits // PROCESSES
    distinct = each * PROCESSES // DUPLICATES
    seconds_by_round = []
    with _pool(PROCESSES) as pool:
        for number in range(setting.rounds + 1):
            first = number * distinct
            # Each process submits the specifications in a different order, so that equal ones overlap in time.
            seeds_by_process = [[first + (n * each + k) % distinct for k in range(each)] for n in range(PROCESSES)]
            futures = [pool.submit(_submit, url, seeds) for seeds in seeds_by_process]
            results = [future.result() for future in futures]
            seconds = max(span.ended for span, _ in results) - min(span.began for span, _ in results)
            _check_submits([answer for _, answers in results for answer in answers], distinct)
            click.echo(f"  {NAMES[kind]}, round {number} of {setting.rounds}, submits: {seconds:.4g} s", err=True)
            if number:
                seconds_by_round.append(seconds)
    with database.read() as session:
        jobs, shards = session.scalar(select(func.count(Job.id))), session.scalar(select(func.count(Shard.id)))
    assert (jobs, shards) == (distinct * (setting.rounds + 1), 5 * distinct * (setting.rounds + 1))
    work = f"{each * PROCESSES} concurrent submits of {distinct} specifications, {NAMES[kind]}"
    yield Row("load", work, seconds_by_round)


def _submit(url: str, seeds: Sequence[int]) -> tuple[_Span, list[tuple[int, int, bool]]]:
    """Submit each specification in a thread of its own; return (seed, job, whether it is new) of each. Runs in a
    process of the pool."""
    database = Database(url)
    ledger = Ledger(database)
    barrier = threading.Barrier(len(seeds) + 1)

    def one(seed: int) -> tuple[int, int, bool]:
        barrier.wait()
        return (seed, *ledger.submit(_specification(seed, 2)))

    with ThreadPoolExecutor(len(seeds)) as threads:
        futures = [threads.submit(one, seed) for seed in seeds]
        _barrier.wait()
        barrier.wait()
        began = time.perf_counter()
        answers = [future.result() for future in futures]
    span = _Span(began, time.perf_counter())
    database.close()
    return span, answers


def _check_submits(answers: Sequence[tuple[int, int, bool]], distinct: int) -> None:
    jobs = {(seed, job) for seed, job, _ in answers}
    assert len(jobs) == len({seed for seed, _ in jobs}) == len({job for _, job in jobs}) == distinct
    assert sum(new for *_, new in answers) == distinct


# --- many rows ---


def _measure_rows(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    jobs = max(1, round(setting.rows / (sum(UNITS) * TOP)))
    database.close()  # `PRAGMA journal_mode = OFF` needs exclusive access to the SQLite file
    fill_database(database, kind, jobs)
    with database.write() as session:  # no unit is dead
        units = text(
            "INSERT INTO searched_units (layer_id, unit, dead) SELECT DISTINCT layer_id, unit, false "
            "FROM top_activation_rows WHERE layer_id IN (SELECT id FROM searched_layers WHERE job_id = :job)"
        )
        session.execute(units, {"job": (middle := jobs // 2 + 1)})
    _vacuum(database)
    listed = f"{UNITS_READ.start}-{UNITS_READ.stop - 1}"
    sql = QUERY.format(job=middle)
    reads: Reads = {
        f"`results --units {listed}`": (
            lambda: list(TOP_ACTIVATIONS.rows(database, middle, Filters(units=UNITS_READ))),
            ["results", middle, "--units", listed, "--json"],
        ),
        "`results`": (lambda: list(TOP_ACTIVATIONS.rows(database, middle)), ["results", middle, "--json"]),
        "`query` of 1,000 rows": (
            lambda: run_query(database, sql, limit=1000, seconds=30),
            ["query", sql, "--json"],
        ),
        "`status`": (lambda: job_progress(database, middle), ["status", middle]),
        "`ls`": (lambda: list_jobs(database, None, None, 30), ["ls"]),
    }
    yield from _measure_reads(setting, database, f"{jobs * sum(UNITS) * TOP:,} result rows, {NAMES[kind]}", reads)
