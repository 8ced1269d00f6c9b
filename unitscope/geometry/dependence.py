"""Positions of a map on which one position of an operation's output depends.

Only the operations listed here are local: they read the same position, or a square around it. Any other operation
may depend on the whole map, whatever the size of its output: softmax over positions, shifts, normalization by
statistics of the map, interpolation, attention.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Pair = tuple[int, int]  # (rows, columns)


@dataclass(frozen=True)
class Neighbourhood:
    """Square of input positions on which an output at (i, j) depends.

    It has ``kernel`` rows from ``i * stride - padding`` on, ``dilation`` apart, and likewise columns.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1


SAME_PLACE = Neighbourhood()

POINTWISE_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Hardshrink, nn.Softshrink),
    *(nn.Softplus, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold),
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.LocalResponseNorm, nn.CrossMapLRN2d, nn.Softmax2d, nn.ChannelShuffle),  # across channels
)

# Names of functions of torch and torch.nn.functional, and of methods of tensors.
ELEMENTWISE = (
    *("abs", "add", "addcdiv", "addcmul", "div", "lerp", "mul", "neg", "pow", "reciprocal", "sub", "subtract"),
    *("ceil", "cos", "erf", "exp", "floor", "log", "log1p", "round", "rsqrt", "sign", "sin", "sqrt", "square"),
    *("eq", "ge", "gt", "le", "lt", "ne", "maximum", "minimum", "true_divide", "where"),
    *("clamp", "clamp_max", "clamp_min", "clip", "threshold"),
    *("celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid"),
    *("mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign"),
    *("tanh", "tanhshrink"),
    *("bfloat16", "clone", "contiguous", "detach", "double", "float", "half", "to", "type"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    *("local_response_norm", "channel_shuffle"),  # across channels
)
OPERATORS = (
    *("abs", "add", "floordiv", "mod", "mul", "neg", "pos", "pow", "sub", "truediv"),
    *("iadd", "ifloordiv", "imod", "imul", "ipow", "isub", "itruediv"),
    *("eq", "ge", "gt", "le", "lt", "ne"),
)
# Functions along one dimension, which are local if that is the channels'. Values: index of the argument that names
# the dimension (the map is argument 0), and its default.
ALONG_DIMENSION: Mapping[str, tuple[int, int | None]] = {
    **dict.fromkeys(("softmax", "softmin", "log_softmax"), (1, 1)),  # default for 4-dimensional tensors
    **dict.fromkeys(("mean", "sum", "amax", "amin"), (1, None)),
    **dict.fromkeys(("cat", "concat", "concatenate"), (1, 0)),
    "normalize": (2, 1),
    "glu": (1, -1),
}
CHANNELS = (1, -3)  # the channel dimension of a 4-dimensional tensor
FOREIGN = {"torchvision.ops.stochastic_depth.stochastic_depth"}  # elementwise; by name, to avoid the import


def _functions(names: Iterable[str], *namespaces: Any) -> set[Any]:
    return {getattr(space, name) for space in namespaces for name in names if hasattr(space, name)}


_ELEMENTWISE = _functions([*ELEMENTWISE, *(f"{name}_" for name in ELEMENTWISE)], torch, F)
_ELEMENTWISE |= _functions(OPERATORS, operator)
_ALONG = {function: name for name in ALONG_DIMENSION for function in _functions([name], torch, F)}
_ADAPTIVE = _functions(("adaptive_avg_pool2d", "adaptive_max_pool2d"), torch, F)
_MAX_POOLS = _functions(("max_pool2d",), torch, F)


def of_module(module: nn.Module, before: torch.Size, after: torch.Size) -> Neighbourhood | None:
    """Return the input positions on which an output of a torch module depends; None if they may be all.

    Parameters
    ----------
    module
        module in evaluation mode, with one input.
    before, after
        shapes of its input and output.
    """
    if len(before) != 4 or len(after) != 4 or "forward" in vars(module):
        return None
    if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
        return None if uses_statistics_of_batch(module) else SAME_PLACE
    if isinstance(module, nn.InstanceNorm2d):
        return SAME_PLACE if module.track_running_stats else None
    if isinstance(module, (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)):
        return SAME_PLACE if module.dim in (*CHANNELS, None) else None
    if isinstance(module, POINTWISE_MODULES):
        return SAME_PLACE
    if isinstance(module, nn.Conv2d):
        sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
        return _square(*sizes, mode=module.padding_mode)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        dilation = getattr(module, "dilation", 1)
        return _square(module.kernel_size, module.stride, module.padding, dilation)
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        return _adaptive(before, after)
    if isinstance(module, (nn.ZeroPad2d, nn.ConstantPad2d)):
        return _padded(module.padding)
    return None


def runs_as(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module runs the forward pass of one of these classes: not that of a subclass, nor its own."""
    if "forward" in vars(module):
        return False
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def uses_statistics_of_batch(module: nn.Module) -> bool:
    """Whether a module is a batch normalization without running statistics, which mixes all images of a batch."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None


def of_call(
    target: Callable[..., Any] | str, args: Sequence[Any], kwargs: Mapping[str, Any], after: torch.Size
) -> Neighbourhood | None:
    """Return the input positions on which an output of a function or method depends; None if they may be all.

    Parameters
    ----------
    target
        the function, or the name of a tensor's method.
    args, kwargs
        arguments of the call: tensors and numbers.
    after
        shape of the output.
    """
    if len(after) != 4:
        return None
    if isinstance(target, str):
        if target.removesuffix("_") in ELEMENTWISE:
            return SAME_PLACE
        along = target if target in ALONG_DIMENSION else None
    else:
        if target in _ELEMENTWISE or _full_name(target) in FOREIGN:
            return SAME_PLACE
        along = _ALONG.get(target)
    given = _Arguments(args, kwargs)
    if along is not None:
        number, default = ALONG_DIMENSION[along]
        return SAME_PLACE if _dimension(given.get(number, "dim", default)) in CHANNELS else None
    if target is operator.getitem:
        return SAME_PLACE if _keeps_places(args[1]) else None
    before = given.get(0, "input")
    if not isinstance(before, torch.Tensor) or before.dim() != 4:
        return None
    if target is F.conv2d:
        kernel = tuple(given.get(1, "weight").shape[2:])
        sizes = (given.get(3, "stride", 1), given.get(4, "padding", 0), given.get(5, "dilation", 1))
        return _square(kernel, *sizes)
    if target in _MAX_POOLS or target is F.avg_pool2d:
        kernel = given.get(1, "kernel_size")
        stride = given.get(2, "stride")
        dilation = given.get(4, "dilation", 1) if target in _MAX_POOLS else 1
        return _square(kernel, kernel if stride in (None, ()) else stride, given.get(3, "padding", 0), dilation)
    if target in _ADAPTIVE:
        return _adaptive(before.shape, after)
    if target is F.batch_norm:
        running = given.get(1, "running_mean") is not None and not given.get(5, "training", False)
        return SAME_PLACE if running else None
    if target is F.pad:
        return _padded(given.get(1, "pad")) if given.get(2, "mode", "constant") == "constant" else None
    return None


@dataclass(frozen=True)
class _Arguments:
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def get(self, number: int, name: str, default: Any = None) -> Any:
        """Return the argument with this index or name."""
        return self.args[number] if number < len(self.args) else self.kwargs.get(name, default)


def _full_name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__name__', '')}"


def _dimension(value: Any) -> Any:
    """Return a dimension that is given as a number or as a list of one."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def _keeps_places(index: Any) -> bool:
    """Whether ``map[index]`` keeps the rows and columns of a map [N, C, H, W]."""
    entries = index if isinstance(index, tuple) else (index,)
    slices = all(isinstance(entry, slice) for entry in entries)
    return slices and all(entry == slice(None) for entry in entries[2:])


def _square(kernel: Any, stride: Any, padding: Any, dilation: Any, mode: str = "zeros") -> Neighbourhood | None:
    """Describe a convolution or pooling; None if rows and columns differ, or padding copies distant positions."""
    kernel, stride, dilation = _number(kernel), _number(stride), _number(dilation)
    if kernel is None or stride is None or dilation is None:
        return None
    reach = (kernel - 1) * dilation
    if isinstance(padding, str):
        padded: int | None = reach // 2 if padding == "same" else 0
    else:
        padded = _number(padding)
    if padded is None:
        return None
    # With small padding, a reflected or replicated border lies inside the square.
    inside = mode in ("reflect", "replicate") and 2 * padded <= reach
    return Neighbourhood(kernel, stride, padded, dilation) if mode == "zeros" or not padded or inside else None


def _adaptive(before: torch.Size, after: torch.Size) -> Neighbourhood | None:
    """Describe an adaptive pooling; None unless its windows have one size and one stride."""
    if before[2:] == after[2:]:
        return SAME_PLACE
    (rows, columns), (pooled_rows, pooled_columns) = before[2:], after[2:]
    if rows != columns or pooled_rows != pooled_columns or not pooled_rows or rows % pooled_rows:
        return None
    return Neighbourhood(rows // pooled_rows, rows // pooled_rows)


def _padded(padding: Any) -> Neighbourhood | None:
    """Describe padding with a constant (negative: cropping); None if left and top differ."""
    if isinstance(padding, int):
        return Neighbourhood(padding=padding)
    borders = [*padding, 0, 0]  # for padding of columns only
    return Neighbourhood(padding=borders[0]) if len(padding) in (2, 4) and borders[0] == borders[2] else None


def _number(value: Any) -> int | None:
    """Return the value for both rows and columns; None if they differ."""
    if isinstance(value, (tuple, list)):
        return int(value[0]) if len(set(value)) == 1 else None
    return value if isinstance(value, int) else None
