"""The gallery beside the workers of ``analyze up --serve``: a process that is started again when it exits."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from producer.service.process_exit import describe_exit
from shared import logs
from shared.children import safe_environment
from shared.settings import Settings, environment

POLL_SECONDS = 0.2
RESTART_SECONDS = 2.0  # before the first restart; doubled for each further one
LONGEST_RESTART_SECONDS = 60.0
LIVED_SECONDS = 60.0  # a gallery that lived for so long is restarted like the first time
STOP_SECONDS = 10.0

logger = logging.getLogger(__name__)


@contextmanager
def gallery_process(settings: Settings, port: int, allow_changes: bool) -> Iterator[None]:
    """Serve the gallery on this machine's own address until the block ends."""
    options = ["--port", str(port), *["--allow-changes"] * allow_changes]
    stopping = threading.Event()
    thread = threading.Thread(target=_keep_running, args=(settings, options, stopping), name="gallery")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _keep_running(settings: Settings, options: list[str], stopping: threading.Event) -> None:
    exits = 0  # in a row
    while not stopping.is_set():
        started = time.monotonic()
        process = _start(settings, options)
        while process.poll() is None and not stopping.wait(POLL_SECONDS):
            pass
        if process.poll() is None:
            _end(process)
            return
        exits = 1 if time.monotonic() - started >= LIVED_SECONDS else exits + 1
        seconds = min(LONGEST_RESTART_SECONDS, RESTART_SECONDS * 2 ** (exits - 1))
        logger.warning("the gallery %s; it is started again in %g s", describe_exit(process.returncode), seconds)
        stopping.wait(seconds)


def _start(settings: Settings, options: list[str]) -> subprocess.Popen[bytes]:
    """Start the gallery in its own session, so that only this process receives the terminal's Ctrl+C."""
    variables = {**safe_environment(), **environment(settings), "ANALYZE_SUPERVISOR_PID": str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "serve", *options],
        env=variables,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **logs.child_output(),
    )
    logs.relay_output(process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
