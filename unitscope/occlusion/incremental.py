"""Occlusion where only what the square can reach is recomputed.

Each map that the network makes of an occluded image differs from that of the clear image in a window. A module
that computes the next map from it needs that window and, around it, what the clear image has there. Places of one
kind have windows of one size in a map, moved inwards at its borders, so that they run in batches. From where the
windows are nearly as large as the maps, whole maps are computed. Nothing is approximate.

The idea is that of Nakandala, Kumar and Papakonstantinou, *Incremental and approximate inference for faster
occlusion-based deep CNN explanations* (SIGMOD 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from unitscope.geometry.chains import gather, overlay, overwrites
from unitscope.geometry.dependence import Pair
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.reach import Graph, Windows


@dataclass(frozen=True)
class ClearImages:
    """What occluded images need of the clear ones: their maps, by node, and what the network answers."""

    maps: dict[fx.Node, torch.Tensor]
    watched: torch.Tensor
    outputs: torch.Tensor

    @cached_property
    def rectified_sums(self) -> torch.Tensor:
        """float64 [images, units]: over the watched maps."""
        return self.watched.clamp(min=0).sum((2, 3), dtype=torch.float64)

    @cached_property
    def maxima(self) -> torch.Tensor:
        """[images, units]: of the watched maps."""
        return self.watched.amax((2, 3))


class Incremental:
    """Runs occluded images through a network, given what the clear ones gave.

    Parameters
    ----------
    model
        in evaluation mode, on the device of its images.
    layer
        path of the module whose output is watched.

    Raises
    ------
    ValueError
        the network can't be traced, overwrites a map that is read elsewhere, or has no such layer.
    """

    name = "incremental"

    def __init__(self, model: nn.Module, layer: str, grid: Grid) -> None:
        self.grid, self.graph = grid, Graph(model, grid)
        watched = [node for node in self.graph.nodes if node.op == "call_module" and node.target == layer]
        if len(watched) != 1:
            raise ValueError(f"{layer} is not a module that it runs once by itself")
        self.watched = watched[0]
        self.interpreter = fx.Interpreter(self.graph.module)
        count = int(self.graph.kinds.max()) + 1
        self.plans = {
            pair: _Plan(self.graph, self.graph.windows(*pair)) for pair in product(range(count), repeat=2)
        }
        self.read_clear = {node for plan in self.plans.values() for node in plan.read_clear}

    def kinds(self, places: torch.Tensor) -> torch.Tensor:
        """int64 [N]: places of one kind can run together."""
        rows, cols = torch.from_numpy(self.graph.kinds)[places].unbind(1)
        return rows * (int(self.graph.kinds.max()) + 1) + cols

    def multiplications(self) -> float:
        """Of convolutions and fully connected layers, for one place in the mean."""
        counts = torch.from_numpy(self.graph.kinds).bincount().tolist()
        total = sum(counts[row] * counts[col] * plan.multiplications() for (row, col), plan in self.plans.items())
        return total / sum(counts) ** 2

    def bytes_of_place(self) -> int:
        """Of the maps and windows that are held at once, at most."""
        return max(plan.bytes() for plan in self.plans.values())

    def bytes_of_clear(self) -> int:
        """Of an image's maps that are kept, of the image, and of what the square shows."""
        maps = sum(4 * prod(self.graph.shapes[node]) for node in {*self.read_clear, self.watched})
        return maps + 2 * 4 * 3 * self.grid.size**2

    def clear(self, images: torch.Tensor) -> ClearImages:
        """Run clear images [M, 3, H, W] forward and keep what occluded ones will need."""
        # One by one: the last bits depend on the shape of a batch.
        each = [self._clear(image) for image in images.split(1)]
        maps = {node: torch.cat([found.maps[node] for found in each]) for node in each[0].maps}
        return ClearImages(maps, maps[self.watched], torch.cat([found.outputs for found in each]))

    def _clear(self, image: torch.Tensor) -> ClearImages:
        maps: dict[fx.Node, torch.Tensor] = {}
        values: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            values[node] = image if node.op == "placeholder" else self._whole(node, values, copied=True)
            if node in self.read_clear or node is self.watched:
                maps[node] = values[node].contiguous(memory_format=torch.channels_last)
            self._forget(node, values)
        return ClearImages(maps, maps[self.watched], values[self.graph.nodes[-1]])

    def run(
        self,
        clear: ClearImages,
        filled: torch.Tensor,
        images: torch.Tensor,
        places: torch.Tensor,
        units: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run occluded images forward, whose places are of one kind: see ``occlusion_engines.Engine``."""
        row, col = self.graph.kinds[places[0].numpy()].tolist()
        batch = _Batch(self.plans[row, col], clear, images.to(filled.device, non_blocking=True), places)
        values: dict[fx.Node, Any] = {}
        sums = torch.empty(0)
        for node in self.graph.nodes:
            if node.op == "placeholder":
                starts = batch.plan.windows[node].starts(places)
                values[node] = gather(filled, batch.images, starts, batch.plan.windows[node].size)
            elif node in batch.plan.windows:
                values[node] = self._windowed(node, values, batch)
            else:
                completed = dict(values)
                for read in node.all_input_nodes:
                    if read in batch.plan.windows:
                        completed[read] = batch.whole(read, values[read], self.graph.shapes[read][2:])
                values[node] = self._whole(node, completed)
            if node is self.watched:
                sums = batch.sums(node, values[node], units)
            self._forget(node, values)
        return sums, values[self.graph.nodes[-1]]

    def _forget(self, node: fx.Node, values: dict[fx.Node, Any]) -> None:
        """Let go of what nobody reads any more."""
        for read in node.all_input_nodes:
            if self.graph.last_use[read] is node:
                del values[read]

    def _whole(self, node: fx.Node, values: dict[fx.Node, Any], copied: bool = False) -> Any:
        """A node, computed from ``values``; of ``copied`` ones, if it would overwrite them."""
        if node.op == "output":
            return values[node.all_input_nodes[0]]
        self.interpreter.env = values
        args, kwargs = self.interpreter.fetch_args_kwargs_from_env(node)
        if copied and overwrites(self.graph.model, node):
            args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
        return getattr(self.interpreter, node.op)(node.target, args, kwargs)

    def _windowed(self, node: fx.Node, values: dict[fx.Node, Any], batch: _Batch) -> torch.Tensor:
        """The windows of a node's map."""
        mine = batch.plan.windows[node]
        starts = mine.starts(batch.places)
        if self.graph.is_pointwise(node):
            aligned = dict(values)
            for read in node.all_input_nodes:
                if batch.plan.windows[read] != mine:
                    aligned[read] = batch.map(read, values[read], starts, mine.size, 0.0)
            return self._whole(node, aligned)
        (read,), step = node.all_input_nodes, self.graph.steps[node]
        maps = batch.map(read, values[read], step.starts(starts), step.seen(mine.size), step.outside)
        module = step.module
        if isinstance(module, nn.Conv2d):
            return F.conv2d(maps, module.weight, module.bias, step.stride, 0, step.dilation, module.groups)
        if isinstance(module, nn.MaxPool2d):
            return F.max_pool2d(maps, step.kernel, step.stride, 0, step.dilation)
        return F.avg_pool2d(maps, step.kernel, step.stride)


class _Plan:
    """How places of one kind are run."""

    def __init__(self, graph: Graph, windows: dict[fx.Node, Windows]) -> None:
        self.graph, self.windows = graph, windows
        self.read_clear = {node for node in windows if any(self._beyond(node, user) for user in node.users)}

    def _beyond(self, read: fx.Node, node: fx.Node) -> bool:
        """Whether ``node`` reads more of the map of ``read`` than its window."""
        same = node in self.windows and self.graph.is_pointwise(node)
        return not same or self.windows[node] != self.windows[read]

    def size(self, node: fx.Node) -> tuple[int, ...]:
        """Of what is computed of a node: rows and columns of its window or map; of other outputs, nothing."""
        return self.windows[node].size if node in self.windows else self.graph.shapes.get(node, ())[2:]

    def multiplications(self) -> int:
        return sum(self.graph.multiplications(node, self.size(node)) for node in self.graph.nodes)

    def bytes(self) -> int:
        held: dict[fx.Node, int] = {}
        most = 0
        for node in self.graph.nodes:
            own = 4 * prod((*self.graph.shapes.get(node, (0, 0))[1:2], *self.size(node)))
            most = max(most, sum(held.values()) + self._gathered(node) + own)
            held[node] = own
            for read in node.all_input_nodes:
                if self.graph.last_use[read] is node:
                    del held[read]
        return most

    def _gathered(self, node: fx.Node) -> int:
        """Bytes of the maps that a node reads, as they are put together for it."""
        if node in self.windows and not self.graph.is_pointwise(node):
            step = self.graph.steps[node]
            return 4 * prod((step.channels, *step.seen(self.windows[node].size)))
        return sum(4 * prod(self.graph.shapes[read][1:]) for read in node.all_input_nodes if read in self.windows)


@dataclass(frozen=True)
class _Batch:
    """Occluded images of one kind: of which clear image each is, int64 [N] on the device, and its place, int64
    [N, 2] beside it."""

    plan: _Plan
    clear: ClearImages
    images: torch.Tensor
    places: torch.Tensor

    def map(
        self, node: fx.Node, changed: torch.Tensor, starts: torch.Tensor, size: Pair, outside: float
    ) -> torch.Tensor:
        """Windows of a node's map: the clear image's, with what is ``changed`` in its place."""
        found = gather(self.clear.maps[node], self.images, starts, size, outside)
        overlay(found, changed, self.plan.windows[node].starts(self.places) - starts)
        return found

    def whole(self, node: fx.Node, changed: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return self.map(node, changed, torch.zeros_like(self.places), (size[0], size[1]), 0.0)

    def sums(self, node: fx.Node, maps: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """float64 [N]: over each image's unit's rectified map."""
        each = torch.arange(len(self.images), device=maps.device)
        new = maps[each, units[self.images]].clamp(min=0).sum((1, 2), dtype=torch.float64)
        if node not in self.plan.windows:
            return new
        clear = torch.arange(len(units), device=maps.device)
        of_unit = self.clear.watched[clear, units].clamp(min=0)[:, None]
        starts = self.plan.windows[node].starts(self.places)
        old = gather(of_unit, self.images, starts, self.plan.windows[node].size).sum(
            (1, 2, 3), dtype=torch.float64
        )
        # What is outside of the window, not below zero for rounding.
        return new + (self.clear.rectified_sums[clear, units][self.images] - old).clamp(min=0)
