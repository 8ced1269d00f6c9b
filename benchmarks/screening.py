"""The search with screening compared with the bare float32 forward pass, by the number of images."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.search import layer_units
from benchmarks.setting import CLASSES, LAYERS, TOP, Setting
from benchmarks.timing import Goal, Row, Timed, time_interleaved, timed
from benchmarks.variants import Variants
from unitscope.data.images import read_image, to_input
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.networks.weights import read_weights
from unitscope.search.screening import screened_search
from unitscope.search.search import search

SIZE = 128  # pixels: of a hundred thousand images, 4.9 GB
SIZES = (3_000, 10_000, 30_000, 100_000)
BARE = 64  # batches of the bare forward pass, whose time is scaled to all images
MARK = 100_000  # images for which the goal is defined

METHOD = f"""
Five layers of a ZFNet for {SIZE} pixels, bfloat16, all units. The images are the crops, and copies of them with
small shifts, flips, and changes of brightness, decoded in memory. *Bare* is the float32 forward pass up to conv 5
of {BARE} batches of normalized images in memory, scaled to the number of images. With the first {SIZES[0]:,}
images the rankings are compared with those of the float32 search, bit for bit.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield a row for each number of images."""
    model, device = _model(setting), setting.device
    features: nn.Sequential = model.features  # type: ignore[assignment]
    bare = features[: int(LAYERS[5].partition(".")[2]) + 1]
    half = copy.deepcopy(bare).to(torch.bfloat16)
    units = layer_units(model, list(LAYERS.values()))
    crops = np.stack([read_image(source, SIZE) for source in setting.crops.sources])
    images = Variants(crops, setting.screened)
    inputs = [to_input(batch.pixels, device) for batch, _ in zip(images.batches(), range(BARE), strict=False)]
    halves = [batch.to(torch.bfloat16) for batch in inputs]
    sizes = [size for size in SIZES if size < setting.screened] + [setting.screened]

    def forward(network: nn.Module, batches: list[torch.Tensor]) -> None:
        with torch.inference_mode():
            for batch in batches:
                network(batch)

    def screened(size: int) -> Timed:
        of_size = images.sources[:size]
        return timed(
            lambda: screened_search(
                model, units, images.batches(of_size), images.batches, "bfloat16", TOP, device
            ),
            device,
        )()

    variants = {f"{size:,} images": lambda size=size: screened(size) for size in sizes}
    variants["bare"] = timed(lambda: forward(bare, inputs), device)
    variants["bare, bfloat16"] = timed(lambda: forward(half, halves), device)
    timings = time_interleaved(variants, setting.rounds)
    each = [seconds / len(inputs) for seconds in timings.seconds["bare"]]
    yield Row(
        "screening", f"forward pass to conv 5 in bfloat16, ZFNet {SIZE}, {len(inputs)} batches",
        timings.seconds["bare, bfloat16"], "the same in float32", timings.seconds["bare"],
    )  # fmt: skip
    for size in sizes:
        found = timings.results[f"{size:,} images"]
        batches = -(-size // len(inputs[0]))
        yield Row(
            "screening", f"search of five layers with screening, {size:,} images",
            timings.seconds[f"{size:,} images"],
            "bare float32 forward pass to conv 5, scaled", [seconds * batches for seconds in each],
            Goal(1.5) if size >= MARK else None,
            f"{found.recomputed / found.images:.1%} of the images computed again in float32",
            {"recomputed": found.recomputed, "widened": found.widened},
        )  # fmt: skip
    _compare(model, images, units, device)


def _model(setting: Setting) -> nn.Module:
    """Build the network with the weights of the setting's convolutions, if there are any."""
    torch.manual_seed(0)
    model = networks.build("zfnet", CLASSES, SIZE, fc=16)
    if setting.weights:
        weights = read_weights(setting.weights)
        start = "features."
        features: nn.Module = model.features  # type: ignore[assignment]
        features.load_state_dict(
            {name.removeprefix(start): values for name, values in weights.items() if name.startswith(start)}
        )
    else:
        initialize(model, "he")
    return model.eval().to(setting.device, memory_format=torch.channels_last)


def _compare(model: nn.Module, images: Variants, units: dict[str, range], device: str) -> None:
    """Check that the rankings of the first images are those of the float32 search."""
    first = images.sources[: SIZES[0]]
    expected = search(model, units, images.batches(first), TOP, device)
    found = screened_search(model, units, images.batches(first), images.batches, "bfloat16", TOP, device)
    for path, result in found.layers.items():
        for name, values in vars(expected[path].top).items():
            assert np.array_equal(getattr(result.top, name), values), f"{path}: another {name}"
