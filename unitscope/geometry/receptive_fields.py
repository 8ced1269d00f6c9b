"""Shapes and receptive fields of a network's layers, without running the network.

The network is traced with ``torch.fx`` and interpreted on the meta device, together with the geometry of each
map's receptive fields (Araujo et al., *Computing receptive fields of convolutional neural networks*, Distill
2019).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Geometry:
    """Receptive fields of a map's positions, in pixels.

    The receptive field of position (i, j) covers ``size`` rows from ``start + i * stride`` on, and ``size``
    columns from ``start + j * stride`` on. ``start`` is negative where it extends into the padding.
    """

    size: int
    stride: int
    start: int

    def window(self, row: int, col: int) -> Window:
        """Return the receptive field of a position as (top, left, bottom, right); bottom and right are exclusive.

        It is not clipped to the image.
        """
        top, left = self.start + row * self.stride, self.start + col * self.stride
        return top, left, top + self.size, left + self.size

    def through(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Geometry:
        """Return the geometry of the output of a convolution or pooling."""
        return Geometry(
            size=self.size + (kernel - 1) * dilation * self.stride,
            stride=self.stride * stride,
            start=self.start - padding * self.stride,
        )

    def joined(self, other: Geometry) -> Geometry | None:
        """Return the geometry of a sum or concatenation of two maps; None if their strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.start, other.start)
        return Geometry(max(self.start + self.size, other.start + other.size) - start, self.stride, start)


PIXELS = Geometry(1, 1, 0)


@dataclass(frozen=True)
class TracedLayer:
    """A module that the network runs. ``geometry`` is None if it depends on the whole image, or is unknown."""

    path: str
    module: nn.Module
    output_shape: tuple[int, ...]  # without the batch
    geometry: Geometry | None


@dataclass(frozen=True)
class Trace:
    """Layers in execution order. ``chain`` is true if each tensor is read by one operation at most."""

    layers: list[TracedLayer]
    chain: bool


def trace(model: nn.Module, image_size: int) -> Trace:
    """Trace a copy of ``model`` for images float32 [1, 3, image_size, image_size].

    Raises
    ------
    ValueError
        ``torch.fx`` can't trace the network, or it can't process images of this size.
    """
    model = copy.deepcopy(model).to("meta").eval()
    try:
        graph = fx.symbolic_trace(model)
        tracer = _Tracer(graph)
        tracer.run(torch.empty(1, 3, image_size, image_size, device="meta"))
    except Exception as error:  # user code can raise anything
        raise ValueError(str(error).splitlines()[0]) from error
    chain = all(len(node.users) <= 1 for node in graph.graph.nodes)
    return Trace(tracer.layers, chain)


class _Tracer(fx.Interpreter):
    """Interpreter of a graph on the meta device, which computes the geometry of each node's output."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.layers: list[TracedLayer] = []
        self.geometry: dict[fx.Node, Geometry | None] = {}

    def run_node(self, n: fx.Node) -> Any:
        output = super().run_node(n)
        if n.op == "placeholder":
            self.geometry[n] = PIXELS
        elif n.op == "call_module":
            source = n.args[0]
            module = self.fetch_attr(str(n.target))
            before = self.geometry[source] if isinstance(source, fx.Node) else None
            input_shape = self.env[source].shape if isinstance(source, fx.Node) else ()
            main = output[0] if isinstance(output, tuple) else output  # attention returns its weights too
            after = _through_module(module, before, input_shape, main.shape)
            self.geometry[n] = after
            self.layers.append(TracedLayer(str(n.target), module, tuple(main.shape[1:]), after))
        else:
            self.geometry[n] = self._through_function(n, output)
        return output

    def _through_function(self, node: fx.Node, output: Any) -> Geometry | None:
        """Return the geometry of a function's output: that of its inputs if shapes agree, else None."""
        if not isinstance(output, torch.Tensor) or output.dim() != 4:
            return None
        sources = [
            source
            for source in node.all_input_nodes
            if isinstance(self.env.get(source), torch.Tensor) and self.env[source].dim() == 4
        ]
        if not sources or any(self.env[s].shape[2:] != output.shape[2:] for s in sources):
            return None
        joined = self.geometry[sources[0]]
        for source in sources[1:]:
            other = self.geometry[source]
            joined = joined.joined(other) if joined and other else None
        return joined


def _through_module(
    module: nn.Module, before: Geometry | None, input_shape: Any, output_shape: Any
) -> Geometry | None:
    if before is None or len(output_shape) != 4:
        return None
    if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride = _same(module.kernel_size), _same(module.stride)
        padding, dilation = _same(module.padding), _same(getattr(module, "dilation", 1))
        if None in (kernel, stride, padding, dilation):
            return None
        return before.through(kernel, stride, padding, dilation)
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        if input_shape[2:] == output_shape[2:]:
            return before
        rows_in, rows_out = input_shape[2], output_shape[2]
        if input_shape[2:] == (rows_in, rows_in) and rows_out and rows_in % rows_out == 0:
            return before.through(rows_in // rows_out, rows_in // rows_out, 0)
        return None
    return before if input_shape[2:] == output_shape[2:] else None


def _same(value: Any) -> Any:
    """Return the value for both rows and columns; None if they differ."""
    if isinstance(value, tuple):
        return value[0] if len(set(value)) == 1 else None
    return value if isinstance(value, int) else None
