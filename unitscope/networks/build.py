"""Networks by name: ZFNet and variants, a small network for CIFAR-10, torchvision's classification models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

from unitscope.description import FC_WIDTH
from unitscope.errors import InvalidArgument, NoSuchNetwork
from unitscope.memory import is_out_of_memory
from unitscope.networks.sizes import unsupported_size
from unitscope.networks.unallocated import Unallocated
from unitscope.spelling import suggestion

ZFNET_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
REMOVABLE = ZFNET_LAYERS[2:7]
TOP = "top"  # path of the linear layer that ``put_on_top`` adds


class ZFNet(nn.Module):
    """Network of Zeiler & Fergus 2013, with the parts of torchvision's AlexNet: features, avgpool, classifier.

    Parameters
    ----------
    stem
        modules up to the second pooling (and normalization).
    maps
        numbers of feature maps of convolutions 2 to 5.
    avgpool
        module applied to the last feature maps before they are flattened.
    classes
        number of logits.
    image_size
        height and width of the input, in pixels.
    fc
        width of fc6 and fc7.
    without
        layers to leave out (paper, Table 3), each with its ReLU and dropout; the poolings stay.

    Raises
    ------
    InvalidArgument
        ``without`` contains a layer that can't be left out.
    RuntimeError
        the image is too small.
    """

    def __init__(
        self,
        stem: Sequence[nn.Module],
        maps: Sequence[int],
        avgpool: nn.Module,
        classes: int,
        image_size: int,
        fc: int,
        without: Collection[str],
    ) -> None:
        super().__init__()
        for layer in without:
            if layer not in REMOVABLE:
                reason = f"Layer '{layer}' can't be left out. Layers that can: {', '.join(REMOVABLE)}."
                raise InvalidArgument(reason=reason)
        self.layers = [layer for layer in ZFNET_LAYERS if layer not in without]
        self.features = nn.Sequential(*stem)
        inputs, *widths = maps
        for layer, outputs in zip(("conv3", "conv4", "conv5"), widths, strict=True):
            if layer in self.layers:
                self.features.extend(_convolution(inputs, outputs, 3, padding=1))
                inputs = outputs
        self.features.append(nn.MaxPool2d(3, 2))
        self.avgpool = avgpool
        inputs = _outputs(nn.Sequential(self.features, self.avgpool), image_size)
        self.classifier = nn.Sequential()
        for layer in ("fc6", "fc7"):
            if layer in self.layers:
                self.classifier.extend([nn.Dropout(0.5), nn.Linear(inputs, fc), nn.ReLU(inplace=True)])
                inputs = fc
        self.classifier.append(nn.Linear(inputs, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images float32 [N, 3, H, W] to logits float32 [N, classes]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def zfnet(
    classes: int,
    image_size: int,
    fc: int = FC_WIDTH,
    maps: tuple[int, int, int] = (384, 256, 256),
    without: Collection[str] = (),
) -> ZFNet:
    """Build the variant of the published replications: 64, 192, 384, 256, 256 maps, padding, no normalization."""
    stem = [
        *_convolution(3, 64, 7, stride=2, padding=2),
        nn.MaxPool2d(3, 2),
        *_convolution(64, 192, 5, stride=2, padding=2),
        nn.MaxPool2d(3, 2),
    ]
    return ZFNet(stem, (192, *maps), nn.AdaptiveAvgPool2d((6, 6)), classes, image_size, fc, without)


def zfnet_paper(
    classes: int,
    image_size: int,
    fc: int = FC_WIDTH,
    maps: tuple[int, int, int] = (384, 384, 256),
    without: Collection[str] = (),
) -> ZFNet:
    """Build the paper's network (Fig. 3): 96, 256, 384, 384, 256 maps, contrast normalization after conv1 and
    conv2.

    The paper does not state the padding: it follows from the map sizes (110, 55, 26, 13, 13, 13, 13, 6). Contrast
    normalization is torch's local response normalization with the constants of Krizhevsky et al. 2012.
    """
    stem = [
        *_convolution(3, 96, 7, stride=2, padding=1),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
        *_convolution(96, 256, 5, stride=2),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
    ]
    return ZFNet(stem, (256, *maps), nn.Identity(), classes, image_size, fc, without)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
) -> tuple[nn.Conv2d, nn.ReLU]:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)


def _outputs(features: nn.Module, image_size: int) -> int:
    """Number of elements that ``features`` outputs for one image, found with a batch of no images.

    A convolution on the meta device would do as well, but the first one imports PyTorch's symbolic shapes, which
    takes half as long as importing torch.
    """
    device = next(features.parameters()).device
    features.eval()  # in training mode, batch normalizations count the batch
    with torch.no_grad():
        outputs: int = features(torch.empty(0, 3, image_size, image_size, device=device)).shape[1:].numel()
    features.train()
    return outputs


class CifarCNN(nn.Module):
    """Network of the published replications for CIFAR-10: six convolutions in three blocks, three linear layers.

    The blocks output 64, 128 and 256 maps; the first convolution of each is followed by batch normalization.
    """

    def __init__(self, classes: int, image_size: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, 32, 64),
            *_block(64, 128, 128),
            nn.Dropout2d(0.05),
            *_block(128, 256, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(_outputs(self.features, image_size), 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Linear(512, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images float32 [N, 3, H, W] to logits float32 [N, classes]."""
        return self.classifier(torch.flatten(self.features(x), 1))


def _block(inputs: int, middle: int, outputs: int) -> list[nn.Module]:
    convolution, relu = _convolution(inputs, middle, 3, padding=1)
    normalized = [convolution, nn.BatchNorm2d(middle), relu]
    return [*normalized, *_convolution(middle, outputs, 3, padding=1), nn.MaxPool2d(2)]


ZFNETS: dict[str, Callable[..., ZFNet]] = {
    "zfnet": zfnet,
    "zfnet-paper": zfnet_paper,
    "zfnet-wide": partial(zfnet_paper, maps=(512, 1024, 512)),  # the widest of the paper's Table 3
}
OWN: dict[str, Callable[..., nn.Module]] = {**ZFNETS, "cifar-cnn": CifarCNN}
# Parts that only training uses, which networks are built without. The published weights contain them.
AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


def torchvision_models() -> ModuleType:
    """Import ``torchvision.models`` on demand: it takes longer than importing torch; ZFNets don't need it."""
    from torchvision import models

    return models


def names() -> list[str]:
    """Return the names of all networks that ``build`` can build."""
    models = torchvision_models()
    return [*OWN, *models.list_models(module=models)]


def build(
    name: str,
    classes: int,
    image_size: int,
    fc: int | None = None,
    maps: tuple[int, int, int] | None = None,
    without: Collection[str] = (),
    head: int | None = None,
) -> nn.Module:
    """Build a network with initial weights, in training mode.

    Parameters
    ----------
    name
        see ``names``.
    classes
        number of logits.
    image_size
        height and width of the input, in pixels.
    fc, maps, without
        for ZFNets only: width of the fully connected layers, numbers of maps of convolutions 3 to 5, layers to
        leave out.
    head
        number of outputs of the network's own head; a linear layer for the classes is put on top of it.

    Raises
    ------
    NoSuchNetwork
        ``name`` is not known.
    InvalidArgument
        ``fc``, ``maps`` or ``without`` was given for another network.
    UnsupportedSize
        the images are too small.
    """
    if head is not None:
        return put_on_top(build(name, head, image_size, fc, maps, without), head, classes)
    if name not in OWN and name not in names():
        raise NoSuchNetwork(name=name, close=suggestion(name, names(), 3))
    given = {"fc": fc, "maps": maps, "without": without}
    options: dict[str, Any] = {option: value for option, value in given.items() if value}
    if options and name not in ZFNETS:
        option = next(iter(options))
        raise InvalidArgument(reason=f"{name} has no option {option}. Networks that have it: {', '.join(ZFNETS)}.")
    if name in OWN:
        try:
            return OWN[name](classes, image_size, **options)
        except RuntimeError as error:  # a shape that is too small for a layer
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise unsupported_size(name, image_size, _builds(OWN[name], classes, options), reason) from error
    if name in AUXILIARY_HEADS:
        options = {"aux_logits": False, "init_weights": True}
    model: nn.Module = torchvision_models().get_model(name, weights=None, num_classes=classes, **options)
    return model


def put_on_top(model: nn.Module, outputs: int, classes: int) -> nn.Module:
    """Add a linear layer, ``top``, that maps the ``outputs`` logits of a network to ``classes`` logits.

    The network is changed in place and returned; its modules and weights keep their names.
    """
    kind = type(model)
    if kind.forward is nn.Sequential.forward:  # it calls every module that it has
        model.add_module(TOP, nn.Linear(outputs, classes))
        return model

    def forward(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule(TOP)(kind.forward(self, x))

    model.__class__ = type(f"{kind.__name__}WithTop", (kind,), {"forward": forward})
    model.add_module(TOP, nn.Linear(outputs, classes))
    return model


def _builds(network: Callable[..., nn.Module], classes: int, options: dict[str, Any]) -> Callable[[int], bool]:
    """Return a function that tells whether a network can be built for images of a size."""

    def builds(size: int) -> bool:
        try:
            with Unallocated():
                network(classes, size, **options)
        except RuntimeError:
            return False
        return True

    return builds


def layer_names(model: nn.Module) -> dict[str, str]:
    """Return common layer names by module path: conv1 to convN, then fcN+1 and so on.

    The networks of this module and AlexNet have such names; for others the result is empty. The layers of a ZFNet
    keep their names when earlier layers are left out.
    """
    if not isinstance(model, (ZFNet, CifarCNN)) and not isinstance(model, torchvision_models().AlexNet):
        return {}
    layers = [(p, m) for p, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    weighted = [(path, module) for path, module in layers if path != TOP]
    if isinstance(model, ZFNet):
        labels = model.layers
    else:
        numbered = enumerate(weighted, start=1)
        labels = [f"{'conv' if isinstance(m, nn.Conv2d) else 'fc'}{number}" for number, (_, m) in numbered]
    return {path: name for (path, _), name in zip(weighted, labels, strict=True)}
