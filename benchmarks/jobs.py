"""A job through Redis, SQL and workers against the same search called as a function; two workers against one."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.measuring import Goal, Row, Timed, in_turn
from benchmarks.search import fill, units_of
from benchmarks.servers import Home, Stage
from benchmarks.setting import BATCH, CONV5, SIZE, TOP, Setting
from unitscope.data.images import batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.search.search import LayerSearch, search

SHARDS = 12
WARMING = 2 * BATCH  # images that the function searches before
HOW = f"""
A search of conv 5 in {SHARDS} shards, the crops being registered as a data set, pixels in the cache: by the
ledger's own times, from the begin of the first shard of the stage *search* to the end of the last one. Workers
and private Redis are what `analyze up` and `analyze worker` start, all settings but the threads are the defaults,
so the database is SQLite. The function is the search in a fresh process with as many threads, the network being
loaded and two batches searched before its time begins; of the job the first shard loads it. Both have found
the same.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The rows of the table."""
    weights, crops = setting.weights_file(), setting.crops
    cache = setting.place / "function.pixels"
    fill(PixelCache(cache, len(crops.sources), SIZE), crops.sources)
    device = "cpu" if setting.device == "cpu" else "cuda:0"
    with ExitStack() as stack:

        def running(name: str, workers: int, threads: int | None = None) -> Home:
            home = Home(setting.place / name, threads)
            stack.callback(home.stop)
            home.analyze("dataset", "add", "folder", "--root", crops.folder, "--name", "crops")
            home.start(workers, device)
            return home

        def job(home: Home) -> Timed:
            number = _submit(home, setting, weights)
            stage = home.stage(number, "search")
            home.cancel(number)  # the projections are not what is measured
            return Timed(stage.seconds, stage)

        every_core = running("every-core", 1)
        one, two = running("one-worker", 1, threads=1), running("two-workers", 2, threads=1)
        turns = in_turn(
            {
                "function": lambda: _in_fresh_process(setting, cache),
                "job": lambda: job(every_core),
                "one worker of one thread": lambda: job(one),
                "two workers of one thread": lambda: job(two),
            },
            setting.rounds,
        )
        for name, home in (("job", every_core), ("two workers of one thread", two)):
            _compare(home, turns.results[name], turns.results["function"])
    count = f"(search, {len(crops.sources):,} crops)"
    yield Row(
        "jobs",
        f"a job of {SHARDS} shards through Redis and SQL, one worker {count}",
        turns.seconds["job"],
        "the same search called as a function",
        turns.seconds["function"],
        Goal(0.9),
        details={"shards_seconds_in_the_last_round": turns.results["job"].shards_seconds},
    )
    both: Stage = turns.results["two workers of one thread"]
    assert both.workers == 2, f"{both.workers} worker did all of it"
    yield Row(
        "jobs",
        f"the same job, two workers of one thread {count}",
        turns.seconds["two workers of one thread"],
        "one worker of one thread",
        turns.seconds["one worker of one thread"],
        Goal(1.85),
        details={"shards_seconds_in_the_last_round": both.shards_seconds},
    )


def _submit(home: Home, setting: Setting, weights: Path) -> int:
    network = ["--weights", weights, "--network", "zfnet", "--size", SIZE]
    network += [f"--{name}={value}" for name, value in setting.shape.items()]
    data = ["--dataset", "crops", "--split", "all"]
    return int(home.analyze("submit", "--layer", 5, *data, *network, "--shards", SHARDS, "--force"))


def _in_fresh_process(setting: Setting, cache: Path) -> Timed:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_search, setting, cache).result()


def _search(setting: Setting, cache: Path) -> Timed:
    """The search as a function."""
    model, sources = setting.model(), setting.crops.sources

    def run(count: int) -> LayerSearch:
        pixels = PixelCache(cache, len(sources), SIZE)
        found = batches(sources[:count], BATCH, SIZE, pad=True, cache=pixels)
        return search(model, units_of(model, [CONV5]), found, TOP, setting.device)[CONV5]

    run(WARMING)
    began = time.perf_counter()
    result = run(len(sources))
    return Timed(time.perf_counter() - began, result)


def _compare(home: Home, stage: Stage, found: LayerSearch) -> None:
    """See that the shards found what the function found, in every image and unit: the ranking follows from it."""
    maxima = []
    for path in stage.results:
        with np.load(home.folder / "store" / path, allow_pickle=False) as arrays:
            maxima.append(arrays["0.maxima"])
    wrong = float(np.abs(np.concatenate(maxima) - found.maxima).max())
    assert wrong <= 1e-5 * float(np.abs(found.maxima).max()), f"the job's maxima differ by {wrong}"
