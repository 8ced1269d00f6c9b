"""Redis and PostgreSQL killed, restarted, emptied, full, read-only and disconnected while a worker runs a shard; a
locked SQLite database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psutil
from redis.exceptions import RedisError
from sqlalchemy import select, text

from shared.database.connection import database_now
from shared.jobs.broker import broker_for
from shared.jobs.tables import Shard
from shared.settings import load_settings
from tests.faults.conftest import Catalogue
from tests.faults.harness import ANALYSES, LEASE_SECONDS, Case
from tests.faults.servers import RedisServer

CATALOGUE = Catalogue()
POSTGRESQL = ("postgresql",)


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def in_hand(case: Case, state: str = "computing") -> tuple[Any, dict[str, Any]]:
    """Submit a job and hold the worker that reaches the state; returns a function to release it, and its shard."""
    injection = case.inject(state, "hold", stage=case.stage(state))
    case.submit()
    return injection.release, injection.reached()


def redis_of(case: Case) -> RedisServer:
    assert case.home.redis
    return case.home.redis


def wait_seconds(seconds: float) -> None:
    """Wait long enough that all processes notice an outage."""
    time.sleep(seconds)


# --- Redis ---


def redis_restarts(case: Case, keeps_file: bool) -> None:
    release, _ = in_hand(case)
    redis = redis_of(case)
    redis.kill()
    if not keeps_file:
        redis.forget()
    if case.draw.random() < 0.5:  # the shard ends while Redis is down
        release()
        wait_seconds(case.draw.uniform(0.5, 1.5))
    redis.start()
    release()


def redis_flushed(case: Case) -> None:
    release, _ = in_hand(case)
    redis_of(case).client.flushall()
    release()
    while not case.home.ended(max(case.jobs)):  # flush again whenever there is a message
        case.faults += 1
        redis_of(case).client.flushall()
        wait_seconds(1.0)
        if case.faults > 5:
            return


def redis_clients_cut(case: Case) -> None:
    release, _ = in_hand(case)
    for _ in range(3):
        case.faults += 1
        with suppress(RedisError):
            for kind in ("normal", "pubsub"):
                redis_of(case).client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        wait_seconds(case.draw.uniform(0.1, 0.7))
        release()


def redis_full(case: Case) -> None:
    release, _ = in_hand(case)
    client = redis_of(case).client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    try:
        release()
        wait_seconds(LEASE_SECONDS)
    finally:
        client.config_set("maxmemory", "0")


CATALOGUE.add("Redis restarts with its file", partial(redis_restarts, keeps_file=True))
CATALOGUE.add("Redis restarts without its file", partial(redis_restarts, keeps_file=False))
CATALOGUE.add("Redis flushed", redis_flushed)
CATALOGUE.add("Redis' clients cut", redis_clients_cut)
CATALOGUE.add("Redis full", redis_full)


# --- the private Redis ---


def private_killed(case: Case) -> None:
    release, _ = in_hand(case)
    broker = broker_for(load_settings({"home": case.home.home}))
    psutil.Process(broker.redis.info("server")["process_id"]).kill()
    release()


def second_up(case: Case, number: signal.Signals) -> None:
    """Of two `analyze up` in one home, the one that owns the Redis exits, and the other one starts its own."""
    release, _ = in_hand(case)
    first = next(process for process in case.home.started if "up" in process.args)
    second = case.home.start("up", "--devices", "cpu")
    case.wait_until(lambda: len(case.home.workers()) == 3)
    case.extra = (0, 0) if number == signal.SIGTERM else (0, 1)
    first.send_signal(number)
    first.wait(60)
    case.faults += 1
    release()
    case.wait()
    assert second.poll() is None


CATALOGUE.add("private Redis killed", private_killed, private=True)
for number, what in ((signal.SIGTERM, "ends"), (signal.SIGKILL, "is killed")):
    CATALOGUE.add(
        f"two ups, the first {what}",
        partial(second_up, number=number),
        kinds=ANALYSES,  # a shard must follow the first one
        private=True,
    )


# --- PostgreSQL ---


def postgresql_restarts(case: Case, mode: str, state: str) -> None:
    release, _ = in_hand(case, state)
    server = case.postgresql
    assert server
    # Connections are reopened and broken commits are retried. If the server is down for longer than a lease, the
    # other worker may lose its shard, too.
    case.extra = (0, 2)
    server.stop(mode)
    wait_seconds(case.draw.uniform(0, 1))
    server.start()
    release()


def connections_terminated(case: Case, state: str) -> None:
    release, _ = in_hand(case, state)
    assert case.postgresql
    name = case.home.database.url.database
    case.extra = (0, 1)  # the connection of the other worker may break while it claims a shard
    case.postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    release()


def read_only(case: Case) -> None:
    release, _ = in_hand(case)
    server = case.postgresql
    assert server
    name = case.home.database.url.database
    case.extra = (0, 2)
    server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        wait_seconds(1.0)
        release()
        wait_seconds(LEASE_SECONDS)
    finally:
        server.execute(
            "SET default_transaction_read_only = off",
            f'ALTER DATABASE "{name}" RESET default_transaction_read_only',
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )


for state in ("computing", "committing"):
    for mode in ("fast", "immediate"):
        CATALOGUE.add(
            f"PostgreSQL restarts ({mode}) when {state}",
            partial(postgresql_restarts, mode=mode, state=state),
            databases=POSTGRESQL,
        )
    CATALOGUE.add(
        f"connections terminated when {state}", partial(connections_terminated, state=state), databases=POSTGRESQL
    )
CATALOGUE.add("PostgreSQL read-only", read_only, databases=POSTGRESQL)


# --- both ---


def answer_lost(case: Case) -> None:
    """The connection breaks between the commit and its response: the shard is done."""
    injection = case.inject("committed", "lose the answer", stage=case.stage("committed"))
    case.submit()
    injection.reached()


CATALOGUE.add("answer of the commit lost", answer_lost)


# --- SQLite ---


@contextmanager
def locked(case: Case) -> Any:
    with case.home.database.write() as session:
        session.execute(text("UPDATE jobs SET stage = stage"))
        yield


def sqlite_locked(case: Case) -> None:
    """Another connection holds the write lock for longer than a lease."""
    release, held = in_hand(case)
    case.extra = (0, 2)  # the sweepers may run before the heartbeats when the lock is released
    with locked(case):
        release()
        expired = select(Shard.id).where(Shard.id == held["shard"], Shard.lease_until < database_now())

        def late() -> bool:
            with case.home.database.read() as session:
                return session.scalar(expired) is not None

        case.wait_until(late)


CATALOGUE.add("SQLite locked past the lease", sqlite_locked, databases=("sqlite",))
