"""Inputs of the GPU benchmarks: sizes for a GPU and for a trial on a CPU, crops, their pixels, and a ZFNet."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.crops import SourceImage, plan_crops, write_all_crops
from benchmarks.gpu.time_budget import TimeBudget, time_interleaved
from benchmarks.setting import CLASSES, CONV5, Crops, find_objects, write_weights
from benchmarks.timing import Timings, Variant, timed
from unitscope.cores import usable_cores
from unitscope.data.images import Batch, ImageSource, batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize

BATCH = 32  # images per batch of the search
RESIDENT_SHARE = 0.25  # share of the GPU's free memory for batches that stay there as float32

Pair = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the inputs and number of rounds."""

    rounds: int = 3  # maximum number of timed rounds
    warming: bool = True  # whether there is a warm-up round
    image: int = 227  # pixels
    crops: int = 12_000
    pictures: int = 600  # generated images with two objects each
    fc: int = 4096
    units: int | None = None  # projected units per layer; None: all
    captum_batches: tuple[int, ...] = (9, 36, 144, 288)
    captum_tuning: int = 288  # projections
    grids: tuple[Pair, ...] = ((32, 8), (16, 4))  # patch and stride, pixels
    plain_batches: tuple[int, ...] = (32, 128, 256)
    sweep_images: int = 16  # maximum per sweep
    plain_sweep_images: int = 1
    shards: int = 8  # shards per stage of the job
    epoch: int = 6_016  # crops; a multiple of the batch size
    plain_epoch: int = 1_536  # crops for the plain loop; a multiple of the batch size
    training_batch: int = 128
    compared: int = 1_024  # crops whose maxima are compared between precisions
    profiled: int = 640  # crops
    varied: int = 4_000  # crops of which a screening gets copies with small changes
    screened: int = 48_000  # images of a screening

    @classmethod
    def small(cls) -> Sizes:
        """Return sizes for a trial on a CPU, whose timings are meaningless."""
        return cls(
            rounds=1, warming=False, image=67, crops=64, pictures=16, fc=64, units=2, captum_batches=(9,),
            captum_tuning=9, grids=((32, 35), (16, 51)), plain_batches=(2, 4), sweep_images=2, shards=1, epoch=16,
            plain_epoch=16, training_batch=16, compared=32, profiled=32, varied=16, screened=64,
        )  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Device and inputs of the benchmarks, and a temporary folder for their files."""

    device: str  # cuda:0 or cpu
    folder: Path
    sizes: Sizes
    images: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)  # durations of the preparations

    def time_interleaved(
        self, variants: Mapping[str, Variant], budget: TimeBudget, warm: Collection[str] = ()
    ) -> Timings:
        """See ``budget.time_interleaved``."""
        return time_interleaved(
            variants, budget, self.sizes.rounds, warm if self.sizes.warming else list(variants)
        )

    @property
    def is_cuda(self) -> bool:
        return self.device != "cpu"

    @cached_property
    def crops(self) -> Crops:
        """JPEG files of the crops, written at the first access."""
        began = time.monotonic()
        sizes, folder = self.sizes, self.folder / "crops"
        if self.images is None:
            pictures, kind = SourceImage.draw(sizes.pictures), "generated objects"
        else:
            objects, kind = find_objects(self.images, sizes.crops, self.folder)
            pictures = [SourceImage(n, path, (box,), (label,)) for n, (path, box, label) in enumerate(objects)]
            pictures = pictures[: sizes.crops]
            if not pictures:
                raise FileNotFoundError(f"{self.images} contains neither PASCAL VOC objects nor JPEG files")
        # Crops of given images keep their size, as in a data set.
        write_all_crops(plan_crops(pictures, sizes.crops, folder, None if self.images else sizes.image))
        files = sorted(folder.glob("*/*.jpg"))
        sources = [ImageSource(n, file, int(file.parent.name), position=n) for n, file in enumerate(files)]
        self.seconds["writing the crops"] = time.monotonic() - began
        different = sum(len(picture.labels) for picture in pictures)
        return Crops(folder, sources, f"crops of {different:,} {kind}")

    @cached_property
    def cache(self) -> PixelCache:
        """The pixels of all crops."""
        sources = self.crops.sources
        cache = PixelCache(self.folder / "crops.pixels", len(sources), self.sizes.image)
        began = time.monotonic()
        for _ in batches(sources, BATCH, self.sizes.image, cache=cache):
            pass
        self.seconds["filling the pixel cache"] = time.monotonic() - began
        return cache

    def batches(self, count: int | None = None, cached: bool = True) -> Iterator[Batch]:
        """Return batches of the first crops for the search, with pixels from the cache or decoded from files."""
        sources = self.crops.sources[:count]
        return batches(sources, BATCH, self.sizes.image, pad=True, cache=self.cache if cached else None)

    @property
    def decoders(self) -> int:
        """Number of decoding threads, the same as in ``unitscope.data.images.batches``."""
        return max(2, usable_cores())

    def model(self) -> nn.Module:
        """Build a ZFNet as a worker does: in evaluation mode, channels last, on the device. He initialization."""
        torch.manual_seed(0)
        model = networks.build("zfnet", CLASSES, self.sizes.image, fc=self.sizes.fc)
        initialize(model, "he")
        return model.eval().to(self.device, memory_format=torch.channels_last)

    def weights_file(self) -> Path:
        """Write the weights of ``model`` to a file and return its path."""
        return write_weights(self.model(), self.folder / "zfnet.safetensors")

    def timed(self, work: Callable[[], Any]) -> Variant:
        """See ``timing.timed``."""
        return timed(work, self.device)

    def resident(self, batch: torch.Tensor, count: int) -> int:
        """Return how many batches of this size fit in the resident share of GPU memory, at most ``count``."""
        if not self.is_cuda:
            return count
        free, _ = torch.cuda.mem_get_info()
        return max(1, min(count, int(free * RESIDENT_SHARE) // batch.nbytes))


def up_to_conv5(model: nn.Module) -> nn.Module:
    """Return the layers of a ZFNet up to conv 5."""
    features: nn.Sequential = model.features  # type: ignore[assignment]
    return features[: int(CONV5.partition(".")[2]) + 1]
