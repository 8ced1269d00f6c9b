"""A search job over five layers, with Redis, SQL and a worker, compared with the same work as function calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from sqlalchemy import select
from torch import nn

from benchmarks.gpu.projection import ProjectionInput, project, search_top_activations
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.servers import Home
from benchmarks.setting import CLASSES, LAYERS
from benchmarks.timing import Goal, Row, Timed
from shared.jobs.tables import Shard
from shared.kinds.top9.tables import SearchedLayer, TopActivation
from unitscope.search.search import LayerSearch

STAGES = ("search", "select", "project", "finish")
MAX_DIFFERENCE = 1e-4  # relative to the largest activation


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield the row, then check that the job's rows agree with the results of the functions."""
    model = setting.model()
    with ExitStack() as stack:
        home = Home(setting.folder / "home")
        stack.callback(home.stop)
        began = time.monotonic()
        home.analyze("dataset", "add", "folder", "--root", setting.crops.folder, "--name", "crops")
        before = {"registering the data set": time.monotonic() - began}
        home.start(1, "cuda:0" if setting.is_cuda else "cpu")
        weights = setting.weights_file()

        def submit() -> int:
            network = ["--weights", weights, "--network", "zfnet", "--size", setting.sizes.image]
            network += ["--classes", CLASSES, "--fc", setting.sizes.fc]
            units = ["--units", f"0-{setting.sizes.units - 1}"] if setting.sizes.units else []
            data = ["--dataset", "crops", "--split", "all", *units]
            how = ["--shards", setting.sizes.shards, "--force"]
            return int(home.analyze("submit", "--layers", "1-5", *data, *network, *how))

        if setting.sizes.warming:  # loads modules, CUDA and weights, and fills the worker's pixel cache
            first = submit()
            before["first search of the new worker"] = home.stage(first, "search").seconds
            home.cancel(first)

        def job() -> Timed:
            number = submit()
            home.stage(number, "finish")
            return Timed(_seconds(home, number, STAGES), number)

        functions = setting.timed(lambda: _as_functions(setting, model))
        timings = setting.time_interleaved({"functions": functions, "job": job}, budget, warm=["job"])
        number = timings.results["job"]
        by_stage = {stage: _seconds(home, number, (stage,)) for stage in STAGES}
        ours, theirs = _activations(home, number), _winning(timings.results["functions"])
        yield Row(
            "job",
            f"search job, five layers, {len(ours):,} projections with pictures, "
            f"{len(setting.crops.sources):,} crops, with Redis, SQL and a worker",
            timings.seconds["job"],
            "search and projections as functions, warm pixel cache",
            timings.seconds["functions"],
            Goal(1.3, at_most=True),
            "Times from the ledger, from the start of the first shard to the end of the last one: "
            f"{_durations(by_stage)}. Before timing: {_durations(before)}.",
            {"stages": by_stage, "before": before},
            judged=setting.is_cuda,
        )
        assert len(ours) == len(theirs), f"the job has {len(ours)} rows, the functions found {len(theirs)}"
        difference = float(np.abs(ours - theirs).max() / theirs.max())
        assert difference <= MAX_DIFFERENCE, f"the job's activations differ by {difference} of the largest"


def _durations(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())


def _as_functions(setting: Setting, model: nn.Module) -> dict[str, LayerSearch]:
    """Compute what the job computes: the top activations of all layers, and their projections."""
    found = search_top_activations(setting, model, list(LAYERS.values()))
    for path, layer in found.items():
        for _ in project(setting, model, path, ProjectionInput.of(setting, layer.top)):
            pass
    return found


def _seconds(home: Home, job: int, stages: Sequence[str]) -> float:
    """Return the time from the start of the first shard of the stages to the end of the last one."""
    with home.database.read() as session:
        query = select(Shard.started_at, Shard.finished_at).where(
            Shard.job_id == job, Shard.stage_name.in_(stages)
        )
        began, ended = zip(*session.execute(query), strict=True)
    return (max(ended) - min(began)).total_seconds()  # type: ignore[no-any-return]


def _activations(home: Home, job: int) -> np.ndarray:
    """Return the activations of all rows of the job, in ascending order."""
    with home.database.read() as session:
        query = select(TopActivation.activation).join(SearchedLayer).where(SearchedLayer.job_id == job)
        return np.sort(np.array(session.scalars(query).all(), np.float64))


def _winning(found: dict[str, LayerSearch]) -> np.ndarray:
    """Return the activations that the functions found, in ascending order."""
    activations = np.concatenate([layer.top.activation.ravel() for layer in found.values()])
    return np.sort(activations[activations > 0].astype(np.float64))
