"""A job through Redis, SQL and workers against the same search called as a function; two workers against one."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import text

from benchmarks.measuring import Goal, Row, Timed, in_turn
from benchmarks.search import compare, fill, units_of
from benchmarks.servers import Home, Stage
from benchmarks.setting import BATCH, CONV5, SIZE, TOP, Crops, Setting
from worker.vision.images import batches
from worker.vision.pixel_cache import PixelCache
from worker.vision.ranking import NO_IMAGE
from worker.vision.search import LayerSearch, search

SHARDS = 12
WARMING = 2 * BATCH  # images that the function searches before
HOW = (
    f"A search of conv 5 in {SHARDS} shards, the crops being registered as a data set, pixels in the cache: by the "
    "ledger's own times, from the begin of the first shard of the stage *search* to the end of the last one. The "
    "workers and their private Redis are what `analyze up` and `analyze worker` start, the database is SQLite; "
    "sizes of leases and sweeps are the defaults. The function is the search in a fresh process with as many "
    "threads, the network loaded and two batches searched before its time begins; each shard of the job loads the "
    "network. Both find the same."
)


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
            home.finished(number)
            stage = home.stage(number, "search")
            return Timed(stage.seconds, (number, stage))

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
        number, stage = turns.results["job"]
        swapped = _compare(every_core, number, turns.results["function"], crops)
    yield Row(
        "jobs",
        f"a job of {SHARDS} shards through Redis and SQL, one worker: search of conv 5, {len(crops.sources):,} crops",
        turns.seconds["job"],
        "the same search called as a function",
        turns.seconds["function"],
        Goal(0.9),
        details={"last_round": asdict(stage), "other_images_within_rounding": swapped},
    )
    both: Stage = turns.results["two workers of one thread"][1]
    assert both.workers == 2, f"{both.workers} worker did all of it"
    yield Row(
        "jobs",
        f"the same job, two workers of one thread (search of {len(crops.sources):,} crops)",
        turns.seconds["two workers of one thread"],
        "one worker of one thread",
        turns.seconds["one worker of one thread"],
        Goal(1.85),
        details={"last_round": asdict(both)},
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


def _compare(home: Home, job: int, found: LayerSearch, crops: Crops) -> int:
    """See that the job's rows are what the function found: see ``search.compare``."""
    numbers = {source.path.relative_to(crops.folder).as_posix(): source.id for source in crops.sources}
    values, images = found.top.activation.copy(), found.top.image.copy()
    values[:], images[:] = 0, NO_IMAGE
    with home.database.read() as session:
        rows = session.execute(
            text("SELECT unit, rank, activation, image_path FROM top_activations WHERE job_id = :job"),
            {"job": job},
        )
        for unit, rank, activation, path in rows:
            values[unit, rank - 1], images[unit, rank - 1] = activation, numbers[path]
    return compare(found, values, images)
