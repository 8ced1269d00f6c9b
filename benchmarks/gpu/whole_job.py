"""A whole job of five layers, through Redis, SQL and a worker, against its computing as functions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from sqlalchemy import select
from torch import nn

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.projecting import Asked, projected, winners
from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Goal, Row, Timed
from benchmarks.servers import Home
from benchmarks.setting import CLASSES, LAYERS
from shared.jobs.tables import Shard
from shared.kinds.top9.tables import SearchedLayer, TopActivation
from unitscope.search.search import LayerSearch

STAGES = ("search", "select", "project", "finish")
SAME = 1e-4  # of a layer's largest activation


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """The row, and then whether the job's rows are what the functions found."""
    model = setting.model()
    with ExitStack() as stack:
        home = Home(setting.place / "home")
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

        if setting.sizes.warming:  # imports, CUDA, the weights, the worker's own pixel cache
            first = submit()
            before["a first search, with all that a new worker has to load"] = home.stage(first, "search").seconds
            home.cancel(first)

        def job() -> Timed:
            number = submit()
            home.stage(number, "finish")
            return Timed(_seconds(home, number, STAGES), number)

        functions = setting.timed(lambda: _as_functions(setting, model))
        turns = setting.in_turn({"functions": functions, "job": job}, clock, warm=["job"])
        number = turns.results["job"]
        by_stage = {stage: _seconds(home, number, (stage,)) for stage in STAGES}
        ours, theirs = _activations(home, number), _winning(turns.results["functions"])
        yield Row(
            "job",
            f"a whole job of five layers with {len(ours):,} projections and their pictures, "
            f"{len(setting.crops.sources):,} crops, through Redis, SQL and a worker",
            turns.seconds["job"],
            "search and projections as functions, warm pixel cache",
            turns.seconds["functions"],
            Goal(1.3, at_most=True),
            "By the ledger's times, from the begin of the first shard to the end of the last one: "
            f"{_listed(by_stage)}. Before: {_listed(before)}.",
            {"stages": by_stage, "before": before},
            judged=setting.is_cuda,
        )
        assert len(ours) == len(theirs), f"the job has {len(ours)} rows, the functions found {len(theirs)}"
        wrong = float(np.abs(ours - theirs).max() / theirs.max())
        assert wrong <= SAME, f"the job's activations differ by {wrong} of the largest"


def _listed(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())


def _as_functions(setting: Setting, model: nn.Module) -> dict[str, LayerSearch]:
    """What the job computes: winners of all layers, and their projections."""
    found = winners(setting, model, list(LAYERS.values()))
    for path, layer in found.items():
        for _ in projected(setting, model, path, Asked.of(setting, layer.top)):
            pass
    return found


def _seconds(home: Home, job: int, stages: Sequence[str]) -> float:
    """From the begin of the first shard of these stages to the end of the last one."""
    with home.database.read() as session:
        query = select(Shard.started_at, Shard.finished_at).where(
            Shard.job_id == job, Shard.stage_name.in_(stages)
        )
        began, ended = zip(*session.execute(query), strict=True)
    return (max(ended) - min(began)).total_seconds()  # type: ignore[no-any-return]


def _activations(home: Home, job: int) -> np.ndarray:
    """Of all rows, in ascending order."""
    with home.database.read() as session:
        query = select(TopActivation.activation).join(SearchedLayer).where(SearchedLayer.job_id == job)
        return np.sort(np.array(session.scalars(query).all(), np.float64))


def _winning(found: dict[str, LayerSearch]) -> np.ndarray:
    """The same of what the functions found."""
    activations = np.concatenate([layer.top.activation.ravel() for layer in found.values()])
    return np.sort(activations[activations > 0].astype(np.float64))
