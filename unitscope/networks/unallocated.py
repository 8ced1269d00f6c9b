"""Networks without memory for their weights: for their shapes alone."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Unallocated(TorchFunctionMode):
    """A context in which a network is built with its parameters on the meta device.

    It makes empty tensors, from which parameters are made, without memory. With ``torch.device("meta")`` RegNets
    can't be built: they read their widths off tensors of numbers.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))
