"""Crops as JPEG files, made from generated or given images by several processes, which don't import torch."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

from producer.datasets import shapes

QUALITY = 95
SHIFTS = 7  # positions per direction: copies of an object are shifted by some pixels

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class SourceImage:
    """An image and the objects in it: a file, or the generated scene of this ``number`` with classes ``names``."""

    number: int
    path: Path | None = None
    boxes: tuple[Box | None, ...] = (None,)
    labels: tuple[int, ...] = (0,)
    names: tuple[str, ...] = ()

    @classmethod
    def draw(cls, count: int) -> list[SourceImage]:
        """Return scenes of two objects each."""
        index = {name: number for number, name in enumerate(shapes.CLASSES)}
        return [
            cls(number, labels=tuple(index[name] for name in names), names=names)
            for number, names in enumerate(shapes.deal_classes(count, seed=0), start=1)
        ]

    def load(self) -> tuple[Image.Image, Sequence[Box | None]]:
        """Return the image in RGB, and the box of each object, or None if the object fills the image."""
        if self.path:
            with Image.open(self.path) as image:
                return image.convert("RGB"), self.boxes
        scene = shapes.draw_scene(self.names, seed=0, number=self.number)
        boxes = [(o.left, o.top, o.left + o.coverage.shape[1], o.top + o.coverage.shape[0]) for o in scene.objects]
        return Image.fromarray(scene.pixels), boxes


@dataclass(frozen=True)
class CropPlan:
    """The crops of an image: index of the object, number of the copy (which determines the shift), and file."""

    picture: SourceImage
    crops: list[tuple[int, int, Path]] = field(default_factory=list)
    size: int | None = None  # pixels; None: the size of the box


def plan_crops(pictures: Sequence[SourceImage], count: int, folder: Path, size: int | None) -> list[CropPlan]:
    """Plan ``count`` crops as ``folder/CLASS/NUMBER.jpg``; if there are fewer objects, copies are shifted."""
    plans = [CropPlan(picture, size=size) for picture in pictures]
    objects = [(plan, index) for plan in plans for index in range(len(plan.picture.labels))]
    for number, (plan, index) in enumerate(islice(cycle(objects), count)):
        label = plan.picture.labels[index]
        plan.crops.append((index, number // len(objects), folder / f"{label:02}" / f"{number:06}.jpg"))
    return [plan for plan in plans if plan.crops]


def write_crops(plan: CropPlan) -> None:
    """Write the crops of an image."""
    image, boxes = plan.picture.load()
    for index, copy, file in plan.crops:
        crop = image.crop(_shifted(boxes[index] or (0, 0, *image.size), copy))
        if plan.size:
            crop = crop.resize((plan.size, plan.size), Image.Resampling.BILINEAR)
        crop.save(file, quality=QUALITY)


def _shifted(box: Box, copy: int) -> Box:
    """Shift a box by up to three pixels; the first copy is not shifted."""
    right, down = (((copy + 24) // step) % SHIFTS - SHIFTS // 2 for step in (1, SHIFTS))
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def write_all_crops(plans: Sequence[CropPlan]) -> None:
    """Write all crops with one process per core."""
    for folder in {file.parent for plan in plans for _, _, file in plan.crops}:
        folder.mkdir(parents=True, exist_ok=True)
    processes = min(len(os.sched_getaffinity(0)), len(plans))
    # "spawn", since this process may have initialized CUDA, which a forked process can't use.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(write_crops, plans, chunksize=max(1, len(plans) // (8 * processes))))
