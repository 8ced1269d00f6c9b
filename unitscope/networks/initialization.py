"""Initial weights other than PyTorch's own."""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import nn

from unitscope.vocabulary import Initialization

PAPER_STD = 1e-2
QUIET = 0.1


def initialise(model: nn.Module, scheme: Initialization, frozen: Container[str] = ()) -> None:
    """Draw the weights of convolutions and fully connected layers anew, in place, from torch's generator.

    Parameters
    ----------
    scheme
        ``default`` leaves what the network's constructor drew; ``he``: He et al. 2015, for layers before a ReLU,
        normal with variance 2 / fan-in; ``he-quiet``: the same with a first layer a tenth as large, so that after
        a short training its filters are what was learned and not the noise that was drawn; ``paper``: normal
        with standard deviation 1e-2 (section 3). Biases are 0.
    frozen
        names of parameters that stay as they are.
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
    """A parameter's name in the network."""
    return f"{path}.{parameter}" if path else parameter
