"""What a network looks like, without torch: so that the command line can check a request at once.

``unitscope.networks.describe`` works a description out; the table ``networks`` keeps it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from unitscope.errors import AmbiguousLayer, NoSuchLayer, NotAConvolution
from unitscope.tables import as_html, as_text
from unitscope.vocabulary import Channels

SHOWN_CHOICES = 30
VERSION = 2  # raise it with every change of what a description says of a network
NUMBER = re.compile(r"[0-9]{1,6}")
HEADINGS = ("layer", "module", "kind", "output", "receptive field", "stride", "parameters")
NUMBERS = HEADINGS[3:]  # the columns that are aligned to the right

Width = Annotated[int, Field(ge=1, le=65_536)]


class InputDefaults(NamedTuple):
    """A network's input where nothing else is asked for: height and width in pixels, and its normalisation,
    (pixel - mean) / std by channel, of pixels from 0 to 1."""

    size: int
    mean: Channels
    std: Channels


HALF: Channels = (0.5, 0.5, 0.5)  # the replications': inputs from -1 to 1
PAPER_STD: Channels = (0.5 / 128, 0.5 / 128, 0.5 / 128)  # inputs from -128 to 128
IMAGENET = InputDefaults(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

INPUT_DEFAULTS = {
    "zfnet": InputDefaults(227, HALF, HALF),
    "alexnet": InputDefaults(227, HALF, HALF),
    "zfnet-paper": InputDefaults(224, HALF, PAPER_STD),
    "zfnet-wide": InputDefaults(224, HALF, PAPER_STD),
    "cifar-cnn": InputDefaults(32, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # The published weights of these three see pixels so: torchvision's ``transform_input`` of the first two makes
    # ImageNet's normalisation into it.
    "googlenet": InputDefaults(224, HALF, HALF),
    "inception_v3": InputDefaults(299, HALF, HALF),
    "efficientnet_v2_l": InputDefaults(224, HALF, HALF),
}


def input_defaults(name: str) -> InputDefaults:
    """The input of a network's published recipe; torchvision's others have ImageNet's."""
    return INPUT_DEFAULTS.get(name, IMAGENET)


class NetworkSpecification(BaseModel):
    """A network to be built, without its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: int = Field(ge=1, le=100_000)
    image_size: int = Field(ge=16, le=4096, description="height and width of the input, in pixels")
    fc: Width | None = Field(default=None, description="width of the fully connected layers")
    maps: tuple[Width, Width, Width] | None = Field(default=None, description="maps of convolutions 3, 4 and 5")
    without: tuple[str, ...] = Field(default=(), description="layers left out: conv3, fc7 (paper, Table 3)")
    # What a pixel (0 to 1, by channel) is made of before the network sees it: (pixel - mean) / std.
    mean: Channels = HALF
    std: Channels = HALF

    @field_validator("without")
    @classmethod
    def _in_one_order(cls, without: tuple[str, ...]) -> tuple[str, ...]:
        """The same layers have the same key, in whatever order they were named."""
        return tuple(sorted(set(without)))

    def key(self) -> str:
        """The identity of the description."""
        return hashlib.sha256(f"description 2 {self.model_dump_json()}".encode()).hexdigest()


class LayerDescription(BaseModel):
    """One layer of a network that has weights or changes the map's size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str  # the module's path: features.10
    name: str | None  # as people say it: conv5
    kind: str  # the module's class: Conv2d
    output_shape: tuple[int, ...]  # without the batch: (channels, rows, columns)
    parameters: int
    # Receptive field in pixels of the input, None where a unit sees all of it or more than can be said.
    receptive_field: int | None
    stride: int | None  # between the fields of neighbouring units
    start: int | None  # the first row and column of the field of the map's first unit; negative in the padding

    @property
    def units(self) -> int:
        return self.output_shape[0]


class NetworkDescription(BaseModel):
    """A network's layers in the order in which they run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specification: NetworkSpecification
    chain: bool  # every layer takes the output of the one before: counting its convolutions means something
    layers: list[LayerDescription]
    parameters: int
    bytes: int  # of parameters and buffers
    version: int = 1  # of the code that described it; 1 took functions that keep a map's size for pointwise ones

    @property
    def title(self) -> str:
        """One line: name, classes, size of the input. One class stands for a network that is no classifier."""
        network, pixels = self.specification, self.specification.image_size
        classes = f"{network.classes} classes, " if network.classes > 1 else ""
        return f"{network.name}: {classes}input 3 x {pixels} x {pixels}"

    @property
    def totals(self) -> str:
        """One line: parameters and memory."""
        return f"{self.parameters:,} parameters; {self.bytes / 2**20:.2f} MB with buffers"

    def table(self) -> list[tuple[str, ...]]:
        """The layers as cells of text, in columns of ``HEADINGS``."""
        return [
            (
                layer.name or "",
                layer.path,
                layer.kind,
                " x ".join(map(str, layer.output_shape)),
                f"{layer.receptive_field} px" if layer.receptive_field else "image",
                f"{layer.stride} px" if layer.stride else "",
                f"{layer.parameters:,}" if layer.parameters else "",
            )
            for layer in self.layers
        ]

    def __str__(self) -> str:
        return "\n".join([self.title, as_text(HEADINGS, self.table(), NUMBERS), self.totals])

    def __repr__(self) -> str:  # what a prompt shows
        return str(self)

    def _repr_html_(self) -> str:
        return as_html(self.title, HEADINGS, self.table(), NUMBERS, self.totals)

    def convolutions(self) -> list[LayerDescription]:
        return [layer for layer in self.layers if layer.kind == "Conv2d"]

    def find_convolution(self, wanted: str) -> LayerDescription:
        """The convolution called ``wanted``: ``5`` or ``conv5`` for the fifth, or a module path.

        Where layers have names a number means a name: without conv3 and conv4, ``5`` is the third and last.

        Raises
        ------
        NoSuchLayer, NotAConvolution, AmbiguousLayer
        """
        network = self.specification.name
        choices = self._choices()
        named = any(layer.name for layer in self.layers)
        name = f"conv{int(wanted)}" if named and NUMBER.fullmatch(wanted) else wanted
        for layer in self.layers:
            if wanted == layer.path or name == layer.name:
                if layer.kind != "Conv2d":
                    raise NotAConvolution(layer=wanted, network=network, kind=layer.kind, choices=choices)
                return layer
        if NUMBER.fullmatch(wanted) and not named:
            if not self.chain:
                raise AmbiguousLayer(network=network, layer=wanted, choices=choices)
            position = int(wanted)
            if 1 <= position <= len(self.convolutions()):
                return self.convolutions()[position - 1]
        raise NoSuchLayer(network=network, layer=wanted, choices=choices)

    def _choices(self) -> str:
        said = [f"{c.name} ({c.path})" if c.name else c.path for c in self.convolutions()]
        more = [f"and {len(said) - SHOWN_CHOICES} more"] if len(said) > SHOWN_CHOICES else []
        return ", ".join(said[:SHOWN_CHOICES] + more)
