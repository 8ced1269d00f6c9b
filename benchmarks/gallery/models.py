"""Jobs that real workers run, whose rows are copied to fill a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from sqlalchemy import select

from benchmarks.servers import Home
from benchmarks.setting import CLASSES, SIZE, Setting, write_weights
from producer.datasets import shapes
from shared.database.connection import Database
from shared.jobs.tables import Job, JobState
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize

DATASET, STUDY = "shapes", "runs"
FC = 64  # width of the fully connected layers, which no page shows
SWEPT = 12  # images of a sweep
EPOCHS = 10
STUDY_FILE = f"""
name = "{STUDY}"
title = "Training runs"

[jobs.train]
kind = "train"
options = {{ dataset = "{DATASET}", network = "zfnet", epochs = {EPOCHS}, size = 64, fc = {FC} }}

[table]
rows = "job"

[table.values.accuracy]
title = "val accuracy (%)"
summary = "best_accuracy"
scale = 100
"""


@dataclass(frozen=True)
class Models:
    """The home in which the jobs ran, its database, and the jobs by kind."""

    home: Home
    database: Database
    weights: Path
    jobs: dict[str, int]

    def submit_sweep(self, *options: object) -> int:
        """Submit an occlusion sweep, and return the job's number."""
        return int(self.home.analyze("submit", "occlusion", *_common(self.weights), *options))


def run_models(setting: Setting) -> Models:
    """Run a search of all units of ZFNet's five convolutions, an occlusion sweep, and a training run that belongs
    to a study, on ``setting.count`` objects of a generated data set. Two workers run them, and are stopped."""
    home = Home(setting.folder / "home", threads=1)
    root = setting.folder / "data"
    shapes.generate(root, images=max(2, -(-setting.count // 2)))  # two objects each
    home.analyze("dataset", "add", "shapes", "--root", root, "--name", DATASET)
    weights = _weights(setting.folder / "zfnet.safetensors")
    models = Models(home, home.database, weights, {})
    study = setting.folder / "study.toml"
    study.write_text(STUDY_FILE)
    try:
        home.start(2, "cpu")
        home.analyze("study", "run", study, "--no-wait")
        with home.database.read() as session:
            models.jobs["train"] = session.scalars(select(Job.id)).one()
        results = ("--layers", "1-5", "--bottom", "--per-class")
        models.jobs["top9"] = int(home.analyze("submit", *results, *_common(weights)))
        models.jobs["occlusion"] = models.submit_sweep("--images", SWEPT)
        for job in models.jobs.values():
            home.analyze("watch", job)
    finally:
        home.stop()
    with home.database.read() as session:
        states = dict(session.execute(select(Job.id, Job.state)).all())
    home.database.close()
    if set(states.values()) != {JobState.DONE}:
        raise RuntimeError(f"the jobs are not done: {states}")
    return models


def _common(weights: Path) -> tuple[object, ...]:
    network = ("--network", "zfnet", "--weights", weights, "--size", SIZE, "--classes", CLASSES, "--fc", FC)
    return ("--dataset", DATASET, "--split", "trainval", *network)


def _weights(file: Path) -> Path:
    torch.manual_seed(0)
    model = networks.build("zfnet", image_size=SIZE, classes=CLASSES, fc=FC)
    initialize(model, "he")
    return write_weights(model, file)
