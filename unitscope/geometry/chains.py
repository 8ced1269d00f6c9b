"""Networks as chains of modules, and windows of their feature maps.

A unit depends on a window of each earlier map, and its projection is confined to these windows. In a chain, the
windows of all units of a layer have the same size, so that windows of different units and images can be batched.
Where a window exceeds its map, it contains the padding values of the next module.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn

from unitscope.geometry.dependence import Pair, runs_as, uses_statistics_of_batch

# Modules that return their input in evaluation mode.
SAME = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
POINTWISE = (nn.ReLU, nn.ReLU6, nn.BatchNorm2d, nn.LocalResponseNorm, *SAME)
KINDS = (*POINTWISE, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
# Functions of ``operator`` that modify their first argument.
IN_PLACE = {"iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul"}


@dataclass(frozen=True)
class Step:
    """A module of a chain, with the shape of its input: [``channels``, ``height``, ``width``]."""

    path: str
    module: nn.Module
    channels: int
    height: int
    width: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def size(self) -> Pair:
        return self.height, self.width

    @property
    def outside(self) -> float:
        """The module's padding value."""
        return float("-inf") if isinstance(self.module, nn.MaxPool2d) else 0.0

    def seen(self, window: Pair) -> Pair:
        """Return the size of the input window on which an output window of this size depends."""
        return tuple(
            (length - 1) * stride + (kernel - 1) * dilation + 1
            for length, kernel, stride, dilation in zip(
                window, self.kernel, self.stride, self.dilation, strict=True
            )
        )  # type: ignore[return-value]

    def starts(self, starts: torch.Tensor) -> torch.Tensor:
        """Return the first rows and columns of input windows, int64 [N, 2], for those of output windows.

        They are negative in the padding.
        """
        return starts * starts.new_tensor(self.stride) - starts.new_tensor(self.padding)


def chain(model: nn.Module, layer: str, image_size: Pair) -> list[Step] | None:
    """Return the modules from the input up to and including ``layer``; None if they are not a chain.

    In a chain, each module reads the output of the previous one only, and all are convolutions, poolings, batch or
    contrast normalizations, ReLUs or dropouts, called as modules, not as functions.
    """
    modules = _modules_before(model, layer)
    if modules is None:
        return None
    steps: list[Step] = []
    shape = torch.Size((1, 3, *image_size))
    for path, module in modules:
        step = step_of(path, module, shape)
        if step is None:
            return None
        steps.append(step)
        with torch.no_grad():
            shape = copy.deepcopy(module).to("meta")(torch.empty(shape, device="meta")).shape
    return steps


def _modules_before(model: nn.Module, layer: str) -> list[tuple[str, nn.Module]] | None:
    """Return the modules from the input to ``layer``, in order; None if the graph up to there is not a chain."""
    try:
        nodes = list(fx.symbolic_trace(model).graph.nodes)
    except Exception:  # user code can raise anything
        return None
    calls = [node for node in nodes if node.target == layer]
    if len(calls) != 1:
        return None
    node, path = calls[0], []
    while node.op != "placeholder":
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            return None
        path.append(node)
        node = node.all_input_nodes[0]
    beside = [other for other in nodes[: nodes.index(calls[0])] if other not in path and overwrites(model, other)]
    if any(_may_share(model, read, path) for other in beside for read in other.all_input_nodes):
        return None  # a module of the path may read a map that was modified
    return [(str(node.target), model.get_submodule(str(node.target))) for node in path[::-1]]


def _may_share(model: nn.Module, node: fx.Node, path: Sequence[fx.Node]) -> bool:
    """Whether a node's output may share its memory with the output of a node of the path, or with the input."""
    if node in path or node.op == "placeholder":
        return True
    if node.op == "call_module" and not overwrites(model, node):
        module = model.get_submodule(str(node.target))
        if isinstance(module, KINDS) and not isinstance(module, SAME):
            return False
    return any(_may_share(model, read, path) for read in node.all_input_nodes)


def overwrites(model: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the traced ``model`` modifies its input in place."""
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    asked = bool(node.kwargs.get("inplace")) or node.kwargs.get("out") is not None
    return asked or name.endswith("_") or name in IN_PLACE


def step_of(path: str, module: nn.Module, shape: Sequence[int]) -> Step | None:
    """Return ``module``, whose input has this shape [N, C, H, W], as a step; None if its kind isn't supported."""
    _, channels, height, width = shape
    if uses_statistics_of_batch(module) or not runs_as(module, *KINDS) or _has_hooks(module):
        return None
    if isinstance(module, POINTWISE):
        return Step(path, module, channels, height, width)
    if isinstance(module, nn.Conv2d):
        usable = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    elif isinstance(module, nn.MaxPool2d):
        usable = not module.return_indices
    elif isinstance(module, nn.AvgPool2d):
        # Otherwise the divisor depends on the position.
        padded = module.count_include_pad or not any(_pair(module.padding))
        usable = padded and not module.ceil_mode and module.divisor_override is None
    else:
        usable = False
    if not usable:
        return None
    sizes = (_pair(getattr(module, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation"))
    return Step(path, module, channels, height, width, *sizes)


def _has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks, which can change its input or output."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def window_sizes(steps: Sequence[Step]) -> list[Pair]:
    """Return the sizes of the windows on which one output position depends: of each step's input, then (1, 1)."""
    sizes: list[Pair] = [(1, 1)]
    for step in reversed(steps):
        sizes.append(step.seen(sizes[-1]))
    return sizes[::-1]


def window_starts(steps: Sequence[Step], positions: torch.Tensor) -> list[torch.Tensor]:
    """Return the first rows and columns, int64 [N, 2], of the windows of each step's input.

    ``positions``, int64 [N, 2], are output positions of the last step (row, column); they are the last entry.
    """
    starts = [positions]
    for step in reversed(steps):
        starts.append(step.starts(starts[-1]))
    return starts[::-1]


def inside(
    starts: torch.Tensor, window: Pair, size: Pair, device: torch.device | None = None
) -> torch.Tensor | None:
    """Return which positions of windows lie inside a map of this size: bool [N, 1, rows, columns] on ``device``.

    The result is None if all do. Pass ``starts`` on the CPU, so that this is known without a device
    synchronization.
    """
    (top, left), (bottom, right) = starts.amin(0).tolist(), starts.amax(0).tolist()
    if min(top, left) >= 0 and bottom + window[0] <= size[0] and right + window[1] <= size[1]:
        return None
    starts = starts.to(device or starts.device, non_blocking=True)
    rows, cols = (starts[:, axis, None] + torch.arange(window[axis], device=starts.device) for axis in (0, 1))
    rows, cols = (rows >= 0) & (rows < size[0]), (cols >= 0) & (cols < size[1])
    return (rows[:, :, None] & cols[:, None, :])[:, None]


def gather(
    maps: torch.Tensor, images: torch.Tensor, starts: torch.Tensor, window: Pair, outside: float | int = 0
) -> torch.Tensor:
    """Copy windows of one size out of maps.

    Parameters
    ----------
    maps
        [M, channels, rows, columns].
    images
        int64 [N], on the device of ``maps``: index of each window's map.
    starts
        int64 [N, 2], preferably on the CPU (see ``inside``): first row and column of each window.
    window
        size of the windows.
    outside
        value of positions outside of the map.

    Returns
    -------
    [N, channels, *window], in channels-last memory format.
    """
    _, channels, height, width = maps.shape
    within = inside(starts, window, (height, width), maps.device)
    starts = starts.to(maps.device, non_blocking=True)
    rows, cols = (starts[:, axis, None] + torch.arange(window[axis], device=maps.device) for axis in (0, 1))
    positions = rows.clamp(0, height - 1)[:, :, None] * width + cols.clamp(0, width - 1)[:, None, :]
    positions += images[:, None, None] * (height * width)
    flat = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy if the maps are channels last
    windows = flat.index_select(0, positions.flatten()).view(len(starts), *window, channels).permute(0, 3, 1, 2)
    return windows if within is None else windows.masked_fill_(~within, outside)


def overlay(windows: torch.Tensor, changed: torch.Tensor, offsets: torch.Tensor) -> None:
    """Write ``changed`` [N, channels, h, w] into ``windows`` [N, channels, H, W] at ``offsets``, in place.

    ``windows`` must be in channels-last memory format; ``offsets``, int64 [N, 2], are on the CPU. Parts of
    ``changed`` that lie outside of the window are ignored.
    """
    count, channels, height, width = windows.shape
    device, size = changed.device, (changed.shape[2], changed.shape[3])
    fits = inside(offsets, size, (height, width))  # on the CPU, to avoid a device synchronization
    offsets = offsets.to(device, non_blocking=True)
    rows, cols = (offsets[:, axis, None] + torch.arange(size[axis], device=device) for axis in (0, 1))
    positions = rows[:, :, None] * width + cols[:, None, :]
    positions = (positions + torch.arange(count, device=device)[:, None, None] * (height * width)).flatten()
    pixels = changed.permute(0, 2, 3, 1).reshape(-1, channels)
    if fits is not None:
        within = fits.flatten().nonzero().flatten().to(device, non_blocking=True)
        positions, pixels = positions[within], pixels[within]
    # No index occurs twice, so that the result doesn't depend on the order in which a GPU writes.
    windows.permute(0, 2, 3, 1).view(-1, channels).index_copy_(0, positions, pixels)
