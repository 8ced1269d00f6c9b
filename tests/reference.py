"""The plain way to do what the product does: one process, one image at a time, a forward hook.

Nothing here is shared with the product: its networks are written down again, its images read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

CONVOLUTIONS = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}  # of zfnet: number -> index in its features


def zfnet(classes: int, fc: int) -> nn.Module:
    """The replication's ZFNet, with parameters named features.N and classifier.N."""
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
    """An object cut out of an image of a VOC data set."""

    path: str  # relative to the root
    number: int  # of the object in its annotation, from 1
    name: str
    pixels: torch.Tensor  # [3, size, size], normalised


def voc_crops(root: Path, split: str, size: int) -> list[Crop]:
    """The objects of a split, in the order of path and object."""
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
            pixels = prepare(image.crop((xmin - 1, ymin - 1, xmax, ymax)))
            crops.append(Crop(path, number, item.findtext("name") or "", pixels))
    return crops


Ranking = dict[int, list[dict[str, Any]]]


def rankings(model: nn.Module, crops: list[Crop], units: int) -> dict[int, Ranking]:
    """For each convolution (1 to 5) and each of its first ``units`` units, the crops that fire it, best first:
    activation, path, object, row, column."""
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
