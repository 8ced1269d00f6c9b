"""Machines of workers, and shards that a machine leaves to others because it can't read their images."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, String, select
from sqlalchemy.orm import Session

from shared.database.connection import database_now
from shared.jobs.tables import Shard, Worker

WORKER_ALIVE_SECONDS = 30.0
HOSTS_WITHOUT_DATA = "hosts_without_data"  # key in a shard's payload: machines that can't read its images
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


def alive() -> ColumnElement[bool]:
    """Return the condition that a worker was seen in the last ``WORKER_ALIVE_SECONDS``."""
    return Worker.seen_at > database_now() - WORKER_ALIVE_SECONDS


def has_other_hosts(session: Session, queue: str, hosts: set[str]) -> bool:
    """Return whether workers of this queue are alive on machines other than ``hosts``."""
    workers = session.execute(select(Worker.name, Worker.queues).where(alive()))
    return any(queue in queues and host_of(name) not in hosts for name, queues in workers)


def forget_hosts(session: Session, shards: ColumnElement[bool]) -> None:
    """Forget which machines have handed back these shards."""
    handed_back = Shard.payload.cast(String).contains(HOSTS_WITHOUT_DATA)
    for shard in session.scalars(select(Shard).where(shards, handed_back)):
        shard.payload = {key: value for key, value in shard.payload.items() if key != HOSTS_WITHOUT_DATA}
