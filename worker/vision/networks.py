"""The networks: two ZFNets, and every classification model of torchvision by its name."""

from __future__ import annotations

import copy
import difflib

import torch
from torch import nn
from torchvision import models

from shared.errors import NoSuchNetwork, UsageError

FC_WIDTH = 4096


class ZFNet(nn.Module):
    """Zeiler & Fergus 2013 in three parts, as torchvision's AlexNet: features, avgpool, classifier."""

    def __init__(self, features: nn.Sequential, avgpool: nn.Module, inputs: int, classes: int, fc: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = avgpool
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(inputs, fc),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(fc, fc),
            nn.ReLU(inplace=True),
            nn.Linear(fc, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, H, W] float32 -> logits [N, classes]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def zfnet(classes: int, image_size: int = 227, fc: int = FC_WIDTH) -> ZFNet:
    """The variant of the published replications: 64, 192, 384, 256, 256 maps, paddings, no normalisation."""
    features = nn.Sequential(
        *_convolution(3, 64, 7, stride=2, padding=2),
        nn.MaxPool2d(3, 2),
        *_convolution(64, 192, 5, stride=2, padding=2),
        nn.MaxPool2d(3, 2),
        *_convolution(192, 384, 3, padding=1),
        *_convolution(384, 256, 3, padding=1),
        *_convolution(256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
    )
    return ZFNet(features, nn.AdaptiveAvgPool2d((6, 6)), 256 * 36, classes, fc)


def zfnet_paper(classes: int, image_size: int = 224, fc: int = FC_WIDTH) -> ZFNet:
    """The paper's own (Fig. 3): 96, 256, 384, 384, 256 maps, contrast normalisation after the first two.

    The paper gives no paddings: these follow from its map sizes (110, 55, 26, 13, 13, 13, 13, 6). Its contrast
    normalisation is torch's local response normalisation with the constants of Krizhevsky et al. 2012.
    """
    features = nn.Sequential(
        *_convolution(3, 96, 7, stride=2, padding=1),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
        *_convolution(96, 256, 5, stride=2),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
        *_convolution(256, 384, 3, padding=1),
        *_convolution(384, 384, 3, padding=1),
        *_convolution(384, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
    )
    pixels = torch.empty(1, 3, image_size, image_size, device="meta")
    rows = copy.deepcopy(features).to("meta")(pixels).shape[-1]
    return ZFNet(features, nn.Identity(), 256 * rows * rows, classes, fc)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
) -> tuple[nn.Conv2d, nn.ReLU]:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)


OWN = {"zfnet": zfnet, "zfnet-paper": zfnet_paper}


def names() -> list[str]:
    """All networks that ``build`` knows."""
    return [*OWN, *models.list_models(module=models)]


def build(name: str, classes: int, image_size: int, fc: int | None = None) -> nn.Module:
    """A network with initial weights, in training mode.

    Raises
    ------
    NoSuchNetwork
    UsageError
        ``fc`` was given for a network that has no such width.
    """
    if name in OWN:
        try:
            return OWN[name](classes, image_size, fc or FC_WIDTH)
        except RuntimeError as error:  # of a shape
            reason = f"{name} can't take images of {image_size} pixels: {str(error).splitlines()[0]}."
            raise UsageError(reason=reason) from error
    if fc is not None:
        raise UsageError(reason=f"--fc is for {' and '.join(OWN)}, not for {name}.")
    if name not in models.list_models(module=models):
        close = difflib.get_close_matches(name, names(), n=3)
        raise NoSuchNetwork(name=name, close=f" (did you mean {' or '.join(close)}?)" if close else "")
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, num_classes=classes, **options)


def initialise_he(model: nn.Module) -> None:
    """He et al. 2015 for layers before a ReLU: normal weights of variance 2 / fan-in, biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def layer_names(model: nn.Module) -> dict[str, str]:
    """Names as people say them, by module path: conv1 to convN, then fcN+1 on, in AlexNet and its kin."""
    if not isinstance(model, (ZFNet, models.AlexNet)):
        return {}
    weighted = [(p, m) for p, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return {
        path: f"{'conv' if isinstance(module, nn.Conv2d) else 'fc'}{number}"
        for number, (path, module) in enumerate(weighted, start=1)
    }
