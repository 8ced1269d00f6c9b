"""What the acceptance tests share: a network with weights that were made before."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from tests import reference

SIZE, FC, CLASSES = 64, 16, 20


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small ZFNet as He et al. draw them: its units fire, without a training run."""
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
    """The options that name this network."""
    return ["--weights", str(weights), "--network", "zfnet", "--size", str(SIZE), "--fc", str(FC)]
