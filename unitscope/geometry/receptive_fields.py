"""Shapes and receptive fields of a network's layers, worked out without computing anything.

The network is traced by ``torch.fx`` and run on the meta device; beside each tensor goes the geometry of its
units, after Araujo et al., *Computing receptive fields of convolutional neural networks* (Distill 2019).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from unitscope.geometry.dependence import SAME_PLACE, of_call, of_module

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Geometry:
    """Where the units of a map look: unit (i, j) sees the pixels from ``start + i * stride`` on, ``size`` of
    them, in rows and likewise in columns. ``start`` is negative where the field reaches into the padding."""

    size: int
    stride: int
    start: int

    def window(self, row: int, col: int) -> Window:
        """(top, left, bottom, right) of the unit's receptive field, exclusive, not cut to the image."""
        top, left = self.start + row * self.stride, self.start + col * self.stride
        return top, left, top + self.size, left + self.size

    def through(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Geometry:
        """The geometry behind a convolution or pooling."""
        return Geometry(
            size=self.size + (kernel - 1) * dilation * self.stride,
            stride=self.stride * stride,
            start=self.start - padding * self.stride,
        )

    def joined(self, other: Geometry) -> Geometry | None:
        """The geometry of a sum or concatenation of two maps."""
        if self.stride != other.stride:
            return None
        start = min(self.start, other.start)
        return Geometry(max(self.start + self.size, other.start + other.size) - start, self.stride, start)


PIXELS = Geometry(1, 1, 0)


@dataclass(frozen=True)
class TracedLayer:
    """A module of the network that ran, in order. ``geometry`` is None where it is the whole image, or unknown."""

    path: str
    module: nn.Module
    output_shape: tuple[int, ...]  # without the batch
    geometry: Geometry | None


@dataclass(frozen=True)
class Trace:
    """``chain``: every tensor is used by the next layer only."""

    layers: list[TracedLayer]
    chain: bool


def trace(model: nn.Module, image_size: int) -> Trace:
    """Layers, shapes and receptive fields of ``model`` for square images.

    Raises
    ------
    ValueError
        the network can't be traced, or the image is too small for it.
    """
    model = copy.deepcopy(model).to("meta").eval()
    try:
        graph = fx.symbolic_trace(model)
        tracer = _Tracer(graph)
        tracer.run(torch.empty(1, 3, image_size, image_size, device="meta"))
    except Exception as error:  # whatever a foreign network's code raises
        raise ValueError(str(error).splitlines()[0]) from error
    chain = all(len(node.users) <= 1 for node in graph.graph.nodes)
    return Trace(tracer.layers, chain)


class _Tracer(fx.Interpreter):
    """Runs the graph on the meta device and follows the geometry beside it.

    ``geometry`` has what depends on the image; parameters, and numbers that follow from shapes, aren't in it.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.layers: list[TracedLayer] = []
        self.geometry: dict[fx.Node, Geometry | None] = {}
        self.versions: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        output = super().run_node(n)
        read = [node for node in n.all_input_nodes if node in self.geometry]
        if n.op == "placeholder":
            if isinstance(output, torch.Tensor):
                self.geometry[n] = PIXELS
        elif read:
            after = self._behind(n, read, output)
            self._note_writes(after)
            if _holds_tensors(output):
                self.geometry[n] = after
        if n.op == "call_module":
            main = _main(output)
            module = self.fetch_attr(str(n.target))
            self.layers.append(TracedLayer(str(n.target), module, tuple(main.shape[1:]), self.geometry.get(n)))
        if isinstance(output, torch.Tensor):
            self.versions[n] = output._version
        return output

    def _behind(self, node: fx.Node, read: list[fx.Node], output: Any) -> Geometry | None:
        """The geometry of what a node makes of the maps that it reads; None if it is unknown, or the image."""
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        output = _main(output)
        if not isinstance(output, torch.Tensor):
            return None
        if node.op == "call_module":
            only = len(read) == 1 and bool(args) and isinstance(args[0], torch.Tensor)
            module = self.fetch_attr(str(node.target))
            local = of_module(module, args[0].shape, output.shape) if only else None
        else:
            local = of_call(node.target, args, kwargs, output.shape)
        if local is None:
            return None
        if local != SAME_PLACE:  # one map, and what is done to it is given by parameters
            before = self.geometry[read[0]] if len(read) == 1 else None
            return before.through(local.kernel, local.stride, local.padding, local.dilation) if before else None
        if any(self._size(source) != output.shape[2:] for source in read):
            return None  # not maps, or broadcast
        joined = self.geometry[read[0]]
        for source in read[1:]:
            other = self.geometry[source]
            joined = joined.joined(other) if joined and other else None
        return joined

    def _size(self, node: fx.Node) -> torch.Size | None:
        """Rows and columns of a node's map; None if it made none."""
        value = self.env[node]
        return value.shape[2:] if isinstance(value, torch.Tensor) and value.dim() == 4 else None

    def _note_writes(self, after: Geometry | None) -> None:
        """A tensor that the node just run has written to, under whatever name, depends on what the node read."""
        for node, value in self.env.items():
            if isinstance(value, torch.Tensor) and value._version != self.versions[node]:
                self.versions[node] = value._version
                self.geometry[node] = after if self.geometry.get(node) else None


def _main(output: Any) -> Any:
    """A module's output; the first of several: attention gives its weights too."""
    return output[0] if isinstance(output, tuple) and output else output


def _holds_tensors(output: Any) -> bool:
    """Whether it depends on values: shapes and numbers that follow from them don't."""
    if isinstance(output, (tuple, list)) and not isinstance(output, torch.Size):
        return any(_holds_tensors(value) for value in output)
    return not isinstance(output, (int, float, str, torch.Size, torch.dtype, torch.device, type(None)))
