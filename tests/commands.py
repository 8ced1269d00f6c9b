"""Running of ``analyze`` commands in processes forked from a server that has imported their modules.

Importing takes longer than most commands. Commands that keep running (``up``, ``worker``, ``serve``) are forked as
``tests.forked`` says. The programs of the worker that commands start are run by the server in ``tests.programs``.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import forked, programs
from tests.programs import startup_variables

# Commands that start programs of the worker.
WITH_PROGRAMS = {"submit", "network", "verify", "doctor", "study", "find"}

Done = subprocess.CompletedProcess[str]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.preloaded"])


def run(arguments: Sequence[str], environment: Mapping[str, str], seconds: float) -> Done:
    """Run a command to its end; returns what ``subprocess.run`` would return.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    if startup_variables(environment) != startup_variables(os.environ):
        command = [sys.executable, "-m", "producer", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    with tempfile.TemporaryDirectory(prefix="unitscope-command-") as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        paths = (os.getcwd(), str(out), str(err))
        server = programs.server_socket(start=not WITH_PROGRAMS.isdisjoint(arguments))
        process = context.Process(target=_execute, args=(list(arguments), dict(environment), *paths, server))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), seconds)
        return Done(list(arguments), process.exitcode, out.read_text(), err.read_text())


def _execute(
    arguments: list[str], environment: dict[str, str], folder: str, out: str, err: str, server: str | None
) -> None:
    """Run the command in this process and exit with its exit code."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    if server and forked.DISABLED not in environment:
        programs.use_server(server)
    from producer.cli.main import main

    try:
        main(arguments)
        code: object = 0
    except SystemExit as end:
        code = end.code
    gc.collect()  # closes databases, as the exit of a program does: SQLite then removes its WAL file
    sys.exit(code)
