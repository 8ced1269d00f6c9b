"""The registry of networks of the user's own in the database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.database.networks import RegisteredNetwork
from shared.errors import NetworkNotRegistered, NoSuchOwnNetwork, UserNetworksOff
from shared.jobs.tables import Job
from unitscope.description import NetworkSpecification
from unitscope.factories import FactorySpecification


def find_registered(session: Session, name: str) -> RegisteredNetwork | None:
    """Return the current version of a network of the user's own, or None."""
    current = RegisteredNetwork.replaced_at.is_(None)
    return session.scalars(select(RegisteredNetwork).where(RegisteredNetwork.name == name, current)).one_or_none()


def get_registered(session: Session, name: str) -> RegisteredNetwork:
    """Return the current version of a network of the user's own.

    Raises
    ------
    NoSuchOwnNetwork
    """
    row = find_registered(session, name)
    if row is None:
        names = session.scalars(select(RegisteredNetwork.name).distinct().order_by(RegisteredNetwork.name)).all()
        raise NoSuchOwnNetwork(name=name, choices=", ".join(names) or "none")
    return row


def require_registered(database: Database, network: NetworkSpecification) -> None:
    """Check that the code of a network was added here with ``analyze network add``; no other code is run.

    A job that was imported, or a row that somebody else wrote, can name any function and any file.

    Raises
    ------
    NetworkNotRegistered
    """
    if network.factory is None:
        return
    with database.read() as session:
        same = exists().where(RegisteredNetwork.factory_key == network.factory.key())
        if not session.scalar(select(same)):
            raise NetworkNotRegistered(network=network.name, factory=network.factory.factory)


def require_allowed(network: str, *, allowed: bool) -> None:
    """Check the setting ``user_networks``.

    Raises
    ------
    UserNetworksOff
    """
    if not allowed:
        raise UserNetworksOff(network=network, host=socket.gethostname())


def own_networks(specification: Any) -> Iterator[dict[str, Any]]:
    """Yield the networks of the user's own in the specification of a job, as it is stored."""
    if isinstance(specification, dict):
        if isinstance(specification.get("name"), str) and isinstance(specification.get("factory"), dict):
            yield specification
        for value in specification.values():
            yield from own_networks(value)
    elif isinstance(specification, list):
        for value in specification:
            yield from own_networks(value)


def unregistered_networks(session: Session, job_id: int) -> list[str]:
    """Return the names of the networks of a job whose code was never added here, and is therefore not run."""
    names = set()
    for network in own_networks(session.scalar(select(Job.specification).where(Job.id == job_id))):
        key = FactorySpecification.model_validate(network["factory"]).key()
        if not session.scalar(select(exists().where(RegisteredNetwork.factory_key == key))):
            names.add(network["name"])
    return sorted(names)
