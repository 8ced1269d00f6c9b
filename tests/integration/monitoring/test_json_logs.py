"""With ``log_format = json`` every line that a service prints is a JSON object, whoever prints it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from shared.jobs.broker import private_password, private_socket
from tests import forked
from tests.conftest import Analyze

# Runs at the start of each Python process: worker processes print, warn, and can't import a stage.
PRINTING = """
    import os, sys, warnings
    if "worker.programs.celery" in sys.orig_argv:
        os.write(2, b"from a library in C\\n{not json}\\n")
        print("to stdout, without an end of line", end="", flush=True)
        warnings.warn("a warning")
        sys.modules["worker.kinds.top9.search"] = None
"""
CRASHING = """
    import sys
    if "worker.programs.celery" in sys.orig_argv:
        sys.modules["worker.transport"] = None
"""


@contextmanager
def run_at_start(analyze: Analyze, code: str) -> Iterator[None]:
    """Let the processes of a service that is started meanwhile run ``code`` as they start, and log in JSON."""
    folder = analyze.home.parent / "at start"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    before = analyze.environment.copy()
    analyze.environment |= {"PYTHONPATH": os.pathsep.join(paths), "ANALYZE_LOG_FORMAT": "json"}
    yield
    analyze.environment = before


def records(text: str) -> list[dict[str, Any]]:
    """Parse every line; none may be empty or something else than an object."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"level", "message", "at"} <= set(record) for record in found)
    return found


def written(analyze: Analyze) -> list[dict[str, Any]]:
    return records((analyze.home / "started.log").read_text())


def redis_of(analyze: Analyze) -> Redis:
    socket = private_socket(analyze.home)
    return Redis(unix_socket_path=str(socket), password=private_password(socket).read_text())


def pool_process(analyze: Analyze) -> psutil.Process:
    """The child of the Celery worker, which computes."""
    (worker,) = [
        child
        for child in psutil.Process(analyze.started[0].pid).children()
        if "worker.programs.celery" in child.cmdline()
    ]
    (pool,) = worker.children()
    return pool


def test_each_line_of_a_service_is_an_object(analyze: Analyze, shapes_root: Path) -> None:
    """A job that is done, one that fails, a killed process of the pool, and a killed Redis."""
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    with run_at_start(analyze, PRINTING):
        analyze.up()
    train = "submit train --dataset shapes --network zfnet --size 64 --fc 16 --maps 8,8,8 --epochs 1 --wait"
    job = int(analyze(*train.split()).stdout)
    analyze("submit", "--layer", "1", "--dataset", "shapes", "--wait", code=1)
    pool_process(analyze).kill()
    analyze.wait(lambda: "exited with 'signal 9" in analyze.log())
    redis_of(analyze).shutdown(nosave=True)
    analyze.wait(lambda: "the private Redis exited" in analyze.log())
    analyze.stop()

    lines = written(analyze)
    by_message = {line["message"]: line for line in lines}
    begun, finished = (
        next(line for line in lines if line["message"] == message)
        for message in ("shard started", "shard finished")
    )
    assert (begun["job"], begun["stage"], begun["attempt"], begun["device"]) == (job, "train", 1, "cpu")
    assert begun["level"] == "INFO"
    assert begun["worker"] == finished["worker"]
    failed = [line for line in lines if line["message"] == "the attempt failed"]
    assert {line["attempt"] for line in failed} == {1, 2, 3}
    assert all("ModuleNotFoundError" in line["exc_info"] for line in failed)
    assert any(message.startswith("unitscope is up") for message in by_message)
    assert by_message["from a library in C"]["level"] == "WARNING"
    assert by_message["from a library in C"]["worker"] == begun["worker"]
    assert "{not json}" in by_message
    assert any("to stdout, without an end of line" in message for message in by_message)
    assert any("a warning" in message for message in by_message)
    assert any("shutdown (MainProcess)" in message for message in by_message)


def test_a_worker_that_crashes_at_import_logs_its_traceback_in_one_record(analyze: Analyze) -> None:
    with run_at_start(analyze, CRASHING):
        process = analyze.start("up", "--devices", "cpu")
    analyze.wait(lambda: "uncaught exception" in analyze.log(), process)
    analyze.stop()
    (first, *_) = [line for line in written(analyze) if line["message"] == "uncaught exception"]
    assert "worker.transport" in first["exc_info"]
    assert first["level"] == "CRITICAL"


def test_a_killed_supervisor_leaves_no_worker(analyze: Analyze) -> None:
    """Its workers' output goes nowhere then, which must not keep them."""
    analyze.environment |= {"ANALYZE_LOG_FORMAT": "json", forked.DISABLED: "1"}  # its processes are counted
    process = analyze.up()
    analyze.wait(lambda: "ready." in analyze.log(), process)
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "redis" not in child.name()
    ]
    assert len(workers) == 2
    redis = redis_of(analyze)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(workers, 30)
    redis.shutdown(nosave=True)  # the next `analyze up` would do this
    assert left == []
    written(analyze)


@pytest.mark.parametrize("command", ["up --devices cpu", "worker --devices cpu", "metrics --port 99999999"])
def test_an_error_that_ends_a_service(analyze: Analyze, command: str) -> None:
    """Wrong options are told in words: they are found before the settings are read."""
    analyze.environment |= {"ANALYZE_LOG_FORMAT": "json", "ANALYZE_REDIS_URL": "redis://127.0.0.1:1/0"}
    wrong = "99" in command
    done = analyze(*command.split(), code=2 if wrong else 3)
    if not wrong:
        assert records(done.stderr)[-1]["level"] == "ERROR"
        assert "127.0.0.1:1" in records(done.stderr)[-1]["message"]


def test_the_exporter_logs_in_json(analyze: Analyze) -> None:
    analyze.environment["ANALYZE_LOG_FORMAT"] = "json"
    process = analyze.start("metrics", "--port", "0")
    analyze.wait(lambda: "Serving metrics" in analyze.log(), process)
    analyze.stop()
    assert "http://127.0.0.1" in written(analyze)[0]["message"]


PRINTED = {
    "print": ("print('two\\nlines', file=sys.stderr)", ["two", "lines"]),
    "no end of line": ("sys.stderr.write('un'); sys.stderr.write('finished')", ["unfinished"]),
    "original stderr": ("print('x', file=sys.__stderr__)", ["x"]),
    "warning": ("warnings.warn('old')", ["UserWarning: old"]),
    "exception": ("1 / 0", ["uncaught exception"]),
    "exception in a thread": ("t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()", ["uncaught"]),
    "exception in __del__": ("del_ = type('D', (), {'__del__': lambda self: 1 / 0})(); del del_", ["uncaught"]),
    "printed traceback": ("try: 1 / 0\nexcept Exception: traceback.print_exc()", ["ZeroDivisionError"]),
    "wrong arguments": ("logging.info('%d', 'x')", ["Logging error", "", "", "", ""]),
    "exit with a text": ("sys.exit('no such thing')", ["no such thing"]),
    "letters": ("print('é \\udc80 \\u2028', file=sys.stderr)", ["é"]),
    "child": (
        "p = subprocess.Popen(['sh', '-c', 'echo out; echo err >&2'], **logs.child_output())\n"
        "logs.relay_output(p, program='sh'); p.wait()", ["out", "err"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PRINTED)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_a_process_prints(what: str, encoding: str) -> None:
    code, expected = PRINTED[what]
    head = "import logging, subprocess, sys, threading, traceback, warnings\nfrom shared import logs\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{head}logs.configure_logging('json')\n{code}"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout == ""
    found = sorted(line["message"] for line in map(json.loads, done.stderr.split("\n")[:-1]))
    if what == "wrong arguments":
        assert any("Logging error" in message for message in found)
        return
    assert len(found) == len(expected)
    for message, part in zip(found, sorted(expected), strict=True):
        assert part in message


def test_stderr_that_is_closed_ends_no_process() -> None:
    """Nobody can be told; there is no endless recursion either."""
    code = (
        "import logging, os, sys\nfrom shared import logs\nlogs.configure_logging('json')\nos.close(2)\n"
        "logging.info('x'); print('y', file=sys.stderr); print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
