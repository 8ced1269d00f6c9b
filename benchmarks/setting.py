"""Inputs of the benchmarks: crops as JPEG files, and a ZFNet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from producer.datasets import shapes
from producer.datasets.voc import read_voc
from shared.errors import NotADataset
from unitscope.data.images import ImageSource
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.networks.weights import load_weights, read_weights, weights_writer

SIZE, BATCH, TOP = 227, 32, 9
LAYERS = {1: "features.0", 2: "features.3", 3: "features.6", 4: "features.8", 5: "features.10"}
CONV5 = LAYERS[5]
CLASSES = 20
QUALITY = 95  # of the JPEG files

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crops:
    """Image files in folders of their classes, ``folder/CLASS/NUMBER.jpg``.

    ``sources`` are sorted by path, as ``ImageFolder`` and registered data sets sort them, so that the batches are
    the same everywhere.
    """

    folder: Path
    sources: list[ImageSource]
    kind: str

    @classmethod
    def cut(cls, images: Path | None, count: int, target: Path) -> Crops:
        """Write the first ``count`` objects of a VOC data set, or images of a folder, as JPEG files.

        Without ``images``, objects are generated. Crops are written as files since ``ImageFolder``, used by the
        plain loop, does not support boxes.
        """
        folder = target / "crops"
        objects, kind = find_objects(images, count, target)
        for number, (path, box, label) in enumerate(objects[:count]):
            file = folder / f"{label:02}" / f"{number:06}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                image.convert("RGB").crop(box).save(file, quality=QUALITY)
        files = sorted(folder.glob("*/*.jpg"))
        sources = [ImageSource(n, file, int(file.parent.name), position=n) for n, file in enumerate(files)]
        return cls(folder, sources, kind)

    def __str__(self) -> str:
        sizes = []
        for source in self.sources:
            with Image.open(source.path) as image:
                sizes.append(image.size)
        width, height = np.mean(sizes, axis=0)
        return f"{len(self.sources):,} {self.kind}, {width:.0f} x {height:.0f} pixels on average"


def find_objects(images: Path | None, count: int, target: Path) -> tuple[list[tuple[Path, Box | None, int]], str]:
    """Return the file, box and class of each object, and a description of the objects."""
    if images is None:
        root = target / "shapes"
        shapes.generate(root, images=max(2, -(-count // 2)))  # two objects each
        dataset = read_voc(root, splits=("trainval",), kind="shapes", classes=shapes.CLASSES)
        kind = "generated objects"
    else:
        try:
            dataset, kind = read_voc(images, splits=("trainval",)), "objects cropped from PASCAL VOC images"
        except NotADataset:
            files = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
            return [(file, None, 0) for file in files], "images of a folder"
    return [(Path(dataset.root) / image.path, image.box, image.class_index) for image in dataset.images], kind


@dataclass(frozen=True)
class Setting:
    """Options of the benchmarks, and a temporary folder for their files."""

    images: Path | None
    count: int
    weights: Path | None
    rounds: int
    device: str
    rows: int
    folder: Path
    shards: int = 100_000
    jobs: int = 1000
    submits: int = 200
    memory_shards: int = 1000
    screened: int = 30_000
    found: int = 1_000_000

    @cached_property
    def crops(self) -> Crops:
        return Crops.cut(self.images, self.count, self.folder)

    @cached_property
    def shape(self) -> dict[str, int]:
        """Number of classes and width of the fully connected layers, taken from the weights if given."""
        if self.weights is None:
            return {"classes": CLASSES, "fc": networks.FC_WIDTH}
        weights = read_weights(self.weights)
        return {"classes": len(weights["classifier.6.bias"]), "fc": len(weights["classifier.1.bias"])}

    def model(self) -> nn.Module:
        """Build a ZFNet as a worker does: in evaluation mode, channels last, on the device. Disables TF32
        globally, also for the peers."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.manual_seed(0)
        model = networks.build("zfnet", image_size=SIZE, **self.shape)
        if self.weights:
            load_weights(model, read_weights(self.weights), "zfnet", self.weights)
        else:
            initialize(model, "he")
        return model.eval().to(self.device, memory_format=torch.channels_last)

    def weights_file(self) -> Path:
        """Write the weights of ``model`` to a file and return its path."""
        return write_weights(self.model(), self.folder / "zfnet.safetensors")

    def describe(self, uses_crops: bool) -> dict[str, str | int]:
        """Return the entries that the page shows."""
        network = {"crops": str(self.crops), "weights": "trained" if self.weights else "He initialization"}
        return {"rounds": self.rounds, "device": self.device, **(network if uses_crops else {})}


def write_weights(model: nn.Module, file: Path) -> Path:
    """Write a network's weights to a file and return its path."""
    with file.open("wb") as opened:
        weights_writer(model.state_dict())(opened)
    return file
