"""Large numbers: shards queued, jobs listed, submits at once, result rows, shards of one worker process."""

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

from benchmarks.database import NAMES, fill, postgresql
from benchmarks.measuring import Goal, Row, Timed, in_turn
from benchmarks.merge import UNITS
from benchmarks.servers import Home
from benchmarks.setting import TOP, Setting
from benchmarks.statements import counted
from benchmarks.worker_memory import TINY, measure_memory
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
from shared.settings import Settings
from unitscope.description import NetworkSpecification

ASKED = 5  # times in a round; their median is taken
OVERHEAD_SHARDS = 200  # of a process in a round
PROCESSES = 4  # that submit at once, with as many threads each as it takes
SAME = 4  # submits of each specification
QUERY = "SELECT * FROM top_activations WHERE job_id = {job} LIMIT 1000"
UNITS_ASKED = range(16)
HOW = f"""
The ledger and what reads it, called as functions, and the program `analyze` as a process of its own: the program's
own start is that of `analyze --version`. *Queued*: one submit of a job, and a message for each of its shards to a
Redis that we start; sent bare, they are the same messages without the ledger. *Submits at once*: {PROCESSES}
processes of many threads, each specification {SAME} times; every one became one job, and everybody got its number.
*A shard without work* is claim, one heartbeat and complete: three transactions, against three of one UPDATE of one
row on the same database. The result rows are those of the group *database*. The memory is that of the process that
does the shards, in jobs that differ in their weights alone: searches of five layers with their projections, of a
tiny network and tiny images.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The rows of the table."""
    with postgresql() as server:
        for kind in ("sqlite", "postgresql"):
            with _empty(server, kind, setting.place, "load") as database:
                yield from _queued(setting, database, kind)
                yield from _overhead(setting, database, kind)
                yield from _listed(setting, database, kind)
            with _empty(server, kind, setting.place, "submits") as database:
                yield from _submitted(setting, database, kind)
            with _empty(server, kind, setting.place, "rows") as database:
                yield from _rows(setting, database, kind)
    yield from measure_memory(setting)


@contextmanager
def _empty(server: Database, kind: str, place: Path, name: str) -> Iterator[Database]:
    """A database with the schema."""
    if kind == "sqlite":
        database = Database(f"sqlite:///{place / name}.sqlite3")
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
    """A search whose first stage has so many shards."""
    return Top9Specification(
        dataset_id=1,
        dataset_fingerprint="0" * 64,
        split="val",
        image_count=32 * shards,
        network=NetworkSpecification(name="zfnet", classes=20, image_size=TINY),
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


def _settle(database: Database) -> None:
    """What PostgreSQL would do by itself, a little later."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))


def _clock(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- many shards ---


def _queued(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    _register(database)
    ledger = Ledger(database)
    took: dict[str, list[float]] = {"submit": [], "dispatch": [], "bare": []}
    settings = Settings(home=setting.place / f"redis-{kind}")
    with private_redis(settings):
        broker = broker_for(settings)
        for number in range(setting.rounds + 1):
            with database.write() as session:
                session.execute(delete(Job))
            _settle(database)
            seconds = _queue_once(ledger, broker, setting.shards, number)
            click.echo(f"  {NAMES[kind]}, round {number} of {setting.rounds}: {seconds}", err=True)
            if number:
                for name, value in seconds.items():
                    took[name].append(value)
    many = f"{setting.shards:,} shards, {NAMES[kind]}"
    yield Row("load", f"one submit of a job of {many}", took["submit"])
    yield Row(
        "load",
        f"sending the messages of {many}",
        took["dispatch"],
        "sending them bare",
        took["bare"],
        Goal(1.5, at_most=True),
    )


def _queue_once(ledger: Ledger, broker: Broker, shards: int, seed: int) -> dict[str, float]:
    specification = _specification(seed, shards)
    submit = _clock(lambda: ledger.submit(specification))
    broker.redis.flushdb()
    sent = _clock(lambda: dispatch(ledger, broker))
    with ledger.database.read() as session:
        messages = [(row.id, row.queue) for row in session.execute(select(Shard.id, Shard.queue).limit(shards))]
    assert sum(broker.depth(queue) for queue in {queue for _, queue in messages}) == shards
    broker.redis.flushdb()
    bare = _clock(lambda: broker.send(messages))
    return {"submit": submit, "dispatch": sent, "bare": bare}


@dataclass(frozen=True)
class _Span:
    began: float
    ended: float


_meeting: Any = None  # of the processes of a pool


def _meet_at(barrier: Any) -> None:
    global _meeting
    _meeting = barrier


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, which wait for each other before their time begins."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _meet_at, (context.Barrier(processes),)) as pool:
        yield pool


def _do_shards(url: str, ids: Sequence[int], together: bool) -> _Span:
    """In a process of its own: shards without work."""
    database = Database(url)
    ledger = Ledger(database)
    ledger.live_workers()  # connected
    if together:
        _meeting.wait()
    began = time.perf_counter()
    for shard_id in ids:
        claim = ledger.claim(shard_id, "load")
        assert claim is not None
        ledger.heartbeat(claim, 1)
        ledger.complete(claim)
    span = _Span(began, time.perf_counter())
    database.close()
    return span


def _update_bare(url: str, ids: Sequence[int], together: bool) -> _Span:
    """As many transactions, each of one UPDATE."""
    database = Database(url)
    update = text("UPDATE shards SET work_done = :done WHERE id = :id")
    with database.engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    if together:
        _meeting.wait()
    began = time.perf_counter()
    for shard_id in ids:
        for done in range(3):
            with database.engine.begin() as connection:
                connection.execute(update, {"done": done % 2, "id": shard_id})
    span = _Span(began, time.perf_counter())
    database.close()
    return span


def _overhead(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    """Of the shards that ``_queued`` has left."""
    url = database.url.render_as_string(hide_password=False)
    with database.read() as session:
        first = select(Shard.id).where(Shard.state == ShardState.QUEUED, Shard.stage == 0).order_by(Shard.id)
        ids = list(session.scalars(first))
    # The job must not end: some shards stay.
    count = min(OVERHEAD_SHARDS, (len(ids) - 1) // (3 * (setting.rounds + 1)))
    left = iter(ids)
    _settle(database)
    with _pool(2) as pool:

        def at_once(work: Callable[[str, Sequence[int], bool], _Span], processes: int) -> Timed:
            pieces = [[next(left) for _ in range(count)] for _ in range(processes)] if work is _do_shards else []
            pieces = pieces or [ids[-count * (n + 1) : len(ids) - count * n] for n in range(processes)]
            futures: list[Future[_Span]] = [pool.submit(work, url, piece, processes > 1) for piece in pieces]
            spans = [future.result() for future in futures]
            seconds = max(span.ended for span in spans) - min(span.began for span in spans)
            return Timed(seconds / (count * processes))

        ways = {
            f"{name}, {processes}": lambda work=work, processes=processes: at_once(work, processes)
            for name, work in (("ledger", _do_shards), ("bare", _update_bare))
            for processes in (1, 2)
        }
        turns = in_turn(ways, setting.rounds)
    for processes in (1, 2):
        who = "one process" if processes == 1 else "two processes at once"
        yield Row(
            "load",
            f"a shard without work among {len(ids):,}, {who}, {NAMES[kind]}",
            turns.seconds[f"ledger, {processes}"],
            "three transactions of one UPDATE",
            turns.seconds[f"bare, {processes}"],
            Goal(10, at_most=True),
        )


def _listed(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    ledger = Ledger(database)
    with database.read() as session:
        big = session.scalars(select(Job.id)).one()
    few = _statements(ledger, big, [1])
    for number in range(1, setting.listed):
        ledger.submit(_specification(10**6 + number, 1))
    many = _statements(ledger, big, [1])
    _settle(database)
    there = f"{setting.listed:,} jobs, {setting.shards:,} shards, {NAMES[kind]}"
    asked = {
        "`ls`": (lambda: list_jobs(database, None, None, setting.listed), ["ls", "--limit", setting.listed]),
        "`status`": (lambda: job_progress(database, big), ["status", big]),
    }
    yield from _asked(setting, database, there, asked)
    yield Row(
        "load",
        f"statements of ls, status, results, logs, claim and complete, {there}",
        [sum(many.values())],
        "of one job",
        [sum(few.values())],
        Goal(1, at_most=True),
        details={"few": few, "many": many},
        unit="statements",
    )


def _statements(ledger: Ledger, job: int, units: Sequence[int]) -> dict[str, int]:
    """By what is done."""
    with ledger.database.read() as session:
        query = select(Shard.id).where(Shard.job_id == job, Shard.state == ShardState.QUEUED).limit(1)
        shard = session.scalars(query).one()
    claims: list[Any] = []
    done: dict[str, Callable[[], Any]] = {
        "ls": lambda: list_jobs(ledger.database, None, None, 10_000),
        "status": lambda: job_progress(ledger.database, job),
        "results": lambda: list(TOP_ACTIVATIONS.rows(ledger.database, job)),
        "logs": lambda: job_events(ledger.database, job),
        "claim": lambda: claims.append(ledger.claim(shard, "load")),
        "complete": lambda: ledger.complete(claims[0]),
    }
    found = {}
    for name, work in done.items():
        with counted(ledger.database) as statements:
            work()
        found[name] = len(statements)
    return found


Asked = dict[str, tuple[Callable[[], Any], list[Any]]]


def _asked(setting: Setting, database: Database, there: str, asked: Asked) -> Iterator[Row]:
    """How long the functions take, and the program's commands against the program's own start."""
    home = Home(setting.place / f"home-{secrets.token_hex(4)}")
    home.environment["ANALYZE_DATABASE_URL"] = database.url.render_as_string(hide_password=False)

    def median(work: Callable[[], Any], times: int = ASKED) -> Timed:
        return Timed(statistics.median(_clock(work) for _ in range(times)))

    def command(arguments: list[Any]) -> Callable[[], Timed]:
        return lambda: median(lambda: home.analyze(*arguments), 1)

    functions = {name: lambda work=work: median(work) for name, (work, _) in asked.items()}
    commands = {f"{name} as a command": command(arguments) for name, (_, arguments) in asked.items()}
    turns = in_turn({**functions, **commands, "start": command(["--version"])}, setting.rounds)
    for name in asked:
        yield Row("load", f"{name}, {there}", turns.seconds[name])
        yield Row(
            "load",
            f"{name} as a command, {there}",
            turns.seconds[f"{name} as a command"],
            "the program's own start",
            turns.seconds["start"],
        )
    home.stop()


# --- many who submit ---


def _submitted(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    _register(database)
    url = database.url.render_as_string(hide_password=False)
    each = setting.submits // PROCESSES
    distinct = each * PROCESSES // SAME
    took = []
    with _pool(PROCESSES) as pool:
        for number in range(setting.rounds + 1):
            first = number * distinct
            # Each process asks for all of it in another order: the same ones meet.
            wanted = [[first + (n * each + k) % distinct for k in range(each)] for n in range(PROCESSES)]
            found = [future.result() for future in [pool.submit(_submit, url, seeds) for seeds in wanted]]
            seconds = max(span.ended for span, _ in found) - min(span.began for span, _ in found)
            _check_submits([answer for _, answers in found for answer in answers], distinct)
            click.echo(f"  {NAMES[kind]}, round {number} of {setting.rounds}, submits: {seconds:.4g} s", err=True)
            if number:
                took.append(seconds)
    with database.read() as session:
        jobs, shards = session.scalar(select(func.count(Job.id))), session.scalar(select(func.count(Shard.id)))
    assert (jobs, shards) == (distinct * (setting.rounds + 1), 5 * distinct * (setting.rounds + 1))
    yield Row("load", f"{each * PROCESSES} submits at once of {distinct} specifications, {NAMES[kind]}", took)


def _submit(url: str, seeds: Sequence[int]) -> tuple[_Span, list[tuple[int, int, bool]]]:
    """In a process of its own, a thread for each: (seed, job, whether it is new)."""
    database = Database(url)
    ledger = Ledger(database)
    barrier = threading.Barrier(len(seeds) + 1)

    def one(seed: int) -> tuple[int, int, bool]:
        barrier.wait()
        return (seed, *ledger.submit(_specification(seed, 2)))

    with ThreadPoolExecutor(len(seeds)) as threads:
        futures = [threads.submit(one, seed) for seed in seeds]
        _meeting.wait()
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


def _rows(setting: Setting, database: Database, kind: str) -> Iterator[Row]:
    jobs = max(1, round(setting.rows / (sum(UNITS) * TOP)))
    database.close()  # SQLite's file is to be had by one alone
    fill(database, kind, jobs)
    with database.write() as session:  # every unit was alive
        units = text(
            "INSERT INTO searched_units (layer_id, unit, dead) SELECT DISTINCT layer_id, unit, false "
            "FROM top_activation_rows WHERE layer_id IN (SELECT id FROM searched_layers WHERE job_id = :job)"
        )
        session.execute(units, {"job": (middle := jobs // 2 + 1)})
    _settle(database)
    listed = f"{UNITS_ASKED.start}-{UNITS_ASKED.stop - 1}"
    sql = QUERY.format(job=middle)
    asked: Asked = {
        f"`results --units {listed}`": (
            lambda: list(TOP_ACTIVATIONS.rows(database, middle, Filters(units=UNITS_ASKED))),
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
    yield from _asked(setting, database, f"{jobs * sum(UNITS) * TOP:,} result rows, {NAMES[kind]}", asked)
