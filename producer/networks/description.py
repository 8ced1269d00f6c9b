"""Descriptions of networks, computed by subprocesses that run the worker's code.

The producer never imports torch.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.networks.taken_weights import TakenWeights, recall, record_file, remember
from shared.children import safe_environment
from shared.database.catalogue import find_network_description, store_network_description
from shared.database.connection import Database
from shared.database.registered import require_allowed, require_registered
from shared.errors import error_class
from shared.settings import Settings
from shared.store.ownership import open_store
from shared.store.store import sha256_of
from shared.text import one_line
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.errors import UnitscopeError, WeightsNotReadable

DEFAULT_WEIGHTS = "DEFAULT"


class WorkerProgramKilled(UnitscopeError):
    """{program} was ended by {signal}."""

    def __init__(self, program: str, signal: str) -> None:
        self.signal = signal
        super().__init__(program=program, signal=signal)


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredWeights:
    """Weights that fit a network, copied to the artifact store."""

    path: str
    sha256: str


def describe(database: Database, specification: NetworkSpecification, settings: Settings) -> NetworkDescription:
    """Describe a network's layers; the database keeps the description for later calls.

    Raises
    ------
    NoSuchNetwork, UsageError
    UserNetworksOff, NetworkNotRegistered, NetworkNotBuilt
        of a network of the user's own.
    """
    require_own(database, specification, settings)
    known = find_network_description(database, specification)
    if known:
        return known
    answer = _ask_describe(specification, ["--store", str(settings.resolved_store)])
    return _stored_description(database, answer)


def describe_with_weights(
    database: Database,
    specification: NetworkSpecification,
    weights: Path,
    settings: Settings,
    *,
    pretrained: bool = False,
) -> tuple[NetworkDescription, StoredWeights]:
    """Describe a network's layers, check that the weights fit it, and copy them to the artifact store.

    A file whose content was taken for this network before is not read again.

    ``pretrained`` weights may be for another number of classes; the name ``DEFAULT`` then downloads torchvision's.

    Raises
    ------
    NoSuchFile, WeightsNotReadable, WeightsDontFit, WeightsNotFinite, DownloadFailed, StoreFull, StoreNotUsable
    UserNetworksOff, NetworkNotRegistered, NetworkNotBuilt
        of a network of the user's own.
    """
    require_own(database, specification, settings)
    store = open_store(database, settings.resolved_store)
    downloads = pretrained and str(weights) == DEFAULT_WEIGHTS
    record = None if downloads else record_file(settings, specification, weights, pretrained=pretrained)
    known = find_network_description(database, specification)
    if record and known and (taken := recall(record, store)):
        _say(taken.notes)
        return known, StoredWeights(taken.path, sha256_of(taken.path))
    file = str(weights) if downloads else str(weights.absolute())
    options = ["--weights", file, "--store", str(settings.resolved_store)]
    if pretrained:
        options.append("--pretrained")
    if known:
        options.append("--known")
    answer = _ask_describe(specification, options)
    description = known or _stored_description(database, answer)
    notes = answer.get("notes", [])
    _say(notes)
    stored = StoredWeights(**answer["weights"])
    # A training program may have replaced the file since its content was hashed.
    if record and record == record_file(settings, specification, weights, pretrained=pretrained):
        remember(record, TakenWeights(stored.path, notes))
    return description, stored


def require_own(database: Database, specification: NetworkSpecification, settings: Settings) -> None:
    """Check that the code of a network of the user's own may be run.

    Raises
    ------
    UserNetworksOff, NetworkNotRegistered
    """
    if specification.factory is not None:
        require_allowed(specification.name, allowed=settings.user_networks)
        require_registered(database, specification)


def _ask_describe(specification: NetworkSpecification, options: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "worker.programs.describe", specification.model_dump_json(), *options]
    try:
        return ask_worker(command, show_errors=DEFAULT_WEIGHTS in options)  # the progress bar of a download
    except WorkerProgramKilled as error:
        if options[0] != "--weights":
            raise
        limit = "time" if error.signal == "SIGXCPU" else "memory"
        reason = f"the program that read it was ended by {error.signal}, as if it needs too much {limit}"
        raise WeightsNotReadable(path=options[1], reason=reason) from error


def _stored_description(database: Database, answer: dict[str, Any]) -> NetworkDescription:
    description = NetworkDescription.model_validate(answer["network"])
    store_network_description(database, description)
    return description


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        logger.warning("Note: %s", one_line(note))


def ask_worker(
    command: list[str],
    *,
    show_errors: bool = False,
    stdin: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a program of the worker's, and return the JSON object that it prints.

    Raises
    ------
    WorkerProgramKilled
        The program was ended by a signal.
    UnitscopeError
        The program's error, or the last line of its stderr if it printed no JSON.
    """
    errors_to = None if show_errors else subprocess.PIPE
    environ = {**safe_environment(), **(variables or {})}
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=errors_to, text=True, check=False, env=environ
    )
    if done.returncode < 0:
        raise WorkerProgramKilled(command[2], signal.Signals(-done.returncode).name)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last_line = (done.stderr or "").strip().splitlines()[-1:] or ["it printed nothing"]
        raise UnitscopeError(reason=f"{command[2]} failed: {last_line[0]}") from None
    if "error" in answer:
        raise error_class(answer["error"])(**answer["details"])
    return answer
