"""What the square of an occlusion sweep can change in the maps of a network."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from unitscope.geometry.chains import POINTWISE, SAME, Step, overwrites, step_of
from unitscope.geometry.dependence import Pair
from unitscope.occlusion.occluders import Grid

KINDS = 4  # of rows, and of columns: more make windows smaller, and batches too
WHOLE_SHARE = 0.85  # of a map: windows that are larger aren't worth gathering
JOINING = {torch.cat}
POINTWISE_FUNCTIONS = {F.relu, torch.relu, torch.add, operator.add, operator.iadd, F.dropout}


@dataclass(frozen=True)
class Reach:
    """Along one axis of a map, what the square changes: from ``first`` to before ``last``, int64 arrays with an
    entry for each of the square's places along that axis."""

    first: np.ndarray
    last: np.ndarray

    @property
    def length(self) -> np.ndarray:
        return self.last - self.first

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


Reaches = dict[fx.Node, tuple[Reach, Reach]]  # rows and columns


@dataclass(frozen=True)
class Windows:
    """Windows of one map: their size, and where they begin for each row and each column of the grid."""

    size: Pair
    rows: torch.Tensor
    cols: torch.Tensor

    def starts(self, places: torch.Tensor) -> torch.Tensor:
        """int64 [N, 2] for places int64 [N, 2] on the grid."""
        return torch.stack([self.rows[places[:, 0]], self.cols[places[:, 1]]], 1)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Windows)
            and self.size == other.size
            and torch.equal(self.rows, other.rows)
            and torch.equal(self.cols, other.cols)
        )

    __hash__ = None  # type: ignore[assignment]


class Graph:
    """A traced network, and what the squares of a grid reach in it.

    Parameters
    ----------
    model
        in evaluation mode.

    Raises
    ------
    ValueError
        it can't be traced, its shapes depend on values, or it overwrites a map that is read elsewhere.
    """

    def __init__(self, model: nn.Module, grid: Grid) -> None:
        try:
            self.module = fx.symbolic_trace(model)
        except Exception as error:  # whatever a foreign network's code raises
            raise ValueError(f"it can't be traced: {str(error).splitlines()[0]}") from error
        self.nodes = list(self.module.graph.nodes)
        self.model = model
        for node in self.nodes:
            if overwrites(model, node) and any(self._read_by_many(read) for read in node.all_input_nodes):
                raise ValueError(f"{node.target} overwrites a map that is read elsewhere")
        self.last_use = {read: node for node in self.nodes for read in node.all_input_nodes}
        self.shapes = _shapes(self.module, grid.size)
        self.steps: dict[fx.Node, Step] = {}
        self.reaches = self._reaches(grid)
        self.kinds = self._kinds(len(grid.starts))

    def _read_by_many(self, node: fx.Node) -> bool:
        """Whether more than one node reads its map, under this name or another."""
        same = isinstance(self.layer_of(node), SAME)
        return len(node.users) > 1 or (same and any(self._read_by_many(read) for read in node.all_input_nodes))

    def layer_of(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls."""
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def multiplications(self, node: fx.Node, size: Sequence[int]) -> int:
        """Of a convolution that makes windows, or maps, of this size; of a fully connected layer; else 0."""
        module = self.layer_of(node)
        if isinstance(module, nn.Conv2d):
            return module.weight.numel() * prod(size)
        return module.weight.numel() * prod(self.shapes[node][1:-1]) if isinstance(module, nn.Linear) else 0

    def map_size(self, node: fx.Node) -> Pair | None:
        """Rows and columns of a node's map; None if it makes none."""
        shape = self.shapes.get(node, ())
        return (shape[2], shape[3]) if len(shape) == 4 else None

    def _reaches(self, grid: Grid) -> Reaches:
        first = np.asarray(grid.starts)
        square = Reach(first, first + grid.patch)
        reaches: Reaches = {}
        for node in self.nodes:
            if (size := self.map_size(node)) is not None:
                found = (square, square) if node.op == "placeholder" else self._reach(node, reaches, size)
                if found is not None:
                    reaches[node] = found
        return reaches

    def _reach(self, node: fx.Node, reaches: Reaches, size: Pair) -> tuple[Reach, Reach] | None:
        """What the squares change in a node's map; None if that isn't known."""
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
        """Whether a place of its map depends on the same place of what it reads only."""
        return node not in self.steps or isinstance(self.steps[node].module, POINTWISE)

    def _kinds(self, places: int) -> np.ndarray:
        """Of each row of the grid, and of each column: to which kind it belongs. Those of a kind have windows of
        one size, so that few kinds with much different reach save most."""
        weights = np.array([self.multiplications(node, (1, 1)) for node in self.reaches])
        lengths = np.array([[reach.length for reach in both] for both in self.reaches.values()]).max(1)
        order = np.argsort(weights @ lengths**2, kind="stable")
        kinds = np.empty(places, np.int64)
        for kind, (start, stop) in enumerate(_partition(weights, lengths[:, order], KINDS)):
            kinds[order[start:stop]] = kind
        return kinds

    def windows(self, row_kind: int, col_kind: int) -> dict[fx.Node, Windows]:
        """The windows of places of a kind: of every map that isn't better computed as a whole."""
        windows: dict[fx.Node, Windows] = {}
        for node, (rows, cols) in self.reaches.items():
            size = self.shapes[node][2:]
            if any(read not in windows for read in node.all_input_nodes):
                continue
            height, first_rows = _window(rows, self.kinds == row_kind, size[0])
            width, first_cols = _window(cols, self.kinds == col_kind, size[1])
            if node.op == "placeholder" or height * width <= WHOLE_SHARE * prod(size):
                windows[node] = Windows((height, width), first_rows, first_cols)
        return windows


def _is_local(node: fx.Node) -> bool:
    """Whether a function's result at a place depends on what it reads at that place only."""
    if node.op != "call_function":
        return False
    if node.target in JOINING:
        return bool((node.kwargs.get("dim") or (*node.args, None, None)[1]) == 1)
    return node.target in POINTWISE_FUNCTIONS


def _window(reach: Reach, chosen: np.ndarray, length: int) -> tuple[int, torch.Tensor]:
    """The size that the chosen ones fit in, and where they begin so that they lie in a map of this length."""
    size = int(reach.length[chosen].max())
    return size, torch.from_numpy(np.clip(reach.first, 0, length - size))


def _partition(weights: np.ndarray, lengths: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Cut a sequence into at most so many parts, for the least cost when each costs as much as its largest.

    ``lengths``: [maps, places], of the windows; ``weights``: [maps].
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
    """The shape of every map and every output, for one image; computes nothing."""
    on_meta = deepcopy(traced).to("meta")
    try:
        with redirect_stderr(StringIO()):  # it prints what it raises
            ShapeProp(on_meta).propagate(torch.empty(1, 3, size, size, device="meta"))
    except RuntimeError as error:  # a shape that depends on values
        raise ValueError(f"its shapes can't be told: {str(error).splitlines()[0]}") from error
    shapes: dict[fx.Node, tuple[int, ...]] = {}
    for node, same in zip(traced.graph.nodes, on_meta.graph.nodes, strict=True):
        found: Any = same.meta.get("tensor_meta")
        if found is not None and hasattr(found, "shape"):
            shapes[node] = tuple(found.shape)
    return shapes
