"""Worker processes: one Celery worker a device, looked after, and the sweeper beside them."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from producer.service.devices import Device
from shared.errors import OutOfReach
from shared.jobs.broker import Broker, sweep
from shared.jobs.ledger import Ledger
from shared.settings import Settings, environment

RESTART_SECONDS = 2.0
STOP_SECONDS = 20.0

# A batch's feature maps are hundreds of megabytes. Left to itself glibc gives such blocks back to the kernel, and
# gets them again page by page: a fifth of a forward pass's time. These keep the memory in the process.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}

logger = logging.getLogger(__name__)


@dataclass
class _Process:
    """A worker process and what it is for."""

    name: str
    device: Device
    popen: subprocess.Popen[bytes]


class Supervisor:
    """Runs one worker process for each device until it is stopped, and sweeps meanwhile.

    A worker that dies is started again. Each is in a session of its own: only the supervisor gets the
    terminal's Ctrl+C, and ends its workers in good order.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, broker: Broker, devices: Sequence[Device], queues: Sequence[str]
    ) -> None:
        self.settings, self.ledger, self.broker = settings, ledger, broker
        self.devices, self.queues = list(devices), list(queues)
        self.stopping = threading.Event()
        self.processes: list[_Process] = []

    def run(self) -> None:
        """Work until ``stop`` is called."""
        self.processes = [self._start(device) for device in self.devices]
        next_sweep = 0.0
        try:
            while not self.stopping.wait(0.2):
                self._restart_the_dead()
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self.settings.sweep_seconds
                    self._look_after()
        finally:
            self._end()

    def stop(self) -> None:
        """End ``run`` soon; may be called by a signal handler or another thread."""
        self.stopping.set()

    def _start(self, device: Device) -> _Process:
        name = f"{socket.gethostname()}-{device.name.replace(':', '')}-{secrets.token_hex(3)}"
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
        popen = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, start_new_session=True)
        logger.info("worker %s (pid %d, %s) takes from %s", name, popen.pid, device, ", ".join(self.queues))
        return _Process(name, device, popen)

    def _restart_the_dead(self) -> None:
        for place, process in enumerate(self.processes):
            if (code := process.popen.poll()) is not None:
                logger.warning("worker %s ended with %d: another is started", process.name, code)
                self.stopping.wait(RESTART_SECONDS)
                if not self.stopping.is_set():
                    self.processes[place] = self._start(process.device)

    def _look_after(self) -> None:
        try:
            for process in self.processes:
                self.ledger.worker_seen(process.name, str(process.device), self.queues, process.popen.pid)
            sweep(self.ledger, self.broker, self.settings.resend_seconds)
        except OutOfReach as error:  # it may come back; the workers go on with what they have
            logger.warning("%s", error)

    def _end(self) -> None:
        """End the workers at once: what they hold is queued again for others, and a training run goes on from its
        last checkpoint."""
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
            except OutOfReach as error:
                logger.warning("%s", error)
