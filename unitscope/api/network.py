"""A network as the analyses take it: a module, the images that it takes, the names of its classes."""

from __future__ import annotations

import copy
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
    input_defaults,
)
from unitscope.errors import InvalidArgument, NoSuchUnit
from unitscope.networks.build import build
from unitscope.networks.describe import count_classes, describe_module
from unitscope.networks.unallocated import Unallocated
from unitscope.networks.weights import Weights, load_weights, read_weights
from unitscope.vocabulary import Channels

CLASSES = 1000  # ImageNet's
LEAST_SIZE, LARGEST_SIZE = 16, 4096  # of images, in pixels
SHOWN_NAMES = 20  # of classes, in a message


class Network:
    """A network to be looked into.

    It keeps a copy of the module, in float32 and in evaluation mode: yours is neither changed nor moved, and what
    you do to it afterwards (train it, say) does not change this one. For another device a further copy is made.

    Parameters
    ----------
    model : torch.nn.Module
        Images float32 [N, 3, ``size``, ``size``] -> any output; for ``occlude`` and ``train`` logits [N, classes].
    size : int, optional
        Height and width in pixels to which images are resized, 16 to 4096.
    mean, std : three floats each, optional
        The input's normalization by channel: (pixel - mean) / std, of pixels from 0 to 1.
    class_names : sequence of str, optional
        By index of the output.
    name : str, optional
        What titles and errors call it; the module's class by default. Where ``size``, ``mean`` or ``std`` is not
        given, it is that of this network's published recipe; ImageNet's (224 pixels) for other names.

    Attributes
    ----------
    model : torch.nn.Module
        The copy. Look, don't change.
    size, mean, std, class_names, name
        As above.
    description : NetworkDescription
        Layers, shapes and receptive fields.

    Raises
    ------
    InvalidArgument
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
            raise InvalidArgument(reason=f"A network is a torch.nn.Module, not a {type(model).__name__}.")
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
        except Exception as error:  # whatever a foreign module's code raises
            raise InvalidArgument(reason=f"{self.name} can't be copied (copy.deepcopy): {error}") from error
        self.model = copied.to(memory_format=torch.channels_last)  # convolutions of it are faster
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        self._on_devices = {device: self.model}

    def __repr__(self) -> str:
        return f"Network({self.name}, input 3 x {self.size} x {self.size})"

    @cached_property
    def description(self) -> NetworkDescription:
        """Layers, shapes and receptive fields."""
        specification = NetworkSpecification(
            name=self.name, classes=self._outputs or 1, image_size=self.size, mean=self.mean, std=self.std
        )
        return describe_module(self.model, specification)

    @cached_property
    def classes(self) -> int:
        """How many classes the network tells apart.

        Raises
        ------
        InvalidArgument
            its output is no logits [N, classes].
        """
        if self._outputs is None:
            raise InvalidArgument(reason=f"{self.name} is no classifier: its output is no logits [N, classes].")
        return self._outputs

    @cached_property
    def _outputs(self) -> int | None:
        """The number of logits, None for another output."""
        try:
            return count_classes(self.model, self.size)
        except ValueError as error:
            reason = f"{self.name} can't take images of {self.size} pixels: {error}. Give another size."
            raise InvalidArgument(reason=reason) from error

    def class_name(self, index: int) -> str:
        """The name of a class; its index where it has none."""
        named = self.class_names is not None and index < len(self.class_names)
        return self.class_names[index] if self.class_names and named else str(index)

    def on(self, device: torch.device) -> nn.Module:
        """The module on a device, in evaluation mode: not to be changed."""
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
) -> Network:
    """Load a network by its name.

    Parameters
    ----------
    name : str
        zfnet, zfnet-paper, zfnet-wide, cifar-cnn, or a classification model of torchvision: alexnet, resnet18, ...
    weights : path, optional
        A .safetensors file, or a .pth file of tensors; nothing else in it is read, and every name and shape must
        fit. Without it, initial weights are drawn from torch's generator. (For torchvision's own weights:
        ``Network(torchvision.models.resnet18(weights="DEFAULT"))``.)
    classes : int, optional
        By default as many as the weights are for, or as there are ``class_names``, or 1000.
    size, mean, std, class_names
        See ``Network``.
    fc, maps, without
        For ZFNets: width of the fully connected layers, maps of convolutions 3 to 5, layers left out ("conv3").

    Raises
    ------
    NoSuchNetwork, NoSuchFile, WeightsNotReadable, WeightsDontFit
    InvalidArgument
        the network has no such option, or can't take images of that size.
    """
    defaults = input_defaults(name)
    size = defaults.size if size is None else whole_number("size", size, LEAST_SIZE, LARGEST_SIZE)
    read = None if weights is None else read_weights(Path(weights))

    def built(outputs: int) -> nn.Module:
        return build(name, outputs, size, fc=fc, maps=maps, without=without)

    if classes is None:
        found = None if read is None else _classes_of(read, built)
        classes = found or len(class_names or ()) or CLASSES
    if class_names is not None and len(class_names) != classes:
        raise InvalidArgument(reason=f"class_names has {len(class_names)} names for {classes} classes.")
    model = built(whole_number("classes", classes, 1, 100_000))
    if read is not None:
        load_weights(model, read, name, Path(weights or ""))
    return Network(model, size=size, mean=mean, std=std, class_names=class_names, name=name)


def _classes_of(weights: Weights, built: Callable[[int], nn.Module]) -> int | None:
    """How many classes the weights are for: the length of the tensors that grow with the number of classes."""
    with Unallocated():
        two, three = (built(classes).state_dict() for classes in (2, 3))
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

    Returns
    -------
    NetworkDescription
        ``print`` and notebooks show it as a table; ``layers`` are its rows.

    Raises
    ------
    InvalidArgument
        the network can't take images of its size.
    """
    _check_network(network)
    return network.description


def find_layer(network: Network, layer: object) -> LayerDescription:
    """A convolution as people say it: ``"conv5"``, ``"5"``, 5, or a module path.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer
    InvalidArgument
        ``network`` is no ``Network``.
    """
    _check_network(network)
    return network.description.find_convolution(str(layer))


def last_convolution(network: Network) -> LayerDescription:
    """The convolution that runs last.

    Raises
    ------
    InvalidArgument
        there is none, or ``network`` is no ``Network``.
    """
    _check_network(network)
    convolutions = network.description.convolutions()
    if not convolutions:
        raise InvalidArgument(reason=f"{network.name} has no convolution, so that no unit can be watched.")
    return convolutions[-1]


def _check_network(network: object) -> None:
    if not isinstance(network, Network):
        raise InvalidArgument(reason=f"Give a Network, not a {type(network).__name__}: unitscope.Network(model).")


def find_class(network: Network, name: str, wanted: int | str) -> int:
    """The index of a class that is said by its index or its name; ``name`` is the argument's.

    Raises
    ------
    InvalidArgument
    """
    if not isinstance(wanted, str):
        return whole_number(name, wanted, 0, network.classes - 1)
    names = network.class_names or ()
    if wanted not in names:
        known = ", ".join(names[:SHOWN_NAMES]) or "none (the network was made without class_names)"
        raise InvalidArgument(reason=f"{name} can't be {wanted!r}. Class names of {network.name}: {known}.")
    return names.index(wanted)


def check_unit(layer: LayerDescription, unit: object) -> int:
    """See that a layer has this unit.

    Raises
    ------
    NoSuchUnit
    """
    number = whole_number("unit", unit, 0)
    if number >= layer.units:
        raise NoSuchUnit(layer=layer.name or layer.path, unit=number, last=layer.units - 1)
    return number
