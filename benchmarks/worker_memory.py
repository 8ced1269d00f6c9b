"""The memory of a worker over many shards, of a tiny network and tiny images."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil
import torch
from PIL import Image as Picture
from sqlalchemy import func, select

from benchmarks.measuring import Goal, Row
from benchmarks.servers import START_SECONDS, Home
from benchmarks.setting import Setting, write_weights
from shared.jobs.tables import Shard, ShardState
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialise

ALIKE = 5  # jobs of one worker
TINY = 64  # pixels


def measure_memory(setting: Setting) -> Iterator[Row]:
    """Of the process that does the shards, in jobs that differ in their weights alone."""
    crops = setting.place / "tiny"
    generator = torch.Generator().manual_seed(0)
    for number in range(64):
        file = crops / f"class-{number % 2}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (TINY, TINY, 3), generator=generator, dtype=torch.uint8)
        Picture.fromarray(pixels.numpy()).save(file)
    home = Home(setting.place / "memory", threads=1)
    peaks, shards = [], 0
    try:
        home.analyze("dataset", "add", "folder", "--root", crops, "--name", "tiny")
        home.start(1, "cpu")
        search = [
            "--layers",
            "1-5",
            "--dataset",
            "tiny",
            "--split",
            "all",
            "--shards",
            setting.worked // (5 * ALIKE),
        ]
        for seed in range(ALIKE):
            network = ["--network", "zfnet", "--weights", _tiny_weights(setting.place, seed)]
            network += ["--size", TINY, "--classes", 2, "--fc", 64]
            peaks.append(_peak(home, lambda network=network: int(home.analyze("submit", *search, *network))))
            click.echo(f"  memory, job {seed + 1} of {ALIKE}: {peaks[-1]:.0f} MB", err=True)
        with home.database.read() as session:
            shards = session.scalar(select(func.count(Shard.id)).where(Shard.state == ShardState.DONE)) or 0
    finally:
        home.stop()
    assert shards >= setting.worked
    yield Row(
        "load",
        f"largest memory of a worker's process in the last of {ALIKE} alike jobs, {shards:,} shards in all",
        [peaks[-1]],
        "in the second of them",
        [peaks[1]],
        Goal(1.02, at_most=True),
        note=f"in each of them: {json.dumps([round(megabytes) for megabytes in peaks])} MB",
        unit="MB",
    )


def _tiny_weights(place: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = networks.build("zfnet", image_size=TINY, classes=2, fc=64)
    initialise(model, "he")
    return write_weights(model, place / f"tiny-{seed}.safetensors")


def _peak(home: Home, submit: Callable[[], int]) -> float:
    """Largest resident memory, in MB, of the process that does the shards of a job. The kernel keeps it; it begins
    anew when ``5`` is written to ``clear_refs`` (man 5 proc)."""
    child = _working_process(home)
    Path(f"/proc/{child.pid}/clear_refs").write_text("5")
    home.stage(submit(), "finish")  # the last one
    assert child == _working_process(home), "the worker's process is another one"
    status = Path(f"/proc/{child.pid}/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024 / 1e6


def _working_process(home: Home) -> psutil.Process:
    """Celery's child, once it is there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        tree = psutil.Process(home.started[0].pid).children(recursive=True)
        celery = [process for process in tree if "celery" in process.cmdline()]
        children = [process for process in celery if process.ppid() in {other.pid for other in celery}]
        if children:
            (child,) = children
            return child
        time.sleep(0.2)
    raise RuntimeError("the worker has no process that works")
