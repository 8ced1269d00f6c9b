"""Construction and copies of networks without memory for their weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

# Initialization has no effect on the meta device but would take most of the time there. Functions of torch.nn.init
# pass tensors by name.
FILLS = frozenset((torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_))
INITIALIZERS = frozenset((init.normal_, init.uniform_, init.constant_, init.kaiming_uniform_))


class Unallocated(TorchFunctionMode):
    """Context in which networks are built with their parameters on the meta device, and are not initialized.

    Only ``torch.empty``, from which modules make their parameters, is redirected. ``torch.device("meta")`` would
    redirect all tensors, and RegNets could not be built: they compute their widths with tensors.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        elif func in FILLS and args[0].is_meta:
            return args[0]
        elif func in INITIALIZERS and "tensor" in kwargs and kwargs["tensor"].is_meta:
            return kwargs["tensor"]
        return func(*args, **kwargs)


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a network with its parameters and buffers on the meta device; gradients are off."""
    return copy.deepcopy(model, {id(t): _on_meta(t) for t in (*model.parameters(), *model.buffers())})


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    blank = tensor.detach().to("meta")
    return nn.Parameter(blank, requires_grad=False) if isinstance(tensor, nn.Parameter) else blank
