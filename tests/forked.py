"""Services and their workers in processes forked from a server that has imported their modules, as commands are.

Importing torch and Celery takes longer than most jobs of the tests. A forked process is a child of the one that
started it, with its own environment in ``/proc``, and does what the started program does: only its command line is
the server's. A service has its workers forked in the same way, by a server of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

DISABLED = "UNITSCOPE_TESTS_START_PROGRAMS"  # in an environment: programs are started, and not forked
ROOM = "UNITSCOPE_TESTS_ROOM"  # a variable of the server whose place the environments of services take
ROOM_BYTES = 16_384
Request = dict[str, Any]
MODULES = ("producer", "worker.programs.celery", "worker.programs.describe")
STREAMS = (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))  # the last one line by line
SUBREAPER, TRIM_THRESHOLD, MMAP_MAX = 36, -1, -4  # numbers of prctl and mallopt

# A server for the fault tests imports only packages of others: the faults are put into our modules as they load.
OTHERS = (
    *("alembic.command", "alembic.config", "celery.__main__", "celery.apps.worker", "celery.bin.celery"),
    *(
        "celery.concurrency.prefork",
        "celery.worker.consumer",
        "click",
        "filelock",
        "kombu.transport.redis",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "numpy",
    ),
    *("PIL.Image", "psycopg", "pydantic", "pythonjsonlogger.json", "redis", "rich.console", "safetensors.torch"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "sqlalchemy.orm", "torch"),
    "torch._dynamo",  # the first linear layer on the meta device and the first optimizer import it
)
INJECT = Path(__file__).parent / "faults" / "inject"

_libc = ctypes.CDLL(None)
start = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_adopting = threading.Lock()  # only one thread of a process at a time says whose children orphans become


# --- in the process that starts another one ---


class Forked(subprocess.Popen[bytes]):
    """A process that the server at ``address`` forks, if it is a service or a worker."""

    address: str | bytes = ""

    def _execute_child(self, *given: Any) -> None:
        options = options_of(self, given)
        if not _is_service(options["args"], options["env"]):
            start(self, *given)
            return
        request = {
            "command": list(options["args"]),
            "environment": dict(options["env"]),
            "folder": options["cwd"] or os.getcwd(),
            "session": options["start_new_session"],
            "umask": options["umask"],
            "files": [0, 1, 2, *options["pass_fds"]],
            "parent": os.getpid(),
        }
        with _adopting:
            self._adopt(request, [*streams_of(options), *options["pass_fds"]])
        self._child_created = True
        close_pipes(self, options)

    def _adopt(self, request: Request, files: list[int]) -> None:
        """Let the server fork the process, and wait until it is a child of this one."""
        _libc.prctl(SUBREAPER, 1, 0, 0, 0)  # the process is an orphan, and becomes a child of this one
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(self.address)
                socket.send_fds(server, [b"f"], files)
                server.sendall(json.dumps(request).encode() + b"\n")
                self.pid = int(server.makefile().readline())
            while _parent_of(self.pid) != os.getpid():
                time.sleep(0.001)
        finally:
            _libc.prctl(SUBREAPER, 0, 0, 0, 0)


def options_of(process: subprocess.Popen[Any], given: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments of ``_execute_child`` by their names."""
    return dict(inspect.signature(start).bind(process, *given).arguments)


def streams_of(options: Mapping[str, Any]) -> list[int]:
    """Return the files that the process has as its stdin, stdout and stderr."""
    names = ("p2cread", "c2pwrite", "errwrite")
    return [options[name] if options[name] != -1 else number for number, name in enumerate(names)]


def close_pipes(process: subprocess.Popen[Any], options: Mapping[str, Any]) -> None:
    """Close the ends of pipes that belong to the process."""
    ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    process._close_pipe_fds(*(options[name] for name in ends))  # type: ignore[attr-defined]


def _is_service(command: Any, environment: Mapping[str, str] | None) -> bool:
    if not isinstance(command, list) or environment is None or DISABLED in environment:
        return False
    return command[:2] == [sys.executable, "-m"] and command[2] in MODULES


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# --- in the server ---


def serve(
    listening: socket.socket,
    life: Any,
    run_program: Callable[[socket.socket, Request, list[int]], NoReturn] | None = None,
) -> Request | None:
    """Answer requests until ``life`` ends, which then returns None. In the process of a service it returns the
    request, so that the process ends as any other program. ``run_program`` answers those of other programs."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests run under nohup
    while listening in select.select([listening, life], [], [])[0]:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _, files, _, _ = socket.recv_fds(connection, 1, 16)
            request = json.loads(connection.makefile().readline())
            if "files" not in request:
                assert run_program
                run_program(connection, request, files)
            if pid := os.fork():
                connection.sendall(f"{pid}\n".encode())
                os._exit(0)
            connection.close()
            _take(files, request["files"])
            return dict(request)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def _take(files: list[int], numbers: list[int]) -> None:
    """Give the received files the numbers that they have in the process that sent them."""
    above = max(numbers) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, above) for file in files]
    for file in files:
        os.close(file)
    os.closerange(3, above)
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


# --- in the process of a service or a worker ---


def open_streams() -> None:
    """Open the standard streams again: those of the server may be files where these are pipes."""
    for number, (name, mode, buffering) in enumerate(STREAMS):
        old = getattr(sys, name)
        new = open(number, mode, buffering, old.encoding, old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)


def run(request: Request | None) -> None:
    """Run the program of a request in this process, which the server has forked."""
    if request is None:
        return
    while os.getppid() != request["parent"]:
        time.sleep(0.001)
    _, _, module, *arguments = request["command"]
    if module == "producer" and (asked := _serve_workers()) is not None:
        run(asked)
        return
    if request["session"]:
        os.setsid()
    if request["umask"] >= 0:
        os.umask(request["umask"])
    os.chdir(request["folder"])
    environment = request["environment"]
    open_streams()
    _show(environment)
    os.environ.clear()
    os.environ.update(environment)
    if "MALLOC_TRIM_THRESHOLD_" in environment:  # read by a program that is started
        _libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        _libc.mallopt(MMAP_MAX, 0)
    if str(INJECT) in environment.get("PYTHONPATH", ""):  # as Python does when it starts
        sys.path.insert(0, str(INJECT))
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve_workers() -> Request | None:
    """Fork a server of this service's workers. Returns a worker's request in its process, else None."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("")  # to a free name
    listening.listen(8)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        request = serve(listening, reading)
        if request is None:
            os._exit(0)
        return request
    os.close(reading)  # the server ends with this process, which keeps the other end
    os.set_inheritable(writing, False)
    Forked.address = listening.getsockname()
    listening.close()
    subprocess.Popen = Forked  # type: ignore[misc]
    return None


def _show(environment: Mapping[str, str]) -> None:
    """Write an environment to where the kernel shows it, in place of that of the server."""
    text = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items())
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])
    assert len(text) < end - start, "the environment is too large"
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))


if __name__ == "__main__":
    for name in OTHERS:
        importlib.import_module(name)
    gc.freeze()  # so that collections in the processes don't copy the memory of all these objects
    run(serve(socket.socket(fileno=int(sys.argv[1])), sys.stdin))
