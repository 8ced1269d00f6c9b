"""Shapes and receptive fields of a network's layers, without running the network.

The network is traced with ``torch.fx`` and interpreted on the meta device, together with the geometry of each
map's receptive fields (Araujo et al., *Computing receptive fields of convolutional neural networks*, Distill
2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from unitscope.geometry.dependence import SAME_PLACE, of_call, of_module
from unitscope.layers.outputs import first_tensor
from unitscope.networks.unallocated import meta_copy

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
class TracedBlock(TracedLayer):
    """A module that consists of others, when it ran for the first time. ``after`` is the number of layers that had
    run when its output was computed."""

    after: int


@dataclass(frozen=True)
class Trace:
    """Layers in execution order. ``chain`` is true if each tensor is read by one operation at most."""

    layers: list[TracedLayer]
    chain: bool
    blocks: list[TracedBlock]

    def geometry_of(self, path: str) -> Geometry | None:
        """Return the geometry of a module's first output; None if it is the whole image or unknown."""
        return next((layer.geometry for layer in [*self.layers, *self.blocks] if layer.path == path), None)


def trace(model: nn.Module, image_size: int) -> Trace:
    """Trace a copy of ``model`` for images float32 [1, 3, image_size, image_size].

    Raises
    ------
    ValueError
        ``torch.fx`` can't trace the network, or it can't process images of this size.
    """
    model = meta_copy(model).to("meta").eval()
    try:
        symbolic = _BlockTracer()
        graph = fx.GraphModule(model, symbolic.trace(model))
        tracer = _Tracer(graph, symbolic.blocks)
        tracer.run(torch.empty(1, 3, image_size, image_size, device="meta"))
    except Exception as error:  # user code can raise anything
        raise ValueError(str(error).splitlines()[0]) from error
    chain = all(len(node.users) <= 1 for node in graph.graph.nodes)
    return Trace(tracer.layers, chain, tracer.blocks)


class _BlockTracer(fx.Tracer):
    """Tracer that notes the modules that are no nodes of the graph, by the node of their first output."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[str, list[str]] = {}  # by the node's name
        self._seen: set[str] = set()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        if path not in self._seen and not self.is_leaf_module(m, path):
            self._seen.add(path)
            proxies = [part for part in tree_leaves(output) if isinstance(part, fx.Proxy)]
            if proxies:
                self.blocks.setdefault(proxies[0].node.name, []).append(path)
        return output


class _Tracer(fx.Interpreter):
    """Interpreter of a graph on the meta device, which computes the geometry of each node's output.

    ``geometry`` contains the nodes whose output depends on the image, not parameters, nor numbers computed from
    shapes.
    """

    def __init__(self, graph: fx.GraphModule, blocks: dict[str, list[str]]) -> None:
        super().__init__(graph)
        self.layers: list[TracedLayer] = []
        self.blocks: list[TracedBlock] = []
        self._blocks_of = blocks
        self.geometry: dict[fx.Node, Geometry | None] = {}
        self.versions: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        output = super().run_node(n)
        read = [node for node in n.all_input_nodes if node in self.geometry]
        if n.op == "placeholder":
            if isinstance(output, torch.Tensor):
                self.geometry[n] = PIXELS
        elif read:
            after = self._output_geometry(n, read, output)
            self._update_modified(after)
            if _holds_tensors(output):
                self.geometry[n] = after
        if n.op == "call_module":
            main = first_tensor(output)
            module = self.fetch_attr(str(n.target))
            if main is not None:
                geometry = self.geometry.get(n)
                self.layers.append(TracedLayer(str(n.target), module, tuple(main.shape[1:]), geometry))
        self._note_blocks(n, output)
        if isinstance(output, torch.Tensor):
            self.versions[n] = output._version
        return output

    def _note_blocks(self, node: fx.Node, output: Any) -> None:
        main = first_tensor(output)
        if main is None:
            return
        for path in self._blocks_of.get(node.name, ()):
            module, shape = self.module.get_submodule(path), tuple(main.shape[1:])
            self.blocks.append(TracedBlock(path, module, shape, self.geometry.get(node), len(self.layers)))

    def _output_geometry(self, node: fx.Node, read: list[fx.Node], output: Any) -> Geometry | None:
        """Return the geometry of a node's output; None if it is the whole image or unknown."""
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
        if local != SAME_PLACE:  # a window of one map; the other inputs are parameters
            before = self.geometry[read[0]] if len(read) == 1 else None
            return before.through(local.kernel, local.stride, local.padding, local.dilation) if before else None
        if any(self._size(source) != output.shape[2:] for source in read):
            return None  # not maps, or broadcast maps
        joined = self.geometry[read[0]]
        for source in read[1:]:
            other = self.geometry[source]
            joined = joined.joined(other) if joined and other else None
        return joined

    def _size(self, node: fx.Node) -> torch.Size | None:
        """Return rows and columns of a node's map; None if its output is no map."""
        value = self.env[node]
        return value.shape[2:] if isinstance(value, torch.Tensor) and value.dim() == 4 else None

    def _update_modified(self, after: Geometry | None) -> None:
        """Update the geometry of tensors that the last node modified in place, also through an alias or a view."""
        for node, value in self.env.items():
            if isinstance(value, torch.Tensor) and value._version != self.versions[node]:
                self.versions[node] = value._version
                self.geometry[node] = after if self.geometry.get(node) else None


def _main(output: Any) -> Any:
    """Return a module's output, or the first of several: attention returns its weights, too."""
    return output[0] if isinstance(output, tuple) and output else output


def _holds_tensors(output: Any) -> bool:
    """Whether an output contains tensors: shapes, and numbers computed from them, don't depend on the image."""
    if isinstance(output, (tuple, list)) and not isinstance(output, torch.Size):
        return any(_holds_tensors(value) for value in output)
    return not isinstance(output, (int, float, str, torch.Size, torch.dtype, torch.device, type(None)))
