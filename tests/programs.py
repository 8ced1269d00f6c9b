"""A server that has imported torch, and runs the worker's programs that commands start in forked processes.

Importing torch takes longer than most of these programs. The server is started by the first command that needs it
and ends with the tests' process. ``python -m tests.programs SOCKET`` is the server itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from sqlalchemy.orm import configure_mappers

import producer
import shared
import worker
from shared.children import safe_environment
from tests import forked

if TYPE_CHECKING:
    import pytest

PROGRAMS = ("worker.programs.", "worker.kinds.")  # the server runs those of these packages
PRELOADED = (
    "worker.kinds.",
    "worker.runner",
    "worker.programs.describe",
    "worker.programs.make_network",
    "worker.programs.measure",
    "worker.programs.recompute",
)
STARTUP = ("PYTHON", "LC_", "LANG", "MALLOC_")  # variables that are read when Python starts
SERVICES = ("up", "worker", "serve", "study")
AVAILABLE = sys.platform == "linux"  # elsewhere a process that has imported torch can't be forked safely

# A program that starts at once, and whose process is forked by the server.
CLIENT = """#!{python} -IS
import json, os, socket, sys

umask = os.umask(0o077)
os.umask(umask)
command = [sys.executable, "-c", {program!r}, *sys.argv[1:]]
request = dict(command=command, environment=dict(os.environ), folder=os.getcwd(), session=False, umask=umask)
with socket.socket(socket.AF_UNIX) as server:
    server.connect({server!r})
    socket.send_fds(server, [b"f"], [0, 1, 2])
    server.sendall(json.dumps(request).encode() + b"\\n")
    _, code = server.makefile()  # lines with its id and its exit code
    sys.exit(int(code))
"""

ROOT = Path(__file__).parents[1]

_servers: dict[tuple[str, Path | None], tuple[subprocess.Popen[bytes], tempfile.TemporaryDirectory[str]]] = {}


# --- in the process of the tests ---


def server_socket(*, start: bool, module: str = "tests.programs", source: Path | None = None) -> str | None:
    """Return the socket of this process's server, which is started if ``start``; None without a server.

    The server is the program ``module``: this one, or ``tests.forked`` with fewer modules. With ``source``, it
    runs the copy of the program in this folder.
    """
    if not AVAILABLE:
        return None
    key = module, source
    if key not in _servers:
        if not start:
            return None
        folder = tempfile.TemporaryDirectory(prefix="unitscope-programs-")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(Path(folder.name) / "socket"))
        listening.listen(64)
        environment = safe_environment() | {forked.ROOM: "x" * forked.ROOM_BYTES}
        if source:
            environment["PYTHONPATH"] = os.pathsep.join(map(str, (source, ROOT)))
        # The server reads the end of its stdin when this process exits, however it does.
        server = subprocess.Popen(
            [sys.executable, "-m", module, str(listening.fileno())],
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
        )
        listening.close()
        _servers[key] = server, folder
    server, folder = _servers[key]
    if server.poll() is not None:
        raise RuntimeError(f"the server {module} exited with {server.returncode}")
    return str(Path(folder.name) / "socket")


def start_service(
    arguments: Sequence[str], environment: Mapping[str, str], out: BinaryIO | int, errors: BinaryIO | int
) -> subprocess.Popen[bytes]:
    """Start a command that keeps running, forked from a server if it can be."""
    command = [sys.executable, "-m", "producer", *arguments]
    module = _server_for(environment) if arguments[0] in SERVICES else None
    if module is None:
        return subprocess.Popen(command, env=environment, stdout=out, stderr=errors)
    forked.Forked.address = server_socket(start=True, module=module) or ""
    return forked.Forked(command, env=environment, stdout=out, stderr=errors)


def run_code(code: str, environment: Mapping[str, str], given: str = "") -> str:
    """Run Python code in a process of its own, with ``given`` as its input; returns what it prints.

    If it can, the server forks the process, and the worker's programs that it starts.
    """
    popen: type[subprocess.Popen[Any]] = subprocess.Popen
    variables = dict(environment)
    starts_alike = startup_variables(environment) == startup_variables(os.environ)
    if starts_alike and forked.DISABLED not in environment and (server := server_socket(start=True)):
        popen = popen_on(server)
        variables |= startup_variables(safe_environment())
        code = f"from tests import programs; programs.use_server({server!r})\n{code}\nimport gc; gc.collect()"
    pipe = subprocess.PIPE
    process = popen([sys.executable, "-c", code], env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        out, errors = process.communicate(given, timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, errors
    return str(out)


def write_command(path: Path, source: Path | None = None) -> None:
    """Write a program that does what ``analyze`` does, for scripts that run several commands.

    With ``source``, it does what the copy of the program in this folder does; the variable ``PYTHONPATH`` has to
    name the folder.
    """
    server = server_socket(start=True, source=source)
    if server is None:
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -m producer "$@"\n')
    else:
        program = f"from tests import programs; programs.run_command({server!r})"
        path.write_text(CLIENT.format(python=sys.executable, program=program, server=server))
    path.chmod(0o700)


def _server_for(environment: Mapping[str, str]) -> str | None:
    """Return the program that is the server of services with this environment; None if they have to be started."""
    if not AVAILABLE or forked.DISABLED in environment:
        return None
    own = startup_variables(os.environ)
    if startup_variables(environment) == own:
        return "tests.programs"
    injected = os.pathsep.join(filter(None, (str(forked.INJECT), own.get("PYTHONPATH"))))
    return "tests.forked" if startup_variables(environment) == own | {"PYTHONPATH": injected} else None


def fork_programs(patch: pytest.MonkeyPatch) -> None:
    """Let this process run the worker's programs on its server, as commands do."""
    if server := server_socket(start=True):
        patch.setattr(subprocess, "Popen", popen_on(server))


# --- in the process of a command ---


def use_server(path: str) -> None:
    """Let this process run the worker's programs on the server."""
    subprocess.Popen = popen_on(path)  # type: ignore[misc]


def run_command(path: str) -> NoReturn:
    """Run the command line ``analyze`` with the arguments of this process, which the server has forked."""
    use_server(path)
    run_main()


def run_main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line ``analyze`` in this forked process (None: with its arguments), and exit with its exit
    code."""
    from producer.cli.main import main

    code: object = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    gc.collect()  # closes databases, as the exit of a program does: SQLite then removes its WAL file
    sys.exit(code)  # type: ignore[arg-type]


def popen_on(path: str) -> type[subprocess.Popen[Any]]:
    """Return what takes the place of ``subprocess.Popen``, and runs the worker's programs on the server."""
    return type("Supervised", (Supervised,), {"address": path})


class Supervised(subprocess.Popen[Any]):
    """A process that is forked and waited for by the server at ``address``, if it is a program of the worker's."""

    address: str
    _server: socket.socket | None = None  # reports the exit code; the server kills the process when it is closed

    def _execute_child(self, *given: Any) -> None:
        options = forked.options_of(self, given)
        if not (_is_program(options["args"]) and _starts_like(options["env"])):
            forked.start(self, *given)
            return
        request = {
            "command": options["args"],
            "environment": dict(options["env"]),
            "folder": options["cwd"] or os.getcwd(),
            "session": options["start_new_session"],
            "umask": _umask(),
        }
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(self.address)
        socket.send_fds(self._server, [b"f"], forked.streams_of(options))
        self._server.sendall(json.dumps(request).encode() + b"\n")
        self.pid = self._number()
        self._child_created = True
        forked.close_pipes(self, options)

    def _number(self) -> int:
        """Read the next line of the server."""
        assert self._server
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self._server.recv(1)
            assert byte, f"the server at {self.address} closed the connection"
            line += byte
        return int(line)

    def _wait(self, timeout: float | None) -> int | None:
        if self._server is None:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            if self._server not in select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            self._server.close()
        return self.returncode

    def _internal_poll(self, *rest: Any, **options: Any) -> int | None:
        if self._server is None:
            return super()._internal_poll(*rest, **options)  # type: ignore[misc, no-any-return]
        with suppress(subprocess.TimeoutExpired):
            self._wait(0)
        return self.returncode


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _is_program(command: Any) -> bool:
    if not isinstance(command, list) or command[0] != sys.executable:
        return False
    return command[1] == "-c" or (command[1] == "-m" and command[2].startswith(PROGRAMS))


def _starts_like(environment: Mapping[str, str] | None) -> bool:
    """Whether Python starts the same way in this environment as in that of the server."""
    if environment is None:
        return False
    return all(environment.get(name) == value for name, value in startup_variables(safe_environment()).items())


def startup_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(STARTUP)}


# --- in the server ---


def serve(number: int) -> forked.Request | None:
    """Run programs, each in a process of its own, until stdin ends."""
    for package, names in ((producer, ""), (shared, ""), (worker, PRELOADED)):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(names) and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in forked.OTHERS:
        importlib.import_module(name)
    configure_mappers()  # otherwise, each process does so at its first query
    gc.freeze()  # so that collections in the processes don't copy the memory of all these objects
    return forked.serve(socket.socket(fileno=number), sys.stdin, _supervise)


def _supervise(connection: socket.socket, request: forked.Request, files: list[int]) -> NoReturn:
    """Run a program in a child process, send its id and exit code; kill it if the command that asked has ended."""
    child = os.fork()
    if child == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os._exit(_execute(**request))
    connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _execute(command: list[str], environment: dict[str, str], folder: str, session: bool, umask: int) -> int:
    """Do what the Python program does with these arguments; returns its exit code."""
    forked.open_streams()
    if session:
        os.setsid()
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    _, option, program, *arguments = command
    sys.argv = ["-c", *arguments]
    code: object = 0
    try:
        if option == "-c":
            exec(program, {"__name__": "__main__"})  # noqa: S102
        else:
            module = importlib.import_module(program)
            sys.argv[0] = str(module.__file__)
            module.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):  # as Python does
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


if __name__ == "__main__":
    forked.run(serve(int(sys.argv[1])))
