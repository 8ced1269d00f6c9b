"""The dimension of the channels of every tensor of a forward pass, found by the operations that made it.

Convolutions, batch normalizations and poolings have their channels after the batch, linear layers and layer
normalizations in the last dimension; permutations move them; reshaping keeps them if it leaves that dimension
alone; other operations that keep the number of dimensions leave them where they are. The channels of any other
tensor are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

# Names of functions of torch and torch.nn.functional, and of methods of tensors.
AFTER_BATCH = frozenset((
    *("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "batch_norm", "group_norm", "instance_norm"),
    *("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "lp_pool2d", "fractional_max_pool2d", "max_unpool2d"),
    *("local_response_norm", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "interpolate", "upsample"),
))  # fmt: skip
LAST = frozenset(("linear", "bilinear", "layer_norm", "rms_norm", "multi_head_attention_forward", "embedding"))
RESHAPING = frozenset(("view", "reshape", "flatten", "unflatten", "contiguous", "view_as", "reshape_as"))
# Channels and places may change their roles, or their order.
MIXING = frozenset((
    *("matmul", "bmm", "baddbmm", "einsum", "tensordot", "cdist", "scaled_dot_product_attention"),
    *("unfold", "fold", "movedim", "moveaxis", "t", "rot90", "squeeze", "unsqueeze", "get"),  # get: of .T and .mT
))  # fmt: skip


class ChannelTracker(TorchFunctionMode):
    """Context that follows the channels of all tensors of three or four dimensions, [N, ...]."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Any = WeakTensorKeyDictionary()

    def dimension(self, tensor: torch.Tensor) -> int | None:
        """Return the dimension of a tensor's channels, from 1; None if it is not known."""
        found: int | None = self._found.get(tensor)
        return found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        known = [(tuple(tensor.shape), dimension) for tensor in inputs if (dimension := self.dimension(tensor))]
        output = func(*args, **kwargs)
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor) and tensor.dim() in (3, 4):
                dimension = _after(name, args, kwargs, known, tuple(tensor.shape))
                if dimension is not None:
                    self._found[tensor] = dimension
                elif tensor in self._found:
                    del self._found[tensor]
        return output


Shape = tuple[int, ...]


def _after(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], known: Sequence[tuple[Shape, int]], shape: Shape
) -> int | None:
    """Return the channels' dimension of an output of this shape; ``known`` are those of the arguments."""
    if name in AFTER_BATCH:
        return 1
    if name in LAST:
        return len(shape) - 1
    if not known:
        return None
    before, dimension = known[0]
    if name in ("permute", "transpose", "swapaxes", "swapdims"):
        return _moved(name, args, kwargs, len(before), dimension)
    if name in RESHAPING:
        return _reshaped(before, dimension, shape)
    if name == "getitem":
        return dimension if len(before) == len(shape) and _only_slices(args[1]) else None
    if name in MIXING:
        return None
    same = [dimension for before, dimension in known if len(before) == len(shape)]
    return same[0] if same and len(set(same)) == 1 else None


def _moved(name: str, args: Sequence[Any], kwargs: dict[str, Any], dimensions: int, dimension: int) -> int | None:
    """Return where a permutation moves a dimension."""
    given = [*args[1:], *kwargs.values()]
    numbers = [*given[0]] if given and isinstance(given[0], (tuple, list, torch.Size)) else given
    if not all(isinstance(number, int) for number in numbers):
        return None
    order = [number % dimensions for number in numbers]
    if name != "permute":
        swapped = [*range(dimensions)]
        swapped[order[0]], swapped[order[1]] = order[1], order[0]
        order = swapped
    return order.index(dimension)


def _reshaped(before: Shape, dimension: int, after: Shape) -> int | None:
    """Return the dimension of the channels after reshaping, if they and what is on one side of them are kept."""
    if dimension == 1 and before[:2] == after[:2]:
        return 1
    if dimension == len(before) - 1 and (before[0], before[-1]) == (after[0], after[-1]):
        return len(after) - 1
    return dimension if before == after else None


def _only_slices(index: Any) -> bool:
    entries = index if isinstance(index, tuple) else (index,)
    return all(isinstance(entry, slice) or entry is Ellipsis for entry in entries)
