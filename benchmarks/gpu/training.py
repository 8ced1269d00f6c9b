"""A training epoch compared with a plain PyTorch loop, and with forward, backward and step alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.timing import Goal, Row
from benchmarks.training import StepsAlone, new_model, plain_epoch, plain_loader
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
    numbers = [source.position for source in peers]
    loader = plain_loader(setting.crops.folder, sizes.image, numbers, sizes.training_batch, LOADERS)
    bare = StepsAlone(new_model(name, sizes.image, fc, 0), sizes.image, recipe, device, mixed=trainer.mixed)
    steps = len(sources) // recipe.batch_size
    timings = setting.time_interleaved(
        {
            "bare steps": setting.timed(lambda: bare.run(steps)),
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
