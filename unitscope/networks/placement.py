"""Where a network computes, and how its weights lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def place(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Move a network to a device, its weights channels last, in place; returns it.

    Convolutions are up to 1.6 times as fast so, on a CPU, too.
    """
    placed: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
