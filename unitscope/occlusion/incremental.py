"""Incremental engine: only the part of each map that the square can change is recomputed.

Each map of an occluded image differs from that of the clear image in a window only. To compute the corresponding
window of the next map, a module needs this window, and the clear image's values around it. Positions of the square
are sorted into groups whose windows have the same size in each map, so that they run in batches; windows at the
borders are shifted inwards. Where windows are nearly as large as the maps, whole maps are computed. Convolutions
multiply the differences from the clear image only (see ``differences``). Results are exact up to float32 rounding.

After Nakandala, Kumar and Papakonstantinou, *Incremental and approximate inference for faster occlusion-based deep
CNN explanations* (SIGMOD 2019).
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
from unitscope.occlusion.differences import Frame
from unitscope.occlusion.occluders import Grid
from unitscope.occlusion.onednn import add_convolution, is_linear, linear
from unitscope.occlusion.reach import Graph, Windows


@dataclass(frozen=True)
class ClearImages:
    """Results of clear images: the maps that occluded images need, by node; the observed layer's maps; logits."""

    maps: dict[fx.Node, torch.Tensor]
    observed: torch.Tensor
    outputs: torch.Tensor

    @cached_property
    def rectified_sums(self) -> torch.Tensor:
        """Sums over the observed maps after the ReLU: float64 [images, units]."""
        return self.observed.clamp(min=0).sum((2, 3), dtype=torch.float64)

    @cached_property
    def maxima(self) -> torch.Tensor:
        """Maxima of the observed maps: [images, units]."""
        return self.observed.amax((2, 3))


class Incremental:
    """Engine that recomputes only the windows of the maps that the square can change.

    Parameters
    ----------
    model
        network in evaluation mode, on the device of the images.
    layer
        path of the module whose units are observed.
    grid
        positions of the square.

    Raises
    ------
    ValueError
        ``torch.fx`` can't trace the network, it modifies in place a map that another node reads, or the traced
        graph doesn't call ``layer`` exactly once.
    """

    name = "incremental"

    def __init__(self, model: nn.Module, layer: str, grid: Grid) -> None:
        self.grid, self.graph = grid, Graph(model, grid)
        observed = [node for node in self.graph.nodes if node.op == "call_module" and node.target == layer]
        if len(observed) != 1:
            raise ValueError(f"its traced graph doesn't call module {layer} exactly once")
        self.observed = observed[0]
        self.interpreter = fx.Interpreter(self.graph.module)
        count = int(self.graph.groups.max()) + 1
        self.plans = {
            pair: _Plan(self.graph, *self.graph.windows(*pair)) for pair in product(range(count), repeat=2)
        }
        self.read_clear = {node for plan in self.plans.values() for node in plan.read_clear}

    def groups(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the group, int64 [N], of positions int64 [N, 2]; those of one group can share a batch."""
        rows, cols = torch.from_numpy(self.graph.groups)[positions].unbind(1)
        return rows * (int(self.graph.groups.max()) + 1) + cols

    def multiplications(self) -> float:
        """Mean number of multiplications per position (convolutions and linear layers)."""
        counts = torch.from_numpy(self.graph.groups).bincount().tolist()
        total = sum(counts[row] * counts[col] * plan.multiplications() for (row, col), plan in self.plans.items())
        return total / sum(counts) ** 2

    def bytes_per_position(self) -> int:
        """Largest number of bytes of maps and windows that one occluded image needs at once."""
        return max(plan.bytes() for plan in self.plans.values())

    def bytes_per_clear_image(self) -> int:
        """Number of bytes of a clear image, its stored maps, and the pixels inside the square."""
        maps = sum(4 * prod(self.graph.shapes[node]) for node in {*self.read_clear, self.observed})
        return maps + 2 * 4 * 3 * self.grid.size**2

    def clear(self, images: torch.Tensor) -> ClearImages:
        """Run clear images float32 [M, 3, H, W] forward and store the maps that occluded images need."""
        # One by one, because the last bits of results depend on the shape of a batch.
        each = [self._clear(image) for image in images.split(1)]
        maps = {node: torch.cat([clear.maps[node] for clear in each]) for node in each[0].maps}
        return ClearImages(maps, maps[self.observed], torch.cat([clear.outputs for clear in each]))

    def _clear(self, image: torch.Tensor) -> ClearImages:
        maps: dict[fx.Node, torch.Tensor] = {}
        values: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            values[node] = image if node.op == "placeholder" else self._whole(node, values, copied=True)
            if node in self.read_clear or node is self.observed:
                maps[node] = values[node].contiguous(memory_format=torch.channels_last)
            self._release(node, values)
        return ClearImages(maps, maps[self.observed], values[self.graph.nodes[-1]])

    def run(
        self,
        clear: ClearImages,
        filled: torch.Tensor,
        images: torch.Tensor,
        positions: torch.Tensor,
        units: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run occluded images forward, whose positions are of one group: see ``engines.Engine.run``."""
        row, col = self.graph.groups[positions[0].numpy()].tolist()
        batch = _Batch(self.plans[row, col], clear, images.to(filled.device, non_blocking=True), positions)
        values: dict[fx.Node, Any] = {}
        sums = torch.empty(0)
        for node in self.graph.nodes:
            if node.op == "placeholder":
                starts = batch.plan.windows[node].starts(positions)
                values[node] = gather(filled, batch.images, starts, batch.plan.windows[node].size)
            elif node in batch.plan.windows:
                values[node] = self._windowed(node, values, batch)
            else:
                completed = dict(values)
                for read in node.all_input_nodes:
                    if read in batch.plan.windows:
                        completed[read] = batch.whole(read, values[read], self.graph.shapes[read][2:])
                values[node] = self._whole(node, completed)
            if node is self.observed:
                sums = batch.sums(node, values[node], units)
            self._release(node, values)
        return sums, values[self.graph.nodes[-1]]

    def _release(self, node: fx.Node, values: dict[fx.Node, Any]) -> None:
        """Delete the values whose last use is ``node``."""
        for read in node.all_input_nodes:
            if self.graph.last_use[read] is node:
                del values[read]

    def _whole(self, node: fx.Node, values: dict[fx.Node, Any], copied: bool = False) -> Any:
        """Compute a node from ``values``, or with ``copied`` from copies of them if it works in place."""
        if node.op == "output":
            return values[node.all_input_nodes[0]]
        module = self.graph.layer_of(node)
        if is_linear(module):
            return linear(module, values[node.all_input_nodes[0]])
        self.interpreter.env = values
        args, kwargs = self.interpreter.fetch_args_kwargs_from_env(node)
        if copied and overwrites(self.graph.model, node):
            args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
        return getattr(self.interpreter, node.op)(node.target, args, kwargs)

    def _windowed(self, node: fx.Node, values: dict[fx.Node, Any], batch: _Batch) -> torch.Tensor:
        """Compute the windows of a node's map."""
        windows = batch.plan.windows[node]
        starts = windows.starts(batch.positions)
        if self.graph.is_pointwise(node):
            aligned = dict(values)
            for read in node.all_input_nodes:
                if batch.plan.windows[read] != windows:
                    aligned[read] = batch.map(read, values[read], starts, windows.size, 0.0)
            return self._whole(node, aligned)
        (read,), step = node.all_input_nodes, self.graph.steps[node]
        if node in batch.plan.frames:
            return self._difference(node, values[read], batch)
        maps = batch.map(read, values[read], step.starts(starts), step.seen(windows.size), step.outside)
        module = step.module
        if isinstance(module, nn.Conv2d):
            return F.conv2d(maps, module.weight, module.bias, step.stride, 0, step.dilation, module.groups)
        if isinstance(module, nn.MaxPool2d):
            return F.max_pool2d(maps, step.kernel, step.stride, 0, step.dilation)
        return F.avg_pool2d(maps, step.kernel, step.stride)

    def _difference(self, node: fx.Node, values: torch.Tensor, batch: _Batch) -> torch.Tensor:
        """Compute the windows of a convolution's map: those of the clear image, plus what the change adds."""
        (read,), step, frame = node.all_input_nodes, self.graph.steps[node], batch.plan.frames[node]
        changes = batch.clear_windows(read)
        torch.sub(values, changes, out=changes)
        if not frame.filled:
            framed = changes.new_zeros(len(changes), step.channels, *frame.size)
            framed = framed.contiguous(memory_format=torch.channels_last)
            overlay(framed, changes, frame.offsets(batch.positions))
            changes = framed
        maps = batch.clear_windows(node)
        add_convolution(maps, changes, step, frame.padding)
        return maps


class _Plan:
    """Windows of one group of positions, and their cost."""

    def __init__(self, graph: Graph, windows: dict[fx.Node, Windows], frames: dict[fx.Node, Frame]) -> None:
        self.graph, self.windows, self.frames = graph, windows, frames
        self.read_clear = {node for node in windows if any(self._beyond(node, user) for user in node.users)}
        self.read_clear |= set(frames)

    def _beyond(self, read: fx.Node, node: fx.Node) -> bool:
        """Whether ``node`` reads more of the map of ``read`` than its window."""
        same = node in self.windows and self.graph.is_pointwise(node)
        return not same or self.windows[node] != self.windows[read]

    def size(self, node: fx.Node) -> tuple[int, ...]:
        """Return rows and columns of a node's window or whole map; empty if its output is no map."""
        return self.windows[node].size if node in self.windows else self.graph.shapes.get(node, ())[2:]

    def multiplications(self) -> int:
        return sum(self._multiplications(node) for node in self.graph.nodes)

    def _multiplications(self, node: fx.Node) -> int:
        if node not in self.frames:
            return self.graph.multiplications(node, self.size(node))
        return (
            self.graph.multiplications(node, (1, 1))
            // prod(self.graph.steps[node].kernel)
            * self.frames[node].products
        )

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
        """Return the bytes of the windows or whole maps that are assembled as a node's input."""
        if node in self.frames:
            (read,), step, frame = node.all_input_nodes, self.graph.steps[node], self.frames[node]
            changes = step.channels * (prod(self.size(read)) + (0 if frame.filled else prod(frame.size)))
            return 4 * (changes + prod((*self.graph.shapes[node][1:2], *self.size(node))))
        if node in self.windows and not self.graph.is_pointwise(node):
            step = self.graph.steps[node]
            return 4 * prod((step.channels, *step.seen(self.windows[node].size)))
        return sum(4 * prod(self.graph.shapes[read][1:]) for read in node.all_input_nodes if read in self.windows)


@dataclass(frozen=True)
class _Batch:
    """Occluded images whose positions are of one group.

    ``images``, int64 [N] on the device, are indices of clear images; ``positions``, int64 [N, 2] on the CPU, are
    those of the square.
    """

    plan: _Plan
    clear: ClearImages
    images: torch.Tensor
    positions: torch.Tensor

    def map(
        self, node: fx.Node, changed: torch.Tensor, starts: torch.Tensor, size: Pair, outside: float
    ) -> torch.Tensor:
        """Gather windows of the clear images' maps of a node, and paste the ``changed`` windows into them.

        Without a copy where they are the changed windows.
        """
        own = self.plan.windows[node]
        if size == own.size and torch.equal(starts, own.starts(self.positions)):
            return changed
        windows = gather(self.clear.maps[node], self.images, starts, size, outside)
        overlay(windows, changed, self.plan.windows[node].starts(self.positions) - starts)
        return windows

    def clear_windows(self, node: fx.Node) -> torch.Tensor:
        """Gather the windows of a node from the clear images' maps."""
        windows = self.plan.windows[node]
        return gather(self.clear.maps[node], self.images, windows.starts(self.positions), windows.size)

    def whole(self, node: fx.Node, changed: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return self.map(node, changed, torch.zeros_like(self.positions), (size[0], size[1]), 0.0)

    def sums(self, node: fx.Node, maps: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Return the sum over the rectified map of each image's unit: float64 [N]."""
        each = torch.arange(len(self.images), device=maps.device)
        new = maps[each, units[self.images]].clamp(min=0).sum((1, 2), dtype=torch.float64)
        if node not in self.plan.windows:
            return new
        clear = torch.arange(len(units), device=maps.device)
        of_unit = self.clear.observed[clear, units].clamp(min=0)[:, None]
        starts = self.plan.windows[node].starts(self.positions)
        old = gather(of_unit, self.images, starts, self.plan.windows[node].size).sum(
            (1, 2, 3), dtype=torch.float64
        )
        # The sum outside of the window is clamped, because rounding could make it negative.
        return new + (self.clear.rectified_sums[clear, units][self.images] - old).clamp(min=0)
