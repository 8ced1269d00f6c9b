"""``analyze serve`` as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.servers import START_SECONDS, STOP_SECONDS, Home
from producer.service.supervisor import MALLOC


@dataclass(frozen=True)
class Server:
    """A running gallery."""

    process: subprocess.Popen[bytes]
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def memory(self) -> float:
        """Return the resident memory in MB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)


@contextmanager
def serving(home: Home) -> Iterator[Server]:
    """Serve a home's gallery on a free port, and end the server afterwards.

    Raises
    ------
    RuntimeError
        The server didn't start, or ended by itself.
    """
    # The allocator's settings are those of workers; the gallery runs without.
    environment = {name: value for name, value in home.environment.items() if name not in MALLOC}
    log = home.folder / "serve.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "producer", "serve", "--port", "0"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield Server(process, *_await_address(process, lambda: log.read_text()))
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _await_address(process: subprocess.Popen[bytes], read_log: Callable[[], str]) -> tuple[str, int]:
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"The gallery is at http://([\d.]+):(\d+)\.", read_log())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {read_log()[-2000:]}")
        time.sleep(0.05)
    return found[1], int(found[2])
