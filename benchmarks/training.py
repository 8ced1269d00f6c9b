"""Epochs of training compared with a plain PyTorch loop, with steps alone, and with an unfused optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.captum_projection import FORMATS
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
FC: int | None = None  # width of the fully connected layers; None: the network's
STEPS = 8  # of an epoch
LOADERS = (0, 1, 2)  # processes of the plain loop's DataLoader; 0: in the process that trains
METHOD = f"""
An epoch of at most {STEPS} batches of {BATCH} crops, from a warm pixel cache, with random flips and all metrics.
The plain loop is `ImageFolder` of the crops' JPEG files, `DataLoader`, and transforms v2, with the number of
loader processes ({", ".join(map(str, LOADERS))}) and the memory format that were fastest in an epoch. *Without a
cache*: the same epoch, in which the JPEG files are read. *Step alone*: forward, backward, and the optimizer's
step on one batch in memory, channels last, as many times. *Not fused*: the same epoch with the step that a run
continues with if an earlier version began it. All others use Adam's fused step. On a CPU all compute in float32.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the rows for ZFNet."""
    crops, device = setting.crops, setting.device
    count = min(len(crops.sources), STEPS * BATCH) // BATCH * BATCH
    if not count:
        raise ValueError(f"training is timed on batches of {BATCH} images, but there are {len(crops.sources)}")
    numbers = torch.linspace(0, len(crops.sources) - 1, count).round().long().tolist()  # of all classes
    sources = [crops.sources[number] for number in numbers]
    cache = PixelCache(setting.folder / "training.pixels", len(crops.sources), SIZE)
    fill_cache(cache, sources)
    recipe = Recipe(batch_size=BATCH, learning_rate=5e-4, epochs=1, schedule="constant")
    fused, unfused = (Trainer(new_model("zfnet", SIZE, FC, 0), recipe, device=device) for _ in range(2))
    for group in unfused.optimizer.param_groups:
        group["fused"] = None

    def epoch(trainer: Trainer, cache: PixelCache | None) -> None:
        trainer.train(batches(trainer.order(sources), BATCH, SIZE, cache=cache))

    alone = StepsAlone(new_model("zfnet", SIZE, FC, 0), SIZE, recipe, device)
    plain = PlainLoop.best(crops.folder, numbers, recipe, device)
    seconds = time_interleaved(
        {
            "epoch": timed(lambda: epoch(fused, cache), device),
            "without a cache": timed(lambda: epoch(fused, None), device),
            "plain loop": timed(plain.epoch, device),
            "step alone": timed(lambda: alone.run(count // BATCH), device),
            "not fused": timed(lambda: epoch(unfused, cache), device),
        },
        setting.rounds,
    ).seconds
    work = f"training epoch, ZFNet {SIZE}, {count:,} crops, batch {BATCH}"
    without = f"{work}, without a cache"
    for ours, name, against, goal in (
        (work, "plain loop", str(plain), None),
        (without, "plain loop", str(plain), None),
        (work, "step alone", "forward, backward and step alone", Goal(0.9)),
        (work, "not fused", "the same with an optimizer that isn't fused", None),
    ):
        measured = seconds["without a cache" if ours is without else "epoch"]
        yield Row("training", ours, measured, against, seconds[name], goal)


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


class PlainLoop:
    """A plain PyTorch loop that trains ZFNet, with a number of loader processes and a memory format."""

    def __init__(
        self, folder: Path, numbers: Sequence[int], recipe: Recipe, device: str, loaders: int, format_: str
    ) -> None:
        self.loaders, self.format, self.device = loaders, format_, device
        self.loader = plain_loader(folder, SIZE, numbers, recipe.batch_size, loaders)
        self.model = new_model("zfnet", SIZE, FC, 0).to(device, memory_format=FORMATS[format_])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate, fused=True)

    @classmethod
    def best(cls, folder: Path, numbers: Sequence[int], recipe: Recipe, device: str) -> PlainLoop:
        """Return the setting with the shortest epoch."""
        seconds = {}
        for setting in product(LOADERS, FORMATS):
            trial = cls(folder, numbers, recipe, device, *setting)
            seconds[setting] = timed(trial.epoch, device)().seconds
            del trial  # each holds a network
        return cls(folder, numbers, recipe, device, *min(seconds, key=seconds.__getitem__))

    def epoch(self) -> None:
        """Train an epoch."""
        plain_epoch(self.model, self.optimizer, self.loader, self.device, FORMATS[self.format])

    def __str__(self) -> str:
        return f"plain PyTorch loop, {self.loaders} loader processes, {self.format}"


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


def plain_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader,
    device: str,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    """Train an epoch as a plain PyTorch loop does."""
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images.to(device, memory_format=memory_format)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss.item()
