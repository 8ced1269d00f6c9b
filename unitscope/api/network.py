"""Networks as arguments of the analyses: a module, its input, and the names of its classes."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from unitscope.api.arguments import channels, whole_number
from unitscope.description import (
    LayerDescription,
    NetworkDescription,
    NetworkSpecification,
    default_classes,
    input_defaults,
)
from unitscope.errors import InvalidArgument, NoSuchUnit
from unitscope.layers import lookup
from unitscope.networks.build import build
from unitscope.networks.checkpoints import Checkpoint, read_checkpoint
from unitscope.networks.describe import count_classes, describe_module
from unitscope.networks.names import fit
from unitscope.networks.sizes import runs_on_meta, unsupported_size
from unitscope.networks.unallocated import Unallocated
from unitscope.networks.weights import load_pretrained, load_weights
from unitscope.spelling import index_of, suggestion
from unitscope.vocabulary import Channels

LEAST_SIZE, LARGEST_SIZE = 16, 4096  # height and width of images, in pixels
SHOWN_NAMES = 20  # class names listed in an error message

logger = logging.getLogger(__name__)


class Network:
    """A network to analyse.

    The module is copied; the copy is converted to float32 and set to evaluation mode. The original is neither
    changed nor moved, and later changes to it (training, for example) have no effect here. For each further device
    that an analysis uses, another copy is made.

    Parameters
    ----------
    model : torch.nn.Module
        A module that takes images float32 [N, 3, ``size``, ``size``]. ``occlude`` and ``train`` need an output of
        logits [N, classes]; otherwise the output may be anything.
    size : int, optional
        Height and width in pixels to which images are resized, 16 to 4096.
    mean, std : three floats each, optional
        The input's normalization by channel: (pixel - mean) / std, for pixels from 0 to 1.
    class_names : sequence of str, optional
        Class names by index of the output.
    name : str, optional
        Name in titles and error messages; by default that of the module's class. It also selects the defaults of
        ``size``, ``mean`` and ``std``: those of the network's published recipe, or ImageNet's (224 pixels) for
        other names.

    Attributes
    ----------
    model : torch.nn.Module
        The copy, which must not be modified.
    size, mean, std, class_names, name
        See the parameters.
    description : NetworkDescription
        Layers, shapes and receptive fields.
    classes : int
        Number of classes.

    Raises
    ------
    InvalidArgument
        ``model`` is not a module or can't be copied, or another argument is not valid.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InvalidArgument(reason=f"model must be a torch.nn.Module, not a {type(model).__name__}.")
        self.name = name or type(model).__name__
        defaults = input_defaults(self.name)
        self.size = defaults.size if size is None else whole_number("size", size, LEAST_SIZE, LARGEST_SIZE)
        self.mean: Channels = defaults.mean if mean is None else channels("mean", mean)
        self.std: Channels = defaults.std if std is None else channels("std", std, positive=True)
        if isinstance(class_names, str):
            raise InvalidArgument(reason=f"class_names can't be {class_names!r}. Give a list of names.")
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        try:
            copied = copy.deepcopy(model).eval().float()
        except Exception as error:  # user code can raise anything
            raise InvalidArgument(reason=f"{self.name} can't be copied with copy.deepcopy: {error}") from error
        self.model = copied.to(memory_format=torch.channels_last)  # faster convolutions
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        self._on_devices = {device: self.model}

    def __repr__(self) -> str:
        return f"Network({self.name}, input 3 x {self.size} x {self.size})"

    @cached_property
    def description(self) -> NetworkDescription:
        """Layers, shapes and receptive fields.

        Raises
        ------
        InvalidArgument
            the network can't process images of its size.
        """
        specification = NetworkSpecification(
            name=self.name, classes=self._outputs or 1, image_size=self.size, mean=self.mean, std=self.std
        )
        return describe_module(self.model, specification)

    @cached_property
    def classes(self) -> int:
        """Number of classes.

        Raises
        ------
        InvalidArgument
            the network's output is not a tensor of logits [N, classes].
        """
        if self._outputs is None:
            raise InvalidArgument(
                reason=f"{self.name} is not a classifier: its output is not a tensor of logits [N, classes]."
            )
        return self._outputs

    @cached_property
    def _outputs(self) -> int | None:
        """Number of logits; None if the output is not a tensor of logits."""
        try:
            return count_classes(self.model, self.size)
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise unsupported_size(self.name, self.size, runs_on_meta(self.model), reason) from error

    def class_name(self, index: int) -> str:
        """Return the name of a class, or its index as text if it has none."""
        named = self.class_names is not None and index < len(self.class_names)
        return self.class_names[index] if self.class_names and named else str(index)

    def on(self, device: torch.device) -> nn.Module:
        """Return the module on a device, in evaluation mode. It is cached and must not be modified."""
        if device not in self._on_devices:
            self._on_devices[device] = copy.deepcopy(self.model).to(device)
        return self._on_devices[device]


def load_network(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    classes: int | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    fc: int | None = None,
    maps: tuple[int, int, int] | None = None,
    without: Collection[str] = (),
    head: int | None = None,
) -> Network:
    """Load a network by its name.

    Parameters
    ----------
    name : str
        zfnet, zfnet-paper, zfnet-wide, cifar-cnn, or a classification model of torchvision: alexnet, resnet18, ...
    weights : path, optional
        A file of safetensors, or of ``torch.save`` with tensors by name. They may be nested in dictionaries
        (``{"state_dict": ...}``), and their names may have a prefix (``module.``); what was assumed and left out
        is logged. By default, weights are initialized from torch's global generator. (For torchvision's pretrained
        weights, use ``Network(torchvision.models.resnet18(weights="DEFAULT"))``.)
    classes : int, optional
        Number of classes; by default that of the weights, or the number of ``class_names``, or that of
        the network's recipe: 10 for cifar-cnn, 1000 for others.
    size, mean, std, class_names
        See ``Network``.
    fc, maps, without
        For ZFNets only: width of the fully connected layers, numbers of maps of convolutions 3 to 5, layers to
        leave out ("conv3").
    head : int, optional
        Number of outputs of the network's own head; a linear layer for the classes, ``top``, is put on top of it.
        It is initialized if the weights file doesn't contain it, as a file of the network without it.

    Returns
    -------
    Network

    Raises
    ------
    NoSuchNetwork
        ``name`` is not known.
    NoSuchFile
        the weights file does not exist.
    WeightsNotReadable
        the weights file is damaged, contains more than tensors, or a value that is not finite.
    WeightsDontFit
        a tensor's name or shape differs from the network's.
    InvalidArgument
        the network has no such option, an argument is not valid, or the network can't process images of this size.
    """
    defaults = input_defaults(name)
    size = defaults.size if size is None else whole_number("size", size, LEAST_SIZE, LARGEST_SIZE)
    read = None if weights is None else read_checkpoint(Path(weights))

    def built(outputs: int) -> nn.Module:
        return build(name, outputs, size, fc=fc, maps=maps, without=without, head=head)

    if classes is None:
        of_weights = None if read is None else _classes_of(read, built, name)
        classes = of_weights or len(class_names or ()) or default_classes(name)
    if class_names is not None and len(class_names) != classes:
        raise InvalidArgument(
            reason=f"class_names has {len(class_names)} names for {classes} classes. Give one name for each class."
        )
    model = built(whole_number("classes", classes, 1, 100_000))
    if read is not None:
        fitted = fit(read, model, name)
        if head is None:
            load_weights(model, fitted.weights, name, read.path)
        elif missing := load_pretrained(model, fitted.weights, name, read.path, headless=True):
            logger.warning("%s: initialized at random: %s", read.path, ", ".join(missing))
        for note in fitted.notes:
            logger.warning("%s: %s", read.path, note)
    return Network(model, size=size, mean=mean, std=std, class_names=class_names, name=name)


def _classes_of(checkpoint: Checkpoint, built: Callable[[int], nn.Module], network: str) -> int | None:
    """Return the number of classes of weights: the length of a dimension that depends on the number of classes.

    It is found by comparing the shapes of networks for 2 and 3 classes; None if no shape depends on it.
    """
    with Unallocated():
        two, three = (built(classes).state_dict() for classes in (2, 3))
        weights = fit(checkpoint, built(2), network).weights
    for name in two:
        for dimension, (before, after) in enumerate(zip(two[name].shape, three[name].shape, strict=True)):
            if before != after and name in weights and weights[name].dim() == two[name].dim():
                return weights[name].shape[dimension]
    return None


def describe(network: Network) -> NetworkDescription:
    """Describe a network: its layers with shapes, receptive fields, strides and numbers of parameters.

    Parameters
    ----------
    network : Network
        The network to describe.

    Returns
    -------
    NetworkDescription
        ``print`` and notebooks display it as a table; ``layers`` are its rows.

    Raises
    ------
    InvalidArgument
        ``network`` is not a ``Network``, or it can't process images of its size.
    """
    _check_network(network)
    return network.description


def find_layer(network: Network, layer: object) -> LayerDescription:
    """Return a layer of units: see ``unitscope.layers.lookup.find_layer``.

    Raises
    ------
    UnknownLayer, LayerWithoutUnits, NoSuchLayer, AmbiguousLayer
    InvalidArgument
        ``network`` is not a ``Network``.
    """
    _check_network(network)
    return lookup.find_layer(network.description, str(layer))


def find_convolution(network: Network, layer: object) -> LayerDescription:
    """Return a convolution by name or number (``"conv5"``, ``"5"``, 5) or module path.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer
        see ``NetworkDescription.find_convolution``.
    InvalidArgument
        ``network`` is not a ``Network``.
    """
    _check_network(network)
    return network.description.find_convolution(str(layer))


def last_convolution(network: Network) -> LayerDescription:
    """Return the last convolution in execution order.

    Raises
    ------
    InvalidArgument
        the network has no convolution, or ``network`` is not a ``Network``.
    """
    _check_network(network)
    convolutions = network.description.convolutions()
    if not convolutions:
        raise InvalidArgument(reason=f"{network.name} has no convolution, and therefore no unit to observe.")
    return convolutions[-1]


def _check_network(network: object) -> None:
    if not isinstance(network, Network):
        raise InvalidArgument(
            reason=f"network must be a Network, not a {type(network).__name__}: give unitscope.Network(model)."
        )


def find_class(network: Network, name: str, value: int | str) -> int:
    """Return the index of a class given by index or name; ``name`` is the argument's name in error messages.

    Raises
    ------
    InvalidArgument
        the network has no such class.
    """
    if not isinstance(value, str):
        return whole_number(name, value, 0, network.classes - 1)
    names = network.class_names or ()
    index = index_of(value, names)
    if index is None:
        known = ", ".join(names[:SHOWN_NAMES]) or "none (give class_names to the network)"
        close = suggestion(value, names)
        raise InvalidArgument(reason=f"{name} can't be {value!r}{close}. Class names of {network.name}: {known}.")
    return index


def check_unit(layer: LayerDescription, unit: object) -> int:
    """Return ``unit`` as an int, after checking that the layer has it.

    Raises
    ------
    NoSuchUnit
        the layer has fewer units.
    InvalidArgument
        ``unit`` is not an integer of at least 0.
    """
    number = whole_number("unit", unit, 0)
    if number >= layer.units:
        raise NoSuchUnit(layer=layer.name or layer.path, unit=number, last=layer.units - 1)
    return number
