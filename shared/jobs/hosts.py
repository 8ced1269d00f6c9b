"""Machines of workers, and shards that a machine leaves to others because it can't read their images."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, String, and_, exists, select, update
from sqlalchemy.orm import Session

from shared.database.connection import database_now
from shared.jobs.tables import Job, Shard, ShardState, Worker

WORKER_ALIVE_SECONDS = 30.0
HOSTS_WITHOUT_DATA = "hosts_without_data"  # key in a shard's payload: machines that can't read its images
CANNOT_READ = "It can't read the images of "  # begins the problem of a worker whose machine lacks a data set
NAME = re.compile(r"(?P<host>.+)-(cpu|cuda[0-9]+)-[0-9a-f]{6}")


def new_worker_name(device: str) -> str:
    """Return a unique name for a worker of this machine on a device, ``cpu`` or ``cuda:N``."""
    return f"{socket.gethostname()}-{device.replace(':', '')}-{secrets.token_hex(3)}"


def host_of(worker: str) -> str:
    """Return the machine of a worker from its name: ``new_worker_name``, or ``HOST:PID`` without a supervisor."""
    match = NAME.fullmatch(worker)
    return match["host"] if match else worker.rpartition(":")[0] or worker


def hosts_without_data(payload: Mapping[str, Any]) -> set[str]:
    """Return the machines that have handed back a shard with this payload."""
    return set(payload.get(HOSTS_WITHOUT_DATA, ()))


def handed_back() -> ColumnElement[bool]:
    """Return the condition that machines are recorded which can't read a shard's images."""
    condition: ColumnElement[bool] = Shard.payload.cast(String).contains(HOSTS_WITHOUT_DATA)
    return condition


def alive() -> ColumnElement[bool]:
    """Return the condition that a worker was seen in the last ``WORKER_ALIVE_SECONDS``."""
    return Worker.seen_at > database_now() - WORKER_ALIVE_SECONDS


def has_other_hosts(session: Session, queue: str, hosts: set[str]) -> bool:
    """Return whether workers of this queue are alive on machines other than ``hosts``."""
    workers = session.execute(select(Worker.name, Worker.queues).where(alive()))
    return any(queue in queues and host_of(name) not in hosts for name, queues in workers)


def leave_to_others(session: Session, shard_id: int, hosts: set[str]) -> None:
    """Record that the machines ``hosts`` can't read the images of a queued shard, whose message is due again.

    Nothing is changed while another transaction has locked the shard.
    """
    queued = select(Shard).where(Shard.id == shard_id, Shard.state == ShardState.QUEUED)
    shard = session.scalars(queued.with_for_update(skip_locked=True)).one_or_none()
    if shard:
        shard.payload = {**shard.payload, HOSTS_WITHOUT_DATA: sorted(hosts)}
        shard.sent_at = None


def forget_hosts(session: Session, shards: ColumnElement[bool], host: str | None = None) -> None:
    """Forget which machines can't read the images of these shards: ``host``, or all."""
    query = select(Shard).where(shards, handed_back())
    for shard in session.scalars(query.with_for_update(skip_locked=True)):
        others = hosts_without_data(shard.payload) - {host} if host else set()
        payload = {key: value for key, value in shard.payload.items() if key != HOSTS_WITHOUT_DATA}
        shard.payload = payload | ({HOSTS_WITHOUT_DATA: sorted(others)} if others else {})


def shards_of_dataset(dataset_id: int) -> ColumnElement[bool]:
    """Return the condition that a shard is queued and belongs to a job on this data set."""
    of_dataset = Shard.job_id.in_(select(Job.id).where(Job.dataset_id == dataset_id))
    return of_dataset & (Shard.state == ShardState.QUEUED)


def has_shards_for(session: Session, host: str, missing: Collection[int]) -> bool:
    """Return whether shards are queued that a machine can run which lacks the data sets ``missing``.

    Those that have paused don't count: most are left to another machine or device.
    """
    left = handed_back() & Shard.payload.cast(String).contains(f'"{host}"')
    others = select(Job.id).where(Job.dataset_id.not_in(missing))
    queued = and_(Shard.state == ShardState.QUEUED, Shard.paused_until.is_(None))
    return bool(session.scalar(select(exists().where(queued, ~left, Shard.job_id.in_(others)))))


def hosts_waiting(session: Session, job_ids: Collection[int]) -> dict[int, set[str]]:
    """Return the machines that can't read the images of queued shards, by job."""
    queued = (Shard.job_id.in_(job_ids), Shard.state == ShardState.QUEUED, handed_back())
    found: dict[int, set[str]] = {}
    for job_id, payload in session.execute(select(Shard.job_id, Shard.payload).where(*queued)):
        found.setdefault(job_id, set()).update(hosts_without_data(payload))
    return found


def set_problem(session: Session, worker: str, problem: str | None) -> None:
    """Record which data sets a worker's machine can't read, or that it can read all (None)."""
    change = update(Worker).where(Worker.name == worker)
    if problem is None:  # another problem stays
        change = change.where(Worker.problem.startswith(CANNOT_READ))
    session.execute(change.values(problem=problem))
