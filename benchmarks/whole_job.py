"""A whole search job, with pictures, rows and contact sheets, compared with its computing as functions."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select

from benchmarks.database import postgresql
from benchmarks.search import fill_cache, layer_units
from benchmarks.servers import Home
from benchmarks.setting import BATCH, LAYERS, SIZE, TOP, Setting
from benchmarks.timing import Goal, Row, Timed, Timings, in_fresh_process, time_interleaved
from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.jobs.tables import Artifact, Shard
from unitscope.data.images import batches, read_cached
from unitscope.data.pixel_cache import PixelCache
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE
from unitscope.search.search import search

UNITS = 64  # of each of the five convolutions
PICTURES = (".png", ".webp")  # contact sheets are JPEG files
FEW = 16  # units of conv 5, of a small job
SYNC_SECONDS = 0.005
Stages = dict[str, float]  # seconds of each stage
FIRST_PICTURE_LIMIT = 5.0  # seconds
FILES_BEFORE = 20  # of a unit: nine patches, nine projections, and the mosaics of both
METHOD = f"""
The job searches {UNITS} units of each of the five convolutions, projects their top activations, checks
every projection, and stores pictures, rows and contact sheets. Its time is taken from the ledger: from the
start of its first shard to the end of the last one, with one worker that has run a job before. The
functions run the same search and projections in a new process with as many threads, without checks,
pictures and files, after a warm-up on two batches; the pixels are cached for both. *Slow store*: every
fsync of the store takes {1000 * SYNC_SECONDS:g} ms longer, as on a network file system. Pictures of earlier rounds
are removed before each job. *Files*: those with the pictures of units; before there were mosaics, each picture
was a file. *First picture*: from `analyze submit` to the first row with a picture, for a job of {FEW} units of
conv 5, minus the computing of that job as functions.
"""


@dataclass(frozen=True)
class _Computed:
    """What the functions did: seconds of each stage, and the number of projections."""

    stages: Stages
    projections: int


def measure(setting: Setting) -> Iterator[Row]:
    """Yield rows for the whole job on a fast and a slow store, its files, and a small job's first picture."""
    crops = setting.crops
    cache = setting.folder / "whole.pixels"
    fill_cache(PixelCache(cache, len(crops.sources), SIZE), crops.sources)
    weights = setting.weights_file()
    with ExitStack() as stack:

        def running(name: str, sync_seconds: float = 0.0, database: Database | None = None) -> Home:
            home = Home(setting.folder / name, sync_seconds=sync_seconds)
            stack.callback(home.stop)
            if database is not None:
                home.use_database(database)
            home.start_with_crops(setting)
            return home

        server = stack.enter_context(postgresql())
        upgrade(server)
        home, slow = running("whole-job"), running("whole-job-slow", SYNC_SECONDS)
        on_postgresql = running("whole-job-postgresql", database=server)
        stages: dict[str, list[Stages]] = defaultdict(list)

        def job(name: str, home: Home) -> Timed:
            done = _job(home, setting, weights, [*LAYERS], UNITS)
            stages[name].append(done.result)
            return done

        def functions() -> Timed:
            done: Timed = in_fresh_process(_compute, setting, cache, [*LAYERS], UNITS)
            stages["functions"].append(done.result.stages)
            return done

        timings = time_interleaved(
            {
                "functions": functions,
                "job": lambda: job("job", home),
                "job on PostgreSQL": lambda: job("job on PostgreSQL", on_postgresql),
                "slow store": lambda: job("slow store", slow),
                "16 units as functions": lambda: in_fresh_process(_compute, setting, cache, [5], FEW),
                "16 units": lambda: _first_picture(home, setting, weights),
            },
            setting.rounds,
        )
        medians = {
            name: _medians(of_rounds[1:]) for name, of_rounds in stages.items()
        }  # without the warm-up round
        yield from _rows(timings, medians, len(crops.sources), home)


def _rows(timings: Timings, stages: Mapping[str, Stages], crops: int, home: Home) -> Iterator[Row]:
    units, projections = UNITS * len(LAYERS), timings.results["functions"].projections
    work = f"a whole job: {crops:,} crops, {units} units, {projections:,} projections"
    for name, where in (("job", "SQLite"), ("job on PostgreSQL", "PostgreSQL")):
        yield Row(
            "whole_job",
            f"{work} ({where})",
            timings.seconds[name],
            "its search and projections called as functions",
            timings.seconds["functions"],
            Goal(1.3, at_most=True),
            note=f"Medians: {_text(stages[name])}; as functions: {_text(stages['functions'])}",
            details={"seconds_by_stage": stages[name], "functions_seconds_by_stage": stages["functions"]},
        )
    yield Row(
        "whole_job",
        f"{work} (SQLite, {1000 * SYNC_SECONDS:g} ms a sync)",
        timings.seconds["slow store"],
        "the same job with the disk's own syncs",
        timings.seconds["job"],
        note=f"Medians: {_text(stages['slow store'])}",
        details={"seconds_by_stage": stages["slow store"]},
    )
    files, size = _files(home)
    per_unit, before = [files / units], [float(FILES_BEFORE)]
    yield Row(
        "whole_job", "files with its pictures, for each unit", per_unit, "a file for each picture", before,
        Goal(10), unit="files",
    )  # fmt: skip
    yield Row("whole_job", "bytes of its pictures, for each unit", [size / units / 1000], unit="kB")
    pairs = zip(timings.seconds["16 units"], timings.seconds["16 units as functions"], strict=True)
    beyond = [job - functions for job, functions in pairs]
    yield Row(
        "whole_job",
        f"from submit to the first picture of {FEW} units, beyond the computing",
        beyond,
        f"limit of {FIRST_PICTURE_LIMIT:g} s",
        [FIRST_PICTURE_LIMIT] * len(beyond),
        Goal(1.0, at_most=True),
    )


def _medians(rounds: Sequence[Stages]) -> Stages:
    """Return the median time of each stage."""
    return {name: statistics.median(stages[name] for stages in rounds) for name in rounds[0]}


def _text(stages: Stages) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())


def _remove_pictures(home: Home) -> None:
    """Remove the pictures of earlier rounds: the same content would not be written again."""
    for file in (home.folder / "store").rglob("*"):
        if file.suffix in (*PICTURES, ".jpg"):
            file.unlink()


def _submit(home: Home, setting: Setting, weights: Path, layers: Sequence[int], units: int) -> int:
    chosen = ["--layers", ",".join(map(str, layers)), "--units", f"0-{units - 1}"]
    return home.submit_search(setting, weights, *chosen)


def _job(home: Home, setting: Setting, weights: Path, layers: Sequence[int], units: int) -> Timed:
    """Run a job; its result is the time of each stage."""
    _remove_pictures(home)
    number = _submit(home, setting, weights, layers, units)
    stages = {name: home.stage(number, name).seconds for name in ("search", "select", "project", "finish")}
    with home.database.read() as session:
        shards = session.scalars(select(Shard).where(Shard.job_id == number)).all()
    began = min(shard.started_at for shard in shards if shard.started_at)
    ended = max(shard.finished_at for shard in shards if shard.finished_at)
    return Timed((ended - began).total_seconds(), stages)


def _first_picture(home: Home, setting: Setting, weights: Path) -> Timed:
    _remove_pictures(home)
    began = time.time()
    number = _submit(home, setting, weights, [5], FEW)
    home.stage(number, "project")
    with home.database.read() as session:
        of_stage = (Shard.job_id == number, Shard.stage_name == "project")
        first = min(
            shard.finished_at for shard in session.scalars(select(Shard).where(*of_stage)) if shard.finished_at
        )
    home.stage(number, "finish")  # it would run into the next variant
    return Timed(first.timestamp() - began)


def _files(home: Home) -> tuple[int, int]:
    """Return the number and the bytes of the files of the last whole job with pictures of units."""
    with home.database.read() as session:
        files = session.scalars(select(Artifact)).all()
    by_job = Counter(file.job_id for file in files if file.job_id)
    job = max(number for number, count in by_job.items() if count == max(by_job.values()))
    kept = [file for file in files if file.job_id == job and file.path.endswith(PICTURES)]
    return len(kept), sum(file.bytes for file in kept)


def _compute(setting: Setting, cache: Path, layers: Sequence[int], units: int) -> Timed:
    """Run the search and the projections as function calls; the result is a ``_Computed``."""
    model, sources = setting.model(), setting.crops.sources
    pixels = PixelCache(cache, len(sources), SIZE)
    chosen = {LAYERS[number]: list(range(units)) for number in layers}
    first = batches(sources[: 2 * BATCH], BATCH, SIZE, pad=True)
    search(model, layer_units(model, [LAYERS[5]]), first, TOP, setting.device)
    began = time.perf_counter()
    results = search(model, chosen, batches(sources, BATCH, SIZE, pad=True, cache=pixels), TOP, setting.device)
    searched = time.perf_counter()
    projections, by_id = 0, {source.id: source for source in sources}
    for layer, result in results.items():
        unit, rank = (result.top.image != NO_IMAGE).nonzero()
        ids = result.top.image[unit, rank]
        row, col = (values[unit, rank].astype(np.int64) for values in (result.top.row, result.top.col))
        images, number = np.unique(ids, return_inverse=True)
        read: Sequence[np.ndarray] = [read_cached(by_id[image], SIZE, pixels) for image in images.tolist()]
        requests = Requests(unit, number.astype(np.int64), ids, row, col)
        projector = projector_for(model, layer, SIZE, counts=dict(Counter(ids.tolist())), device=setting.device)
        projections += sum(1 for _ in projector.project(read, requests))
    ended = time.perf_counter()
    return Timed(ended - began, _Computed({"search": searched - began, "project": ended - searched}, projections))
