"""Crops as JPEG files, cut out of drawn or given images by several processes. They import no torch."""

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
SHIFTS = 7  # in either direction; copies of an object are cut out a pixel or some further on

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Picture:
    """An image and the objects in it: a file, or (``names``) the drawn scene of this ``number``."""

    number: int
    path: Path | None = None
    boxes: tuple[Box | None, ...] = (None,)
    labels: tuple[int, ...] = (0,)
    names: tuple[str, ...] = ()

    @classmethod
    def drawn(cls, count: int) -> list[Picture]:
        """Scenes of two objects each."""
        index = {name: number for number, name in enumerate(shapes.CLASSES)}
        return [
            cls(number, labels=tuple(index[name] for name in names), names=names)
            for number, names in enumerate(shapes.deal_classes(count, seed=0), start=1)
        ]

    def opened(self) -> tuple[Image.Image, Sequence[Box | None]]:
        """The image, RGB, and the box of each object; None for all of it."""
        if self.path:
            with Image.open(self.path) as image:
                return image.convert("RGB"), self.boxes
        scene = shapes.draw_scene(self.names, seed=0, number=self.number)
        boxes = [(o.left, o.top, o.left + o.coverage.shape[1], o.top + o.coverage.shape[0]) for o in scene.objects]
        return Image.fromarray(scene.pixels), boxes


@dataclass(frozen=True)
class Cuts:
    """What to cut out of a picture: of which object, by how much the box is moved, and into which file."""

    picture: Picture
    crops: list[tuple[int, int, Path]] = field(default_factory=list)
    size: int | None = None  # pixels of the files' sides; None: as the box is


def plan(pictures: Sequence[Picture], count: int, folder: Path, size: int | None) -> list[Cuts]:
    """``count`` crops in ``folder/CLASS/NUMBER.jpg``; an object comes as often as is needed, each time moved."""
    cuts = [Cuts(picture, size=size) for picture in pictures]
    objects = [(of, place) for of in cuts for place in range(len(of.picture.labels))]
    for number, (of, place) in enumerate(islice(cycle(objects), count)):
        label = of.picture.labels[place]
        of.crops.append((place, number // len(objects), folder / f"{label:02}" / f"{number:06}.jpg"))
    return [of for of in cuts if of.crops]


def cut(cuts: Cuts) -> None:
    """Write the crops of a picture."""
    image, boxes = cuts.picture.opened()
    for place, copy, file in cuts.crops:
        crop = image.crop(_moved(boxes[place] or (0, 0, *image.size), copy))
        if cuts.size:
            crop = crop.resize((cuts.size, cuts.size), Image.Resampling.BILINEAR)
        crop.save(file, quality=QUALITY)


def _moved(box: Box, copy: int) -> Box:
    """By up to three pixels; the first copy stays where it is."""
    right, down = (((copy + 24) // step) % SHIFTS - SHIFTS // 2 for step in (1, SHIFTS))
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def cut_all(cuts: Sequence[Cuts]) -> None:
    """Write all crops, with a process for each core."""
    for folder in {file.parent for of in cuts for _, _, file in of.crops}:
        folder.mkdir(parents=True, exist_ok=True)
    processes = min(len(os.sched_getaffinity(0)), len(cuts))
    # Not forked: this process may have touched CUDA.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(cut, cuts, chunksize=max(1, len(cuts) // (8 * processes))))
