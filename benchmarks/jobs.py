"""A search job with Redis, SQL and workers compared with the same search as a function call; two workers
compared with one, and with two bare processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.bare_processes import forward_in_processes
from benchmarks.search import fill_cache, layer_units
from benchmarks.servers import Home, Stage
from benchmarks.setting import BATCH, CONV5, SIZE, TOP, Setting
from benchmarks.timing import Goal, Row, Timed, in_fresh_process, time_interleaved, timed
from unitscope.data.images import batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.search.search import LayerSearch, search

SHARDS = 12
START_LIMIT = 3.0  # seconds
WARM_UP_IMAGES = 2 * BATCH
METHOD = f"""
The job is a search of conv 5 in {SHARDS} shards. The crops are a registered data set whose pixels are cached. Its
time is taken from the ledger: from the start of the first shard of the stage *search* to the end of the last one.
The workers and the private Redis are started by `analyze up` and `analyze worker` with default settings (hence
SQLite), except for the number of threads. The function runs the same search in a new process with the same number
of threads; the network is loaded and two batches are searched before timing starts, whereas in the job the first
shard loads the network. Both find the same activations. The bare processes run the forward pass to conv 5 on
normalized images in memory, with one thread each. The start of a worker is that of its process, until the first
shard of a job that was submitted before has begun; `analyze up` starts Redis and a worker. Most of it is the
import of torch: *a process that only imports torch* is a new Python process.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield rows for the job compared with the function, for two workers, and for the start of a worker."""
    weights, crops = setting.weights_file(), setting.crops
    cache = setting.folder / "function.pixels"
    fill_cache(PixelCache(cache, len(crops.sources), SIZE), crops.sources)
    with ExitStack() as stack:

        def running(name: str, workers: int, threads: int | None = None) -> Home:
            home = Home(setting.folder / name, threads)
            stack.callback(home.stop)
            home.start_with_crops(setting, workers)
            return home

        def job(home: Home) -> Timed:
            number = home.submit_search(setting, weights, "--layer", 5, "--shards", SHARDS)
            stage = home.stage(number, "search")
            home.cancel(number)  # skip the projections, which are not measured
            return Timed(stage.seconds, stage)

        starts: list[float] = []  # of workers, in each round

        def start() -> Timed:
            of_up, of_worker = _start(setting, weights)
            starts.append(of_worker)
            return Timed(of_up)

        every_core = running("every-core", 1)
        one, two = running("one-worker", 1, threads=1), running("two-workers", 2, threads=1)
        timings = time_interleaved(
            {
                "function": lambda: in_fresh_process(_search, setting, cache),
                "job": lambda: job(every_core),
                "one worker": lambda: job(one),
                "two workers": lambda: job(two),
                "two bare processes": lambda: forward_in_processes(setting, 2),
                "start of up": start,
                "import of torch": timed(
                    lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)
                ),
            },
            setting.rounds,
        )
        for name, home in (("job", every_core), ("two workers", two)):
            _compare(home, timings.results[name], timings.results["function"])
    count = f"(search, {len(crops.sources):,} crops)"
    yield Row(
        "jobs",
        f"a job of {SHARDS} shards through Redis and SQL, one worker {count}",
        timings.seconds["job"],
        "the same search called as a function",
        timings.seconds["function"],
        Goal(0.9),
        details={"shards_seconds_in_the_last_round": timings.results["job"].shards_seconds},
    )
    both: Stage = timings.results["two workers"]
    assert both.workers == 2, f"{both.workers} worker did all of it"
    yield Row(
        "jobs",
        f"the same job, two workers with one thread each {count}",
        timings.seconds["two workers"],
        "one worker with one thread",
        timings.seconds["one worker"],
        Goal(1.85),
        details={"shards_seconds_in_the_last_round": both.shards_seconds},
    )
    yield Row(
        "jobs",
        f"the same job, two workers with one thread each {count}",
        timings.seconds["two workers"],
        "forward pass in two bare processes with one thread each",
        timings.seconds["two bare processes"],
        Goal(0.95),
    )
    started = "start of a worker, until its first shard begins"
    del starts[0]  # of the warm-up round
    limit = f"limit of {START_LIMIT:g} s"
    yield Row("jobs", started, starts, limit, [START_LIMIT] * setting.rounds, Goal(1.0, at_most=True))
    yield Row("jobs", started, starts, "a process that only imports torch", timings.seconds["import of torch"])
    yield Row("jobs", "start of `analyze up`, until the first shard begins", timings.seconds["start of up"])


def _start(setting: Setting, weights: Path) -> tuple[float, float]:
    """Start `analyze up` while a job waits; returns the seconds until its first shard begins, since the start of
    the command and since that of the worker's process."""
    with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
        home = Home(Path(folder) / "home")
        home.register(setting)
        job = home.submit_search(setting, weights, "--layer", 5, "--shards", SHARDS)
        began = datetime.now(UTC)
        try:
            home.start(1, "cpu")
            process_began = datetime.now(UTC) - home.age_of_worker()
            started = home.first_start(job)
        finally:
            home.stop()
    return (started - began).total_seconds(), (started - process_began).total_seconds()


def _search(setting: Setting, cache: Path) -> Timed:
    """Run the search as a function call in this process."""
    model, sources = setting.model(), setting.crops.sources

    def run(count: int) -> LayerSearch:
        pixels = PixelCache(cache, len(sources), SIZE)
        images = batches(sources[:count], BATCH, SIZE, pad=True, cache=pixels)
        return search(model, layer_units(model, [CONV5]), images, TOP, setting.device)[CONV5]

    run(WARM_UP_IMAGES)
    began = time.perf_counter()
    result = run(len(sources))
    return Timed(time.perf_counter() - began, result)


def _compare(home: Home, stage: Stage, expected: LayerSearch) -> None:
    """Check that shards and function found the same maximum for each image and unit, which determines the
    ranking."""
    maxima = []
    for path in stage.results:
        with np.load(home.folder / "store" / path, allow_pickle=False) as arrays:
            maxima.append(arrays["0.maxima"])
    difference = float(np.abs(np.concatenate(maxima) - expected.maxima).max())
    assert difference <= 1e-5 * float(np.abs(expected.maxima).max()), f"the job's maxima differ by {difference}"
