"""The layers of a network that output feature maps, and the runs of each in a forward pass, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unitscope.description import LayerDescription, NetworkDescription
from unitscope.errors import InvalidArgument
from unitscope.features.choice import call_of, find_layer


@dataclass(frozen=True)
class LayerRun:
    """A run of a module in a forward pass: the module that ``description`` describes, for the ``call``-th time.

    A module can run several times: a ResNet's block has one ReLU, which follows two convolutions.
    """

    description: LayerDescription
    call: int  # from 1

    @property
    def path(self) -> str:
        return self.description.path

    @property
    def title(self) -> str:
        """The layer's name, or its module path and kind, and the number of its run from the second one on."""
        layer = self.description
        again = f" ({self.call})" if self.call > 1 else ""
        return layer.name or f"{layer.path} {layer.kind}{again}"


def layers_with_maps(description: NetworkDescription) -> list[LayerRun]:
    """Return the layers whose output is a set of maps (channels, rows, columns), in execution order."""
    layers = description.layers
    return [
        LayerRun(layer, call_of(layers, index))
        for index, layer in enumerate(layers)
        if len(layer.output_shape) == 3
    ]


def find_layers(description: NetworkDescription, names: Sequence[str]) -> list[LayerRun]:
    """Return the layers with these names (``conv5``, ``5``, or module paths), each with all of its runs.

    Raises
    ------
    NoSuchModule, AmbiguousLayer
        no layer has this name.
    InvalidArgument
        the output of a layer is not a set of maps.
    """
    runs = layers_with_maps(description)
    paths = {_path(description, name) for name in names}
    return [run for run in runs if run.path in paths]


def _path(description: NetworkDescription, name: str) -> str:
    layer = description.layers[find_layer(description, name)]
    if len(layer.output_shape) != 3:
        shape = " x ".join(map(str, layer.output_shape))
        raise InvalidArgument(
            reason=f"Layer '{name}' of {description.specification.name} has no feature maps: its output has "
            f"the shape {shape}. Name a layer whose output has channels, rows and columns."
        )
    return layer.path
