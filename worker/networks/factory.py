"""Calls of the functions that make networks of the user's own. Only networks that were added are made here."""

from __future__ import annotations

import importlib
import io
import os
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from types import ModuleType
from typing import Any
from weakref import finalize

import torch
from torch import nn

from shared.errors import NetworkNotBuilt
from shared.text import one_line
from unitscope.factories import FactorySpecification
from unitscope.memory import is_out_of_memory
from unitscope.networks.build import names
from worker.networks.modules import ModuleSpace, remove_modules
from worker.networks.sources import NotTaken, Sources

LONGEST_REASON = 300  # characters


class FunctionOfUser:
    """A function that makes a network, imported from source files or from an installed package.

    Parameters
    ----------
    network
        name of the network, for messages.
    factory
        ``my_models.net:make``.
    sources
        the source files; None for an installed package.

    Raises
    ------
    NetworkNotBuilt
    """

    def __init__(self, network: str, factory: str, sources: Sources | None) -> None:
        self.network, self.factory = network, factory
        self.space = ModuleSpace(sources) if sources else None
        module, _, self.name = factory.partition(":")
        # What a module draws when it is imported must not change the weights that the function then draws.
        with self._explained(f"importing {module}"), torch.random.fork_rng(devices=[]):
            self.module = self._import(module)
        self.function = self._found()

    def _import(self, name: str) -> ModuleType:
        if self.space is None:
            return importlib.import_module(name)
        if not self.space.contains(name):
            top = name.partition(".")[0]
            raise NotTaken(f"there is neither {top}.py nor a folder {top} with Python files in the code folder")
        return self.space.import_module(name)

    def _found(self) -> Callable[..., Any]:
        found: Any = self.module
        for part in self.name.split("."):
            try:
                found = getattr(found, part)
            except AttributeError:
                raise self._error(f"{self.module_name} has no '{part}'") from None
        if not callable(found):
            raise self._error(f"{self.name} is no function, but of type {type(found).__name__}")
        function: Callable[..., Any] = found
        return function

    @property
    def module_name(self) -> str:
        return self.factory.partition(":")[0]

    def make(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Call the function, and return the network on the CPU, with parameters in float32.

        What the function prints is dropped.

        Raises
        ------
        NetworkNotBuilt
            the function raises or forks, or returns something else than a network.
        """
        with self._explained(f"{self.factory}"), _without_forks() as forks:
            made = self.function(**arguments)
        if forks:
            raise self._error(f"{self.factory} forked this process: build the network in one process")
        if not isinstance(made, nn.Module):
            raise self._error(f"{self.factory} returned an object of type {type(made).__name__}, not an nn.Module")
        tensors = {**dict(made.named_parameters()), **dict(made.named_buffers())}
        for name, tensor in tensors.items():
            if nn.parameter.is_lazy(tensor):
                raise self._error(f"{name} has no shape yet (a lazy module): give its module a number of inputs")
            if tensor.is_meta:
                raise self._error(f"{name} is on the meta device, so that it has no values")
        if self.space is not None:
            finalize(made, remove_modules, self.space.prefix).atexit = False
        return made.to("cpu").float()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn errors of the user's code into ``NetworkNotBuilt``."""
        try:
            with redirect_stdout(io.StringIO()):
                yield
        except NetworkNotBuilt:
            raise
        except NotTaken as error:
            raise self._error(str(error)) from error
        except ModuleNotFoundError as error:
            missing = self._own_names(str(error.name))
            place = "neither in the code folder nor installed" if self.space else "not installed"
            reason = f"{what} needs the module '{missing}', which is {place} on {socket.gethostname()}"
            raise self._error(reason + self._place(error)) from error
        except (Exception, SystemExit) as error:  # user code can raise anything
            if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
                raise self._error(f"{what} needs more memory than there is{self._place(error)}") from error
            raised = "called sys.exit" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
            text = one_line(self._own_names(str(error)), LONGEST_REASON)
            reason = f"{what} {raised}{f' ({text})' if text else ''}"
            raise self._error(reason + self._place(error)) from error

    def _place(self, error: BaseException) -> str:
        """Return the last line of the user's code that the error went through, if any."""
        if self.space is None:
            return ""
        label = f"{self.space.sources.label}/"
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(label)]
        return f" at {frames[-1].filename.removeprefix(label)}, line {frames[-1].lineno}" if frames else ""

    def _own_names(self, text: str) -> str:
        return self.space.own_names(text) if self.space else text

    def _error(self, reason: str) -> NetworkNotBuilt:
        return NetworkNotBuilt(network=self.network, reason=reason.rstrip("."))


def require_new_name(network: str) -> None:
    """Check that a network of the user's own doesn't have the name of one of ours or torchvision's.

    Raises
    ------
    NetworkNotBuilt
    """
    if network in names():
        raise NetworkNotBuilt(network=network, reason="this is the name of another network: choose another name")


def check_version(network: str, factory: FactorySpecification) -> None:
    """Check that the package of a factory is installed here in the version with which the network was added.

    Raises
    ------
    NetworkNotBuilt
    """
    if factory.package is None:
        return
    try:
        version = metadata.version(factory.package)
    except metadata.PackageNotFoundError:
        version = None
    if version != factory.version:
        here = f"version {version}" if version else "not installed"
        reason = (
            f"it was added with version {factory.version} of the package {factory.package}, which is {here} on "
            f"{socket.gethostname()}"
        )
        raise NetworkNotBuilt(network=network, reason=reason)


# --- forks ---

_forks: list[int] | None = None  # processes that the present call forked


@contextmanager
def _without_forks() -> Iterator[list[int]]:
    """Collect the forks of this process inside of the block. A forked process ends at once.

    It would return from the function a second time, and go on as a second worker. Programs that are started
    (``subprocess``) are no forks.
    """
    global _forks
    _forks = []
    try:
        yield _forks
    finally:
        _forks = None


def _forked_here() -> None:
    if _forks is not None:
        _forks.append(os.getpid())


def _end_forked() -> None:
    if _forks is not None:
        os._exit(1)


os.register_at_fork(after_in_parent=_forked_here, after_in_child=_end_forked)
