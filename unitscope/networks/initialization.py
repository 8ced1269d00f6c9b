"""Initial weights other than PyTorch's own."""

from __future__ import annotations

import torch
from torch import nn

from unitscope.vocabulary import Initialization

PAPER_STD = 1e-2
QUIET = 0.1


def initialise(model: nn.Module, scheme: Initialization) -> None:
    """Draw the weights of convolutions and fully connected layers anew, in place, from torch's generator.

    Parameters
    ----------
    scheme
        ``default`` leaves what the network's constructor drew; ``he``: He et al. 2015, for layers before a ReLU,
        normal with variance 2 / fan-in; ``he-quiet``: the same with a first layer a tenth as large, so that after
        a short training its filters are what was learned and not the noise that was drawn; ``paper``: normal
        with standard deviation 1e-2 (section 3). Biases are 0.
    """
    if scheme == "default":
        return
    weighted = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    for module in weighted:
        if scheme == "paper":
            nn.init.normal_(module.weight, std=PAPER_STD)
        else:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if scheme == "he-quiet":
        with torch.no_grad():
            weighted[0].weight.mul_(QUIET)
