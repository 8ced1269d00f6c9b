"""Computation of the part of each map of a network that the square of an occlusion sweep can change."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from math import prod
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from unitscope.geometry.chains import POINTWISE, SAME, Step, overwrites, step_of
from unitscope.geometry.dependence import Pair
from unitscope.networks.unallocated import meta_copy
from unitscope.occlusion.differences import Frame, Side, frame, uses_differences, whole_products
from unitscope.occlusion.occluders import Grid

# Groups of rows, and of columns: more groups have smaller windows, but smaller batches, too.
GROUPS, GPU_GROUPS = 6, 4
WHOLE_SHARE = 0.85  # of a map, or of its products: if more is to be computed, the whole map is
JOINING = {torch.cat}
POINTWISE_FUNCTIONS = {F.relu, torch.relu, torch.add, operator.add, operator.iadd, F.dropout}


@dataclass(frozen=True)
class Reach:
    """Range of indices that the square changes along one axis of a map, for each position along that axis.

    ``first`` (inclusive) and ``last`` (exclusive) are int64 [positions].
    """

    first: np.ndarray
    last: np.ndarray

    @property
    def length(self) -> np.ndarray:
        return self.last - self.first

    def through(self, step: Step, axis: int, length: int) -> Reach:
        """Return the reach in the output, of this length, of a convolution or pooling."""
        kernel, stride, padding, dilation = (
            getattr(step, name)[axis] for name in ("kernel", "stride", "padding", "dilation")
        )
        first = -(-(self.first + padding - (kernel - 1) * dilation) // stride)
        last = (self.last - 1 + padding) // stride + 1
        first = np.clip(first, 0, length - 1)
        return Reach(first, np.clip(last, first + 1, length))  # never empty; recomputing more is harmless

    def joined(self, other: Reach) -> Reach:
        return Reach(np.minimum(self.first, other.first), np.maximum(self.last, other.last))


Reaches = dict[fx.Node, tuple[Reach, Reach]]  # (rows, columns)


@dataclass(frozen=True)
class Windows:
    """Windows of one map: their size, and their first row and column for each row and column of the grid."""

    size: Pair
    rows: torch.Tensor
    cols: torch.Tensor

    def starts(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the first row and column of the windows, int64 [N, 2], of grid positions int64 [N, 2]."""
        return torch.stack([self.rows[positions[:, 0]], self.cols[positions[:, 1]]], 1)

    @property
    def sides(self) -> tuple[Side, Side]:
        return Side(self.size[0], self.rows), Side(self.size[1], self.cols)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Windows)
            and self.size == other.size
            and torch.equal(self.rows, other.rows)
            and torch.equal(self.cols, other.cols)
        )

    __hash__ = None  # type: ignore[assignment]


class Graph:
    """Traced network, with the part of each map that the squares of a grid can change.

    Parameters
    ----------
    model
        network in evaluation mode.
    grid
        positions of the square.

    Raises
    ------
    ValueError
        ``torch.fx`` can't trace the network, its shapes depend on values, or it modifies in place a map that
        another node reads.
    """

    def __init__(self, model: nn.Module, grid: Grid) -> None:
        try:
            self.module = fx.symbolic_trace(model)
        except Exception as error:  # user code can raise anything
            raise ValueError(f"torch.fx can't trace it: {str(error).splitlines()[0]}") from error
        self.nodes = list(self.module.graph.nodes)
        self.model = model
        # cuDNN multiplies the zeros around the differences, too.
        on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
        self.skips_zeros, self.most_groups = on_cpu, GROUPS if on_cpu else GPU_GROUPS
        for node in self.nodes:
            if overwrites(model, node) and any(self._read_by_many(read) for read in node.all_input_nodes):
                raise ValueError(f"{node.target} modifies a map in place that another node reads")
        self.last_use = {read: node for node in self.nodes for read in node.all_input_nodes}
        self.shapes = _shapes(self.module, grid.size)
        self.steps: dict[fx.Node, Step] = {}
        self.reaches = self._reaches(grid)
        self.groups = self._groups(len(grid.starts))

    def _read_by_many(self, node: fx.Node) -> bool:
        """Whether several nodes read a node's map, directly or through modules that return their input."""
        same = isinstance(self.layer_of(node), SAME)
        return len(node.users) > 1 or (same and any(self._read_by_many(read) for read in node.all_input_nodes))

    def layer_of(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls; None for other nodes."""
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def multiplications(self, node: fx.Node, size: Sequence[int]) -> int:
        """Return the multiplications of a linear layer, or a convolution with this output size; else 0."""
        module = self.layer_of(node)
        if isinstance(module, nn.Conv2d):
            return module.weight.numel() * prod(size)
        return module.weight.numel() * prod(self.shapes[node][1:-1]) if isinstance(module, nn.Linear) else 0

    def map_size(self, node: fx.Node) -> Pair | None:
        """Return rows and columns of a node's map; None if its output is no map."""
        shape = self.shapes.get(node, ())
        return (shape[2], shape[3]) if len(shape) == 4 else None

    def _reaches(self, grid: Grid) -> Reaches:
        first = np.asarray(grid.starts)
        square = Reach(first, first + grid.patch)
        reaches: Reaches = {}
        for node in self.nodes:
            if (size := self.map_size(node)) is not None:
                reach = (square, square) if node.op == "placeholder" else self._reach(node, reaches, size)
                if reach is not None:
                    reaches[node] = reach
        return reaches

    def _reach(self, node: fx.Node, reaches: Reaches, size: Pair) -> tuple[Reach, Reach] | None:
        """Return the range of rows and columns that the squares change in a node's map; None if unknown."""
        read = node.all_input_nodes
        if not read or any(n not in reaches or self.map_size(n) != self.map_size(read[0]) for n in read):
            return None
        rows, cols = reaches[read[0]]
        if (module := self.layer_of(node)) is not None:
            step = step_of(str(node.target), module, self.shapes[read[0]])
            if step is None:
                return None
            self.steps[node] = step
            return rows.through(step, 0, size[0]), cols.through(step, 1, size[1])
        if not _is_local(node):
            return None
        for other in read[1:]:
            rows, cols = rows.joined(reaches[other][0]), cols.joined(reaches[other][1])
        return rows, cols

    def is_pointwise(self, node: fx.Node) -> bool:
        """Whether each position of a node's output depends on the same position of its inputs only."""
        return node not in self.steps or isinstance(self.steps[node].module, POINTWISE)

    def _groups(self, positions: int) -> np.ndarray:
        """Assign each row of the grid, and the column of the same index, to a group: int64 [positions].

        The windows of a group have the size of its largest, so that positions of similar reach are grouped.
        """
        weights = np.array([self.multiplications(node, (1, 1)) for node in self.reaches])
        lengths = np.array([[reach.length for reach in both] for both in self.reaches.values()]).max(1)
        order = np.argsort(weights @ lengths**2, kind="stable")
        groups = np.empty(positions, np.int64)
        for group, (start, stop) in enumerate(_partition(weights, lengths[:, order], self.most_groups)):
            groups[order[start:stop]] = group
        return groups

    def windows(self, row_group: int, col_group: int) -> tuple[dict[fx.Node, Windows], dict[fx.Node, Frame]]:
        """Return the windows of a group of positions, by node, and the frames of convolutions of differences.

        Maps that are computed as a whole have no windows.
        """
        windows: dict[fx.Node, Windows] = {}
        frames: dict[fx.Node, Frame] = {}
        chosen = self.groups == row_group, self.groups == col_group
        for node, (rows, cols) in self.reaches.items():
            size = self.shapes[node][2:]
            read = node.all_input_nodes
            if any(other not in windows for other in read):
                continue
            height, first_rows = _window(rows, chosen[0], size[0])
            width, first_cols = _window(cols, chosen[1], size[1])
            made = Windows((height, width), first_rows, first_cols)
            step = self.steps.get(node)
            if step is not None and self.skips_zeros and uses_differences(step):
                framed = frame(step, windows[read[0]].sides, made.sides, chosen)
                if framed.products <= WHOLE_SHARE * whole_products(step, (size[0], size[1])):
                    windows[node], frames[node] = made, framed
            elif not read or self.is_pointwise(node) or height * width <= WHOLE_SHARE * prod(size):
                windows[node] = made
        return windows, frames


def _is_local(node: fx.Node) -> bool:
    """Whether a node is a function whose output at a position depends on its inputs at that position only."""
    if node.op != "call_function":
        return False
    if node.target in JOINING:
        return bool((node.kwargs.get("dim") or (*node.args, None, None)[1]) == 1)
    return node.target in POINTWISE_FUNCTIONS


def _window(reach: Reach, chosen: np.ndarray, length: int) -> tuple[int, torch.Tensor]:
    """Return the size of a window that contains the reach of each chosen position, and the windows' first indices.

    Windows are shifted so that they lie inside a map of this length.
    """
    size = int(reach.length[chosen].max())
    return size, torch.from_numpy(np.clip(reach.first, 0, length - size))


def _partition(weights: np.ndarray, lengths: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Divide a sequence of positions into at most ``parts`` consecutive parts of least total cost.

    Each position of a part costs as much as the most expensive one.

    Parameters
    ----------
    weights
        [maps]: multiplications per position of each map.
    lengths
        [maps, positions]: sizes of the windows.
    parts
        largest number of parts.

    Returns
    -------
    Start (inclusive) and stop (exclusive) of each part.
    """
    count = lengths.shape[1]

    def cost(start: int, stop: int) -> float:
        return (stop - start) * float(np.sqrt(weights @ lengths[:, start:stop].max(1) ** 2.0))

    nothing: list[tuple[int, int]] = []
    best = [(0.0, nothing)] + [(np.inf, nothing)] * count
    for _ in range(min(parts, count)):
        longer = [
            [(best[start][0] + cost(start, stop), [*best[start][1], (start, stop)]) for start in range(stop)]
            for stop in range(count + 1)
        ]
        best = [min([before, *after]) for before, after in zip(best, longer, strict=True)]
    return best[count][1]


def _shapes(traced: fx.GraphModule, size: int) -> dict[fx.Node, tuple[int, ...]]:
    """Return the output shape of each node for one image, propagated on the meta device."""
    on_meta = cast(fx.GraphModule, meta_copy(traced).to("meta"))
    try:
        with redirect_stderr(StringIO()):  # ShapeProp prints a traceback before it raises
            ShapeProp(on_meta).propagate(torch.empty(1, 3, size, size, device="meta"))
    except RuntimeError as error:  # a shape that depends on values
        raise ValueError(f"its shapes can't be determined: {str(error).splitlines()[0]}") from error
    shapes: dict[fx.Node, tuple[int, ...]] = {}
    for node, copied in zip(traced.graph.nodes, on_meta.graph.nodes, strict=True):
        tensor: Any = copied.meta.get("tensor_meta")
        if tensor is not None and hasattr(tensor, "shape"):
            shapes[node] = tuple(tensor.shape)
    return shapes
