"""A home folder with a private Redis, a SQLite database and workers, driven through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.setting import SIZE, Setting
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, JobState, Shard, ShardState
from shared.settings import sqlite_url

START_SECONDS, STOP_SECONDS = 120, 60
STARTED = 19  # ``starttime`` in /proc/PID/stat, after the name: clock ticks from the start of the machine
SLOW_SYNC = """
import os, time
sync = os.fsync
def slow_sync(descriptor):
    time.sleep({seconds})
    sync(descriptor)
os.fsync = slow_sync
"""


@dataclass(frozen=True)
class Stage:
    """A finished stage of a job.

    Attributes
    ----------
    seconds
        from the start of the first shard to the end of the last one.
    shards_seconds
        sum of the durations of all shards.
    workers
        number of workers that ran shards.
    results
        result files of the shards, as paths in the store.
    """

    seconds: float
    shards_seconds: float
    workers: int
    results: list[str]

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> Stage:
        times = [(s.started_at, s.finished_at) for s in shards if s.started_at and s.finished_at]
        begins, ends = zip(*times, strict=True)
        return cls(
            (max(ends) - min(begins)).total_seconds(),
            sum((end - begin).total_seconds() for begin, end in times),
            len({shard.worker for shard in shards}),
            [str(shard.result_path) for shard in shards],
        )


class Home:
    """A home folder in which ``analyze`` commands run as subprocesses.

    Parameters
    ----------
    threads
        threads of each worker; None for the default.
    sync_seconds
        time that each fsync of Python code takes longer, as on a network file system.
    """

    def __init__(self, folder: Path, threads: int | None = None, sync_seconds: float = 0.0) -> None:
        self.folder = folder
        folder.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("ANALYZE_")}
        self.environment = {**own, "ANALYZE_HOME": str(folder), "NO_COLOR": "1"}
        if threads:
            self.environment |= {"ANALYZE_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        if sync_seconds:
            code = folder / "slow" / "sitecustomize.py"  # which every Python process imports
            code.parent.mkdir()
            code.write_text(SLOW_SYNC.format(seconds=sync_seconds))
            paths = [str(code.parent), *filter(None, [own.get("PYTHONPATH")])]
            self.environment |= {"PYTHONPATH": os.pathsep.join(paths)}
        self.started: list[subprocess.Popen[bytes]] = []
        self.database = Database(sqlite_url(folder / "unitscope.sqlite3"))

    def analyze(self, *arguments: object) -> str:
        """Run an ``analyze`` command and return its output."""
        command = [sys.executable, "-m", "producer", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"analyze {arguments[0]}: {done.stderr}")
        return done.stdout.strip()

    def start_with_crops(self, setting: Setting, workers: int = 1) -> None:
        """Register the crops as a data set, and start Redis and this number of workers."""
        self.register(setting)
        self.start(workers, "cpu" if setting.device == "cpu" else "cuda:0")

    def register(self, setting: Setting) -> None:
        """Register the crops as a data set."""
        self.analyze("dataset", "add", "folder", "--root", setting.crops.folder, "--name", "crops")

    def submit_search(self, setting: Setting, weights: Path, *options: object) -> int:
        """Submit a search of the crops with the benchmarks' network, and return the job's number."""
        network = ["--weights", weights, "--network", "zfnet", "--size", SIZE]
        network += [f"--{name}={value}" for name, value in setting.shape.items()]
        data = ["--dataset", "crops", "--split", "all"]
        return int(self.analyze("submit", *data, *network, *options, "--force"))

    def start(self, workers: int, device: str) -> None:
        """Start Redis and this number of workers, and wait until the workers are registered."""
        for command in ["up"] + ["worker"] * (workers - 1):
            self._start(command, device)
            self._await(len(self.started))

    def _start(self, command: str, device: str) -> None:
        with (self.folder / "log").open("ab") as log:
            arguments = [sys.executable, "-m", "producer", command, "--devices", device]
            process = subprocess.Popen(arguments, env=self.environment, stdout=log, stderr=log)
        self.started.append(process)

    def _await(self, workers: int) -> None:
        ledger, deadline = Ledger(self.database), time.monotonic() + START_SECONDS
        while len(ledger.live_workers()) < workers:
            if time.monotonic() > deadline or any(process.poll() is not None for process in self.started):
                raise RuntimeError(f"the worker did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)

    def stage(self, job: int, name: str) -> Stage:
        """Wait until a stage of a job is done, and return its durations and results."""
        query = select(Shard).where(Shard.job_id == job, Shard.stage_name == name).order_by(Shard.number)
        while True:
            with self.database.read() as session:
                shards = session.scalars(query).all()
                row = session.get_one(Job, job)
                state, error = row.state, row.error
            if all(shard.state == ShardState.DONE for shard in shards):
                return Stage.of(shards)
            if state in (JobState.FAILED, JobState.CANCELLED):
                raise RuntimeError(f"job {job} is {state}: {error}")
            time.sleep(1)  # long enough that the polling doesn't slow down the workers

    def age_of_worker(self) -> timedelta:
        """Return for how long the process of the only worker has been running."""
        (worker,) = Ledger(self.database).live_workers()
        started = int(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[STARTED])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
        return timedelta(seconds=age)

    def first_start(self, job: int) -> datetime:
        """Wait until a shard of a job has begun, and return when the first one did."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with self.database.read() as session:
                started = session.scalar(select(func.min(Shard.started_at)).where(Shard.job_id == job))
            if started is not None:
                return started
            time.sleep(0.1)
        raise RuntimeError(f"job {job} did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def cancel(self, job: int) -> None:
        """Cancel a job and wait until its running shards have ended."""
        self.analyze("cancel", job)
        state = ""
        while state not in (JobState.CANCELLED, JobState.DONE):
            time.sleep(0.2)
            with self.database.read() as session:
                state = session.get_one(Job, job).state

    def use_database(self, database: Database) -> None:
        """Let further commands and workers use another database, after ``stop``."""
        self.started.clear()
        self.database = database
        self.environment["ANALYZE_DATABASE_URL"] = database.url.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop all processes that were started."""
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            process.wait(STOP_SECONDS)
        self.database.close()
