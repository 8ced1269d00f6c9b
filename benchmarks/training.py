"""Epochs of training compared with a plain PyTorch loop, with steps alone, and with an unfused optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.search import fill_cache
from benchmarks.setting import CLASSES, SIZE, Setting
from benchmarks.timing import Goal, Row, time_interleaved, timed
from unitscope.data.images import batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.training.loop import Trainer
from unitscope.training.recipes import Recipe

BATCH = 64
STEPS = 8  # of an epoch
LOADERS = 2  # processes of the plain loop's DataLoader
METHOD = f"""
An epoch of at most {STEPS} batches of {BATCH} crops, from a warm pixel cache, with random flips and all metrics.
The plain loop is `ImageFolder` of the crops' JPEG files, `DataLoader` with {LOADERS} processes, transforms v2, and
channels first. *Step alone*: forward, backward, and the optimizer's step on one batch in memory, channels last, as
many times. *Not fused*: the same epoch with the step that a run continues with if an earlier version began it.
All others use Adam's fused step. On a CPU all compute in float32.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield three rows for ZFNet."""
    crops, device = setting.crops, setting.device
    count = min(len(crops.sources), STEPS * BATCH) // BATCH * BATCH
    if not count:
        raise ValueError(f"training is timed on batches of {BATCH} images, but there are {len(crops.sources)}")
    numbers = torch.linspace(0, len(crops.sources) - 1, count).round().long().tolist()  # of all classes
    sources = [crops.sources[number] for number in numbers]
    cache = PixelCache(setting.folder / "training.pixels", len(crops.sources), SIZE)
    fill_cache(cache, sources)
    recipe = Recipe(batch_size=BATCH, learning_rate=5e-4, epochs=1, schedule="constant")
    fused, unfused = (Trainer(new_model("zfnet", SIZE, None, 0), recipe, device=device) for _ in range(2))
    for group in unfused.optimizer.param_groups:
        group["fused"] = None

    def epoch(trainer: Trainer) -> None:
        trainer.train(batches(trainer.order(sources), BATCH, SIZE, cache=cache))

    alone = StepsAlone(new_model("zfnet", SIZE, None, 0), SIZE, recipe, device)
    plain = new_model("zfnet", SIZE, None, 0).to(device)
    optimizer = torch.optim.Adam(plain.parameters(), lr=recipe.learning_rate, fused=True)
    loader = plain_loader(crops.folder, SIZE, numbers, BATCH, LOADERS)
    seconds = time_interleaved(
        {
            "epoch": timed(lambda: epoch(fused), device),
            "plain loop": timed(lambda: plain_epoch(plain, optimizer, loader, device), device),
            "step alone": timed(lambda: alone.run(count // BATCH), device),
            "not fused": timed(lambda: epoch(unfused), device),
        },
        setting.rounds,
    ).seconds
    work = f"training epoch, ZFNet {SIZE}, {count:,} crops, batch {BATCH}"
    peers = {
        "plain loop": (f"plain PyTorch loop, {LOADERS} loader processes", None),
        "step alone": ("forward, backward and step alone", Goal(0.9)),
        "not fused": ("the same with an optimizer that isn't fused", None),
    }
    for name, (against, goal) in peers.items():
        yield Row("training", work, seconds["epoch"], against, seconds[name], goal)


class StepsAlone:
    """Forward, backward and step on one batch of random images in memory, without reading data or metrics.

    Parameters
    ----------
    mixed
        compute in bfloat16 where autocast does.
    """

    def __init__(self, model: nn.Module, size: int, recipe: Recipe, device: str, *, mixed: bool = False) -> None:
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate, fused=True)
        images = torch.randn(recipe.batch_size, 3, size, size, device=device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (recipe.batch_size,), device=device)
        self.mixed = mixed

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.mixed):
                outputs = self.model(self.images)
            F.cross_entropy(outputs.float(), self.labels).backward()
            self.optimizer.step()


def new_model(name: str, size: int, fc: int | None, seed: int) -> nn.Module:
    """Build a network with He initialization."""
    torch.manual_seed(seed)
    model = networks.build(name, CLASSES, size, fc=fc)
    initialize(model, "he")
    return model


def plain_images(folder: Path, size: int, *, flips: bool = True) -> ImageFolder:
    """Return the images of the plain loop, which are resized, flipped and normalized one by one."""
    steps: list[nn.Module] = [v2.ToImage(), v2.Resize((size, size)), v2.ToDtype(torch.float32, scale=True)]
    steps += [v2.RandomHorizontalFlip(0.5)] if flips else []
    return ImageFolder(str(folder), v2.Compose([*steps, v2.Normalize([0.5] * 3, [0.5] * 3)]), allow_empty=True)


def plain_loader(folder: Path, size: int, numbers: Sequence[int], batch: int, loaders: int) -> DataLoader:
    """Return the loader of the plain loop for some images of a folder, shuffled."""
    chosen = Subset(plain_images(folder, size), numbers)
    return DataLoader(chosen, batch, shuffle=True, num_workers=loaders)


def plain_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, device: str) -> None:
    """Train an epoch as a plain PyTorch loop does."""
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss.item()
