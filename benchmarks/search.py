"""The search compared with the forward pass alone, and with a plain PyTorch loop."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.plain_search import plain_search
from benchmarks.setting import BATCH, CONV5, LAYERS, SIZE, TOP, Setting
from benchmarks.timing import Goal, Row, time_interleaved, timed
from unitscope.data.images import ImageSource, batches, read_cached, to_input
from unitscope.data.pixel_cache import PixelCache
from unitscope.search.ranking import NO_IMAGE
from unitscope.search.search import LayerSearch, search

METHOD = """
The forward pass runs the layers up to conv 5 on batches of 32 normalized images that are in memory as float32,
channels last. *Decoded* is the search over the same batches as decoded pixels. The plain PyTorch loop consists of
ImageFolder, DataLoader(num_workers=2), transforms v2, a forward hook, the whole network in float32, channels
first, and a running topk. It reads the same files as the search: crops stored as JPEG files of quality 95. *Cold*
is without the pixel cache of unitscope (the files are in the page cache of the operating system for both); *warm*
is with it. All variants find the same top images, except for images whose activations are equal up to rounding.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the rows for conv 5 and for all five layers."""
    model, device, sources = setting.model(), setting.device, setting.crops.sources
    channels_first = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    cache_file = setting.folder / "search.pixels"
    fill_cache(PixelCache(cache_file, len(sources), SIZE), sources)
    decoded = list(batches(sources, BATCH, SIZE, pad=True))
    inputs = [to_input(batch.pixels, device) for batch in decoded]
    features = model.features[: int(CONV5.partition(".")[2]) + 1]
    all_five, conv5 = layer_units(model, list(LAYERS.values())), layer_units(model, [CONV5])

    def forward() -> None:
        with torch.inference_mode():
            for images in inputs:
                features(images)

    def from_files(cached: bool) -> dict[str, LayerSearch]:
        cache = PixelCache(cache_file, len(sources), SIZE) if cached else None
        return search(model, conv5, batches(sources, BATCH, SIZE, pad=True, cache=cache), TOP, device)

    timings = time_interleaved(
        {
            "forward pass": timed(forward, device),
            "search, decoded": timed(lambda: search(model, conv5, decoded, TOP, device), device),
            "all five layers": timed(lambda: search(model, all_five, decoded, TOP, device), device),
            "search, cold": timed(lambda: from_files(False), device),
            "search, warm": timed(lambda: from_files(True), device),
            "plain loop": timed(
                lambda: plain_search(channels_first, CONV5, setting.crops.folder, SIZE, BATCH, TOP, device), device
            ),
        },
        setting.rounds,
    )
    values, numbers = timings.results["plain loop"]
    mismatches = [
        compare(timings.results[variant][CONV5], values.T.numpy(), numbers.T.numpy())
        for variant in ("search, decoded", "all five layers", "search, cold", "search, warm")
    ]
    work, seconds = f"search, conv 5, ZFNet {SIZE}, {len(sources):,} crops", timings.seconds
    details = {"images_found": int(values.numel()), "other_images_within_rounding": max(mismatches)}
    yield Row(
        "search", f"{work}, decoded", seconds["search, decoded"],
        "forward pass to conv 5, same dtype and memory format", seconds["forward pass"], Goal(0.92),
    )  # fmt: skip
    for name, goal in (("cold", 1.6), ("warm", 1.9)):
        yield Row(
            "search", f"{work}, JPEG files, {name} cache", seconds[f"search, {name}"],
            "plain PyTorch loop", seconds["plain loop"], Goal(goal), details=details,
        )  # fmt: skip
    yield Row(
        "search", f"search, all five layers at once, {len(sources):,} crops, decoded", seconds["all five layers"],
        "search, conv 5 only", seconds["search, decoded"], Goal(1.1, at_most=True),
    )  # fmt: skip


def layer_units(model: nn.Module, layers: Sequence[str]) -> dict[str, range]:
    """Return all units of the layers, by module path."""
    return {path: range(model.get_submodule(path).out_channels) for path in layers}


def fill_cache(cache: PixelCache, sources: Sequence[ImageSource]) -> None:
    """Decode all images into the cache."""
    for source in sources:
        read_cached(source, cache.size, cache)


def compare(ours: LayerSearch, values: np.ndarray, numbers: np.ndarray) -> int:
    """Check that another search has the same result, and return the number of ranks at which the image differs.

    A different image is allowed where the activations are equal up to rounding.

    Parameters
    ----------
    values, numbers
        [units, top]: the maxima of the other search, and the indices of their images.
    """
    values = np.maximum(values, 0)  # unitscope's search doesn't list images that don't activate the unit
    rounding = 1e-5 * float(values.max())
    top = slice(values.shape[1])  # smaller than TOP if there are fewer images
    listed = ours.top.image[:, top] != NO_IMAGE
    at_its_image = np.where(values > 0, ours.maxima[numbers, np.arange(len(values))[:, None]], 0)
    for activations in (np.where(listed, ours.top.activation[:, top], 0), at_its_image):
        difference = float(np.abs(activations - values).max())
        assert difference <= rounding, f"the maxima of the two searches differ by {difference}"
    return int((ours.top.image[:, top] != numbers)[listed].sum())
