"""Fixtures and helpers of the acceptance tests: weights of a small network, and results of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from sqlalchemy import func, select
from torch import nn

from shared.database.connection import Database
from shared.kinds.train.tables import Epoch
from tests import reference
from tests.conftest import Analyze

SIZE, FC, CLASSES = 64, 16, 20


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small ZFNet with He initialization, whose units are active without training."""
    torch.manual_seed(3)
    model = reference.zfnet(CLASSES, FC)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "zfnet.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path


@pytest.fixture
def network_options(weights: Path) -> list[str]:
    """Command line options for the network with these weights."""
    return ["--weights", str(weights), "--network", "zfnet", "--size", str(SIZE), "--fc", str(FC)]


def outcome(analyze: Analyze, job: str) -> tuple[Any, ...]:
    """Return the results of a run that must not depend on interruptions: metrics of all epochs, and weights."""
    epochs = analyze.json(
        "query",
        "SELECT epoch, phase, loss, accuracy, top5_accuracy, gradient_norm, learning_rate, images FROM epochs "
        f"WHERE job_id = {job} ORDER BY epoch, phase",
    )
    weights = analyze.json(
        "query",
        f"SELECT kind, epoch, sha256 FROM checkpoints WHERE job_id = {job} AND kind <> 'state' "
        "ORDER BY kind, epoch",
    )
    return epochs, weights


def epochs_done(database: Database, job: str) -> int:
    """Return the number of finished epochs. Queries the database, since a command takes longer than an epoch."""
    with database.read() as session:
        query = select(func.count()).where(Epoch.job_id == int(job), Epoch.phase == "val")
        return session.scalar(query) or 0
