"""Weight initialisation schemes other than PyTorch's defaults."""

from __future__ import annotations

import torch
from torch import nn

from unitscope.vocabulary import Initialization

PAPER_STD = 1e-2
QUIET = 0.1  # factor on the first layer's weights of the scheme he-quiet


def initialise(model: nn.Module, scheme: Initialization) -> None:
    """Initialise the weights of convolutions and linear layers in place, from torch's global generator.

    Parameters
    ----------
    model
        network to initialise.
    scheme
        ``default`` keeps the weights of the network's constructor; ``he`` is normal with variance 2 / fan-in
        (He et al. 2015); ``he-quiet`` is the same with the first layer scaled by 0.1, so that after a short
        training its filters show what was learned rather than initial noise; ``paper`` is normal with standard
        deviation 1e-2 (paper, section 3). All but ``default`` set biases to 0.
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
