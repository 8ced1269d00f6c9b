"""Workers that are stopped and continue after their lease, stopped services, sweepers, races, and wrong clocks."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial

import psutil
from sqlalchemy import select, update

from shared.database.connection import Database, database_now
from shared.jobs.broker import Broker, sweep
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Shard, ShardState, Worker
from tests.faults.conftest import Catalogue
from tests.faults.harness import LEASE_SECONDS, Case, send_signal

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


# --- workers stopped by SIGSTOP ---


def is_late(case: Case, shard: int) -> bool:
    """Whether the shard's lease has expired."""
    with case.home.database.read() as session:
        found = session.scalar(select(Shard.id).where(Shard.id == shard, Shard.lease_until < database_now()))
    return found is not None


def attempts_of(case: Case, shard: int) -> int:
    with case.home.database.read() as session:
        return session.get_one(Shard, shard).attempt


def stop(case: Case, state: str) -> None:
    """A worker that continues after its lease has expired writes nothing."""
    injection = case.inject(state, "stop", stage=case.stage(state), skip=case.passes_before_fault(state))
    job = case.submit()
    stopped = injection.reached()
    try:
        if state in ("computing", "completing"):
            case.extra = (1, 1)
            case.wait_until(lambda: attempts_of(case, stopped["shard"]) == 2)
            if case.draw.random() < 0.5:
                case.home.wait(lambda: case.home.ended(job))
        else:  # it holds locks: the shard can't be claimed before it continues or its connection breaks
            case.extra = (0, 1)
            case.wait_until(lambda: is_late(case, stopped["shard"]))
    finally:
        send_signal(stopped["pid"], signal.SIGCONT)


for state in ("computing", "completing", "written", "committing"):
    CATALOGUE.add(f"stopped past the lease when {state}", partial(stop, state=state))


def stop_parent(case: Case) -> None:
    """The child continues its shard; a message that the stopped parent has received is sent again."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    job = case.submit()
    held = injection.reached()
    send_signal(held["parent"], signal.SIGSTOP)
    try:
        injection.release()
        case.home.wait(lambda: case.home.ended(job))
    finally:
        send_signal(held["parent"], signal.SIGCONT)


def seen_ago(case: Case, pid: int) -> float:
    """Return the seconds since the worker with this main process was seen."""
    with case.home.database.read() as session:
        return session.scalars(select(database_now() - Worker.seen_at).where(Worker.pid == pid)).one()


def freeze_parent(case: Case) -> None:
    """Celery's main process is stopped while its child computes: the worker is not seen, and the other one is."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    case.submit()
    held = injection.reached()
    send_signal(held["parent"], signal.SIGSTOP)
    try:
        case.wait_until(lambda: seen_ago(case, held["parent"]) > 5)
        (other,) = case.home.workers() - {held["parent"]}
        case.wait_until(lambda: seen_ago(case, other) < 3)
        injection.release()
        case.wait()
    finally:
        send_signal(held["parent"], signal.SIGCONT)
    case.wait_until(lambda: seen_ago(case, held["parent"]) < 3)


CATALOGUE.add("parent stopped", stop_parent)
CATALOGUE.add("Celery frozen", freeze_parent)


def crash_loop(case: Case) -> None:
    """On a third machine, workers die when they start; its shards are run by the others."""
    case.faults += 1
    case.home.environment["UNITSCOPE_CRASH"] = "1"
    try:
        third = case.home.start("worker", "--devices", "cpu")
    finally:
        del case.home.environment["UNITSCOPE_CRASH"]

    def problems() -> list[str]:
        with case.home.database.read() as session:
            return [problem for problem in session.scalars(select(Worker.problem)) if problem]

    case.submit()
    case.wait_until(lambda: problems() != [])
    assert problems()[0].startswith("It exited with code 7, ")
    case.wait()
    third.send_signal(signal.SIGTERM)
    assert third.wait(30) == 0
    assert problems() == []


CATALOGUE.add("crash loop", crash_loop)


# --- the service is stopped ---


def end_with_time(case: Case) -> None:
    """A worker that is stopped gracefully returns its shard to the queue, and the attempt doesn't count."""
    injection = case.inject(
        "computing", "hold", stage=case.stage("computing"), skip=case.passes_before_fault("computing")
    )
    job = case.submit()
    injection.reached()
    case.home.end()
    assert not [shard for shard in case.home.shards(job) if shard.state == ShardState.RUNNING]
    case.home.serve()


def end_without_time(case: Case, ask: bool) -> None:
    """Kill the service, with or without SIGTERM before, as container runtimes do."""
    injection = case.inject(
        "computing", "hold", stage=case.stage("computing"), skip=case.passes_before_fault("computing")
    )
    case.submit()
    injection.reached()
    case.extra = (0, 2) if ask else (1, 2)  # both workers may have been running a shard
    if ask:
        for process in case.home.started:
            process.send_signal(signal.SIGTERM)
    kill_service(case, case.home.processes())
    case.home.serve()


def kill_service(case: Case, processes: list[psutil.Process]) -> None:
    for process in processes:
        send_signal(process.pid, signal.SIGKILL)
    for started in case.home.started:
        started.wait()
    case.home.started.clear()
    case.home.expect_no_processes()


def kill_supervisors(case: Case) -> None:
    """Kill the supervisors; their workers exit, too."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    case.submit()
    injection.reached()
    case.extra = (1, 2)
    kill_service(case, [psutil.Process(process.pid) for process in case.home.started])
    case.home.serve()


def end_worker(case: Case) -> None:
    """Send SIGTERM to Celery's process: it finishes its shard, and the supervisor starts a new worker."""
    injection = case.inject("computing", "hold", stage=case.stage("computing"))
    case.submit()
    send_signal(injection.reached()["parent"], signal.SIGTERM)
    injection.release()


def end_with_grace(case: Case) -> None:
    """A worker whose supervisor gets SIGTERM finishes its shard; the other worker runs the next ones."""
    case.home.end()
    case.home.serve(grace=60)
    injection = case.inject(
        "computing", "hold", stage=case.stage("computing"), skip=case.passes_before_fault("computing")
    )
    case.submit()
    held = injection.reached()
    process = supervisor_of(case, held["parent"])
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    injection.release()
    assert process.wait(60) == 0
    assert attempts_of(case, held["shard"]) == 1
    case.wait()
    case.home.end()
    case.home.serve()


def lose_machine(case: Case) -> None:
    """As when a spot instance is taken away: all its processes get SIGTERM, and SIGKILL two seconds later."""
    case.home.end()
    case.home.serve(grace=0.5)
    injection = case.inject(
        "computing", "hold", stage=case.stage("computing"), skip=case.passes_before_fault("computing")
    )
    case.submit()
    process = supervisor_of(case, injection.reached()["parent"])
    machine = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    case.extra = (0, 1)  # none, if the supervisor had the time to hand the shard back
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in machine:
            send_signal(member.pid, number)
        if number == signal.SIGTERM:
            time.sleep(2)
    process.wait()
    case.wait()
    case.home.end()
    case.home.serve()


def supervisor_of(case: Case, worker: int) -> subprocess.Popen[bytes]:
    """Return the started command whose worker has this main process."""
    supervisor = psutil.Process(worker).ppid()
    return next(process for process in case.home.started if process.pid == supervisor)


CATALOGUE.add("SIGTERM with grace", end_with_grace)
CATALOGUE.add("spot instance gone", lose_machine)
CATALOGUE.add("SIGTERM to the service", end_with_time)
CATALOGUE.add("SIGTERM to the service without time", partial(end_without_time, ask=True))
CATALOGUE.add("SIGKILL to the service", partial(end_without_time, ask=False))
CATALOGUE.add("SIGKILL to the supervisors", kill_supervisors)
CATALOGUE.add("SIGTERM to a worker", end_worker)


# --- sweepers, races, clocks ---


def many_sweepers(case: Case) -> None:
    """Run three more sweepers, which sweep all the time and send as many messages as they can."""
    home, done = case.home, threading.Event()
    assert home.redis
    url = home.redis.url

    def look_after() -> None:
        own = Database(home.database_url)
        while not done.wait(0.05):
            sweep(Ledger(own, LEASE_SECONDS), Broker(url), 0.1)
        own.close()

    threads = [threading.Thread(target=look_after) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        injection = case.inject("computing", "kill child", stage=case.stage("computing"))
        case.extra = (1, 1)
        case.submit()
        injection.reached()
        case.wait()
    finally:
        done.set()
        for thread in threads:
            thread.join()


CATALOGUE.add("five sweepers", many_sweepers)


OF_TWO_SHARDS = {  # the stages that have two shards
    "top9": ("search",),
    "occlusion": ("sweep", "draw"),
    "features": ("extract",),
    "filters": ("draw",),
    "evolution": ("search", "project"),
    "invariance": ("measure", "draw"),
    "correspondence": ("mask",),
    "probe": ("features", "fit"),
}


def race(case: Case) -> None:
    """The last two shards of a stage end at the same moment: the next stage starts once."""
    stage = case.draw.choice(OF_TWO_SHARDS[case.kind])
    both = [case.inject("completing", "hold", stage=stage) for _ in range(2)]
    case.submit(shards={"top9": 2}.get(case.kind))
    for injection in both:
        injection.reached()
    for injection in both:
        injection.release()


CATALOGUE.add("two last shards", race, kinds=tuple(OF_TWO_SHARDS))


def wrong_clocks(case: Case) -> None:
    """The clock of one worker is an hour ahead, the other one an hour behind."""
    case.home.end()
    case.faults += 2
    case.home.serve(clocks=(3600, -3600))
    injection = case.inject("computing", "kill child", stage=case.stage("computing"))
    case.extra = (1, 1)
    case.submit()
    injection.reached()
    case.wait()
    case.home.end()
    case.home.serve()


def database_clock(case: Case) -> None:
    """The database's clock jumps an hour ahead, so that all leases expire while their workers still run."""
    injection = case.inject("completing", "hold", stage=case.stage("completing"))
    case.submit()
    held = injection.reached()
    case.extra = (1, 2)
    with case.home.database.read() as session:
        running = session.scalars(select(Shard.id).where(Shard.state == ShardState.RUNNING)).all()

    def jumped() -> bool:  # repeated, since a heartbeat may renew the lease before a sweeper runs
        with case.home.database.write() as session:
            late = update(Shard).where(
                Shard.id.in_(running), Shard.state == ShardState.RUNNING, Shard.attempt == 1
            )
            session.execute(late.values(lease_until=Shard.lease_until - 3600))
        return attempts_of(case, held["shard"]) == 2

    case.wait_until(jumped)
    injection.release()


CATALOGUE.add("workers' clocks wrong", wrong_clocks)
CATALOGUE.add("database's clock jumps", database_clock)
