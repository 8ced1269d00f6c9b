"""Homes with real servers and workers, injection of faults, and checks of the results."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import delete, insert, select, text

from producer.datasets.shapes import generate
from shared.database.base import Base
from shared.database.connection import Database
from shared.database.identity import DatabaseIdentity
from shared.database.schema import upgrade
from shared.errors import DatabaseUnreachable
from shared.jobs.ledger import Ledger
from shared.jobs.tables import ACTIVE_JOBS, Job, Shard, Worker
from shared.kinds.registry import kinds
from tests import programs
from tests.conftest import Analyze
from tests.faults.content import content_of, damaged_artifacts, violations
from tests.faults.servers import PostgreSQLServer, RedisServer, Storage
from tests.forked import DISABLED, INJECT

LEASE_SECONDS = 5.0  # heartbeats can be late by seconds under load
RESEND_SECONDS = 2.0
GRACE_SECONDS = 2.0  # for the shard in hand when a service is stopped
CONTINUED: set[int] = set()  # processes that had been stopped
FIRST_RUN = 1  # the training run of every home, whose network is analysed

BOXES = Path(__file__).parent / "boxes.csv"
SHAPES = ("--dataset", "shapes")
OF_RUN = ("--run", FIRST_RUN)

# Options of each kind. The network is tiny to keep the tests fast.
KINDS: dict[str, tuple[object, ...]] = {
    "train": (
        *SHAPES, "--network", "zfnet", "--size", 64, "--fc", 16, "--maps", "16,16,16",
        "--epochs", 3, "--batch-size", 24, "--init", "he", "--learning-rate", "5e-4", "--keep-epochs", "1,3",
    ),
    "top9": (
        *SHAPES, *OF_RUN, "--layers", "2,5", "--units", "0-5", "--split", "trainval", "--bottom", "--per-class",
    ),
    "occlusion": (
        *SHAPES, *OF_RUN, "--images", 4, "--patch", 16, "--stride", 12, "--memory", 1, "--positions",
    ),
    "features": (*SHAPES, *OF_RUN, "--images", 4, "--layers", "2,5", "--arrays"),
    "filters": OF_RUN,
    "evolution": (*OF_RUN, "--layers", "2,5", "--draw", 2),
    "invariance": (
        *SHAPES, *OF_RUN, "--images", 2, "--shifts", "-8,8", "--scales", "1.5", "--rotations", "90",
    ),
    "correspondence": (*SHAPES, *OF_RUN, "--whole", "--boxes", BOXES, "--draws", 2),
    "probe": (*SHAPES, *OF_RUN, "--layers", "2,5", "--classifier", "svm"),
}  # fmt: skip
ANALYSES = tuple(kind for kind in KINDS if kind != "train")  # of the network of the first run, in several stages
SHARDS = {"top9": 3, "evolution": 1, **dict.fromkeys(set(ANALYSES) - {"top9", "evolution"}, 2)}
STAGES = {name: tuple(kind.stages) for name, kind in kinds().items() if name in KINDS}

# Stages that don't reach a state: they report no progress, store no files, or record no rows before the end.
NOT_REACHED = {
    *(("computing", kind, "finish") for kind in ("occlusion", "features", "filters", "invariance", "probe")),
    ("written", "invariance", "measure"),
    ("written", "probe", "fit"),
    *(("recording", "top9", stage) for stage in ("search", "project", "finish")),
    *(("recording", "evolution", stage) for stage in ("search", "project", "finish")),
    *(("recording", "occlusion", stage) for stage in ("draw", "finish")),
    *(
        ("recording", kind, stage)
        for kind in ("features", "filters", "invariance", "correspondence", "probe")
        for stage in STAGES[kind]
    ),
}
# Number of times that a worker reaches a state in each shard, if more than once.
TIMES_REACHED = {
    ("computing", "train"): 15,
    ("computing", "top9"): 2,
    ("computing", "occlusion"): 2,
    ("recording", "train"): 4,
    ("recording", "occlusion"): 2,
    ("recording", "top9"): 6,
    ("recording", "evolution"): 10,
}
# Stages with more than one shard even if the job has ``--shards 1``.
DIVIDED = {("top9", "project"), ("evolution", "search"), ("evolution", "project"), ("probe", "fit")}


def stages_reaching(state: str, kind: str) -> list[str]:
    """Return the stages of a kind in which workers reach a state."""
    return [stage for stage in STAGES[kind] if (state, kind, stage) not in NOT_REACHED]


def submit_command(kind: str, shards: int | None = None) -> list[object]:
    """Return the command that submits a new job of a kind, regardless of the free space."""
    divided = ["--shards", shards or SHARDS[kind]] if kind in SHARDS else []
    return ["submit", kind, *KINDS[kind], *divided, "--force", "--ignore-space"]


@dataclass(frozen=True)
class Injection:
    """A fault that a worker process causes itself when it reaches a state."""

    home: Home
    name: str

    @property
    def mark(self) -> Path:
        return self.home.plans / f"reached-{self.name}"

    def reached(self) -> dict[str, Any]:
        """Wait until a worker reaches the state; returns its process id, its parent's, and its shard."""
        self.home.wait(self.mark.exists)
        return json.loads(self.mark.read_text())

    def release(self) -> None:
        """Let the held worker continue."""
        (self.home.plans / f"released-{self.name}").touch()


class Home(Analyze):
    """A home with two workers, each with its own supervisor, as on two machines."""

    numbers = count(1)

    def __init__(
        self,
        home: Path,
        url: str | None = None,
        redis: RedisServer | None = None,
        storage: Storage | None = None,
    ) -> None:
        super().__init__(home, url)
        self.redis = redis
        self.storage = storage
        self.plans = home / "plans"
        self.plans.mkdir(parents=True)
        self.environment |= {
            "ANALYZE_LEASE_SECONDS": str(LEASE_SECONDS),
            "ANALYZE_HEARTBEAT_SECONDS": "0.4",
            "ANALYZE_SWEEP_SECONDS": "0.3",
            "ANALYZE_RESEND_SECONDS": str(RESEND_SECONDS),
            "UNITSCOPE_FAULTS": str(self.plans),
            "UNITSCOPE_TESTER": str(os.getpid()),
        }
        if redis:
            self.environment["ANALYZE_REDIS_URL"] = redis.url
        self.database = Database(self.database_url)
        self.ledger = Ledger(self.database, LEASE_SECONDS)
        self.store = home / "store"

    # --- the service ---

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command that keeps running, into which faults are injected."""
        usual = self.environment
        path = os.pathsep.join(filter(None, (str(INJECT), usual.get("PYTHONPATH"))))
        self.environment = usual | {"PYTHONPATH": path}
        try:
            return super().start(*arguments)
        finally:
            self.environment = usual

    def serve(
        self,
        clocks: Sequence[float] = (0, 0),
        hosts: Sequence[str] = ("", ""),
        grace: float = GRACE_SECONDS,
    ) -> None:
        """Start two workers, whose clocks are ahead by ``clocks`` seconds, and whose machines have the names
        ``hosts``, or that of this machine."""
        before = {process.pid for process in self.started if process.poll() is not None}
        usual = self.environment
        for verb, clock, host in zip(("up", "worker"), clocks, hosts, strict=True):
            self.environment = usual | {"UNITSCOPE_CLOCK": str(clock), "UNITSCOPE_HOST": host}
            if clock:
                self.environment[DISABLED] = "1"  # no module takes the clock before it is set
            process = self.start(verb, "--devices", "cpu", "--grace", grace)
            if verb == "up" and not self.redis:  # it starts the Redis that the other worker needs
                self.wait(lambda: self.workers() - before != set(), process)
        self.environment = usual
        self.reset()

    def reset(self) -> None:
        """Remove the plans of earlier faults and wait until two workers are registered."""
        for file in (*self.plans.glob("plan-*"), *self.plans.glob("starved-*")):
            file.unlink()
        self.started = [process for process in self.started if process.poll() is None]
        self.wait(lambda: len(self.workers()) == 2)

    def starved(self) -> bool:
        """Return whether a process of the home didn't run for a while, because the machine was busy: a worker may
        have lost its lease without a fault. Those that a fault had stopped don't count."""
        return any(int(mark.name.split("-")[1]) not in CONTINUED for mark in self.plans.glob("starved-*"))

    def workers(self) -> set[int]:
        """Return the process ids of the running workers (Celery's main process, whose child computes)."""
        try:
            with self.database.read() as session:
                pids = session.scalars(select(Worker.pid)).all()
        except DatabaseUnreachable:
            return set()
        return {pid for pid in pids if self.is_ours(pid)}

    def is_ours(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("ANALYZE_HOME") == str(
                self.home
            )
        except psutil.Error:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this home: supervisors, workers, and their children."""
        return [process for process in psutil.process_iter() if self.is_ours(process.pid)]

    def end(self) -> None:
        """Stop the service, and check that no process is left."""
        try:
            for process in self.processes():
                process.resume()
            self.stop()
            self.started.clear()
        finally:
            self.expect_no_processes()

    def expect_no_processes(self) -> None:
        """Check that all processes of the home exit by themselves within 20 s, and kill those that don't."""
        deadline = time.monotonic() + 20
        while left := self.processes():
            if time.monotonic() > deadline:
                commands = [(process.pid, process.cmdline()) for process in left]
                for process in left:
                    process.kill()
                raise AssertionError(f"left behind: {commands}\n{self.log()}")
            time.sleep(0.1)

    def children(self) -> list[psutil.Process]:
        """Return the child processes of the workers, which compute."""
        return [child for pid in self.workers() for child in psutil.Process(pid).children()]

    # --- faults ---

    def plan(
        self,
        state: str,
        do: str,
        *,
        kind: str | None = None,
        stage: str | None = None,
        job: int | None = None,
        skip: int = 0,
    ) -> Injection:
        """Plan a fault for the worker that reaches the state after ``skip`` times; see ``sitecustomize``."""
        injection = Injection(self, f"{next(self.numbers):04}")
        text = json.dumps({"state": state, "do": do, "kind": kind, "stage": stage, "job": job, "skip": skip})
        written = self.plans / f"new-{injection.name}"
        written.write_text(text)
        written.rename(self.plans / f"plan-{injection.name}.json")
        return injection

    def shards(self, job: int) -> list[Shard]:
        with self.database.read() as session:
            return list(session.scalars(select(Shard).where(Shard.job_id == job).order_by(Shard.id)))

    def job(self, job: int) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job)

    def ended(self, job: int) -> bool:
        try:
            return self.job(job).state not in ACTIVE_JOBS
        except DatabaseUnreachable:
            return False


@dataclass(frozen=True)
class Common:
    """The initial content of all homes: a data set and a job of each kind, run shard by shard in one process.

    ``undisturbed`` holds the results of these jobs.
    """

    home: Path
    undisturbed: dict[str, dict[str, list[str]]]

    @classmethod
    def make(cls, folder: Path) -> Common:
        generate(folder / "shapes", images=60)
        home = Home(folder / "home")
        home("dataset", "add", "shapes", "--root", folder / "shapes")
        found = {}
        for together in (("train",), ANALYSES):  # the others analyse the network of the first
            jobs = {kind: int(home(*submit_command(kind, 1)).stdout) for kind in together}
            programs.run_code("from tests.faults.undisturbed import main; main()", home.environment)
            for kind, job in jobs.items():
                found[kind] = content_of(home.database, job)
                assert violations(home.database, job, found[kind], (0, 0)) == []
        assert damaged_artifacts(home.database, home.store) == []
        home.database.close()
        return cls(home.home, found)

    def begin(self, home: Path, url: str | None, redis: RedisServer | None, storage: Storage) -> Home:
        """Create a home with this content, on an empty database at ``url``, or on SQLite if it is None."""
        shutil.copytree(self.home / "store", home / "store", dirs_exist_ok=True)
        if url is None:
            shutil.copy(self.home / "unitscope.sqlite3", home)
        else:
            copy_rows(Database(f"sqlite:///{self.home / 'unitscope.sqlite3'}"), Database(url))
        return Home(home, url, redis, storage)


def copy_rows(source: Database, target: Database) -> None:
    """Create the schema in an empty PostgreSQL database, and copy all rows of another database into it."""
    upgrade(target)
    with source.read() as session, target.write() as writing:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in session.execute(select(table)).mappings()]
            if table is DatabaseIdentity.__table__:  # the store names it
                writing.execute(delete(table))
            if rows:
                writing.execute(insert(table), rows)
            if "id" in table.c:
                sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                writing.execute(
                    text(f"SELECT setval({sequence}, (SELECT coalesce(max(id), 1) FROM {table.name}))")
                )
    source.close()
    target.close()


@dataclass
class Case:
    """A fault in a home while a job of one kind runs."""

    home: Home
    kind: str
    draw: random.Random
    common: Common
    postgresql: PostgreSQLServer | None
    jobs: dict[int, str] = field(default_factory=dict)
    faults: int = 0
    extra: tuple[int, int] = (0, 0)  # minimum and maximum number of additional attempts that the faults explain
    most_ends: int = 1  # how often a shard or the job may have ended: more than once after a retry
    release: Callable[[], None] = lambda: None  # lets the held worker continue

    def submit(self, kind: str | None = None, shards: int | None = None) -> int:
        """Submit a job and return its id."""
        kind = kind or self.kind
        job = int(self.home(*submit_command(kind, shards)).stdout)
        self.jobs[job] = kind
        return job

    def inject(self, state: str, do: str, *, stage: str | None = None, skip: int = 0) -> Injection:
        """Plan a fault for a state of a shard of this kind."""
        self.faults += 1
        return self.home.plan(state, do, kind=self.kind, stage=stage, skip=skip)

    def stage(self, state: str) -> str:
        """Choose a stage of the job in which workers reach the state."""
        return self.draw.choice(stages_reaching(state, self.kind))

    def stage_of_one_shard(self, state: str) -> str:
        """Choose a stage in which workers reach the state, and that has one shard with ``--shards 1``."""
        stages = stages_reaching(state, self.kind)
        return self.draw.choice([stage for stage in stages if (self.kind, stage) not in DIVIDED])

    def passes_before_fault(self, state: str) -> int:
        """Choose how often a worker passes the state before the fault, so that it can be in any epoch."""
        return self.draw.randrange(TIMES_REACHED.get((state, self.kind), 1))

    def wait(self) -> None:
        """Wait until all jobs have ended."""
        for job in self.jobs:
            self.home.wait(lambda job=job: self.home.ended(job))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        self.home.wait(condition)

    def check(self) -> None:
        """Check that the jobs have the same results as undisturbed jobs."""
        self.wait()
        errors: list[str] = []
        for job, kind in self.jobs.items():
            errors += violations(
                self.home.database,
                job,
                self.common.undisturbed[kind],
                self.extra,
                self.most_ends,
                self.home.starved(),
            )
        errors += damaged_artifacts(self.home.database, self.home.store)
        report = "\n".join(errors)
        assert not errors, f"{report}\n{self.events()}\n{self.home.log()}"

    def events(self) -> str:
        """Return the end of each job's log."""
        return "\n".join(self.home("logs", job).stdout[-3000:] for job in self.jobs)


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it exists."""
    if number == signal.SIGCONT:
        CONTINUED.add(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, number)


__all__ = [
    *("ANALYSES", "FIRST_RUN", "KINDS", "LEASE_SECONDS", "STAGES"),
    *("Case", "Common", "Home", "Injection", "send_signal", "stages_reaching", "submit_command"),
]
