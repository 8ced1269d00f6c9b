"""What is measured on: sizes for a GPU and for a trial on a CPU, crops, their pixels, and a ZFNet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.clock import Clock, in_turn
from benchmarks.gpu.cutting import Picture, cut_all, plan
from benchmarks.measuring import Turns, Way, timed
from benchmarks.setting import CLASSES, CONV5, Crops, found_objects, write_weights
from unitscope.data.images import Batch, ImageSource, batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialise

BATCH = 32  # images, of the search
RESIDENT_SHARE = 0.25  # of a GPU's free memory, for batches that lie there as float32

Pair = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 3  # at most
    warming: bool = True  # a round before them
    image: int = 227  # pixels
    crops: int = 12_000
    pictures: int = 600  # distinct drawn images, of two objects each
    fc: int = 4096
    units: int | None = None  # of each layer that are projected; None: all
    captum_batches: tuple[int, ...] = (9, 36, 144, 288)
    captum_tried: int = 288  # projections
    grids: tuple[Pair, ...] = ((32, 8), (16, 4))  # patch and stride, pixels
    plain_batches: tuple[int, ...] = (32, 128, 256)
    swept: int = 16  # images at once, at most
    swept_plainly: int = 1
    shards: int = 8  # of the job's stages
    epoch: int = 6_016  # crops: whole batches, as those below
    plain_epoch: int = 1_536  # by the plain loop
    training_batch: int = 128
    compared: int = 1_024  # crops whose maxima in lower precision are looked at
    profiled: int = 640  # crops

    @classmethod
    def small(cls) -> Sizes:
        """For a trial on a CPU: everything runs, no figure says anything."""
        return cls(
            rounds=1, warming=False, image=67, crops=64, pictures=16, fc=64, units=2, captum_batches=(9,),
            captum_tried=9, grids=((32, 35), (16, 51)), plain_batches=(2, 4), swept=2, shards=1, epoch=16,
            plain_epoch=16, training_batch=16, compared=32, profiled=32,
        )  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Where and on what is measured, with a folder for what it takes."""

    device: str  # cuda:0 or cpu
    place: Path
    sizes: Sizes
    images: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)  # of what was prepared

    def in_turn(self, ways: Mapping[str, Way], clock: Clock, warm: Collection[str] = ()) -> Turns:
        """See ``clock.in_turn``."""
        return in_turn(ways, clock, self.sizes.rounds, warm if self.sizes.warming else list(ways))

    @property
    def is_cuda(self) -> bool:
        return self.device != "cpu"

    @cached_property
    def crops(self) -> Crops:
        """JPEG files; made when they are first asked for."""
        began = time.monotonic()
        sizes, folder = self.sizes, self.place / "crops"
        if self.images is None:
            pictures, kind = Picture.drawn(sizes.pictures), "drawn objects"
        else:
            found, kind = found_objects(self.images, sizes.crops, self.place)
            pictures = [Picture(n, path, (box,), (label,)) for n, (path, box, label) in enumerate(found)]
            pictures = pictures[: sizes.crops]
            if not pictures:
                raise FileNotFoundError(f"{self.images} holds neither PASCAL VOC objects nor JPEG files")
        # Given images keep their size, as those of a data set do.
        cut_all(plan(pictures, sizes.crops, folder, None if self.images else sizes.image))
        files = sorted(folder.glob("*/*.jpg"))
        sources = [ImageSource(n, file, int(file.parent.name), position=n) for n, file in enumerate(files)]
        self.seconds["cutting out the crops"] = time.monotonic() - began
        different = sum(len(picture.labels) for picture in pictures)
        return Crops(folder, sources, f"crops of {different:,} {kind}")

    @cached_property
    def cache(self) -> PixelCache:
        """The pixels of all crops."""
        sources = self.crops.sources
        cache = PixelCache(self.place / "crops.pixels", len(sources), self.sizes.image)
        began = time.monotonic()
        for _ in batches(sources, BATCH, self.sizes.image, cache=cache):
            pass
        self.seconds["decoding and keeping the pixels"] = time.monotonic() - began
        return cache

    def batches(self, count: int | None = None, cached: bool = True) -> Iterator[Batch]:
        """The first crops as the search takes them: from the cache, or decoded."""
        sources = self.crops.sources[:count]
        return batches(sources, BATCH, self.sizes.image, pad=True, cache=self.cache if cached else None)

    @property
    def decoders(self) -> int:
        """Threads that decode images: as many as ``unitscope.data.images.batches`` takes."""
        return max(2, os.cpu_count() or 1)

    def model(self) -> nn.Module:
        """A ZFNet as a worker has it: for evaluation, channels last, on the device. He initialisation."""
        torch.manual_seed(0)
        model = networks.build("zfnet", CLASSES, self.sizes.image, fc=self.sizes.fc)
        initialise(model, "he")
        return model.eval().to(self.device, memory_format=torch.channels_last)

    def weights_file(self) -> Path:
        """The weights of ``model`` as a file."""
        return write_weights(self.model(), self.place / "zfnet.safetensors")

    def timed(self, work: Callable[[], Any]) -> Way:
        """See ``measuring.timed``."""
        return timed(work, self.device)

    def resident(self, batch: torch.Tensor, count: int) -> int:
        """How many batches like this one may lie on the device, ``count`` at most."""
        if not self.is_cuda:
            return count
        free, _ = torch.cuda.mem_get_info()
        return max(1, min(count, int(free * RESIDENT_SHARE) // batch.nbytes))


def up_to_conv5(model: nn.Module) -> nn.Module:
    """The layers of a ZFNet from the pixels to conv 5."""
    features: nn.Sequential = model.features  # type: ignore[assignment]
    return features[: int(CONV5.partition(".")[2]) + 1]
