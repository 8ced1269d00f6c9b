"""Initial weights other than PyTorch's own."""

from __future__ import annotations

from typing import Literal

from torch import nn

PAPER_STD = 1e-2


def initialise(model: nn.Module, scheme: Literal["default", "he", "paper"]) -> None:
    """Draw the weights of convolutions and fully connected layers anew, in place, from torch's generator.

    Parameters
    ----------
    scheme
        ``default`` leaves what the network's constructor drew; ``he``: He et al. 2015, for layers before a ReLU,
        normal with variance 2 / fan-in; ``paper``: normal with standard deviation 1e-2 (section 3). Biases are 0.
    """
    if scheme == "default":
        return
    for module in model.modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        if scheme == "he":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        else:
            nn.init.normal_(module.weight, std=PAPER_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
