"""Networks of the user's own as requests name them: their specifications, and whether their code has changed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from producer.networks.arguments import written
from producer.networks.specification import network_specification, refuse_options, require_classes
from shared.database.connection import Database
from shared.database.networks import RegisteredNetwork
from shared.database.registered import find_registered, require_allowed
from shared.errors import NetworkCodeChanged, NetworkNotReadable
from shared.settings import Settings
from shared.store.code import LARGEST, source_sha256
from unitscope.description import NetworkSpecification, default_classes
from unitscope.factories import FactorySpecification

SHOWN = 3


def named_network(
    database: Database,
    settings: Settings,
    name: str,
    classes: int | None = None,
    *,
    usual_classes: int | None = None,
    **options: Any,
) -> NetworkSpecification:
    """Return the specification of a network by its name: the user's own, one of ours, or torchvision's.

    Parameters
    ----------
    classes
        None: those with which a network of the user's own was added, or else ``usual_classes``.
    usual_classes
        None: those of the network's recipe.
    options
        ``fc``, ``size``, ``maps``, ``without``, ``head``: see ``network_specification``.

    Raises
    ------
    UserNetworksOff, NetworkCodeChanged, NetworkNotReadable, UsageError
    """
    with database.read() as session:
        row = find_registered(session, name)
    if row is None:
        return network_specification(name, classes or usual_classes or default_classes(name), **options)
    require_allowed(name, allowed=settings.user_networks)
    require_unchanged(row)
    given = {option: value for option, value in options.items() if value not in (None, ())}
    refuse_options(name, given)
    factory, head = factory_of(row), given.get("head")
    require_classes(factory, name, row.classes, head or classes or row.classes)
    registered = {"name": name, "factory": factory, "mean": row.mean, "std": row.std}
    asked = {"classes": classes or row.classes, "image_size": given.get("size") or row.image_size, "head": head}
    try:
        return NetworkSpecification.model_validate({**registered, **asked})
    except ValidationError as error:
        raise NetworkNotReadable(name=name, reason=error.errors()[0]["msg"]) from error


def factory_of(row: RegisteredNetwork) -> FactorySpecification:
    """Return what makes a registered network.

    Raises
    ------
    NetworkNotReadable
        the row was not written by this program.
    """
    try:
        return FactorySpecification.model_validate(row.factory)
    except ValidationError as error:
        raise NetworkNotReadable(name=row.name, reason=error.errors()[0]["msg"]) from error


def require_unchanged(row: RegisteredNetwork) -> None:
    """Check that the code folder, if it is on this machine, has the files that were registered.

    Raises
    ------
    NetworkCodeChanged
    """
    if row.folder is None or not Path(row.folder).is_dir():
        return
    changed = [path for path, sha256 in row.files.items() if _sha256(Path(row.folder) / path) != sha256]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise NetworkCodeChanged(
            name=row.name,
            folder=row.folder,
            files=", ".join(changed[:SHOWN]) + more,
            command=f"{add_command(row)} --replace",
        )


def _sha256(file: Path) -> str | None:
    try:
        return source_sha256(file.read_bytes().decode()) if file.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None


def add_command(row: RegisteredNetwork) -> str:
    """Return the command that adds a network as it was added."""
    factory = factory_of(row)
    words = ["analyze", "network", "add", row.name, "--factory", factory.factory]
    words += ["--code", row.folder] if row.folder else []
    for name, value in factory.arguments.items():
        words += ["--argument", f"{name}={written(value)}"]
    words += ["--size", str(row.image_size)]
    for option, values in (("--mean", row.mean), ("--std", row.std)):
        words += [option, ",".join(map(str, values))]
    words += ["--classes", str(row.classes)]
    words += ["--classes-argument", factory.classes_argument] if factory.classes_argument else []
    return shlex.join(words)
