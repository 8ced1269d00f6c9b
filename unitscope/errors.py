"""Errors of the vision library.

A class's docstring is the message template; its ``{names}`` are filled in with the keyword arguments of the
constructor.
"""

from __future__ import annotations

import inspect


class UnitscopeError(Exception):
    """The operation failed: {reason}."""

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(" ".join((inspect.getdoc(type(self)) or "").format(**details).split()))


class InvalidArgument(UnitscopeError):
    """{reason}"""


class UnsupportedSize(InvalidArgument):
    """{network} can't process images of {size} pixels: {reason}. Give another size."""


class InvalidRecipe(InvalidArgument):
    """The recipe's {field} can't be {value!r}: {reason}."""


class NotFinite(UnitscopeError):
    """{where} produced a value that is not a finite number ({value}). Check the weights, or use another
    weights file."""


class ImageUnavailable(UnitscopeError):
    """Image {path} can't be read on {host}: {reason}. Check that the data set's folder is there, mounted, and
    readable on this machine. If the image was removed on purpose, or the folder was
    moved, the data set has to be read again."""


class ImageChanged(ImageUnavailable):
    """Image {path} on {host} is not the one that was registered: its content was changed. Restore the file. If it
    was changed on purpose, the data set has to be read again."""


class UnsupportedActivation(UnitscopeError):
    """Layer '{layer}' has no deconvnet and no guided projections: before it, module '{module}' ({kind}) applies
    {function}, for which they have no rule. Use the projection method 'auto' or 'gradient', or a network whose
    only activations are the modules torch.nn.ReLU and torch.nn.ReLU6."""


class NoGradient(UnitscopeError):
    """Layer '{layer}' has no projections: no gradient leads from its output to the pixels, because the network
    computes it with torch.no_grad() or detach(). Remove them from the network's forward pass."""


class NoSuchNetwork(UnitscopeError):
    """Network '{name}' is not known{close}. Known networks: zfnet, zfnet-paper, zfnet-wide, cifar-cnn, and
    torchvision's classification models."""


class NoSuchLayer(UnitscopeError):
    """{network} has no layer '{layer}'. Convolutions of {network}: {choices}."""


class NoSuchModule(NoSuchLayer):
    """{network} has no layer '{layer}'. Layers of {network}: {choices}."""


class UnknownLayer(NoSuchLayer):
    """{network} has no layer '{layer}'{close}. Layers have names, module paths, and patterns such as
    'layer3.*.conv2': {choices}."""


class LayerWithoutUnits(UnitscopeError):
    """Layer '{layer}' of {network} has no units: {reason}. Units are the channels of maps [images, channels, rows,
    columns], of vectors [images, channels], or of tokens [images, tokens, channels]."""


class NotAConvolution(UnitscopeError):
    """Layer '{layer}' of {network} is a {kind}, not a convolution. Convolutions of {network}: {choices}."""


class AmbiguousLayer(UnitscopeError):
    """Layer number '{layer}' is ambiguous: {network} is not a plain chain of layers.
    Name a module: {choices}."""


class NoFeatures(InvalidArgument):
    """The features of layer '{layer}' of {network} can't be used: {reason}."""


class NoSuchUnit(UnitscopeError):
    """Layer '{layer}' has no unit {unit}: its units are numbered 0 to {last}."""


class UnitNotFiring(UnitscopeError):
    """Unit {unit} of layer '{layer}' has no positive activation {where}: there is nothing to project.
    Choose another unit or another image. If no position is given, the unit's maximum is projected."""


class BrokenProjection(UnitscopeError):
    """The projection of unit {unit} of layer '{layer}' from {image} failed its check: {reason}.
    If the image has changed since the search, run the search again."""


class WeightsDontFit(UnitscopeError):
    """The weights in {path} don't fit {network}: {reason}. Check the network's name, its number of classes, and
    the width and number of its layers."""


class OtherClasses(WeightsDontFit):
    """The weights in {path} are those of a {network} for {found} classes, not {needed} ({shapes}). Give the number
    of classes {found}, or other weights."""


class WeightsAmbiguous(WeightsDontFit):
    """The file {path} contains several sets of weights that fit {network}: {choices}. Save one of them in a file
    of its own, with torch.save."""


class WeightsNotReadable(UnitscopeError):
    """The weights in {path} can't be loaded safely: {reason}. Use a file that contains tensors only:
    a .safetensors file, or a .pth file saved from a state_dict."""


class WeightsNotFinite(WeightsNotReadable):
    """The weights in {path} can't be used: tensor {tensor} contains {value} (as {dtype}), which is not finite. Use
    other weights, for example those of an epoch before the loss became NaN."""


class ImageNotReadable(UnitscopeError):
    """Image {path} can't be read: {reason}."""


class NoSuchFile(UnitscopeError):
    """File {path} does not exist."""


class DownloadFailed(UnitscopeError):
    """{url} could not be downloaded: {reason}. No file was saved. Try again, or use a local copy."""


class ScreeningNotPossible(UnitscopeError):
    """Images can't be screened in {precision}: {reason}. Search without screening."""


class MaximaNotReadable(UnitscopeError):
    """The maxima in {path} can't be used: {reason}. Restore the file from a copy, or search again."""
