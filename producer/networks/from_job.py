"""Adding a network of an imported job, whose code came along with it and was never added here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from producer.networks.own import factory_of
from producer.networks.registration import AddedNetwork, check_name, describe_stored, register
from producer.results.jobs import find_job
from shared.database.catalogue import store_network_description
from shared.database.connection import Database
from shared.database.registered import find_registered, own_networks, require_allowed
from shared.errors import NetworkNotReadable, UsageError
from shared.settings import Settings
from shared.store.code import read_code, source_sha256
from shared.store.store import Store
from unitscope.description import NetworkSpecification

SHOWN = 8  # files that a message names


@dataclass(frozen=True)
class NetworkOfJob:
    """A network of the user's own that a job names, and its source files: text by path, none of a package."""

    job_id: int
    specification: NetworkSpecification
    files: Mapping[str, str]

    @property
    def origin(self) -> str:
        """What is run if it is added, for messages."""
        factory = self.specification.factory
        assert factory is not None  # noqa: S101 - of a network of the user's own
        if factory.code is None:
            return f"{factory.call} of the installed package {factory.package} {factory.version}"
        names = [*self.files]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"{factory.call} of the source files {', '.join(names[:SHOWN])}{more}"


def network_of_job(database: Database, store: Store, name: str, job_id: int) -> NetworkOfJob:
    """Return a network that a job names, without running anything of it.

    Its size, normalization and classes are those of the job.

    Raises
    ------
    NoSuchJob, ArtifactMissing, ArtifactDamaged, CodeNotReadable, NetworkNotReadable
    UsageError
        The job has no network of the user's own with this name, or this can't be the name of one.
    """
    check_name(name)
    with database.read() as session:
        found = list(own_networks(find_job(session, job_id).specification))
    chosen = [network for network in found if network["name"] == name]
    if not chosen:
        names = ", ".join(sorted({network["name"] for network in found})) or "none"
        raise UsageError(
            reason=f"Job {job_id} has no network of your own named '{name}'. Those of the job: {names}."
        )
    try:
        of_job = NetworkSpecification.model_validate(chosen[0])
    except ValidationError as error:
        raise NetworkNotReadable(name=name, reason=error.errors()[0]["msg"]) from error
    factory = of_job.factory
    assert factory is not None  # noqa: S101 - see ``own_networks``
    specification = of_job.model_copy(update={"classes": of_job.head or of_job.classes, "head": None})
    return NetworkOfJob(job_id, specification, read_code(store, factory.code) if factory.code else {})


def add_network_of_job(
    database: Database, settings: Settings, network: NetworkOfJob, *, replace: bool = False, seconds: float = 60
) -> AddedNetwork:
    """Make a network from its stored code, in a process of its own, and register it.

    Raises
    ------
    UserNetworksOff, NetworkNotBuilt, NetworkExists
    """
    specification = network.specification
    require_allowed(specification.name, allowed=settings.user_networks)
    description = describe_stored(settings, specification, seconds)
    files = {path: source_sha256(text) for path, text in sorted(network.files.items())}
    with database.read() as session:
        current = find_registered(session, specification.name)
        added = current is not None and factory_of(current) == specification.factory
    # The size and the classes with which it was added stay.
    state = "the same" if added else register(database, specification, files, None, replace=replace)
    store_network_description(database, description)
    return AddedNetwork(description, files, state)


def write_files(network: NetworkOfJob, folder: Path) -> None:
    """Write the source files to a folder, which must be new or empty.

    Raises
    ------
    UsageError
        There is something in the folder, or it can't be written, or the network has no files.
    """
    if not network.files:
        raise UsageError(reason=f"{network.specification.name} has no source files: it is {network.origin}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(reason=f"{folder} is not empty. Give a new folder.")
        for path, text in network.files.items():  # relative paths without '..': see ``read_code``
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
    except (OSError, ValueError) as error:
        raise UsageError(reason=f"The source files can't be written to {folder} ({error}).") from error
