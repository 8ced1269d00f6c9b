"""A training epoch compared with a plain PyTorch loop, and with forward, backward and step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.setting import CLASSES
from benchmarks.timing import Goal, Row
from benchmarks.training import new_model, plain_epoch
from unitscope.data.images import ImageSource, batches
from unitscope.training.loop import Trainer
from unitscope.training.recipes import Recipe

NETWORKS = {"zfnet": "ZFNet", "alexnet": "AlexNet"}
LOADERS = 2  # processes of the plain loop's DataLoader


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield two rows per network."""
    _ = setting.cache  # fill the cache before timing starts
    for name, title in NETWORKS.items():
        yield from _network(setting, name, title, budget.share(1 / len(NETWORKS)))


def _network(setting: Setting, name: str, title: str, budget: TimeBudget) -> Iterator[Finding]:
    sizes, device = setting.sizes, setting.device
    recipe = Recipe(batch_size=sizes.training_batch, learning_rate=5e-4, epochs=1, schedule="constant")
    fc = sizes.fc if name == "zfnet" else None
    sources, peers = _spread(setting, sizes.epoch), _spread(setting, sizes.plain_epoch)
    trainer = Trainer(new_model(name, sizes.image, fc, 0), recipe, device=device)

    def ours() -> None:
        order = trainer.order(sources)
        trainer.train(batches(order, recipe.batch_size, sizes.image, cache=setting.cache))

    plain = new_model(name, sizes.image, fc, 0).to(device)
    optimizer = torch.optim.Adam(plain.parameters(), lr=recipe.learning_rate, fused=True)
    loader = _loader(setting, peers)
    bare = new_model(name, sizes.image, fc, 0).to(device, memory_format=torch.channels_last)
    steps = len(sources) // recipe.batch_size
    timings = setting.time_interleaved(
        {
            "bare steps": setting.timed(_bare_steps(setting, bare, recipe, steps, trainer.mixed)),
            "epoch": setting.timed(ours),
            "plain loop": setting.timed(lambda: plain_epoch(plain, optimizer, loader, device)),
        },
        budget,
    )
    precision = "bfloat16" if trainer.mixed else "float32"
    work = f"training epoch, {title} {sizes.image}, {len(sources):,} crops, batch {recipe.batch_size}, {precision}"
    seconds = timings.seconds
    yield Row(
        "training",
        f"{work}, warm pixel cache",
        seconds["epoch"],
        f"plain PyTorch loop, {LOADERS} loader processes, float32",
        [value * len(sources) / len(peers) for value in seconds["plain loop"]],
        Goal(5),
        f"The plain loop is timed on {len(peers):,} crops, and its time is scaled to the same number of crops.",
        judged=setting.is_cuda,
    )
    yield Row(
        "training",
        work,
        seconds["epoch"],
        f"forward, backward and step in {precision} on one batch on the device",
        seconds["bare steps"],
        Goal(0.9),
        judged=setting.is_cuda,
    )


def _spread(setting: Setting, count: int) -> list[ImageSource]:
    """Choose ``count`` crops, evenly spaced over all classes."""
    sources = setting.crops.sources
    return [sources[number] for number in np.linspace(0, len(sources) - 1, count).astype(int)]


def _loader(setting: Setting, sources: Sequence[ImageSource]) -> DataLoader[tuple[torch.Tensor, int]]:
    """Return the loader of the plain loop, which resizes, flips and normalizes image by image."""
    size = setting.sizes.image
    steps = [v2.ToImage(), v2.Resize((size, size)), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*steps, v2.RandomHorizontalFlip(0.5), v2.Normalize([0.5] * 3, [0.5] * 3)])
    images = ImageFolder(str(setting.crops.folder), transform)
    chosen = Subset(images, [source.position for source in sources])
    return DataLoader(chosen, setting.sizes.training_batch, shuffle=True, num_workers=LOADERS)


def _bare_steps(setting: Setting, model: nn.Module, recipe: Recipe, steps: int, mixed: bool) -> Callable[[], None]:
    """Return a function that runs forward, backward and step on one batch, without reading data or metrics."""
    device, size = setting.device, setting.sizes.image
    images = torch.randn(recipe.batch_size, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (recipe.batch_size,), device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    model.train()

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
                outputs = model(images)
            F.cross_entropy(outputs.float(), labels).backward()
            optimizer.step()

    return run
