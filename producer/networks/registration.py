"""Adding, listing, and removing networks of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from producer.networks.own import factory_of
from producer.networks.trial import run_limited
from shared.database.base import utc_now
from shared.database.catalogue import store_network_description
from shared.database.connection import Database
from shared.database.networks import RegisteredNetwork
from shared.database.registered import find_registered, get_registered, own_networks, require_allowed
from shared.errors import NetworkExists, NetworkInUse, NetworkNotBuilt, NetworkTooSlow, UsageError
from shared.jobs.removal import RemovableJob, list_job_ids, removable_jobs, remove_job
from shared.jobs.tables import Job
from shared.settings import Settings
from shared.store.code import source_sha256, store_code
from shared.store.ownership import open_store
from unitscope.description import ZFNET_NAMES, NetworkDescription, NetworkSpecification
from unitscope.errors import UnitscopeError
from unitscope.factories import NAME, PATH, FactorySpecification
from unitscope.training.recipes import PRESETS

RESERVED = {*ZFNET_NAMES, *PRESETS}  # those of torchvision are known to the worker's code only


@dataclass(frozen=True)
class NetworkRequest:
    """A network to add: see ``analyze network add``."""

    name: str
    factory: str
    code: Path | None
    arguments: Mapping[str, Any]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: int | None = None
    classes_argument: str | None = None


@dataclass(frozen=True)
class AddedNetwork:
    """The outcome of ``add_network``. ``state``: added, replaced, or the same as before."""

    description: NetworkDescription
    files: dict[str, str]  # SHA-256 by path
    state: str
    notes: list[str] = field(default_factory=list)


def add_network(
    database: Database, settings: Settings, request: NetworkRequest, *, replace: bool = False, seconds: float = 60
) -> AddedNetwork:
    """Make a network in a process of its own, store its code, make it again from what was stored, and register it.

    ``seconds`` limits each of the two processes, with the start of Python and torch.

    Raises
    ------
    UserNetworksOff, UsageError, NetworkNotBuilt, NetworkExists, StoreFull, StoreNotUsable
    """
    require_allowed(request.name, allowed=settings.user_networks)
    _check(request)
    code = request.code.resolve() if request.code else None
    asked = {
        "name": request.name,
        "factory": request.factory,
        "arguments": dict(request.arguments),
        "folder": str(code) if code else None,
        "size": request.size,
        "classes": request.classes,
        "classes_argument": request.classes_argument,
    }
    made = run_limited(request.name, ["worker.programs.make_network"], asked, seconds, code)
    store = open_store(database, settings.resolved_store)
    stored = store_code(store, made["files"]) if code else None
    specification = _specification(request, made, stored.path if stored else None)
    description = describe_stored(settings, specification, seconds, code)
    if stored:
        store.make_durable([stored.path])
    files = {path: source_sha256(text) for path, text in sorted(made["files"].items())}
    state = register(database, specification, files, code, replace=replace)
    store_network_description(database, description)
    return AddedNetwork(description, files, state, made["notes"])


def _check(request: NetworkRequest) -> None:
    """Check the request as far as that is possible without running code.

    Raises
    ------
    UsageError
    """
    check_name(request.name)
    if not PATH.fullmatch(request.factory):
        raise UsageError(
            reason=f"--factory {request.factory} is not of the form my_models.net:make (module, colon, function)."
        )
    if request.code and not request.code.is_dir():
        raise UsageError(reason=f"--code {request.code} is not a folder.")
    if request.classes_argument in request.arguments:
        raise UsageError(reason=f"Give {request.classes_argument} by --classes, or by --argument, not both.")


def check_name(name: str) -> None:
    """Check that a network of the user's own can have a name.

    Raises
    ------
    UsageError
    """
    if not NAME.fullmatch(name):
        reason = f"'{name}' can't be the name of a network: use up to 64 letters, digits, '.', '_' and '-'."
        raise UsageError(reason=reason)
    if name in RESERVED:
        raise UsageError(reason=f"'{name}' is the name of another network or recipe: choose another name.")


def _specification(request: NetworkRequest, made: dict[str, Any], code: str | None) -> NetworkSpecification:
    try:
        return NetworkSpecification(
            name=request.name,
            classes=made["classes"],
            image_size=request.size,
            mean=request.mean,
            std=request.std,
            factory=FactorySpecification(
                factory=request.factory,
                arguments=dict(request.arguments),
                classes_argument=made["classes_argument"],
                code=code,
                package=made["package"],
                version=made["version"],
            ),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(reason=f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def describe_stored(
    settings: Settings, specification: NetworkSpecification, seconds: float, code: Path | None = None
) -> NetworkDescription:
    """Describe the network as it is made of what was stored, as a worker on another machine makes it.

    ``code`` is the folder from which it was made before, if any.

    Raises
    ------
    NetworkNotBuilt, NetworkTooSlow
    """
    arguments = ["worker.programs.describe", specification.model_dump_json(), "--new"]
    arguments += ["--store", str(settings.resolved_store)]
    try:
        answer = run_limited(specification.name, arguments, None, seconds, code)
    except NetworkTooSlow:
        raise
    except UnitscopeError as error:
        if code is None:
            raise
        inner = error.details.get("reason", error)
        reason = (
            f"it was made from the folder, but not from its stored code alone, as workers do: {inner}. Only "
            "Python files that are imported from --code are stored, so read no other files"
        )
        raise NetworkNotBuilt(network=specification.name, reason=reason) from error
    return NetworkDescription.model_validate(answer["network"])


def register(
    database: Database,
    specification: NetworkSpecification,
    files: dict[str, str],
    code: Path | None,
    *,
    replace: bool,
) -> str:
    """Register a network, and return its state: see ``AddedNetwork``.

    Parameters
    ----------
    files
        SHA-256 of the source files, by path.
    code
        The folder that has them, if any.

    Raises
    ------
    NetworkExists
    """
    write = partial(_register, database, specification, files, code, replace=replace)
    try:
        return write()
    except IntegrityError:  # another process added the name at the same time
        return write()


def _register(
    database: Database,
    specification: NetworkSpecification,
    files: dict[str, str],
    code: Path | None,
    *,
    replace: bool,
) -> str:
    name, factory = specification.name, specification.factory
    assert factory is not None  # noqa: S101 - of every network that is added
    values = {
        "factory": factory.model_dump(mode="json"),
        "files": files,
        "image_size": specification.image_size,
        "mean": list(specification.mean),
        "std": list(specification.std),
        "classes": specification.classes,
    }
    with database.write() as session:
        current = find_registered(session, name)
        differences = [column for column, value in values.items() if current and getattr(current, column) != value]
        if current and differences and not replace:
            raise NetworkExists(name=name, what=_said(current, differences))
        if current and current.factory_key != factory.key():
            current.replaced_at = utc_now()
            session.flush()  # a name has one current version at any time
        row = session.get(RegisteredNetwork, (name, factory.key()))
        if row is None:
            row = RegisteredNetwork(name=name, factory_key=factory.key())
            session.add(row)
        for column, value in values.items():
            setattr(row, column, value)
        row.folder, row.replaced_at = str(code) if code else None, None
    if current is None:
        return "added"
    return "replaced" if differences else "the same"


def _said(row: RegisteredNetwork, differences: Sequence[str]) -> str:
    """Say what of a registered network differs."""
    words = {"files": "other code", "image_size": f"--size {row.image_size}", "classes": f"{row.classes} classes"}
    words |= {"mean": "another --mean", "std": "another --std"}
    said = [words[name] for name in differences if name in words]
    return ", ".join(said) or f"another factory ({factory_of(row).call})"


# --- listing ---


@dataclass(frozen=True)
class ListedNetwork:
    """A network of the user's own, for ``analyze network ls``."""

    name: str
    factory: str
    arguments: dict[str, Any]
    code: str | None  # artifact
    files: dict[str, str]
    folder: str | None
    package: str | None
    version: str | None
    size: int
    mean: list[float]
    std: list[float]
    classes: int
    classes_argument: str | None
    added_at: datetime
    jobs: list[int]  # those that use it, or an earlier version of it
    earlier_versions: int


def list_networks(database: Database, name: str | None = None) -> list[ListedNetwork]:
    """Return the networks of the user's own by name, or the one of this name.

    Raises
    ------
    NoSuchOwnNetwork
    """
    with database.read() as session:
        if name is not None:
            get_registered(session, name)
        rows = session.scalars(select(RegisteredNetwork).order_by(RegisteredNetwork.name)).all()
        current = [row for row in rows if row.replaced_at is None and name in (None, row.name)]
        users = _users(session, [row.name for row in current])
    versions = [row.name for row in rows]
    return [_listed(row, users[row.name], versions.count(row.name) - 1) for row in current]


def _listed(row: RegisteredNetwork, jobs: list[int], earlier: int) -> ListedNetwork:
    factory = factory_of(row)
    return ListedNetwork(
        name=row.name,
        factory=factory.factory,
        arguments=dict(factory.arguments),
        code=factory.code,
        files=dict(row.files),
        folder=row.folder,
        package=factory.package,
        version=factory.version,
        size=row.image_size,
        mean=row.mean,
        std=row.std,
        classes=row.classes,
        classes_argument=factory.classes_argument,
        added_at=row.added_at,
        jobs=jobs,
        earlier_versions=earlier,
    )


def _users(session: Session, names: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids of the jobs that use each network."""
    users: dict[str, list[int]] = {name: [] for name in names}
    if names:
        query = select(Job.id, Job.specification).order_by(Job.id).execution_options(yield_per=1000)
        for job_id, specification in session.execute(query):
            used = {network["name"] for network in own_networks(specification)}
            for name in used & {*names}:
                users[name].append(job_id)
    return users


# --- removal ---


@dataclass(frozen=True)
class RemovableNetwork:
    """A network of the user's own that can be removed, with the jobs that use it and those that use their
    results."""

    name: str
    jobs: list[RemovableJob]


def removable_network(database: Database, name: str, *, with_jobs: bool) -> RemovableNetwork:
    """Return what is removed with a network.

    Raises
    ------
    NoSuchOwnNetwork
    NetworkInUse
        jobs use it, and ``with_jobs`` is not set.
    JobStillActive
        one of them is queued or running.
    """
    with database.write() as session:
        get_registered(session, name)
        return RemovableNetwork(name, _jobs(session, name, with_jobs=with_jobs))


def remove_network(database: Database, removable: RemovableNetwork) -> None:
    """Remove the jobs, and all versions of the network. `analyze gc` then removes its code.

    Raises
    ------
    NetworkInUse, JobStillActive
        something changed since ``removable_network``.
    """
    for job in removable.jobs:
        remove_job(database, job)
    with database.write() as session:
        _jobs(session, removable.name, with_jobs=False)
        session.execute(delete(RegisteredNetwork).where(RegisteredNetwork.name == removable.name))


def _jobs(session: Session, name: str, *, with_jobs: bool) -> list[RemovableJob]:
    job_ids = _users(session, [name])[name]
    if job_ids and not with_jobs:
        raise NetworkInUse(name=name, jobs=list_job_ids(job_ids))
    return removable_jobs(session, job_ids, with_dependents=True)
