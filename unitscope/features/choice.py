"""Choice of layers by name, and the features of a layer, by one rule. Torch is not imported.

The features of a convolution or linear layer are the output of the activation function that follows it, as in
the paper: of the next module but for normalizations and dropout, if its output has the same shape. Without one,
and for any other module, they are the module's own output. Where the activation function runs on a sum of
branches, as at the end of a ResNet's block, they are those of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from unitscope.description import NUMBER, SHOWN_CHOICES, LayerDescription, NetworkDescription
from unitscope.errors import InvalidArgument, NoSuchModule

WEIGHTED = ("Conv2d", "Linear")
ACTIVATIONS = (
    *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish"),
    *("Hardswish", "Hardtanh", "Sigmoid", "Tanh", "Softplus"),
)
NORMALIZATIONS = (
    *("BatchNorm1d", "BatchNorm2d", "FrozenBatchNorm2d", "GroupNorm", "InstanceNorm2d"),
    *("LayerNorm", "LayerNorm2d", "LocalResponseNorm"),
)
NO_CHANGE = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Flatten", "Identity")  # in evaluation mode


class FeatureLayer(BaseModel):
    """A layer, and the module whose output are its features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str  # as people say it: conv5; the module path where there is no such name
    path: str  # module whose output is read: features.11
    call: int = Field(default=1, ge=1, description="number of the module's run in a forward pass")


def find_layer(description: NetworkDescription, identifier: str, proposed: Sequence[str] = ()) -> int:
    """Return the index of a layer by name (``conv5``, ``fc7``), number (5, 7), or module path.

    Of a module that runs several times, it is the index of the last run.

    Parameters
    ----------
    proposed
        labels of the layers that the error names; by default all, with their module paths.

    Raises
    ------
    NoSuchModule
        the network runs no such module.
    AmbiguousLayer
        ``identifier`` is a number, and the network is not a chain whose convolutions could be numbered.
    """
    layers = description.layers
    is_number = bool(NUMBER.fullmatch(identifier))
    named = any(layer.name for layer in layers)
    names = {f"{kind}{int(identifier)}" for kind in ("conv", "fc")} if is_number else {identifier}
    for index, layer in reversed(list(enumerate(layers))):
        if layer.path == identifier or (layer.name is not None and layer.name in names):
            return index
    if is_number and not named:
        path = description.find_convolution(identifier).path
        return [layer.path for layer in layers].index(path)
    named_with_path = (f"{layer.name} ({layer.path})" if layer.name else layer.path for layer in layers)
    labels = dict.fromkeys(proposed or named_with_path)
    more = [f"and {len(labels) - SHOWN_CHOICES} more"] if len(labels) > SHOWN_CHOICES else []
    choices = ", ".join([*list(labels)[:SHOWN_CHOICES], *more])
    raise NoSuchModule(network=description.specification.name, layer=identifier, choices=choices)


def find_feature_layer(description: NetworkDescription, identifier: str) -> FeatureLayer:
    """Return the layer called ``identifier``, with the module whose output are its features.

    Raises
    ------
    NoSuchModule, AmbiguousLayer
    """
    return _features_of(description.layers, find_layer(description, identifier))


def first_and_last_hidden(description: NetworkDescription) -> list[FeatureLayer]:
    """Return the first and the last hidden layer: the first convolution or linear layer, and the input of the last
    one. In a ZFNet, these are conv1 and fc7.

    Raises
    ------
    InvalidArgument
        the network has no hidden layer.
    """
    layers = description.layers
    weighted = [index for index, layer in enumerate(layers) if layer.kind in WEIGHTED]
    if len(weighted) < 2:
        reason = (
            f"{description.specification.name} has no hidden layer: it has {len(weighted)} layers with weights."
        )
        raise InvalidArgument(reason=reason)
    first = _features_of(layers, weighted[0])
    before = next(index for index in range(weighted[-1] - 1, -1, -1) if layers[index].kind not in NO_CHANGE)
    last = _at(layers, before, layers[before].label)
    for index in weighted[:-1]:  # the activation of a layer has the layer's name
        features = _features_of(layers, index)
        if (features.path, features.call) == (last.path, last.call):
            last = features
    return [first] if first == last else [first, last]


def last_convolution_and_last_hidden(description: NetworkDescription) -> list[FeatureLayer]:
    """Return the last convolution and the last hidden layer. In a ZFNet, these are conv5 and fc7.

    Raises
    ------
    InvalidArgument
        the network has no hidden layer.
    """
    layers = description.layers
    last = first_and_last_hidden(description)[-1]
    weighted = [index for index, layer in enumerate(layers) if layer.kind in WEIGHTED]
    convolutions = [index for index in weighted[:-1] if layers[index].kind == "Conv2d"]
    before = [_features_of(layers, index) for index in convolutions[-1:]]
    return list(dict.fromkeys([*before, last]))


def find_feature_layers(
    description: NetworkDescription,
    identifiers: Sequence[str],
    default: Callable[[NetworkDescription], list[FeatureLayer]] = first_and_last_hidden,
) -> list[FeatureLayer]:
    """Return the layers in the given order, each once; ``default`` chooses them if none is given.

    Raises
    ------
    NoSuchModule, AmbiguousLayer, InvalidArgument
    """
    if not identifiers:
        return default(description)
    return list(dict.fromkeys(find_feature_layer(description, identifier) for identifier in identifiers))


def read_layer(layers: Sequence[LayerDescription], index: int) -> int:
    """Return the index of the layer whose output are the features of a layer: see the module's docstring."""
    if layers[index].kind in WEIGHTED:
        for later in range(index + 1, len(layers)):
            kind = layers[later].kind
            if kind in ACTIVATIONS and layers[later].output_shape == layers[index].output_shape:
                return later
            if kind not in NORMALIZATIONS + NO_CHANGE:
                break
    return index


def call_of(layers: Sequence[LayerDescription], index: int) -> int:
    """Return the number of the run of a layer's module in the forward pass, from 1."""
    return sum(layer.path == layers[index].path for layer in layers[: index + 1])


def _features_of(layers: Sequence[LayerDescription], index: int) -> FeatureLayer:
    return _at(layers, read_layer(layers, index), layers[index].label)


def _at(layers: Sequence[LayerDescription], index: int, label: str) -> FeatureLayer:
    return FeatureLayer(layer=label, path=layers[index].path, call=call_of(layers, index))
