"""Layers whose features are probed, and the size to which large maps are pooled. Torch is not imported."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from unitscope.description import NetworkDescription
from unitscope.errors import InvalidArgument, NoFeatures
from unitscope.features.choice import call_of, find_layer, read_layer

MAX_FEATURES = 4096  # by default: as many as the paper's layers 6 and 7 have


class ProbedLayer(BaseModel):
    """A layer, the module whose output is its features, and their number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str  # common name (conv5), or the module path
    path: str
    read_path: str  # the module that is read: the activation function that follows the layer, if any
    call: int = Field(default=1, ge=1, description="number of the run of the module that is read")
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
    NoSuchModule, AmbiguousLayer
        no layer has this name, number or path.
    NoFeatures
        the layer's output is neither maps nor a vector, or it has more maps than ``max_features``.
    InvalidArgument
        the network has neither convolutions nor hidden fully connected layers.
    """
    chosen = set(_default_layers(description))
    if names:
        proposed = [description.layers[index].label for index in sorted(chosen)]
        chosen = {find_layer(description, name, proposed) for name in names}
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


def _probed(description: NetworkDescription, index: int, max_features: int) -> ProbedLayer:
    layers = description.layers
    layer, read = layers[index], read_layer(layers, index)
    shape = layers[read].output_shape
    network = description.specification.name
    if len(shape) not in (1, 3):
        reason = f"its output is of shape {list(shape)}, neither maps [channels, rows, columns] nor a vector"
        raise NoFeatures(network=network, layer=layer.label, reason=reason)
    if len(shape) == 3 and shape[0] > max_features:
        reason = f"it has {shape[0]} maps, more than {max_features} features"
        raise NoFeatures(network=network, layer=layer.label, reason=reason)
    grid = pooled_grid(shape, max_features)
    return ProbedLayer(
        layer=layer.label,
        path=layer.path,
        read_path=layers[read].path,
        call=call_of(layers, read),
        shape=shape,
        grid=grid,
    )


def pooled_grid(shape: Sequence[int], max_features: int) -> tuple[int, int] | None:
    """Return the rows and columns to which an output is pooled; None if it has at most ``max_features`` values, or
    is a vector."""
    if len(shape) == 1 or math.prod(shape) <= max_features:
        return None
    channels, rows, columns = shape
    side = math.isqrt(max_features // channels)
    return min(side, rows), min(side, columns)
