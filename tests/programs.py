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
from typing import Any

import worker
from shared.children import safe_environment

PRELOADED = ("worker.kinds.", "worker.programs.describe", "worker.programs.measure", "worker.programs.recompute")
STARTUP = ("PYTHON", "LC_", "LANG", "MALLOC_")  # variables that are read when Python starts
AVAILABLE = sys.platform == "linux"  # elsewhere a process that has imported torch can't be forked safely
DISABLED = "UNITSCOPE_TESTS_START_PROGRAMS"  # in a command's environment: it starts its programs itself

_original_run = subprocess.run
_server: subprocess.Popen[bytes] | None = None
_folder: tempfile.TemporaryDirectory[str] | None = None


# --- in the process of the tests ---


def server_socket(*, start: bool) -> str | None:
    """Return the socket of this process's server, which is started if ``start``; None without a server."""
    global _server, _folder
    if not AVAILABLE:
        return None
    if _server is not None and _server.poll() is not None:
        raise RuntimeError(f"the server of programs exited with {_server.returncode}")
    if _server is None and start:
        _folder = tempfile.TemporaryDirectory(prefix="unitscope-programs-")
        path = str(Path(_folder.name) / "socket")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(64)
        # The server reads the end of its stdin when this process exits, however it does.
        _server = subprocess.Popen(
            [sys.executable, "-m", "tests.programs", str(listening.fileno())],
            env=safe_environment(), stdin=subprocess.PIPE, pass_fds=[listening.fileno()],
        )  # fmt: skip
        listening.close()
    return str(Path(_folder.name) / "socket") if _folder else None


# --- in the process of a command ---


def use_server(path: str) -> None:
    """Let this process run the worker's programs on the server."""

    def run(command: Any, *rest: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
        if not rest and _is_program(command) and _starts_like(options.get("env")):
            return _run(path, command, **options)
        return _original_run(command, *rest, **options)

    subprocess.run = run  # type: ignore[assignment]


def _is_program(command: Any) -> bool:
    if not isinstance(command, list) or command[0] != sys.executable:
        return False
    return command[1] == "-c" or (command[1] == "-m" and command[2].startswith("worker.programs."))


def _starts_like(environment: Mapping[str, str] | None) -> bool:
    """Whether Python starts the same way in this environment as in that of the server."""
    if environment is None:
        return False
    return all(environment.get(name) == value for name, value in startup_variables(safe_environment()).items())


def startup_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(STARTUP)}


def _run(
    path: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    input: str | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    capture_output: bool = False,
    text: bool,
    check: bool,
) -> subprocess.CompletedProcess[str]:
    """Do what ``subprocess.run`` does with these arguments."""
    assert text
    assert not check
    with (
        socket.socket(socket.AF_UNIX) as server,
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(input or "")
        given.seek(0)
        piped = [capture_output or stream == subprocess.PIPE for stream in (stdout, stderr)]
        files = [given.fileno(), out.fileno() if piped[0] else 1, err.fileno() if piped[1] else 2]
        server.connect(path)
        umask = os.umask(0o077)
        os.umask(umask)
        request = {"command": command, "environment": dict(env), "folder": os.getcwd(), "umask": umask}
        socket.send_fds(server, [b"f"], files)
        server.sendall(json.dumps(request).encode() + b"\n")
        code = int(server.makefile().readline())
        texts = []
        for file, wanted in ((out, piped[0]), (err, piped[1])):
            file.seek(0)
            texts.append(file.read() if wanted else None)
        return subprocess.CompletedProcess(list(command), code, *texts)


# --- in the server ---


def serve(number: int) -> None:
    """Run programs, each in a process of its own, until stdin ends."""
    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        if module.name.startswith(PRELOADED):
            importlib.import_module(module.name)
    importlib.import_module("torch._dynamo")  # by the first description of a linear layer
    gc.freeze()  # so that collections in the processes don't copy the memory of all these objects
    listening = socket.socket(fileno=number)
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _supervise(connection)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _supervise(connection: socket.socket) -> None:
    """Run a program in a child process and send its exit code; kill it if the command that asked has ended."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os._exit(_execute(**request))
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _execute(command: list[str], environment: dict[str, str], folder: str, umask: int) -> int:
    """Do what the Python program does with these arguments; returns its exit code."""
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    _, option, program, *arguments = command
    sys.argv = ["-c" if option == "-c" else program, *arguments]
    code: object = 0
    try:
        if option == "-c":
            exec(program, {"__name__": "__main__"})  # noqa: S102
        else:
            importlib.import_module(program).main()
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
    serve(int(sys.argv[1]))
