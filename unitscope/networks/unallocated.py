"""Construction of networks without allocating memory for their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Unallocated(TorchFunctionMode):
    """Context in which networks are built with their parameters on the meta device.

    Only ``torch.empty``, from which modules make their parameters, is redirected. ``torch.device("meta")`` would
    redirect all tensors, and RegNets could not be built: they compute their widths with tensors.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))
