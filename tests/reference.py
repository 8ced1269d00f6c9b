"""Simple reference implementations: one process, one image at a time, a forward hook.

They share no code with the product; networks and the reading of images are implemented a second time.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import captum.attr
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

CONVOLUTIONS = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}  # number of the convolution -> index in ZFNet's features


def zfnet(classes: int, fc: int) -> nn.Module:
    """Build ZFNet with parameters named features.N and classifier.N."""
    model = nn.Module()
    model.features = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    model.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 36, fc), nn.ReLU(),
        nn.Dropout(), nn.Linear(fc, fc), nn.ReLU(),
        nn.Linear(fc, classes),
    )  # fmt: skip
    return model


@dataclass(frozen=True)
class Crop:
    """An object cropped from an image of a VOC data set."""

    path: str  # relative to the root
    number: int  # number of the object in its annotation, from 1
    name: str
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels, exclusive
    pixels: torch.Tensor  # [3, size, size], normalized


def voc_crops(root: Path, split: str, size: int) -> list[Crop]:
    """Read the objects of a split, ordered by path and number."""
    prepare = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    crops = []
    year = root / "VOC2007"
    for image_id in sorted((year / "ImageSets" / "Main" / f"{split}.txt").read_text().split()):
        annotation = ElementTree.parse(year / "Annotations" / f"{image_id}.xml")
        path = f"VOC2007/JPEGImages/{annotation.findtext('filename')}"
        image = Image.open(root / path).convert("RGB")
        for number, item in enumerate(annotation.findall("object"), start=1):
            if item.findtext("difficult") == "1":
                continue
            xmin, ymin, xmax, ymax = (int(item.findtext(f"bndbox/{s}")) for s in ("xmin", "ymin", "xmax", "ymax"))
            box = (xmin - 1, ymin - 1, xmax, ymax)
            crops.append(Crop(path, number, item.findtext("name") or "", box, prepare(image.crop(box))))
    return crops


Ranking = dict[int, list[dict[str, Any]]]


def rankings(model: nn.Module, crops: list[Crop], units: int) -> dict[int, Ranking]:
    """Rank the crops for the first ``units`` units of each convolution (1 to 5).

    A ranking holds (activation, path, object, row, column) of the crops that activate the unit, largest first.
    """
    found: dict[int, Ranking] = {layer: {unit: [] for unit in range(units)} for layer in CONVOLUTIONS}
    seen: dict[int, torch.Tensor] = {}

    def hook_for(layer: int) -> Any:
        return lambda module, inputs, output: seen.__setitem__(layer, output[0].clone())

    for layer, index in CONVOLUTIONS.items():
        model.features[index].register_forward_hook(hook_for(layer))
    for crop in crops:
        with torch.no_grad():
            model.features(crop.pixels[None])
        for layer, maps in seen.items():
            for unit in range(units):
                value = maps[unit].max().item()
                if value > 0:
                    row, col = (int(i) for i in (maps[unit] == value).nonzero()[0])
                    place = {"path": crop.path, "number": crop.number, "row": row, "col": col}
                    found[layer][unit].append({"activation": value, **place})
    for ranking in found.values():
        for candidates in ranking.values():
            candidates.sort(key=lambda c: (-c["activation"], c["path"], c["number"]))
    return found


def captum_deconvolution(
    model: nn.Module, layer: str, image: torch.Tensor, unit: int, row: int, col: int
) -> torch.Tensor:
    """Return the activation at a position times Captum's deconvnet attribution of ``image``, both [3, H, W]."""
    return _captum(captum.attr.NeuronDeconvolution, model, layer, image, unit, row, col)


def captum_guided(
    model: nn.Module, layer: str, image: torch.Tensor, unit: int, row: int, col: int
) -> torch.Tensor:
    """Return the same for guided backpropagation."""
    return _captum(captum.attr.NeuronGuidedBackprop, model, layer, image, unit, row, col)


def captum_gradient(
    model: nn.Module, layer: str, image: torch.Tensor, unit: int, row: int, col: int
) -> torch.Tensor:
    """Return the same for the gradient."""
    return _captum(captum.attr.NeuronGradient, model, layer, image, unit, row, col)


def _captum(
    method: Any, model: nn.Module, layer: str, image: torch.Tensor, unit: int, row: int, col: int
) -> torch.Tensor:
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # in place, it would overwrite the activation that Captum reads
    neuron = model.get_submodule(layer)
    seen: list[float] = []
    handle = neuron.register_forward_hook(lambda m, i, output: seen.append(output[0, unit, row, col].item()))
    attributed = method(model, neuron).attribute(image[None].clone(), (unit, row, col))[0].detach()
    handle.remove()
    return seen[0] * attributed
