"""Asking the worker's code about a network, in a process of its own: torch stays out of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.database.catalogue import known_network, remember_network
from shared.database.connection import Database
from shared.errors import error_class
from shared.settings import Settings
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.errors import UnitscopeError

DEFAULT_WEIGHTS = "DEFAULT"


@dataclass(frozen=True)
class TakenWeights:
    """Weights that were checked against a network and put into the artifact store."""

    path: str
    sha256: str


def describe(database: Database, specification: NetworkSpecification, settings: Settings) -> NetworkDescription:
    """A network's layers, from the database if somebody asked before.

    Raises
    ------
    NoSuchNetwork, UsageError
    """
    known = known_network(database, specification)
    if known:
        return known
    return _ask(database, specification, settings, [])[0]


def describe_with_weights(
    database: Database,
    specification: NetworkSpecification,
    weights: Path,
    settings: Settings,
    *,
    pretrained: bool = False,
) -> tuple[NetworkDescription, TakenWeights]:
    """A network's layers, and its weights, checked and put into the store.

    ``pretrained`` weights may be for another number of classes; with the name ``DEFAULT`` they are torchvision's,
    downloaded.

    Raises
    ------
    NoSuchFile, WeightsNotReadable, WeightsDontFit, NotFinite, StoreFull, DownloadFailed
    """
    file = str(weights) if pretrained and str(weights) == DEFAULT_WEIGHTS else str(weights.absolute())
    options = ["--weights", file, "--store", str(settings.resolved_store)]
    if pretrained:
        options.append("--pretrained")
    description, answer = _ask(database, specification, settings, options)
    return description, TakenWeights(**answer["weights"])


def _ask(
    database: Database, specification: NetworkSpecification, settings: Settings, options: list[str]
) -> tuple[NetworkDescription, dict[str, Any]]:
    command = [sys.executable, "-m", "worker.programs.describe", specification.model_dump_json(), *options]
    answer = ask_worker(command, show_errors=DEFAULT_WEIGHTS in options)  # a download shows its bar
    description = NetworkDescription.model_validate(answer["network"])
    remember_network(database, description)
    return description, answer


def ask_worker(
    command: list[str],
    *,
    show_errors: bool = False,
    told: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a program of the worker's says; an error of its is raised here.

    Raises
    ------
    UnitscopeError
    """
    errors_to = None if show_errors else subprocess.PIPE
    environ = {**os.environ, **(variables or {})}
    done = subprocess.run(
        command, input=told, stdout=subprocess.PIPE, stderr=errors_to, text=True, check=False, env=environ
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr or "").strip().splitlines()[-1:] or ["no word"]
        raise UnitscopeError(reason=f"{command[2]} said no more than: {reason[0]}") from None
    if "error" in answer:
        raise error_class(answer["error"])(**answer["details"])
    return answer
