"""Memory of a worker process over many shards, with a tiny network and tiny images."""

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

from benchmarks.servers import START_SECONDS, Home
from benchmarks.setting import Setting, write_weights
from benchmarks.timing import Goal, Row
from shared.jobs.tables import Shard, ShardState
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize

JOBS = 5
TINY_IMAGE_SIZE = 64  # pixels


def measure_memory(setting: Setting) -> Iterator[Row]:
    """Compare the peak memory of the worker process in the last job with the second one.

    The jobs differ only in their weights.
    """
    crops = setting.folder / "tiny"
    generator = torch.Generator().manual_seed(0)
    for number in range(64):
        file = crops / f"class-{number % 2}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(
            0, 256, (TINY_IMAGE_SIZE, TINY_IMAGE_SIZE, 3), generator=generator, dtype=torch.uint8
        )
        Picture.fromarray(pixels.numpy()).save(file)
    home = Home(setting.folder / "memory", threads=1)
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
            setting.memory_shards // (5 * JOBS),
        ]
        for seed in range(JOBS):
            network = ["--network", "zfnet", "--weights", _tiny_weights(setting.folder, seed)]
            network += ["--size", TINY_IMAGE_SIZE, "--classes", 2, "--fc", 64]
            peaks.append(_peak(home, lambda network=network: int(home.analyze("submit", *search, *network))))
            click.echo(f"  memory, job {seed + 1} of {JOBS}: {peaks[-1]:.0f} MB", err=True)
        with home.database.read() as session:
            shards = session.scalar(select(func.count(Shard.id)).where(Shard.state == ShardState.DONE)) or 0
    finally:
        home.stop()
    assert shards >= setting.memory_shards
    yield Row(
        "load",
        f"peak memory of a worker process in the last of {JOBS} similar jobs, {shards:,} shards in total",
        [peaks[-1]],
        "peak memory in the second job",
        [peaks[1]],
        Goal(1.02, at_most=True),
        note=f"peak memory in each job: {json.dumps([round(megabytes) for megabytes in peaks])} MB",
        unit="MB",
    )


def _tiny_weights(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = networks.build("zfnet", image_size=TINY_IMAGE_SIZE, classes=2, fc=64)
    initialize(model, "he")
    return write_weights(model, folder / f"tiny-{seed}.safetensors")


def _peak(home: Home, submit: Callable[[], int]) -> float:
    """Return the peak resident memory, in MB, of the process that runs the shards of a job.

    The kernel records the peak; writing ``5`` to ``clear_refs`` resets it (man 5 proc).
    """
    child = _working_process(home)
    Path(f"/proc/{child.pid}/clear_refs").write_text("5")
    home.stage(submit(), "finish")  # the last stage
    assert child == _working_process(home), "the worker process was replaced during the job"
    status = Path(f"/proc/{child.pid}/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024 / 1e6


def _working_process(home: Home) -> psutil.Process:
    """Wait for Celery's child process, which runs the shards, and return it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        tree = psutil.Process(home.started[0].pid).children(recursive=True)
        celery = [process for process in tree if "worker.programs.celery" in process.cmdline()]
        children = [process for process in celery if process.ppid() in {other.pid for other in celery}]
        if children:
            (child,) = children
            return child
        time.sleep(0.2)
    raise RuntimeError("the worker has no child process")
