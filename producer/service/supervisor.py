"""Supervisor of the worker processes: starts one Celery worker per device, restarts it, and ends it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from producer.service.devices import Device
from producer.service.lifetime import KILL_SECONDS, STOP_SECONDS, Lifetime
from producer.service.process_exit import OutOfMemoryKills, describe_exit, exit_code_of
from producer.service.records import Records, Seen
from producer.service.worker_process import MALLOC, WorkerProcess
from shared.database.base import utc_now
from shared.jobs.broker import Broker
from shared.jobs.hosts import new_worker_name
from shared.jobs.ledger import Ledger
from shared.jobs.reports import Kind, Report
from shared.jobs.workers import clear_worker_problem, set_worker_problem
from shared.settings import Settings

POLL_SECONDS = 0.2
RESTART_SECONDS = 2.0  # before the first restart; doubled for each further one
LONGEST_RESTART_SECONDS = 60.0
LIVED_SECONDS = 60.0  # a worker that lived for so long is restarted like the first time

logger = logging.getLogger(__name__)


class _Slot:
    """A device, its worker process if it runs, and how the last ones ended. The worker's name stays the same."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.name = new_worker_name(device.name)
        self.process: WorkerProcess | None = None
        self.start_at = 0.0
        self.crashes = 0  # of the worker, in a row
        self.failures = 0  # of its child, in a row
        self.unusable = ""  # why the child exits: its device can't be used, or its code can't be loaded
        self.problem = ""  # in the worker's row


class Supervisor:
    """Starts one Celery worker per device, restarts it when it exits, and runs the sweeper.

    A worker that exits again and again is restarted ever more slowly, and its row says why.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        broker: Broker,
        devices: Sequence[Device],
        queues: Sequence[str],
        lifetime: Lifetime | None = None,
    ) -> None:
        self.settings, self.ledger = settings, ledger
        self.queues, self.lifetime = list(queues), lifetime or Lifetime()
        self.slots = [_Slot(device) for device in devices]
        names = [slot.name for slot in self.slots]
        self.records = Records(
            ledger, broker, queues, names, settings.sweep_seconds, settings.resend_seconds, self.lifetime
        )
        self.out_of_memory = OutOfMemoryKills()
        self.stopping = threading.Event()
        self.stopping_now = threading.Event()

    def run(self) -> None:
        """Run the workers and the sweeper until ``stop`` is called or their time is over; let them finish."""
        started = time.monotonic()
        self.records.start()
        grace = 0.0  # after an error
        try:
            while (found := self._seconds_to_finish(started)) is None:
                self._look_after()
                self.stopping.wait(POLL_SECONDS)
            grace = found
        finally:
            self._end(grace)
        if self.records.error:
            raise self.records.error

    def stop(self) -> None:
        """Make ``run`` finish the shards in hand and return, when called again, at once; for signal handlers."""
        if self.stopping.is_set():
            self.stopping_now.set()
        self.stopping.set()

    def _seconds_to_finish(self, started: float) -> float | None:
        """Return the time for the shards in hand if the workers have to end, else None."""
        if self.stopping.is_set():
            logger.info("stopping: the shards in hand have %g s to finish", self.lifetime.grace)
            return self.lifetime.grace
        if self.records.error:
            return 0.0
        now = time.monotonic()
        if self.lifetime.idle_too_long(self.records.idle_since, now):
            logger.info("stopping: there is no work")
            return self.lifetime.grace
        seconds = self.lifetime.finishing_seconds(started, now, self.records.typical_seconds)
        if seconds is not None:
            logger.info("stopping: the time is over; the shards in hand have %.0f s to finish", seconds)
        return seconds

    # --- running ---

    def _look_after(self) -> None:
        for slot in self.slots:
            if slot.process is None:
                if time.monotonic() >= slot.start_at:
                    slot.process = WorkerProcess(self.settings, slot.name, slot.device, self.queues)
                continue
            self._read_reports(slot, slot.process)
            if (code := slot.process.exit_code()) is not None:
                self._restart_later(slot, slot.process, code)

    def _read_reports(self, slot: _Slot, process: WorkerProcess) -> None:
        for report in process.reports():
            if report.kind == Kind.RAN:
                slot.failures, slot.unusable = 0, ""
                self._clear_problem(slot)
            elif report.kind == Kind.UNUSABLE:
                slot.unusable = report.detail
                self._count_failure(slot, f"It can't compute: {report.detail}")
            elif report.kind == Kind.LOST:
                self._lost_child(slot, report)
        if process.last_beat is None:
            return
        # A worker that can't use its device isn't alive, though its main process is.
        if not (slot.unusable and slot.problem):
            self.records.seen[slot.name] = Seen(slot.name, slot.device, process.pid, process.last_beat)
        if slot.crashes and process.last_beat - process.started >= LIVED_SECONDS:
            slot.crashes = 0
            self._clear_problem(slot)

    def _lost_child(self, slot: _Slot, report: Report) -> None:
        """Record that the child died: its shard, if it had one, is queued again with the cause."""
        if slot.unusable:  # counted, and without a shard
            return
        code = exit_code_of(report.detail)
        cause = "ended" if code is None else describe_exit(code, self.out_of_memory.since_last())
        logger.warning("the computing process of worker %s %s", slot.name, cause)
        at = datetime.fromtimestamp(report.at, UTC)
        self.records.add(partial(self.ledger.worker_died, slot.name, cause, at))
        self._count_failure(slot, f"Its computing process ends again and again: it {cause}")

    def _count_failure(self, slot: _Slot, problem: str) -> None:
        slot.failures += 1
        if slot.failures > 1:
            self._set_problem(slot, f"{problem} ({slot.failures} times in a row).")

    def _restart_later(self, slot: _Slot, process: WorkerProcess, code: int) -> None:
        """Record how a worker ended, and when it is started again."""
        at, lived = utc_now(), time.monotonic() - process.started
        process.close()
        slot.process, slot.failures, slot.unusable = None, 0, ""
        slot.crashes = 0 if code == 0 else 1 if lived >= LIVED_SECONDS else slot.crashes + 1
        seconds = min(LONGEST_RESTART_SECONDS, RESTART_SECONDS * 2 ** max(0, slot.crashes - 1))
        slot.start_at = time.monotonic() + seconds
        cause = describe_exit(code, self.out_of_memory.since_last())
        logger.warning("worker %s %s; it is started again in %g s", slot.name, cause, seconds)
        self._record_end(slot, cause if code else None, at)
        if slot.crashes > 1:
            again = f"It {cause}, {slot.crashes} times in a row, and is restarted in {seconds:g} s."
            self._set_problem(slot, again)

    def _record_end(self, slot: _Slot, cause: str | None, at: datetime) -> None:
        """Record that a worker has exited: by itself with a cause, or because it was stopped."""
        self.records.seen.pop(slot.name, None)
        slot.problem = ""
        if cause:
            self.records.add(partial(self.ledger.worker_died, slot.name, cause, at))
        self.records.add(partial(self.ledger.worker_gone, slot.name))

    def _set_problem(self, slot: _Slot, problem: str) -> None:
        slot.problem = problem
        pid = slot.process.pid if slot.process else 0
        device = str(slot.device)
        database = self.ledger.database
        self.records.add(partial(set_worker_problem, database, slot.name, device, self.queues, pid, problem))

    def _clear_problem(self, slot: _Slot) -> None:
        if slot.problem:
            self.records.add(partial(clear_worker_problem, self.ledger.database, slot.name, slot.problem))
            slot.problem = ""

    # --- ending ---

    def _end(self, grace: float) -> None:
        """Let the workers finish the shards in hand for ``grace`` seconds, then hand these back at once.

        A shard that is handed back is queued again for other workers, and the attempt is not counted; a training
        run continues from its last checkpoint.
        """
        deadline = time.monotonic() + grace
        running = {slot: slot.process for slot in self.slots if slot.process}
        for process in running.values():
            process.finish()
        while running and time.monotonic() < deadline and not self.stopping_now.is_set():
            for slot, process in list(running.items()):
                self._read_reports(slot, process)
                if slot.name in self.records.seen:  # it takes no messages and doesn't beat, but is at work
                    self.records.seen[slot.name] = Seen(slot.name, slot.device, process.pid, time.monotonic())
                if (code := process.exit_code()) is not None:
                    del running[slot]
                    cause = describe_exit(code, self.out_of_memory.since_last())
                    self._record_end(slot, cause if code else None, utc_now())
            self.stopping_now.wait(POLL_SECONDS)
        for slot, process in running.items():
            logger.warning("worker %s is ended; its shard, if it has one, is queued again", slot.name)
            process.kill()
            self._record_end(slot, None, utc_now())
        for slot in self.slots:
            if slot.problem:  # of a worker that would have been started again
                self._record_end(slot, None, utc_now())
        self.records.end(KILL_SECONDS)


__all__ = ["MALLOC", "STOP_SECONDS", "Supervisor"]
