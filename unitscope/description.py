"""Descriptions of networks: layers, shapes and receptive fields, as plain data.

This module does not import torch, so that the command line can check a request without it. Descriptions are
computed by ``unitscope.networks.describe`` and stored in the table ``networks``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from unitscope.errors import AmbiguousLayer, NoSuchLayer, NotAConvolution, UnsupportedActivation
from unitscope.factories import FactorySpecification
from unitscope.layers.forms import LayerForm
from unitscope.tables import as_html, as_text
from unitscope.vocabulary import Channels, ProjectionChoice, ProjectionMethod

SHOWN_CHOICES = 30
SHOWN_SUPPORTED = 5
VERSION = 4  # increase it with every change of the content of a description
NUMBER = re.compile(r"[0-9]{1,6}")
PART_NUMBER = re.compile(r"[0-9]+(?=\.|$)")  # at the end of a part of a module path
HEADINGS = ("layer", "module", "kind", "output", "form", "receptive field", "stride", "parameters")
NUMBERS = (HEADINGS[3], *HEADINGS[5:])  # columns aligned to the right

Width = Annotated[int, Field(ge=1, le=65_536)]


class InputDefaults(NamedTuple):
    """Default input of a network: ``size`` is height and width in pixels; inputs are normalized to
    (pixel - mean) / std by channel, for pixels from 0 to 1."""

    size: int
    mean: Channels
    std: Channels


HALF: Channels = (0.5, 0.5, 0.5)  # as in the replications: inputs from -1 to 1
PAPER_STD: Channels = (0.5 / 128, 0.5 / 128, 0.5 / 128)  # inputs from -128 to 128
IMAGENET = InputDefaults(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

INPUT_DEFAULTS = {
    "zfnet": InputDefaults(227, HALF, HALF),
    "alexnet": InputDefaults(227, HALF, HALF),
    "zfnet-paper": InputDefaults(224, HALF, PAPER_STD),
    "zfnet-wide": InputDefaults(224, HALF, PAPER_STD),
    "cifar-cnn": InputDefaults(32, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # The published weights of these three expect this normalization: for the first two, torchvision's
    # ``transform_input`` converts ImageNet's normalization to it.
    "googlenet": InputDefaults(224, HALF, HALF),
    "inception_v3": InputDefaults(299, HALF, HALF),
    "efficientnet_v2_l": InputDefaults(224, HALF, HALF),
}
ZFNET_NAMES = ("zfnet", "zfnet-paper", "zfnet-wide")  # only these have the options fc, maps and without
FC_WIDTH = 4096  # default width of the fully connected layers of a ZFNet
RECIPE_CLASSES = {"cifar-cnn": 10}  # of the data set of the published recipe; ImageNet's 1000 for other networks


def default_classes(name: str) -> int:
    """Return the number of classes of the network's published recipe."""
    return RECIPE_CLASSES.get(name, 1000)


def input_defaults(name: str) -> InputDefaults:
    """Return the input of the network's published recipe; ImageNet's for networks that are not listed."""
    return INPUT_DEFAULTS.get(name, IMAGENET)


class NetworkSpecification(BaseModel):
    """Parameters from which a network is built, without its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: int = Field(ge=1, le=100_000)
    image_size: int = Field(ge=16, le=4096, description="height and width of the input, in pixels")
    fc: Width | None = Field(default=None, description="width of the fully connected layers")
    maps: tuple[Width, Width, Width] | None = Field(default=None, description="maps of convolutions 3, 4 and 5")
    without: tuple[str, ...] = Field(default=(), description="layers left out: conv3, fc7 (paper, Table 3)")
    # Left out of the JSON if it is None, so that the keys of networks without it don't depend on it.
    head: Width | None = Field(
        default=None,
        exclude_if=lambda head: head is None,
        description="outputs of the network's own head, on top of which a linear layer for the classes is put",
    )
    # Left out of the JSON likewise.
    factory: FactorySpecification | None = Field(
        default=None,
        exclude_if=lambda factory: factory is None,
        description="of a network of the user's own: what makes it",
    )
    # Normalization of the input: (pixel - mean) / std by channel, for pixels from 0 to 1.
    mean: Channels = HALF
    std: Channels = HALF

    @field_validator("without")
    @classmethod
    def _in_one_order(cls, without: tuple[str, ...]) -> tuple[str, ...]:
        """Sort the layers, so that the key doesn't depend on the order in which they were named."""
        return tuple(sorted(set(without)))

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.factory and (self.fc or self.maps or self.without):
            raise ValueError("a network of your own has no options fc, maps and without")
        return self

    def key(self) -> str:
        """Return the SHA-256 (hexadecimal) that identifies this specification."""
        return hashlib.sha256(f"description 2 {self.model_dump_json()}".encode()).hexdigest()


class UnsupportedOperation(BaseModel):
    """An operation through which a deconvnet can't project: an activation other than a ReLU module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str  # path of the module that executes it; the network's class outside of its modules
    kind: str  # class of that module
    function: str  # name of the ATen operator: silu


class LayerDescription(BaseModel):
    """A module of a network: the shape and form of its first output, number of parameters and receptive field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str  # module path: features.10
    name: str | None  # common name: conv5
    kind: str  # class of the module: Conv2d
    output_shape: tuple[int, ...]  # without the batch dimension: (channels, rows, columns)
    parameters: int
    # Side of the receptive field in input pixels; None if it is the whole image or unknown.
    receptive_field: int | None
    stride: int | None  # distance in input pixels between the receptive fields of neighbouring positions
    start: int | None  # first row and column of the receptive field of position (0, 0); negative in the padding
    # What rules out its deconvnet and guided projections. None: all projection methods work.
    unsupported: UnsupportedOperation | None = None
    form: LayerForm | None = None  # of its output when it runs for the first time; None: it has no units
    no_form: str | None = None  # why it has no units

    @property
    def units(self) -> int:
        return self.form.units if self.form else self.output_shape[0]

    @property
    def label(self) -> str:
        """The layer's name, or its module path if it has none."""
        return self.name or self.path

    def check_projection(self, method: ProjectionMethod) -> None:
        """Check that units of this layer can be projected.

        Raises
        ------
        UnsupportedActivation
            an operation before the layer rules the method out.
        """
        if method != "gradient" and self.unsupported:
            raise UnsupportedActivation(layer=self.label, **self.unsupported.model_dump())

    def projection(self, choice: ProjectionChoice) -> ProjectionMethod | None:
        """Return the projection method of this layer; None for no projections. ``auto`` is the deconvnet, or the
        gradient where an operation before the layer rules it out.

        Raises
        ------
        UnsupportedActivation
        """
        if choice == "none":
            return None
        if choice == "auto":
            return "gradient" if self.unsupported else "deconvnet"
        self.check_projection(choice)
        return choice


class BlockDescription(LayerDescription):
    """A module that consists of others. ``after`` is the number of leaf modules that had run when it returned."""

    after: int


class NetworkDescription(BaseModel):
    """A network's layers in execution order. ``layers`` are leaf modules, of which some run several times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specification: NetworkSpecification
    chain: bool  # each layer reads the output of the previous one only, so that convolutions can be numbered
    layers: list[LayerDescription]
    blocks: list[BlockDescription] = []  # modules that consist of others
    last: str | None = None  # path of the module that outputs the class scores, or whatever the network outputs
    parameters: int
    bytes: int  # of parameters and buffers
    # VERSION of the code. 1 took functions that keep the size of a map for pointwise, 2 had no ``unsupported``, 3
    # had no ``form`` and no ``blocks``.
    version: int = 1

    @property
    def title(self) -> str:
        """One line: name, number of classes (if there are several), input size."""
        network, pixels = self.specification, self.specification.image_size
        classes = f"{network.classes} classes, " if network.classes > 1 else ""
        return f"{network.name}: {classes}input 3 x {pixels} x {pixels}"

    @property
    def totals(self) -> str:
        """One line: number of parameters, and size of parameters and buffers."""
        return f"{self.parameters:,} parameters; {self.bytes / 2**20:.2f} MB with buffers"

    @property
    def projections(self) -> str:
        """One line: the projection methods that work for the layers of units; empty without layers."""
        layers = {layer.path: layer for layer in self.layers if layer.form}.values()
        supported = [layer.label for layer in layers if not layer.unsupported]
        operations = [layer.unsupported for layer in layers if layer.unsupported]
        if not operations:
            return "projection methods: deconvnet, guided, gradient" if supported else ""
        named = ", ".join(supported[:SHOWN_SUPPORTED])
        more = f" and {len(supported) - SHOWN_SUPPORTED} more" if len(supported) > SHOWN_SUPPORTED else ""
        first = operations[0]
        return (
            f"projection methods: {f'all for {named}{more}; ' if supported else ''}only gradient for "
            f"{len(operations)} {'other ' if supported else ''}layers, since module {first.module} "
            f"({first.kind}) applies {first.function}"
        )

    def table(self) -> list[tuple[str, ...]]:
        """Return one row of text cells for each layer, in the columns of ``HEADINGS``."""
        seen = Counter[str]()
        rows: list[tuple[str, ...]] = []
        for layer in self.layers:
            seen[layer.path] += 1
            run = seen[layer.path]
            form = layer.form.title if layer.form else ""
            rows.append(
                (
                    layer.name or "",
                    layer.path,
                    layer.kind,
                    " x ".join(map(str, layer.output_shape)),
                    form if run == 1 else f"run {run}",  # the form is that of the first run
                    f"{layer.receptive_field} px" if layer.receptive_field else "image",
                    f"{layer.stride} px" if layer.stride else "",
                    f"{layer.parameters:,}" if layer.parameters else "",
                )
            )
        return rows

    def runs(self, path: str) -> int:
        """Return how many times a leaf module runs in a forward pass; 0 if it is none of ``layers``."""
        return sum(layer.path == path for layer in self.layers)

    @property
    def repeated(self) -> str:
        """One line: the modules that run several times; empty if there are none."""
        counts = Counter(layer.path for layer in self.layers if layer.form)
        shown = _grouped([path for path, count in counts.items() if count > 1])
        return f"run several times, and a search takes their first run: {shown}" if shown else ""

    @property
    def unknown_fields(self) -> str:
        """One line, if no layer has a known receptive field, not even a convolution; empty otherwise."""
        if not self.convolutions() or any(layer.receptive_field for layer in self.layers):
            return ""
        return (
            "receptive fields are not known, since torch.fx can't trace the network or its first operations: "
            "patches of maps are whole images"
        )

    @property
    def grouped_blocks(self) -> str:
        """One line: patterns of the paths of modules that consist of others; empty if there are none."""
        shown = _grouped([block.path for block in self.blocks if block.form])
        return f"blocks, which are layers as well: {shown}" if shown else ""

    @property
    def below(self) -> list[str]:
        """Lines below the table: blocks, modules that run several times, unknown receptive fields, projection
        methods, totals."""
        lines = (self.grouped_blocks, self.repeated, self.unknown_fields, self.projections, self.totals)
        return [line for line in lines if line]

    def __str__(self) -> str:
        table = as_text(HEADINGS, self.table(), NUMBERS)
        return "\n".join([self.title, table, *self.below])

    def __repr__(self) -> str:  # pydantic's own would be one long line at a prompt
        return str(self)

    def _repr_html_(self) -> str:
        return as_html(self.title, HEADINGS, self.table(), NUMBERS, "; ".join(self.below))

    def in_order(self) -> list[LayerDescription]:
        """Return layers and blocks in execution order: the first run of each module, and a block after the layers
        that it consists of."""
        first: dict[str, tuple[int, int, LayerDescription]] = {}
        for number, layer in enumerate(self.layers):
            first.setdefault(layer.path, (number + 1, 0, layer))
        for number, block in enumerate(self.blocks):
            first.setdefault(block.path, (block.after, number + 1, block))
        return [layer for _, _, layer in sorted(first.values(), key=lambda entry: entry[:2])]

    def convolutions(self) -> list[LayerDescription]:
        return [layer for layer in self.layers if layer.kind == "Conv2d"]

    def find_convolution(self, identifier: str) -> LayerDescription:
        """Return the convolution called ``identifier``: ``5`` or ``conv5`` for the fifth, or a module path.

        In networks whose layers have names, a number refers to the name: in a ZFNet without conv3 and conv4, ``5``
        is conv5, the third and last convolution.

        Raises
        ------
        NoSuchLayer
            no layer has this number, name or path.
        NotAConvolution
            the layer is not a ``Conv2d``.
        AmbiguousLayer
            ``identifier`` is a number, and the network is not a chain whose convolutions could be numbered.
        """
        network = self.specification.name
        choices = self._choices()
        named = any(layer.name for layer in self.layers)
        name = f"conv{int(identifier)}" if named and NUMBER.fullmatch(identifier) else identifier
        for layer in self.layers:
            if identifier == layer.path or name == layer.name:
                if layer.kind != "Conv2d":
                    raise NotAConvolution(layer=identifier, network=network, kind=layer.kind, choices=choices)
                return layer
        if NUMBER.fullmatch(identifier) and not named:
            if not self.chain:
                raise AmbiguousLayer(network=network, layer=identifier, choices=choices)
            position = int(identifier)
            if 1 <= position <= len(self.convolutions()):
                return self.convolutions()[position - 1]
        raise NoSuchLayer(network=network, layer=identifier, choices=choices)

    def _choices(self) -> str:
        labels = [f"{c.name} ({c.path})" if c.name else c.path for c in self.convolutions()]
        return _listed(labels)


def _grouped(paths: Sequence[str]) -> str:
    """Return module paths in a line, those that differ in their numbers as one pattern."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(PART_NUMBER.sub("*", path), []).append(path)
    return _listed([f"{pattern} ({len(of)})" if len(of) > 1 else of[0] for pattern, of in groups.items()])


def _listed(names: list[str]) -> str:
    """Return the first names, and the number of the others."""
    more = [f"and {len(names) - SHOWN_CHOICES} more"] if len(names) > SHOWN_CHOICES else []
    return ", ".join(names[:SHOWN_CHOICES] + more)
