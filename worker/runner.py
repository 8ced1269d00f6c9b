"""One shard, from its claim to its end: with a heartbeat beside the work, and every outcome in the ledger."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType

from sqlalchemy.orm import Session

from shared import logs
from shared.database.schema import open_database
from shared.errors import BrokerOutOfReach, DatabaseOutOfReach, OutOfMemory, OutOfReach
from shared.jobs.broker import Broker, broker_for, dispatch
from shared.jobs.ledger import Claim, LeaseLost, Ledger, log
from shared.kinds.registry import parse
from shared.settings import Settings
from shared.store.store import Store
from shared.text import one_line
from unitscope.errors import UnitscopeError
from worker.arithmetic import settle_arithmetic
from worker.context import JobContext
from worker.devices import DeviceUnusable, breaks_the_process, lacks_memory, see_that_usable
from worker.kinds import stage_function
from worker.memory import give_back

AGAIN_SECONDS = 1.0  # between two attempts to complete a shard
LONGEST_REASON = 300  # letters: PyTorch says much of its allocator

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """Somebody asked that the job stop."""


class ShardContext(JobContext):
    """What a stage's code gets: the job's context, and ways to tell and to be told."""

    def __init__(
        self,
        claim: Claim,
        ledger: Ledger,
        store: Store,
        device: str,
        cache_folder: Path = Path(),
        cache_bytes: int = 0,
    ) -> None:
        specification = parse(claim.kind, claim.specification)
        super().__init__(claim.job_id, specification, ledger.database, store, device, cache_folder, cache_bytes)
        self.claim = claim
        self.payload = claim.payload
        self._ledger = ledger
        self.work_done = 0
        self.cancel_requested = threading.Event()
        self.lease_lost = threading.Event()

    def progress(self, work: int = 1) -> None:
        """So much more work is done. Call it after every batch: it also stops work that nobody wants any more.

        Raises
        ------
        Cancelled, LeaseLost
        """
        self.work_done += work
        if self.lease_lost.is_set():
            raise LeaseLost(f"shard {self.claim.shard_id}")
        if self.cancel_requested.is_set():
            raise Cancelled

    def resume(self, work: int) -> None:
        """So much work was done by an earlier attempt, and this one goes on from there (raises ``LeaseLost``)."""
        self.work_done = min(work, self.claim.work_total)
        self._ledger.resume(self.claim, self.work_done)

    def record(self, write: Callable[[Session], None]) -> None:
        """Write to the database on the way, while the lease holds (raises ``LeaseLost``)."""
        self._ledger.record(self.claim, write)

    def complete(self, write: Callable[[Session], None] | None = None, result_path: str | None = None) -> None:
        """End the shard with its results, in one transaction.

        While the database is away this is tried again, for as long as a lease lasts: what was computed would have
        to be computed again. ``write`` is called each time, and makes its rows anew.

        Raises
        ------
        LeaseLost, DatabaseOutOfReach
        """
        deadline = time.monotonic() + self._ledger.lease_seconds
        while True:
            try:
                return self._ledger.complete(self.claim, write, result_path)
            except DatabaseOutOfReach as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("completed again in a moment: %s", error)
            if self.lease_lost.wait(AGAIN_SECONDS):
                raise LeaseLost(f"shard {self.claim.shard_id}")

    def log(self, level: str, message: str) -> None:
        """Add a line to the job's log."""
        log(self.database, self.claim.job_id, self.claim.shard_id, level, message)


class _Heartbeat:
    """A thread that extends the lease and brings back cancel requests while the work goes on."""

    def __init__(self, context: ShardContext, ledger: Ledger, seconds: float) -> None:
        self.context, self.ledger, self.seconds = context, ledger, seconds
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self.thread.join()

    def _beat(self) -> None:
        while not self.stopped.wait(self.seconds):
            try:
                if self.ledger.heartbeat(self.context.claim, self.context.work_done):
                    self.context.cancel_requested.set()
            except LeaseLost:
                self.context.lease_lost.set()
                return
            except DatabaseOutOfReach as error:  # it may come back before the lease runs out
                logger.warning("heartbeat: %s", error)


@cache
def _ledger(url: str, lease_seconds: float) -> Ledger:
    """One ledger a process, made in the process that uses it."""
    return Ledger(open_database(url), lease_seconds)


@cache
def _broker(settings: Settings) -> Broker:
    """One connection a process."""
    return broker_for(settings)


def worker_name() -> str:
    """Who claims: the name the supervisor gave, or host and process."""
    return os.environ.get("ANALYZE_WORKER_NAME") or f"{socket.gethostname()}:{os.getpid()}"


def run(shard_id: object, settings: Settings, device: str | None = None) -> None:
    """Do the shard if it can be claimed; every way in which that can end is written down.

    Raises
    ------
    DeviceUnusable
        this process can do no other shard. What it had is written down or was not claimed.
    """
    if not isinstance(shard_id, int) or isinstance(shard_id, bool) or not 0 < shard_id < 2**63:
        logger.warning("a message without a shard's id is ignored")
        return
    settle_arithmetic(settings.threads)
    device = device or os.environ.get("ANALYZE_DEVICE") or "cpu"
    see_that_usable(device)
    ledger = _ledger(settings.resolved_database_url, settings.lease_seconds)
    claim = ledger.claim(shard_id, worker_name())
    if claim is None:
        logger.info("shard %d is not to be had", shard_id)
        return
    broken = None
    with logs.at_hand(job=claim.job_id, shard=shard_id, stage=claim.stage_name, attempt=claim.attempt):
        logger.info("begun")
        try:
            broken = _work(claim, ledger, settings, device)
            logger.info("ended")
        except LeaseLost as error:
            logger.warning("lease lost, nothing written: %s", error)
            _count_late_write(ledger, claim)
            broken = error if breaks_the_process(error) else None
    if broken is None:
        give_back()
    try:
        dispatch(ledger, _broker(settings))
    except BrokerOutOfReach as error:  # a sweeper sends the next stage later
        logger.warning("%s", error)
    if broken:
        raise DeviceUnusable(f"after a CUDA error {device} can't be used by this process any more") from broken


def _count_late_write(ledger: Ledger, claim: Claim) -> None:
    try:
        ledger.late_write_refused(claim)
    except DatabaseOutOfReach as error:  # a figure less
        logger.warning("%s", error)


def _work(claim: Claim, ledger: Ledger, settings: Settings, device: str) -> Exception | None:
    """Do a shard that was claimed; returns the error after which this process can't compute any more."""
    try:
        store = Store(settings.resolved_store)
        context = ShardContext(claim, ledger, store, device, settings.cache_folder, settings.cache_bytes)
        with _Heartbeat(context, ledger, settings.heartbeat_seconds):
            stage_function(claim.kind, claim.stage_name)(context)
    except LeaseLost:
        raise
    except Cancelled:
        ledger.confirm_cancelled(claim)
    except OutOfReach as error:  # the database was away: the lease runs out, and a sweeper gives it to another
        logger.warning("%s", error)
    except Exception as error:
        if breaks_the_process(error):
            logger.exception("the device can't be used by this process any more")
            ledger.fail(claim, traceback.format_exc(limit=-12), again=True)
            return error
        if isinstance(error, UnitscopeError):  # known, and the same every time
            ledger.fail(claim, str(error), again=False)
            return None
        logger.exception("the attempt failed")
        if lacks_memory(error):  # which others use, too: it may suffice the next time, or on another machine
            reason = one_line(str(error), LONGEST_REASON)
            said = str(OutOfMemory(device=device, reason=reason, job_id=claim.job_id))
        else:
            said = traceback.format_exc(limit=-12)
        ledger.fail(claim, said, again=True)
    return None
