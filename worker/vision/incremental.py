"""Occlusion where only what the square can reach is recomputed.

Each map that the network makes of an occluded image differs from that of the clear image in a window. A module
that computes the next map from it needs that window and, around it, what the clear image has there. All positions
of the square have windows of one size in a map, moved inwards at its borders, so that they run in batches. From
where the windows are nearly as large as the maps, whole maps are computed. Nothing is approximate.

The idea is that of Nakandala, Kumar and Papakonstantinou, *Incremental and approximate inference for faster
occlusion-based deep CNN explanations* (SIGMOD 2019).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from worker.vision.chains import POINTWISE, Pair, Step, gather, overwrites, step_of

WHOLE_SHARE = 0.75  # of a map: windows that are larger aren't worth gathering
POINTWISE_FUNCTIONS = {F.relu, torch.relu, torch.add, operator.add, operator.iadd, F.dropout}
JOINING_FUNCTIONS = {torch.cat}


@dataclass(frozen=True)
class Windows:
    """A node's windows: their size, and where they begin for each row and each column of the grid of squares."""

    size: Pair
    rows: torch.Tensor
    cols: torch.Tensor

    def starts(self, places: torch.Tensor) -> torch.Tensor:
        """int64 [N, 2] for places int64 [N, 2] on the grid."""
        return torch.stack([self.rows[places[:, 0]], self.cols[places[:, 1]]], 1)


@dataclass(frozen=True)
class Reach:
    """Along one axis, what the squares of the grid change: from ``first`` to before ``last``, for each of them."""

    first: np.ndarray
    last: np.ndarray

    def through(self, step: Step, axis: int, length: int) -> Reach:
        """Behind a convolution or pooling, whose output has this length."""
        kernel, stride, padding, dilation = (
            getattr(step, name)[axis] for name in ("kernel", "stride", "padding", "dilation")
        )
        first = -(-(self.first + padding - (kernel - 1) * dilation) // stride)
        last = (self.last - 1 + padding) // stride + 1
        first = np.clip(first, 0, length - 1)
        return Reach(first, np.clip(last, first + 1, length))  # never empty: one unit more changes nothing

    def joined(self, other: Reach) -> Reach:
        return Reach(np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def windows(self, length: int) -> tuple[int, np.ndarray]:
        """The size that all fit in, and where they begin so that they lie in a map of this length."""
        size = int((self.last - self.first).max())
        return size, np.clip(self.first, 0, length - size)


class Incremental:
    """Runs occluded images through a network, given what the clear ones gave.

    Parameters
    ----------
    model
        in evaluation mode, on the device of its images.
    watched
        module path whose output is watched.
    image_size, square
        of the images and the occluder, rows and columns.
    rows, cols
        first rows and first columns of the occluder's positions.

    Raises
    ------
    ValueError
        the network can't be traced, or overwrites a map that is read elsewhere.
    """

    def __init__(
        self,
        model: nn.Module,
        watched: str,
        image_size: Pair,
        square: Pair,
        rows: Sequence[int],
        cols: Sequence[int],
    ) -> None:
        self.model, self.square = model, square
        try:
            traced = fx.symbolic_trace(model)
        except Exception as error:  # whatever a foreign network's code raises
            raise ValueError(f"it can't be traced: {str(error).splitlines()[0]}") from error
        self.nodes = list(traced.graph.nodes)
        for node in self.nodes:
            if overwrites(model, node) and any(len(read.users) > 1 for read in node.all_input_nodes):
                raise ValueError(f"{node.target} overwrites a map that is read elsewhere")
        self.watched = next(node for node in self.nodes if node.target == watched)
        self.interpreter = fx.Interpreter(traced)
        self.shapes = _shapes(traced, image_size)
        self.steps: dict[fx.Node, Step] = {}
        self.windows: dict[fx.Node, Windows] = {}
        self._plan(
            [Reach(np.asarray(f), np.asarray(f) + length) for f, length in zip((rows, cols), square, strict=True)]
        )
        self.read_clear = {n for n in self.windows if any(self._gathers(n, user) for user in n.users)} | {
            self.watched
        }
        self.last_use = {read: node for node in self.nodes for read in node.all_input_nodes}

    def _plan(self, squares: list[Reach]) -> None:
        """Which nodes have windows, and which."""
        reaches: dict[fx.Node, list[Reach]] = {}
        for node in self.nodes:
            size = self.shapes.get(node, ())[2:]
            if len(size) != 2:
                continue
            reach = squares if node.op == "placeholder" else self._reach(node, reaches, size)
            if reach is None:
                continue
            (height, rows), (width, cols) = (r.windows(length) for r, length in zip(reach, size, strict=True))
            if node.op != "placeholder" and height * width > WHOLE_SHARE * prod(size):
                continue
            reaches[node] = reach
            self.windows[node] = Windows((height, width), torch.from_numpy(rows), torch.from_numpy(cols))

    def _reach(
        self, node: fx.Node, reaches: dict[fx.Node, list[Reach]], size: Sequence[int]
    ) -> list[Reach] | None:
        """What the squares change in a node's map; None if that isn't known, or its inputs are whole maps."""
        read = node.all_input_nodes
        if not read or any(n not in reaches or self.shapes[n][2:] != self.shapes[read[0]][2:] for n in read):
            return None
        if node.op == "call_module":
            module = self.model.get_submodule(str(node.target))
            step = step_of(str(node.target), module, self.shapes[read[0]])
            if step is None:
                return None
            self.steps[node] = step
            return [r.through(step, axis, size[axis]) for axis, r in enumerate(reaches[read[0]])]
        if node.op != "call_function" or node.target not in POINTWISE_FUNCTIONS | JOINING_FUNCTIONS:
            return None
        if node.target in JOINING_FUNCTIONS and (node.kwargs.get("dim") or (*node.args, None, None)[1]) != 1:
            return None
        reach = reaches[read[0]]
        for other in read[1:]:
            reach = [mine.joined(theirs) for mine, theirs in zip(reach, reaches[other], strict=True)]
        return reach

    def _gathers(self, read: fx.Node, node: fx.Node) -> bool:
        """Whether ``node`` reads more of the map of ``read`` than its window."""
        return node not in self.windows or not self._is_pointwise(node) or self._differs(read, node)

    def _is_pointwise(self, node: fx.Node) -> bool:
        return node not in self.steps or isinstance(self.steps[node].module, POINTWISE)

    def _differs(self, read: fx.Node, node: fx.Node) -> bool:
        mine, its = self.windows[node], self.windows[read]
        return (
            mine.size != its.size or not torch.equal(mine.rows, its.rows) or not torch.equal(mine.cols, its.cols)
        )

    def multiplications(self) -> tuple[int, int]:
        """Of convolutions and fully connected layers, for one position: so computed, and for a whole image."""
        counts = [0, 0]
        for node in self.nodes:
            module = self.model.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                size = self.shapes[node][2:]
                window = self.windows[node].size if node in self.windows else size
                counts[0] += module.weight.numel() * prod(window)
                counts[1] += module.weight.numel() * prod(size)
        return counts[0], counts[1]

    def largest_bytes(self) -> int:
        """Of the largest map or window of a position."""
        sizes = []
        for node, shape in self.shapes.items():
            size = self.windows[node].size if node in self.windows else shape[2:]
            sizes.append(4 * shape[1] * prod(size))
            if node in self.steps and node in self.windows:
                sizes.append(4 * self.steps[node].channels * prod(self.steps[node].seen(size)))
        return max(sizes)

    def clear(self, images: torch.Tensor) -> ClearImages:
        """Run clear images [M, 3, H, W] forward and keep what occluded ones will need."""
        maps: dict[fx.Node, torch.Tensor] = {}
        values: dict[fx.Node, Any] = {}
        for node in self.nodes:
            values[node] = images if node.op == "placeholder" else self._whole(node, values)
            if node in self.read_clear:
                maps[node] = values[node].contiguous(memory_format=torch.channels_last)
            for read in node.all_input_nodes:
                if self.last_use[read] is node:
                    del values[read]
        return ClearImages(maps, values[self.nodes[-1]])

    def run(
        self,
        clear: ClearImages,
        filled: torch.Tensor,
        images: torch.Tensor,
        places: torch.Tensor,
        units: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run occluded images forward.

        Parameters
        ----------
        filled
            [M, 3, H, W]: what the square shows, of each clear image.
        images, places
            int64 [N] and [N, 2]: which image, and where on the grid its square is.
        units
            int64 [M]: of the watched map, for each clear image.

        Returns
        -------
        sums
            float64 [N]: over the rectified map of the image's watched unit.
        outputs
            [N, classes]: what the network answers.
        """
        images = images.to(filled.device)  # places stay: starts are worked out beside the device
        values: dict[fx.Node, Any] = {}
        sums = torch.zeros(len(images), dtype=torch.float64, device=filled.device)
        for node in self.nodes:
            if node.op == "placeholder":
                starts = self.windows[node].starts(places).to(filled.device)
                values[node] = gather(filled, images, starts, self.square)
            elif node in self.windows:
                values[node] = self._windowed(node, values, clear, images, places)
            else:
                for read in node.all_input_nodes:
                    if read in self.windows:
                        size = self.shapes[read][2:]
                        values[read] = self._map(read, values, clear, images, places, None, size, 0.0)
                values[node] = self._whole(node, values)
            if node is self.watched:
                sums = self._sums(node, values[node], clear, images, places, units)
            for read in node.all_input_nodes:
                if self.last_use[read] is node:
                    del values[read]
        return sums, values[self.nodes[-1]]

    def _whole(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """A node on whole maps."""
        if node.op == "output":
            return values[node.args[0]]
        self.interpreter.env = values
        args, kwargs = self.interpreter.fetch_args_kwargs_from_env(node)
        if overwrites(self.model, node):
            args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
        return getattr(self.interpreter, node.op)(node.target, args, kwargs)

    def _windowed(
        self,
        node: fx.Node,
        values: dict[fx.Node, Any],
        clear: ClearImages,
        images: torch.Tensor,
        places: torch.Tensor,
    ) -> torch.Tensor:
        """The windows of a node's map."""
        mine, step = self.windows[node], self.steps.get(node)
        starts = mine.starts(places)
        if step is None or isinstance(step.module, POINTWISE):
            aligned = dict(values)
            for read in node.all_input_nodes:
                if self._differs(read, node):
                    aligned[read] = self._map(read, values, clear, images, places, starts, mine.size, 0.0)
            return self._whole(node, aligned)
        (read,) = node.all_input_nodes
        maps = self._map(
            read, values, clear, images, places, step.starts(starts), step.seen(mine.size), step.outside
        )
        module = step.module
        if isinstance(module, nn.Conv2d):
            return F.conv2d(maps, module.weight, module.bias, step.stride, 0, step.dilation, module.groups)
        if isinstance(module, nn.MaxPool2d):
            return F.max_pool2d(maps, step.kernel, step.stride, 0, step.dilation)
        return F.avg_pool2d(maps, step.kernel, step.stride)

    def _map(
        self,
        read: fx.Node,
        values: dict[fx.Node, Any],
        clear: ClearImages,
        images: torch.Tensor,
        places: torch.Tensor,
        starts: torch.Tensor | None,
        size: Pair,
        outside: float,
    ) -> torch.Tensor:
        """Windows of a map: the clear image's, with the changed window in its place; ``starts`` None: from 0."""
        changed, its = values[read], self.windows[read]
        starts = torch.zeros_like(places) if starts is None else starts
        found = gather(clear.maps[read], images, starts.to(changed.device), size, outside)
        _overlay(found, changed, its.starts(places) - starts)
        return found

    def _sums(
        self,
        node: fx.Node,
        maps: torch.Tensor,
        clear: ClearImages,
        images: torch.Tensor,
        places: torch.Tensor,
        units: torch.Tensor,
    ) -> torch.Tensor:
        each = torch.arange(len(images), device=maps.device)
        new = maps[each, units[images]].clamp(min=0).sum((1, 2), dtype=torch.float64)
        if node not in self.windows:
            return new
        of_unit = clear.maps[node][torch.arange(len(units), device=maps.device), units].clamp(min=0)[:, None]
        starts = self.windows[node].starts(places).to(maps.device)
        old = gather(of_unit, images, starts, self.windows[node].size).sum((1, 2, 3), dtype=torch.float64)
        return of_unit.sum((1, 2, 3), dtype=torch.float64)[images] + new - old


@dataclass(frozen=True)
class ClearImages:
    """What occluded images need of the clear ones."""

    maps: dict[fx.Node, torch.Tensor]
    outputs: torch.Tensor


def _overlay(windows: torch.Tensor, changed: torch.Tensor, offsets: torch.Tensor) -> None:
    """Put ``changed`` [N, C, h, w] into ``windows`` [N, C, H, W], channels last, at ``offsets``, int64 [N, 2].

    What sticks out is left out.
    """
    count, channels, height, width = windows.shape
    rows, cols = (
        offsets[:, axis, None] + torch.arange(changed.shape[2 + axis], device=offsets.device) for axis in (0, 1)
    )
    places = rows[:, :, None] * width + cols[:, None, :]
    places = (places + torch.arange(count, device=offsets.device)[:, None, None] * (height * width)).flatten()
    rows_of_changed = changed.permute(0, 2, 3, 1).reshape(-1, channels)
    fits = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
    if not fits.all():
        kept = fits.flatten().nonzero().flatten()
        places, rows_of_changed = places[kept], rows_of_changed[kept.to(changed.device)]
    flat = windows.permute(0, 2, 3, 1).view(-1, channels)
    flat.index_copy_(0, places.to(changed.device), rows_of_changed)


def _shapes(traced: fx.GraphModule, image_size: Pair) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of every map and every output, for one image; computes nothing."""
    on_meta = deepcopy(traced).to("meta")
    ShapeProp(on_meta).propagate(torch.empty(1, 3, *image_size, device="meta"))
    shapes = {}
    for node, same in zip(traced.graph.nodes, on_meta.graph.nodes, strict=True):
        found = same.meta.get("tensor_meta")
        if found is not None and hasattr(found, "shape"):
            shapes[node] = tuple(found.shape)
    return shapes


def batches_of_places(
    images: int, rows: int, cols: int, at_once: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All places on the grid for all images, some at once: int64 [N] and [N, 2]."""
    total = images * rows * cols
    for start in range(0, total, at_once):
        number = torch.arange(start, min(start + at_once, total))
        yield number // (rows * cols), torch.stack([number // cols % rows, number % cols], 1)
