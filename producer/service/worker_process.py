"""One Celery worker for one device: its processes, and what they report."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from producer.service.devices import Device
from shared import logs
from shared.children import safe_environment
from shared.jobs.reports import PIPE, Kind, Reader, Report
from shared.settings import Settings, environment

# The feature maps of a batch take hundreds of megabytes. By default glibc returns such blocks to the kernel and
# requests them again page by page, which takes a fifth of a forward pass. These settings keep them in the process.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}

# By default, threads of GNU's OpenMP that wait for others keep their core busy for milliseconds. If other
# processes need the cores, those that are waited for don't get one. Ten thousand turns of the loop are longer than
# the pauses of a job that has its cores to itself.
OPENMP = {"GOMP_SPINCOUNT": "10000"}

logger = logging.getLogger(__name__)


class WorkerProcess:
    """A running worker: Celery's main process, which takes messages, and its child, which computes.

    It is in its own session, so that only the supervisor receives the terminal's Ctrl+C.
    """

    def __init__(self, settings: Settings, name: str, device: Device, queues: Sequence[str]) -> None:
        self.name, self.device = name, device
        self.started = time.monotonic()
        self.last_beat: float | None = None
        reading, writing = os.pipe()
        for pipe in (reading, writing):
            os.set_blocking(pipe, False)
        self._reader = Reader(reading)
        inherited = safe_environment()
        variables = {
            **({} if "OMP_WAIT_POLICY" in inherited else OPENMP),
            **inherited,
            **environment(settings),
            "ANALYZE_WORKER_NAME": name,
            **device.environment(),
            "ANALYZE_SUPERVISOR_PID": str(os.getpid()),
            PIPE: str(writing),
            **MALLOC,
        }
        command = [sys.executable, "-m", "worker.programs.celery", "--quiet", "-A", "worker.app", "worker"]
        command += ["--pool", "prefork", "--concurrency", "1", "--hostname", f"{name}@unitscope"]
        command += ["--queues", ",".join(queues), "--loglevel", "INFO"]
        command += ["--without-gossip", "--without-mingle"]
        try:
            self._popen = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[writing],
                **logs.child_output(),
            )
        finally:
            os.close(writing)
        logs.relay_output(self._popen, worker=name, device=str(device))
        self.pid = self._popen.pid
        logger.info("started worker %s (pid %d, %s) for %s", name, self.pid, device, ", ".join(queues))

    def reports(self) -> Iterator[Report]:
        """Yield what the worker has reported since the last call, without the beats, which are noted."""
        for report in self._reader.read():
            if report.kind == Kind.BEAT:
                self.last_beat = time.monotonic()
            else:
                yield report

    def exit_code(self) -> int | None:
        """Return the exit code of the main process, negative for a signal; None while it runs.

        When it has exited, what is left of the worker is killed: a child would keep the device's memory.
        """
        code = self._popen.poll()
        if code is not None:
            self._kill_group()
        return code

    def finish(self) -> None:
        """Let the worker finish the shard in hand, take no other one, and exit."""
        self._popen.send_signal(signal.SIGTERM)
        self._popen.send_signal(signal.SIGCONT)  # a stopped process would not see it

    def kill(self) -> None:
        """Kill the worker's processes, and wait for their end."""
        self._kill_group()
        self._popen.wait()

    def close(self) -> None:
        """Close the pipe."""
        self._reader.close()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
