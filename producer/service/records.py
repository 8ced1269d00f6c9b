"""What the supervisor writes to the database, in a thread, so that a slow database does not delay signals."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from producer.service.device_memory import device_memory, memory_of
from producer.service.devices import Device
from producer.service.lifetime import Lifetime
from shared.errors import Unreachable
from shared.jobs.broker import Broker, sweep
from shared.jobs.hosts import host_of
from shared.jobs.ledger import Ledger
from shared.jobs.workers import forget_workers, is_idle, typical_seconds

MEMORY_SECONDS = 60.0  # between two looks at the memory of the devices
FORGET_SECONDS = 60.0  # between two looks for rows of workers that are long gone

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """A worker's last sign of life, at a time of ``time.monotonic``."""

    name: str
    device: Device
    pid: int
    at: float


class Records:
    """A thread that runs the sweeper, writes the workers' rows, and records in order what happened to workers.

    What can't be written is tried again at the next sweep.
    """

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        queues: Sequence[str],
        names: Sequence[str],
        sweep_seconds: float,
        resend_seconds: float,
        lifetime: Lifetime,
    ) -> None:
        self.ledger, self.broker, self.queues, self.names = ledger, broker, list(queues), list(names)
        self.sweep_seconds, self.resend_seconds, self.lifetime = sweep_seconds, resend_seconds, lifetime
        self.seen: dict[str, Seen] = {}  # by the worker's name; replaced by the supervisor
        self.idle_since: float | None = None  # time.monotonic; None if there is work or it is unknown
        self.typical_seconds = 0.0  # duration of the shards that are queued or running, if the time is limited
        self.error: Exception | None = None  # that ended the thread
        self._written: dict[str, float] = {}  # time of each worker's last sign of life that is in its row
        self._changes: deque[Callable[[], None]] = deque()
        self._memory: dict[str, tuple[int, int]] = {}
        self._next_memory = self._next_forgetting = 0.0
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, change: Callable[[], None]) -> None:
        """Record something as soon as possible, after what was added before."""
        self._changes.append(change)
        self._wake.set()

    def end(self, seconds: float) -> None:
        """Record what was added, for up to ``seconds``, and end the thread."""
        self._ending.set()
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive() or self._changes:
            logger.warning(
                "the database doesn't answer: the workers' shards are queued again when their leases expire"
            )

    def _run(self) -> None:
        next_sweep = 0.0
        try:
            while not self._ending.is_set():
                self._wake.clear()
                try:
                    if self._change():  # shards may be queued again
                        next_sweep = 0.0
                    if time.monotonic() >= next_sweep:
                        next_sweep = time.monotonic() + self.sweep_seconds
                        self._sweep()
                except Unreachable as error:  # the next sweep tries again; the workers continue their shards
                    logger.warning("%s", error)
                    self.idle_since = None
                    next_sweep = time.monotonic() + self.sweep_seconds
                    self._ending.wait(self.sweep_seconds)
                self._wake.wait(max(0.0, next_sweep - time.monotonic()))
            self._change()
        except Unreachable as error:
            logger.warning("%s", error)
        except Exception as error:  # the supervisor raises it
            self.error = error

    def _change(self) -> bool:
        """Record what was added; return whether there was something."""
        found = bool(self._changes)
        while self._changes:
            self._changes[0]()
            self._changes.popleft()
        return found

    def _sweep(self) -> None:
        for seen in list(self.seen.values()):
            if seen.at != self._written.get(seen.name):
                ago = time.monotonic() - seen.at
                memory = memory_of(seen.device, self._memory_of_devices())
                self.ledger.worker_seen(
                    seen.name, str(seen.device), self.queues, seen.pid, seconds_ago=ago, memory=memory
                )
                self._written[seen.name] = seen.at
        if time.monotonic() >= self._next_forgetting:
            forget_workers(self.ledger.database)
            self._next_forgetting = time.monotonic() + FORGET_SECONDS
        sweep(self.ledger, self.broker, self.resend_seconds)
        if self.lifetime.max_time is not None:
            self.typical_seconds = typical_seconds(self.ledger.database, self.queues)
        if self.lifetime.max_idle is not None:
            self._look_for_work()

    def _look_for_work(self) -> None:
        if not is_idle(self.ledger.database, self.queues, host_of(self.names[0]), self.names):
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = time.monotonic()

    def _memory_of_devices(self) -> dict[str, tuple[int, int]]:
        uses_gpu = any(seen.device.visible for seen in self.seen.values())
        if uses_gpu and time.monotonic() >= self._next_memory:
            self._next_memory = time.monotonic() + MEMORY_SECONDS
            self._memory = device_memory()
        return self._memory
