"""Errors of the vision library. A class's docstring is the message; ``{names}`` are filled when it is raised."""

from __future__ import annotations

import inspect


class UnitscopeError(Exception):
    """Something went wrong: {reason}."""

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(" ".join((inspect.getdoc(type(self)) or "").format(**details).split()))


class InvalidArgument(UnitscopeError):
    """{reason}"""


class InvalidRecipe(InvalidArgument):
    """{field} of a recipe can't be {value!r}: {reason}."""


class NotFinite(UnitscopeError):
    """{where} gave a value that is not a finite number ({value}). The weights are broken: use others."""


class FunctionalActivation(UnitscopeError):
    """Module '{module}' calls {function} as a function, which a deconvnet can't reach.
    Use a network whose activations are modules (torch.nn.ReLU)."""


class NoSuchNetwork(UnitscopeError):
    """There is no network '{name}'. Known: zfnet, zfnet-paper, zfnet-wide, cifar-cnn and torchvision's
    classification models{close}."""


class NoSuchLayer(UnitscopeError):
    """{network} has no layer '{layer}'. Its convolutions: {choices}."""


class NotAConvolution(UnitscopeError):
    """Layer '{layer}' of {network} is a {kind}, not a convolution. Its convolutions: {choices}."""


class AmbiguousLayer(UnitscopeError):
    """{network} is not a plain chain of layers, so '{layer}' has no fixed meaning there.
    Name the module: {choices}."""


class NoSuchUnit(UnitscopeError):
    """Layer '{layer}' has no unit {unit}: its units are 0 to {last}."""


class UnitNotFiring(UnitscopeError):
    """Unit {unit} of layer '{layer}' is not positive {where}: there is no activation to project.
    Choose another unit, another image, or no place, which takes the strongest."""


class BrokenProjection(UnitscopeError):
    """The projection of unit {unit} of layer '{layer}' from {image} failed its check: {reason}.
    If the image was changed since the search, search again."""


class WeightsDontFit(UnitscopeError):
    """The weights {path} don't fit {network}: {reason}. Check the network's name, its number of classes, and the
    width and number of its layers."""


class WeightsNotReadable(UnitscopeError):
    """The weights {path} can't be read safely: {reason}. Give tensors only:
    a .safetensors file, or a .pth file saved from a state_dict."""


class ImageNotReadable(UnitscopeError):
    """Image {path} can't be read: {reason}."""


class NoSuchFile(UnitscopeError):
    """There is no file {path}."""


class DownloadFailed(UnitscopeError):
    """{url} could not be downloaded: {reason}. Nothing was kept; try again, or give a copy that you have."""
