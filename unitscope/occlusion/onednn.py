"""Operations of oneDNN that ``torch.nn.functional`` doesn't reach, for float32 on a CPU, with fallbacks.

Whether one is used depends on the device and the data type only, so that results don't depend on the moment.
"""

from __future__ import annotations

from typing import TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import nn

from unitscope.geometry.chains import Step
from unitscope.geometry.dependence import Pair, runs_as


def is_linear(module: nn.Module | None) -> TypeGuard[nn.Linear]:
    """Whether calling a module is the same as ``linear``."""
    if not isinstance(module, nn.Linear) or not runs_as(module, nn.Linear):
        return False
    return not (module._forward_hooks or module._forward_pre_hooks)


def linear(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """Apply a linear layer to inputs [N, features].

    ``F.linear`` calls the BLAS library, which on processors of another maker reaches half the speed or less.
    """
    if not _usable(inputs, module.weight) or inputs.ndim != 2:
        return F.linear(inputs, module.weight, module.bias)
    outputs: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, module.weight, module.bias, "none", [], "")
    return outputs


def add_convolution(maps: torch.Tensor, inputs: torch.Tensor, step: Step, padding: Pair) -> None:
    """Add a convolution of ``inputs`` without bias to ``maps``, in place; both are channels last."""
    module = cast(nn.Conv2d, step.module)
    options = (step.stride, step.dilation, module.groups)
    if not _usable(inputs, module.weight):
        stride, dilation, groups = options
        maps += F.conv2d(inputs, module.weight, None, stride, padding, dilation, groups)
        return
    torch.ops.mkldnn._convolution_pointwise_.binary(
        maps, inputs, module.weight, None, padding, *options, "add", 1.0, None, [], None
    )


def _usable(*tensors: torch.Tensor) -> bool:
    """Whether tensors are float32 on a CPU, and torch has oneDNN."""
    if any(tensor.device.type != "cpu" or tensor.dtype != torch.float32 for tensor in tensors):
        return False
    return torch.backends.mkldnn.is_available() and bool(torch._C._get_mkldnn_enabled())
