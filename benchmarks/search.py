"""The search against the same network's bare forward pass: ``python -m benchmarks.search``.

Three ways over the same images, taken in turn, medians of several rounds:

* *forward*: the network up to its deepest searched layer on batches that lie in memory, nothing else;
* *search, decoded*: the search on the same batches;
* *search, files*: the search from the image files, decoding included.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import torch
from torch import nn

from worker.vision import networks
from worker.vision.images import Batch, ImageSource, batches, to_input
from worker.vision.initialising import initialise
from worker.vision.search import observe, search

CONVOLUTIONS = ["features.0", "features.3", "features.6", "features.8", "features.10"]


def forward(model: nn.Module, deepest: str, decoded: Sequence[Batch], device: str) -> None:
    """The bare forward pass up to a layer."""
    with torch.inference_mode():
        for batch in decoded:
            observe(model, {deepest: lambda maps: None}, to_input(batch.pixels, device))
    if device != "cpu":
        torch.cuda.synchronize()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def sources_in(folder: Path, count: int) -> list[ImageSource]:
    files = sorted(folder.rglob("*.jpg"))[:count]
    return [ImageSource(number, file) for number, file in enumerate(files)]


@click.command()
@click.option(
    "--images",
    "folder",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of JPEG files; without it, drawn.",
)
@click.option("--count", default=256, show_default=True)
@click.option("--size", default=227, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(folder: Path | None, count: int, size: int, batch: int, rounds: int, device: str) -> None:
    """Print images per second and ratios as JSON."""
    torch.manual_seed(0)
    model = networks.build("zfnet", 20, size).eval()
    initialise(model, "he")
    model = model.to(device, memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as drawn:
        if folder is None:
            from producer.datasets.shapes import generate

            folder = Path(drawn) / "shapes"
            generate(folder, images=count)
        sources = sources_in(folder, count)
        decoded = list(batches(sources, batch, size, pad=True))
        for layers in ([CONVOLUTIONS[-1]], CONVOLUTIONS):
            units = {path: range(model.get_submodule(path).out_channels) for path in layers}
            ways: dict[str, Callable[[], object]] = {
                "forward": lambda: forward(model, CONVOLUTIONS[-1], decoded, device),
                "search, decoded": lambda units=units: search(model, units, decoded, 9, device),
                "search, files": lambda units=units: search(
                    model, units, batches(sources, batch, size, pad=True), 9, device
                ),
            }
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for way in ways.values():
                way()
            for _ in range(rounds):
                for name, way in ways.items():
                    seconds[name].append(timed(way))
            median = {name: statistics.median(values) for name, values in seconds.items()}
            answer = {
                "layers": layers,
                "images": len(sources),
                "images_per_second": {name: round(len(sources) / value, 1) for name, value in median.items()},
                "share_of_forward": {name: round(median["forward"] / value, 3) for name, value in median.items()},
            }
            click.echo(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
