"""Weight initialization schemes other than PyTorch's defaults."""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import nn

from unitscope.vocabulary import Initialization

PAPER_STD = 1e-2
QUIET = 0.1  # factor on the first layer's weights of the scheme he-quiet


def initialize(model: nn.Module, scheme: Initialization, frozen: Container[str] = ()) -> None:
    """Initialize the weights of convolutions and linear layers in place, from torch's global generator.

    Parameters
    ----------
    model
        network to initialize.
    scheme
        ``default`` keeps the weights of the network's constructor; ``he`` is normal with variance 2 / fan-in
        (He et al. 2015); ``he-quiet`` is the same with the first layer scaled by 0.1, so that after a short
        training its filters show what was learned rather than initial noise; ``paper`` is normal with standard
        deviation 1e-2 (paper, section 3). All but ``default`` set biases to 0.
    frozen
        names of parameters that are not changed.
    """
    if scheme == "default":
        return
    weighted = [(path, m) for path, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for number, (path, module) in enumerate(weighted):
        if _name(path, "weight") not in frozen:
            if scheme == "paper":
                nn.init.normal_(module.weight, std=PAPER_STD)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if scheme == "he-quiet" and number == 0:
                with torch.no_grad():
                    module.weight.mul_(QUIET)
        if module.bias is not None and _name(path, "bias") not in frozen:
            nn.init.zeros_(module.bias)


def _name(path: str, parameter: str) -> str:
    """Return a parameter's name in the network."""
    return f"{path}.{parameter}" if path else parameter
