"""Running of ``analyze`` commands in processes forked from a server that has imported their modules.

Importing takes longer than most commands. Commands that keep running (``up``, ``worker``, ``serve``) are forked as
``tests.forked`` says. The programs of the worker that commands start are run by the server in ``tests.programs``.
"""

from __future__ import annotations

import gc
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests import forked, programs
from tests.programs import startup_variables

# Commands that start programs of the worker.
WITH_PROGRAMS = {"submit", "network", "verify", "doctor", "study", "find"}

Done = subprocess.CompletedProcess[str]
Call = tuple[Sequence[str], Mapping[str, str]]  # arguments and variables

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
        code = _fork(_execute, list(arguments), environment, Path(folder), seconds, words=arguments)
        return Done(list(arguments), code, *_printed(Path(folder)))


def run_many(calls: Sequence[Call], environment: Mapping[str, str], seconds: float) -> list[Done]:
    """Run commands one after the other in one process, each with the environment and variables of its own.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    assert startup_variables(environment) == startup_variables(os.environ)
    with tempfile.TemporaryDirectory(prefix="unitscope-command-") as folder:
        words = [word for arguments, _ in calls for word in arguments]
        code = _fork(_execute_many, calls, environment, Path(folder), seconds, words=words)
        assert code == 0, _printed(Path(folder))
        answers = json.loads((Path(folder) / "answers").read_text())
        return [Done(list(words), *answer) for (words, _), answer in zip(calls, answers, strict=True)]


def _fork(
    target: Callable[..., None],
    what: object,
    environment: Mapping[str, str],
    folder: Path,
    seconds: float,
    words: Sequence[str],
) -> int:
    """Run a function of this module in a forked process, whose output goes to files in ``folder``; returns its
    exit code. ``words`` are those of its commands."""
    server = programs.server_socket(start=not WITH_PROGRAMS.isdisjoint(words))
    given = (what, dict(environment), os.getcwd(), str(folder), server)
    process = context.Process(target=target, args=given)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(list(words), seconds)
    return process.exitcode


def _printed(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("out", "err")]


# --- in the forked process ---


def _prepare(environment: dict[str, str], working: str, folder: str, server: str | None) -> None:
    os.chdir(working)
    os.environ.clear()
    os.environ.update(environment)
    for name, number in (("out", 1), ("err", 2)):
        opened = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    if server and forked.DISABLED not in environment:
        programs.use_server(server)


def _execute(
    arguments: list[str], environment: dict[str, str], working: str, folder: str, server: str | None
) -> None:
    """Run the command in this process and exit with its exit code."""
    _prepare(environment, working, folder, server)
    programs.run_main(arguments)


class Printed(io.BytesIO):
    """What is printed to a stream that the command replaces, and whose wrapper is deleted."""

    def close(self) -> None:
        pass


def _execute_many(
    calls: Sequence[Call], environment: dict[str, str], working: str, folder: str, server: str | None
) -> None:
    """Run the commands in this process, and write exit codes and outputs to the file ``answers``."""
    _prepare(environment, working, folder, server)
    from producer.cli.main import main

    answers = []
    for arguments, variables in calls:
        os.environ.clear()
        os.environ.update(environment | dict(variables))
        out, err = Printed(), Printed()
        streams = sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(out, "utf-8")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(  # type: ignore[misc]
            err, "utf-8", "backslashreplace", line_buffering=True
        )
        code: object = None
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code
        except BaseException:
            code = 1
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__ = streams  # type: ignore[misc]
        answers.append([code, out.getvalue().decode(), err.getvalue().decode()])
    gc.collect()  # as in ``programs.run_main``
    (Path(folder) / "answers").write_text(json.dumps(answers))
