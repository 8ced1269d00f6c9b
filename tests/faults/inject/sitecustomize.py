"""Injection of faults into a worker at a given state of a shard. Python imports this module at startup.

It is on the path only of programs that the fault tests start. A plan is a file ``plan-NAME.json`` in the folder
``UNITSCOPE_FAULTS``. The process that reaches the state named in the plan takes the plan by renaming it, so that
it is carried out only once; it writes ``reached-NAME`` and then causes the planned fault in itself or in its
parent.

States of a shard: ``claimed`` (nothing computed), ``computing``, ``completing`` (everything is computed),
``written`` (artifacts are in the store, but no row refers to them), ``recording`` (intermediate rows are about to
be committed), ``committing`` (all rows are about to be committed), ``committed`` (before the caller knows).

This module does not import the product. It patches the product's modules when they are imported.
"""

from __future__ import annotations

import datetime
import errno
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ.get("UNITSCOPE_FAULTS", ""))
HELD_SECONDS = 100.0
STARVED_SECONDS = 1.7  # a third of the lease

held: dict[str, Any] = {}  # the claimed shard: kind, stage, job
times_reached: Counter[str] = Counter()
unmounted: list[str] = []  # plans after which this process can't read images, until they are released
replaced: list[str] = []  # plans after which it reads other content instead of images, until they are released
transaction = threading.local()  # what the thread is about to commit


def reach(state: str) -> None:
    """Carry out the plans for this state of the claimed shard."""
    if not held:
        return
    for path in sorted(FOLDER.glob("plan-*.json")):
        name = path.stem.removeprefix("plan-")
        try:
            plan = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        if plan["state"] != state or any(plan[key] not in (None, held[key]) for key in ("kind", "stage", "job")):
            continue
        times_reached[name] += 1
        if times_reached[name] <= plan["skip"]:
            continue
        try:
            path.rename(FOLDER / f"taken-{name}.json")
        except FileNotFoundError:  # another worker was faster
            continue
        act(plan["do"], name)


def act(what: str, name: str) -> None:
    """Write the mark that the state is reached, and cause the fault."""
    mark = FOLDER / f"writing-{name}"
    mark.write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid(), **held}))
    mark.rename(FOLDER / f"reached-{name}")
    if what in ("kill parent", "kill both"):
        os.kill(os.getppid(), signal.SIGKILL)
    if what in ("kill child", "kill both"):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if what == "lose the answer":  # the connection breaks after the commit
        from shared.errors import DatabaseUnreachable

        raise DatabaseUnreachable(url="", reason="broken by a test")
    if what == "cuda error":  # breaks the CUDA context, if there is a device
        import torch

        if torch.cuda.is_available():
            torch.ones(1, device="cuda")[torch.tensor([2], device="cuda")].cpu()
        raise RuntimeError("CUDA error: device-side assert triggered\nIt may be reported elsewhere")
    if what == "unmount":
        unmounted.append(name)
    if what == "replace images":
        replaced.append(name)
    if what == "hold":  # the other threads continue
        deadline = time.monotonic() + HELD_SECONDS
        while not (FOLDER / f"released-{name}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def change_ledger(module: ModuleType) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    ledger = module.Ledger
    claim, complete, record = ledger.claim, ledger.complete, ledger.record

    @wraps(claim)
    def claimed(*arguments: Any, **named: Any) -> Any:
        held.clear()
        found = claim(*arguments, **named)
        if found is not None:
            held.update(kind=found.kind, stage=found.stage_name, job=found.job_id, shard=found.shard_id)
            reach("claimed")
        return found

    def within(
        method: Callable[..., Any], state: str, before: str | None = None, behind: str | None = None
    ) -> Callable[..., Any]:
        @wraps(method)
        def called(*arguments: Any, **named: Any) -> Any:
            if before:
                reach(before)
            transaction.state = state
            try:
                result = method(*arguments, **named)
            finally:
                transaction.state = None
            if behind:
                reach(behind)
            return result

        return called

    def before_commit(connection: Any) -> None:
        state, transaction.state = getattr(transaction, "state", None), None
        if state:
            reach(state)

    ledger.claim = claimed
    ledger.complete = within(complete, "committing", "completing", "committed")
    ledger.record = within(record, "recording")
    event.listen(Engine, "commit", before_commit)


def change_store(module: ModuleType) -> None:
    make_durable = module.Store.make_durable

    @wraps(make_durable)
    def make_durable_and_reach(*arguments: Any, **named: Any) -> None:
        make_durable(*arguments, **named)
        reach("written")

    module.Store.make_durable = make_durable_and_reach


def change_runner(module: ModuleType) -> None:
    progress = module.ShardContext.progress

    @wraps(progress)
    def progressed(*arguments: Any, **named: Any) -> None:
        reach("computing")
        progress(*arguments, **named)

    module.ShardContext.progress = progressed


def in_force(plans: list[str]) -> bool:
    return any(not (FOLDER / f"released-{name}").exists() for name in plans)


def change_decoding(module: ModuleType) -> None:
    read_file = module.read_file

    @wraps(read_file)
    def read_if_mounted(path: Path) -> bytes:
        if in_force(unmounted):
            raise module.UnavailableFile("missing file", os.strerror(errno.ENOENT))
        if in_force(replaced):
            return b"no image"
        content: bytes = read_file(path)
        return content

    module.read_file = read_if_mounted


def change_missing_data(module: ModuleType) -> None:
    module.PROBE_SECONDS = module.LONGEST_PAUSE = 1.0


CHANGES = {
    "unitscope.images.decoding": change_decoding,
    "worker.missing_data": change_missing_data,
    "shared.jobs.ledger": change_ledger,
    "shared.store.store": change_store,
    "worker.runner": change_runner,
}


class Finder(importlib.abc.MetaPathFinder):
    """A finder that patches the modules in ``CHANGES`` after they are loaded."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            spec = next(found for finder in sys.meta_path[1:] if (found := finder.find_spec(name, path, target)))
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            CHANGES[name](module)

        spec.loader.exec_module = load_and_change
        return spec


def report_starvation() -> None:
    """Write a mark ``starved-PID-...`` whenever this process didn't run for a third of a lease: the machine is too
    busy for the short leases of the tests. A process that holds its interpreter's lock for so long uses processor
    time, and is not excused."""

    def watch() -> None:
        then, used = time.monotonic(), time.process_time()
        while True:
            time.sleep(0.2)
            now, using = time.monotonic(), time.process_time()
            if now - then > STARVED_SECONDS and using - used < (now - then) / 2:
                (FOLDER / f"starved-{os.getpid()}-{now:.0f}").write_text(f"{now - then:.1f} s")
            then, used = now, using

    threading.Thread(target=watch, name="starvation", daemon=True).start()


def set_clock(off: float) -> None:
    """Set the clock of this process ahead by ``off`` seconds. The database's clock is not affected."""
    right_time, right_datetime = time.time, datetime.datetime

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, right_datetime)

    class WrongDatetime(right_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return right_datetime.now(tz) + datetime.timedelta(seconds=off)

    time.time = lambda: right_time() + off
    datetime.datetime = WrongDatetime  # type: ignore[misc]


def end_with(parent: int) -> None:
    """Receive SIGTERM when the parent exits, so that a killed test run leaves no service behind (Linux only)."""
    import ctypes

    if sys.platform == "linux" and os.getppid() == parent:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if os.environ.get("UNITSCOPE_TESTER"):
    end_with(int(os.environ["UNITSCOPE_TESTER"]))
if FOLDER.name and os.environ.get("UNITSCOPE_TESTER"):
    report_starvation()
    os.register_at_fork(after_in_child=report_starvation)
if os.environ.get("UNITSCOPE_CRASH") and os.environ.get("ANALYZE_WORKER_NAME"):
    os._exit(7)
if os.environ.get("ANALYZE_WORKER_NAME") and FOLDER.name:
    sys.meta_path.insert(0, Finder())
if revision := os.environ.get("UNITSCOPE_REVISION"):
    CHANGES["shared.database.schema"] = lambda module: setattr(module, "NEWEST_REVISION", revision)
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
if host := os.environ.get("UNITSCOPE_HOST"):
    import socket

    socket.gethostname = lambda: host
if seconds := float(os.environ.get("UNITSCOPE_CLOCK") or 0):
    set_clock(seconds)
