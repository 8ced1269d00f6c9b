"""A network as a chain of modules, and windows of its maps.

What a unit sees, and what its projection reaches, is a window of each map before it. Along a chain all units of a
layer have windows of one size, so that windows of any units and images can be put together in a batch. Where a
window leaves its map, it holds what the next module's padding would put there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn

from unitscope.geometry.dependence import Pair, uses_statistics_of_batch

# In evaluation they give what they get.
SAME = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
POINTWISE = (nn.ReLU, nn.ReLU6, nn.BatchNorm2d, nn.LocalResponseNorm, *SAME)
IN_PLACE = {"iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul"}  # of ``operator``


@dataclass(frozen=True)
class Step:
    """A module of a chain, and the map it reads: [channels, ``height``, ``width``]."""

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
        """What its padding consists of."""
        return float("-inf") if isinstance(self.module, nn.MaxPool2d) else 0.0

    def seen(self, window: Pair) -> Pair:
        """Size of the window that a window of its output sees."""
        return tuple(
            (length - 1) * stride + (kernel - 1) * dilation + 1
            for length, kernel, stride, dilation in zip(
                window, self.kernel, self.stride, self.dilation, strict=True
            )
        )  # type: ignore[return-value]

    def starts(self, starts: torch.Tensor) -> torch.Tensor:
        """Where these windows begin, int64 [N, 2]: row and column, negative in the padding."""
        return starts * starts.new_tensor(self.stride) - starts.new_tensor(self.padding)


def chain(model: nn.Module, layer: str, image_size: Pair) -> list[Step] | None:
    """The modules from the pixels to a layer, which is the last; None if they are no chain.

    In a chain each module reads what the one before it made, and nothing but that; all are convolutions, poolings,
    batch or contrast normalisations, ReLUs or dropouts, as modules, not functions.
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
    """The modules from the pixels to ``layer``, in order; None if the graph isn't a chain up to there."""
    try:
        nodes = list(fx.symbolic_trace(model).graph.nodes)
    except Exception:  # whatever a foreign network's code raises
        return None
    calls = [node for node in nodes if node.target == layer]
    if len(calls) != 1:
        return None
    node, modules = calls[0], []
    while node.op != "placeholder":
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            return None
        modules.append((str(node.target), model.get_submodule(str(node.target))))
        before = node.all_input_nodes[0]
        if any(user is not node and overwrites(model, user) for user in before.users):
            return None  # what is read may not be what was made
        node = before
    return modules[::-1]


def overwrites(model: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the traced ``model`` changes its input in place."""
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    asked = bool(node.kwargs.get("inplace")) or node.kwargs.get("out") is not None
    return asked or name.endswith("_") or name in IN_PLACE


def step_of(path: str, module: nn.Module, shape: Sequence[int]) -> Step | None:
    """The module as a step; None if it can't be one."""
    _, channels, height, width = shape
    if uses_statistics_of_batch(module):
        return None
    if isinstance(module, POINTWISE):
        return Step(path, module, channels, height, width)
    if isinstance(module, nn.Conv2d):
        usable = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    elif isinstance(module, nn.MaxPool2d):
        usable = not module.return_indices
    elif isinstance(module, nn.AvgPool2d):
        # Otherwise what it divides by depends on the place.
        padded = module.count_include_pad or not any(_pair(module.padding))
        usable = padded and not module.ceil_mode and module.divisor_override is None
    else:
        usable = False
    if not usable:
        return None
    sizes = (_pair(getattr(module, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation"))
    return Step(path, module, channels, height, width, *sizes)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def window_sizes(steps: Sequence[Step]) -> list[Pair]:
    """For one unit of the last step's output: the window of each step's input, and at the end its own, (1, 1)."""
    sizes: list[Pair] = [(1, 1)]
    for step in reversed(steps):
        sizes.append(step.seen(sizes[-1]))
    return sizes[::-1]


def window_starts(steps: Sequence[Step], places: torch.Tensor) -> list[torch.Tensor]:
    """Where the windows of units at ``places``, int64 [N, 2], begin in each step's input; the last are these."""
    starts = [places]
    for step in reversed(steps):
        starts.append(step.starts(starts[-1]))
    return starts[::-1]


def inside(
    starts: torch.Tensor, window: Pair, size: Pair, device: torch.device | None = None
) -> torch.Tensor | None:
    """bool [N, 1, rows, columns], on ``device``: which places of the windows lie in a map of this size; None if
    all do. With ``starts`` on the CPU that is known without waiting for the device."""
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
    """Windows of maps, channels last in memory.

    Parameters
    ----------
    maps
        [M, channels, rows, columns].
    images, starts
        int64 [N] and [N, 2]: from which map, and where the window begins. ``images`` are on the device of the
        maps, ``starts`` better on the CPU: see ``inside``.
    outside
        what the windows hold where they leave the map.

    Returns
    -------
    [N, channels, *window]
    """
    _, channels, height, width = maps.shape
    within = inside(starts, window, (height, width), maps.device)
    starts = starts.to(maps.device, non_blocking=True)
    rows, cols = (starts[:, axis, None] + torch.arange(window[axis], device=maps.device) for axis in (0, 1))
    places = rows.clamp(0, height - 1)[:, :, None] * width + cols.clamp(0, width - 1)[:, None, :]
    places += images[:, None, None] * (height * width)
    flat = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy if the maps are channels last
    found = flat.index_select(0, places.flatten()).view(len(starts), *window, channels).permute(0, 3, 1, 2)
    return found if within is None else found.masked_fill_(~within, outside)


def overlay(windows: torch.Tensor, changed: torch.Tensor, offsets: torch.Tensor) -> None:
    """Put ``changed`` [N, channels, h, w] into ``windows`` [N, channels, H, W], channels last, at ``offsets``,
    int64 [N, 2] beside the device. What sticks out is left out."""
    count, channels, height, width = windows.shape
    device, size = changed.device, (changed.shape[2], changed.shape[3])
    fits = inside(offsets, size, (height, width))  # beside the device, where nothing has to wait for the answer
    offsets = offsets.to(device, non_blocking=True)
    rows, cols = (offsets[:, axis, None] + torch.arange(size[axis], device=device) for axis in (0, 1))
    places = rows[:, :, None] * width + cols[:, None, :]
    places = (places + torch.arange(count, device=device)[:, None, None] * (height * width)).flatten()
    pixels = changed.permute(0, 2, 3, 1).reshape(-1, channels)
    if fits is not None:
        kept = fits.flatten().nonzero().flatten().to(device, non_blocking=True)
        places, pixels = places[kept], pixels[kept]
    # No place occurs twice, so that the order in which a GPU writes them makes no difference.
    windows.permute(0, 2, 3, 1).view(-1, channels).index_copy_(0, places, pixels)
