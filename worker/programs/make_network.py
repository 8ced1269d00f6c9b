"""``python -m worker.programs.make_network``: make a network of the user's own from the code folder, for
``analyze network add``.

The producer, which never imports the user's code, starts it with a time limit. The request is read as JSON from
stdin: ``name``, ``factory``, ``arguments``, ``folder`` (None for an installed package), ``size``, ``classes`` and
``classes_argument`` (each None if it was not given).
"""

from __future__ import annotations

import inspect
import json
import os
import site
import sys
import sysconfig
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

from shared.children import ROOT
from shared.errors import NetworkNotBuilt
from shared.text import one_line
from unitscope.networks.describe import count_classes
from worker.networks.factory import FunctionOfUser, require_new_name
from worker.networks.sources import FolderSources
from worker.programs.limits import limits_for_code
from worker.programs.output import print_answer

CLASSES_ARGUMENTS = ("classes", "num_classes", "n_classes")  # usual names of the argument, in this order
SHOWN = 3


def make_network(request: dict[str, Any]) -> dict[str, Any]:
    """Make the network, run a black image through it, and return what it consists of.

    Returns
    -------
    ``files`` (text by path), ``package``, ``version``, ``classes``, ``classes_argument``, ``notes`` (sentences).

    Raises
    ------
    NetworkNotBuilt
    """
    name, factory = request["name"], request["factory"]
    require_new_name(name)
    sources = FolderSources(Path(request["folder"])) if request["folder"] else None
    package, version = (None, None) if sources else _package(name, factory)
    before = set(sys.modules)
    function = FunctionOfUser(name, factory, sources)
    argument = request["classes_argument"] or _classes_argument(function, request["arguments"])
    classes = request["classes"]
    given = {argument: classes} if argument and classes else {}
    model = function.make({**request["arguments"], **given})
    try:
        found = count_classes(model, request["size"])
    except ValueError as error:
        reason = f"it can't process an image of {request['size']} pixels ({one_line(str(error), 200)})"
        raise NetworkNotBuilt(network=name, reason=f"{reason}. Option: --size") from error
    notes = _notes(before, sources)
    if found is None:
        notes.append(
            "The output is not a row of class scores for each image, so that the network can't be trained, and "
            "classes play no part."
        )
    elif classes not in (None, found):
        reason = f"it has {found} classes, not {classes}. Options: --classes {found}, or --classes-argument"
        raise NetworkNotBuilt(network=name, reason=reason)
    return {
        "files": sources.taken if sources else {},
        "package": package,
        "version": version,
        "classes": found or classes or 1,
        "classes_argument": argument,
        "notes": notes,
    }


def _classes_argument(function: FunctionOfUser, arguments: Collection[str]) -> str | None:
    """Return the function's argument with a usual name for the number of classes, unless it is given."""
    try:
        parameters = inspect.signature(function.function).parameters
    except (TypeError, ValueError):  # a function in C
        return None
    usual = [name for name in CLASSES_ARGUMENTS if name in parameters]
    return usual[0] if usual and not {*usual} & {*arguments} else None


def _package(network: str, factory: str) -> tuple[str, str]:
    """Return the installed package that a factory's module belongs to, and its version.

    Raises
    ------
    NetworkNotBuilt
        it belongs to none, or to one whose files may change while its version stays.
    """
    top = factory.partition(":")[0].partition(".")[0]
    packages = metadata.packages_distributions().get(top, [])
    if not packages:
        reason = f"the module '{top}' belongs to no installed package. Its folder is given with --code"
        raise NetworkNotBuilt(network=network, reason=reason)
    package = metadata.distribution(packages[0])
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        reason = f"the package {packages[0]} is installed in editable mode, so that its version does not say what "
        raise NetworkNotBuilt(network=network, reason=f"{reason}it contains. Give its source folder with --code")
    return packages[0], package.version


def _notes(before: Collection[str], sources: FolderSources | None) -> list[str]:
    """Name modules that were imported from places of this machine alone."""
    if sources is None:
        return []
    installed = _installed_folders()
    outside = []
    for name, module in sorted(sys.modules.copy().items()):
        file = vars(module).get("__file__")  # not ``getattr``, which imports the content of lazy modules
        if name in before or not isinstance(file, str) or f"{file}".startswith(f"{sources.label}/"):
            continue
        if not any(Path(os.path.realpath(file)).is_relative_to(folder) for folder in installed):
            outside.append(f"{name} ({file})")
    if not outside:
        return []
    more = f" and {len(outside) - SHOWN} more" if len(outside) > SHOWN else ""
    return [
        f"Modules outside of the code folder and of installed packages are not taken along: "
        f"{', '.join(outside[:SHOWN])}{more}. A worker on another machine needs them as well."
    ]


def _installed_folders() -> list[str]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), ROOT]
    return [os.path.realpath(folder) for folder in folders]


def main() -> None:
    """Make the network of the request on stdin."""
    os.umask(0o077)
    request: dict[str, Any] = json.load(sys.stdin)

    def work() -> dict[str, Any]:
        with limits_for_code():
            return make_network(request)

    print_answer(work)


if __name__ == "__main__":
    main()
