"""Layers whose features are probed, and the size to which large maps are pooled. Torch is not imported."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from unitscope.description import NUMBER, LayerDescription, NetworkDescription
from unitscope.errors import InvalidArgument, NoFeatures, NoSuchReadableLayer

MAX_FEATURES = 4096  # by default: as many as the paper's layers 6 and 7 have
NORMALIZATIONS = {"BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm"}
ACTIVATIONS = {
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "PReLU",
    "ELU",
    "GELU",
    "SiLU",
    "Mish",
    "Hardswish",
    "Sigmoid",
    "Tanh",
}
SHOWN_CHOICES = 30


class ProbedLayer(BaseModel):
    """A layer, the module whose output is its features, and their number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str  # common name (conv5), or the module path
    path: str
    # The activation function that follows the layer, in a network that is a plain chain; otherwise the layer.
    read_path: str
    shape: tuple[int, ...]  # of the output: (channels, rows, columns), or (features,)
    grid: tuple[int, int] | None  # rows and columns to which maps are pooled; None: they are used as they are

    @property
    def features(self) -> int:
        """Number of features of an image."""
        return math.prod((self.shape[0], *self.grid) if self.grid else self.shape)


def probed_layers(
    description: NetworkDescription, names: Sequence[str] = (), max_features: int = MAX_FEATURES
) -> list[ProbedLayer]:
    """Return the named layers, in execution order; by default all convolutions and hidden fully connected layers.

    Maps [channels, rows, columns] with more than ``max_features`` values are pooled to G x G with the largest G
    for which at most ``max_features`` features remain. Vectors are used as they are.

    Raises
    ------
    NoSuchReadableLayer
        no layer has this name, number or path.
    NoFeatures
        the layer's output is neither maps nor a vector, or it has more maps than ``max_features``.
    InvalidArgument
        the network has neither convolutions nor hidden fully connected layers.
    """
    chosen = {_find(description, name) for name in names} if names else set(_default_layers(description))
    if not chosen:
        network = description.specification.name
        raise InvalidArgument(reason=f"{network} has no convolution and no hidden fully connected layer to probe.")
    return [
        _probed(description, index, max_features) for index in range(len(description.layers)) if index in chosen
    ]


def _default_layers(description: NetworkDescription) -> list[int]:
    """Return the indices of the convolutions, and of all linear layers but the last that output vectors."""
    linear = [i for i, layer in enumerate(description.layers) if layer.kind == "Linear"]
    hidden = [i for i in linear[:-1] if len(description.layers[i].output_shape) == 1]
    convolutions = [i for i, layer in enumerate(description.layers) if layer.kind == "Conv2d"]
    return [*convolutions, *hidden]


def _find(description: NetworkDescription, identifier: str) -> int:
    """Return the index of a layer: ``5`` or ``conv5``, ``fc7`` or ``7``, or a module path."""
    names = {identifier}
    if NUMBER.fullmatch(identifier):
        names |= {f"conv{int(identifier)}", f"fc{int(identifier)}"}
    for index, layer in reversed(list(enumerate(description.layers))):  # the last call of a module that runs twice
        if layer.path == identifier or layer.name in names:
            return index
    labels = [description.layers[index].label for index in _default_layers(description)]
    more = [f"and {len(labels) - SHOWN_CHOICES} more"] if len(labels) > SHOWN_CHOICES else []
    choices = ", ".join(labels[:SHOWN_CHOICES] + more)
    raise NoSuchReadableLayer(network=description.specification.name, layer=identifier, choices=choices)


def _probed(description: NetworkDescription, index: int, max_features: int) -> ProbedLayer:
    layer = description.layers[index]
    read = _activation_after(description.layers, index) if description.chain else layer
    shape = read.output_shape
    network = description.specification.name
    if len(shape) not in (1, 3):
        reason = f"its output is of shape {list(shape)}, neither maps [channels, rows, columns] nor a vector"
        raise NoFeatures(network=network, layer=layer.label, reason=reason)
    if len(shape) == 3 and shape[0] > max_features:
        reason = f"it has {shape[0]} maps, more than {max_features} features"
        raise NoFeatures(network=network, layer=layer.label, reason=reason)
    grid = pooled_grid(shape, max_features)
    return ProbedLayer(layer=layer.label, path=layer.path, read_path=read.path, shape=shape, grid=grid)


def _activation_after(layers: Sequence[LayerDescription], index: int) -> LayerDescription:
    """Return the activation function that is applied to a layer's output, maybe after a normalization; without
    one, the layer itself."""
    for layer in layers[index + 1 :]:
        if layer.kind in ACTIVATIONS:
            return layer
        if layer.kind not in NORMALIZATIONS:
            break
    return layers[index]


def pooled_grid(shape: Sequence[int], max_features: int) -> tuple[int, int] | None:
    """Return the rows and columns to which an output is pooled; None if it has at most ``max_features`` values, or
    is a vector."""
    if len(shape) == 1 or math.prod(shape) <= max_features:
        return None
    channels, rows, columns = shape
    side = math.isqrt(max_features // channels)
    return min(side, rows), min(side, columns)
