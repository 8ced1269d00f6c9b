"""Runs a shard: claims it, computes it while a thread sends heartbeats, and records the outcome in the ledger."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import logs
from shared.database.schema import open_database
from shared.errors import (
    BrokerUnreachable,
    DatabaseUnreachable,
    OutOfMemory,
    StoreNotUsable,
    StoreNotWritable,
    Unreachable,
)
from shared.errors import message as message_of
from shared.jobs.broker import Broker, broker_for, dispatch
from shared.jobs.ledger import Claim, ContinuedElsewhere, LeaseLost, Ledger, LeftToOthers, log
from shared.jobs.precedence import Taker
from shared.jobs.tables import Job, Shard
from shared.kinds.registry import parse
from shared.settings import Settings
from shared.store.ownership import open_store
from shared.store.store import Store
from shared.text import one_line
from unitscope.errors import ImageUnavailable, UnitscopeError
from worker.arithmetic import configure_determinism
from worker.context import JobContext
from worker.devices import DeviceUnusable, check_device, corrupts_cuda_context, is_memory_error
from worker.kinds import stage_function
from worker.memory import KeptMemory
from worker.missing_data import MissingData

RETRY_SECONDS = 1.0  # between two attempts to complete a shard
LONGEST_REASON = 300  # characters: PyTorch's message describes its allocator at length

_kept_memory = KeptMemory()

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """The job's cancellation was requested."""


class Paused(Exception):
    """Other work goes before the shard, whose state is saved. It is queued again, to continue in ``seconds``."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class ShardContext(JobContext):
    """The context of a stage's code: the job's context, the claim, and methods to report progress and results."""

    def __init__(
        self,
        claim: Claim,
        ledger: Ledger,
        store: Store,
        device: str,
        cache_folder: Path = Path(),
        cache_bytes: int = 0,
        taker: Taker | None = None,
        *,
        user_networks: bool = False,
    ) -> None:
        specification = parse(claim.kind, claim.specification)
        cache = (cache_folder, cache_bytes)
        super().__init__(
            claim.job_id, specification, ledger.database, store, device, *cache, user_networks=user_networks
        )
        self.claim = claim
        self.payload = claim.payload
        self._ledger = ledger
        self._taker = taker
        self._began = self._could_pause = time.monotonic()
        self.work_done = 0
        self.cancel_requested = threading.Event()
        self.lease_lost = threading.Event()

    def progress(self, work: int = 1) -> None:
        """Report that ``work`` more units are done. Call it after every batch: it raises if the shard must stop.

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
        """Record that an earlier attempt completed ``work`` units, from which this attempt resumes.

        Raises
        ------
        LeaseLost
        """
        self.work_done = min(work, self.claim.work_total)
        self._ledger.resume(self.claim, self.work_done)

    def pause_if_others_wait(self) -> None:
        """Pause the shard if work that this worker can run goes before it. Call it where the shard can be cut; on
        ``Paused``, save what isn't saved and raise it again.

        Work of higher priority goes before it at once; work of the same priority in another queue does if this
        attempt has run for the specification's time slice. The others then have as long a turn: at most the time
        slice, or the time since the last call if that is longer.

        Raises
        ------
        Paused
        """
        time_slice = self.specification.time_slice
        if self._taker is None or time_slice is None:
            return
        now = time.monotonic()
        seconds, since_last = now - self._began, now - self._could_pause
        self._could_pause = now
        try:
            is_over = seconds >= time_slice.seconds
            job = self._ledger.work_before(self.claim, self._taker, slice_is_over=is_over)
        except DatabaseUnreachable as error:  # look again at the next opportunity
            logger.warning("%s", error)
            return
        if job is not None:
            raise Paused(f"since job {job} waits", min(seconds, max(time_slice.seconds, since_last)))

    def record(self, write: Callable[[Session], None], *, locks_job: bool = False) -> None:
        """Write intermediate results to the database. Raises ``LeaseLost`` if the claim is no longer valid."""
        self._ledger.record(self.claim, write, locks_job=locks_job)

    def complete(self, write: Callable[[Session], None] | None = None, result_path: str | None = None) -> None:
        """Write the shard's results and mark it done, in one transaction.

        While the database is unreachable, retry for the duration of a lease, so that the results are not lost.
        ``write`` is called in each attempt and must create its rows each time.

        Raises
        ------
        LeaseLost, DatabaseUnreachable
        """
        deadline = time.monotonic() + self._ledger.lease_seconds
        while True:
            try:
                return self._ledger.complete(self.claim, write, result_path)
            except DatabaseUnreachable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("the results could not be written, retrying: %s", error)
            if self.lease_lost.wait(RETRY_SECONDS):
                raise LeaseLost(f"shard {self.claim.shard_id}")

    def log(self, level: str, message: str) -> None:
        """Add an event to the job's log."""
        log(self.database, self.claim.job_id, self.claim.shard_id, level, message)


class _Heartbeat:
    """A thread that extends the lease and receives cancel requests while the shard is computed."""

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
            except DatabaseUnreachable as error:  # it may be reachable again before the lease expires
                logger.warning("heartbeat: %s", error)


@cache
def _ledger(url: str, lease_seconds: float) -> Ledger:
    """Return this process's ledger."""
    return Ledger(open_database(url), lease_seconds)


@cache
def _broker(settings: Settings) -> Broker:
    """Return this process's broker."""
    return broker_for(settings)


@cache
def _missing_data(ledger: Ledger, worker: str) -> MissingData:
    """Return the data sets that can't be read on the machine of a worker, which is this process."""
    return MissingData(ledger, worker)


def worker_name() -> str:
    """Return the worker's name: the one the supervisor set, or the host name and process id."""
    return os.environ.get("ANALYZE_WORKER_NAME") or f"{socket.gethostname()}:{os.getpid()}"


def run(shard_id: object, settings: Settings, device: str | None = None, queues: Collection[str] = ()) -> None:
    """Run the shard if it can be claimed, or one in ``queues`` that goes before it; record the outcome.

    Raises
    ------
    DeviceUnusable
        this process can't run another shard. The outcome was recorded, or the shard was not claimed.
    """
    if not isinstance(shard_id, int) or isinstance(shard_id, bool) or not 0 < shard_id < 2**63:
        logger.warning("message ignored: it has no valid shard id")
        return
    configure_determinism(settings.threads)
    device = device or os.environ.get("ANALYZE_DEVICE") or "cpu"
    check_device(device)
    ledger = _ledger(settings.resolved_database_url, settings.lease_seconds)
    missing = _missing_data(ledger, worker_name())
    has_data = missing.has_data_of(shard_id)
    taker = Taker(worker_name(), queues, missing.datasets)
    _import_stage(ledger, ledger.first(shard_id, taker))
    try:
        claim = ledger.claim(shard_id, taker.worker, has_data=has_data, queues=queues, missing=taker.missing)
    except LeftToOthers as error:
        logger.log(logging.INFO if isinstance(error, ContinuedElsewhere) else logging.WARNING, "%s", error)
        # So that an idle worker of another machine receives the message first.
        time.sleep(missing.pause_before_next(RETRY_SECONDS))
        _send(ledger, settings)
        return
    if claim is None:
        logger.info("shard %d cannot be claimed: it is done, cancelled, or leased by another worker", shard_id)
        _send(ledger, settings)  # a worker that took it for its own message left another shard without one
        return
    broken = None
    with logs.log_context(job=claim.job_id, shard=claim.shard_id, stage=claim.stage_name, attempt=claim.attempt):
        logger.info("shard started")
        _kept_memory.shard_begins()
        try:
            broken = _work(claim, ledger, settings, device, missing, taker)
            logger.info("shard finished")
        except LeaseLost as error:
            logger.warning("lease lost, results discarded: %s", error)
            _count_late_write(ledger, claim)
            broken = error if corrupts_cuda_context(error) else None
        finally:
            if broken is None:
                _kept_memory.shard_ended()
    _send(ledger, settings)
    if broken:
        raise DeviceUnusable(f"this process can't use {device} any more after a CUDA error") from broken


def _import_stage(ledger: Ledger, shard_id: int) -> None:
    """Import the code of a shard's stage before its lease begins: on a busy machine or from a slow disk that takes
    seconds, in which the heartbeats can't run. An error is raised again, and recorded, when the shard runs."""
    with ledger.database.read() as session:
        query = select(Job.kind, Shard.stage_name).join(Shard, Shard.job_id == Job.id).where(Shard.id == shard_id)
        found = session.execute(query).one_or_none()
    if found is not None:
        with suppress(Exception):
            stage_function(found.kind, found.stage_name)


def _send(ledger: Ledger, settings: Settings) -> None:
    try:
        dispatch(ledger, _broker(settings))
    except BrokerUnreachable as error:  # a sweeper sends the messages later
        logger.warning("%s", error)


def _count_late_write(ledger: Ledger, claim: Claim) -> None:
    try:
        ledger.count_refused_write(claim)
    except DatabaseUnreachable as error:  # the count is only a metric
        logger.warning("%s", error)


def _work(
    claim: Claim, ledger: Ledger, settings: Settings, device: str, missing: MissingData, taker: Taker
) -> Exception | None:
    """Run a claimed shard and record its outcome; return the error if it has corrupted the CUDA context."""
    try:
        store = open_store(ledger.database, settings.resolved_store)
        cache = (settings.cache_folder, settings.cache_bytes)
        allowed = settings.user_networks
        context = ShardContext(claim, ledger, store, device, *cache, taker, user_networks=allowed)
        with _Heartbeat(context, ledger, settings.heartbeat_seconds):
            stage_function(claim.kind, claim.stage_name)(context)
        missing.shard_ran()
    except LeaseLost:
        raise
    except Cancelled:
        ledger.confirm_cancelled(claim)
    except Paused as pause:
        logger.info("shard pauses, %s", pause)
        ledger.pause(claim, context.work_done, pause.seconds, str(pause))
        missing.shard_ran()
    except Unreachable as error:  # the lease expires, and the sweeper queues the shard again
        logger.warning("%s", error)
    except StoreNotUsable as error:  # on this machine: another one may have it
        logger.error("%s", error)
        ledger.hand_back(claim, message_of(error), worker_name())
    except StoreNotWritable as error:  # for this machine's user: another one may have the permissions
        logger.error("%s", error)
        ledger.hand_back(claim, message_of(error), worker_name(), again_here=False)
    except ImageUnavailable as error:  # on this machine: another one may read it
        logger.error("%s", error)
        ledger.hand_back(claim, message_of(error), worker_name())
        missing.handed_back(context.specification.dataset_id)
    except Exception as error:
        if corrupts_cuda_context(error):
            logger.exception("this process can't use its device any more")
            ledger.fail(claim, traceback.format_exc(limit=-12), again=True)
            return error
        if isinstance(error, UnitscopeError):  # a known error, which another attempt would raise again
            ledger.fail(claim, str(error), again=False)
            return None
        logger.exception("the attempt failed")
        if is_memory_error(error):  # retried, since other processes may use less memory by then
            _kept_memory.return_after_shard()
            reason = one_line(str(error), LONGEST_REASON)
            message = str(OutOfMemory(device=device, reason=reason, job_id=claim.job_id))
        else:
            message = traceback.format_exc(limit=-12)
        ledger.fail(claim, message, again=True)
    return None
