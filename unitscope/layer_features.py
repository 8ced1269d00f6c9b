"""Choice of the layers whose features are compared. Torch is not imported.

The features of a convolution or linear layer are the output of the activation function that follows it, as in the
paper; those of any other module are its output.
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
NO_CHANGE = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Flatten", "Identity")  # in evaluation mode


class FeatureLayer(BaseModel):
    """A layer, and the module whose output are its features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str  # as people say it: conv5; the module path where there is no such name
    path: str  # module whose output is read: features.11
    call: int = Field(default=0, ge=0, description="which call of a module that is called several times")


def find_feature_layer(description: NetworkDescription, identifier: str) -> FeatureLayer:
    """Return the layer called ``identifier``: a name (``conv5``, ``fc7``), a number (5, 7), or a module path.

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
    for index, layer in enumerate(layers):
        if layer.path == identifier or (layer.name is not None and layer.name in names):
            return _features_of(layers, index)
    if is_number and not named:
        path = description.find_convolution(identifier).path
        return _features_of(layers, [layer.path for layer in layers].index(path))
    labels = dict.fromkeys(f"{layer.name} ({layer.path})" if layer.name else layer.path for layer in layers)
    more = [f"and {len(labels) - SHOWN_CHOICES} more"] if len(labels) > SHOWN_CHOICES else []
    choices = ", ".join([*list(labels)[:SHOWN_CHOICES], *more])
    raise NoSuchModule(network=description.specification.name, layer=identifier, choices=choices)


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


def _features_of(layers: Sequence[LayerDescription], index: int) -> FeatureLayer:
    """Return the layer with the activation that follows before the next convolution or linear layer, if any."""
    layer = layers[index]
    if layer.kind in WEIGHTED:
        for later in range(index + 1, len(layers)):
            if layers[later].kind in WEIGHTED:
                break
            if layers[later].kind in ACTIVATIONS:
                return _at(layers, later, layer.label)
    return _at(layers, index, layer.label)


def _at(layers: Sequence[LayerDescription], index: int, label: str) -> FeatureLayer:
    path = layers[index].path
    return FeatureLayer(layer=label, path=path, call=sum(layer.path == path for layer in layers[:index]))
