"""Supervisor of the worker processes, one Celery worker per device, with the sweeper."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from producer.service.devices import Device
from shared import logs
from shared.errors import Unreachable
from shared.jobs.broker import Broker, sweep
from shared.jobs.hosts import new_worker_name
from shared.jobs.ledger import Ledger
from shared.settings import Settings, environment

RESTART_SECONDS = 2.0
STOP_SECONDS = 20.0

# The feature maps of a batch take hundreds of megabytes. By default glibc returns such blocks to the kernel and
# requests them again page by page, which takes a fifth of a forward pass. These settings keep them in the process.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}

logger = logging.getLogger(__name__)


@dataclass
class _Process:
    """A worker process and its device."""

    name: str
    device: Device
    popen: subprocess.Popen[bytes]


class Supervisor:
    """Starts one Celery worker per device, restarts it when it exits, and runs the sweeper.

    Each worker is in its own session, so that only the supervisor receives the terminal's Ctrl+C; it then stops
    the workers.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, broker: Broker, devices: Sequence[Device], queues: Sequence[str]
    ) -> None:
        self.settings, self.ledger, self.broker = settings, ledger, broker
        self.devices, self.queues = list(devices), list(queues)
        self.stopping = threading.Event()
        self.processes: list[_Process] = []

    def run(self) -> None:
        """Run the workers and the sweeper until ``stop`` is called."""
        self.processes = [self._start(device) for device in self.devices]
        next_sweep = 0.0
        try:
            while not self.stopping.wait(0.2):
                self._restart_exited()
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self.settings.sweep_seconds
                    self._register_and_sweep()
        finally:
            self._stop_workers()

    def stop(self) -> None:
        """Make ``run`` return soon; may be called by a signal handler or another thread."""
        self.stopping.set()

    def _start(self, device: Device) -> _Process:
        name = new_worker_name(device.name)
        variables = {
            **os.environ,
            **environment(self.settings),
            "ANALYZE_WORKER_NAME": name,
            **device.environment(),
            "ANALYZE_SUPERVISOR_PID": str(os.getpid()),
            **MALLOC,
        }
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "worker"]
        command += ["--pool", "prefork", "--concurrency", "1", "--hostname", f"{name}@unitscope"]
        command += ["--queues", ",".join(self.queues), "--loglevel", "INFO"]
        command += ["--without-gossip", "--without-mingle"]
        popen = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, start_new_session=True, **logs.child_output()
        )
        logs.relay_output(popen, worker=name, device=str(device))
        logger.info("started worker %s (pid %d, %s) for %s", name, popen.pid, device, ", ".join(self.queues))
        return _Process(name, device, popen)

    def _restart_exited(self) -> None:
        for index, process in enumerate(self.processes):
            if (code := process.popen.poll()) is not None:
                logger.warning("worker %s exited with code %d; starting another one", process.name, code)
                self.stopping.wait(RESTART_SECONDS)
                if not self.stopping.is_set():
                    self.processes[index] = self._start(process.device)

    def _register_and_sweep(self) -> None:
        try:
            for process in self.processes:
                self.ledger.worker_seen(process.name, str(process.device), self.queues, process.popen.pid)
            sweep(self.ledger, self.broker, self.settings.resend_seconds)
        except Unreachable as error:  # the next sweep tries again; the workers continue their shards
            logger.warning("%s", error)

    def _stop_workers(self) -> None:
        """Stop the workers without waiting for their shards.

        The shards are queued again for other workers; a training run continues from its last checkpoint.
        """
        for process in self.processes:
            process.popen.send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes:
            try:
                process.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.popen.pid, signal.SIGKILL)
                process.popen.wait()
        for process in self.processes:
            try:
                self.ledger.worker_gone(process.name)
            except Unreachable as error:
                logger.warning("%s", error)
