"""The search against the bare forward pass, and against the usual loop."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import Goal, Row, in_turn, timed
from benchmarks.setting import BATCH, CONV5, LAYERS, SIZE, TOP, Setting
from benchmarks.usual_loop import usual_loop
from unitscope.data.images import ImageSource, batches, read_cached, to_input
from unitscope.data.pixel_cache import PixelCache
from unitscope.search.ranking import NO_IMAGE
from unitscope.search.search import LayerSearch, search

HOW = """
The bare forward pass runs the layers up to conv 5 on batches of 32 that lie in memory as float32, normalised,
channels last; *decoded* is the search on the same batches as decoded pixels. The usual loop is ImageFolder,
DataLoader(num_workers=2), transforms v2, a forward hook, the whole network in float32, channels first, and topk
of what was found so far. It and the search read the same files: crops that were cut out before, as JPEG of
quality 95. *Cold* is without our cache of pixels (the system has the files in its cache for both), *warm* with
it. All ways have found the same images; others only where they fire the unit as much, to rounding.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The rows of the table."""
    model, device, sources = setting.model(), setting.device, setting.crops.sources
    usual = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    cache_file = setting.place / "search.pixels"
    fill(PixelCache(cache_file, len(sources), SIZE), sources)
    decoded = list(batches(sources, BATCH, SIZE, pad=True))
    inputs = [to_input(batch.pixels, device) for batch in decoded]
    bare = model.features[: int(CONV5.partition(".")[2]) + 1]
    all_five, conv5 = units_of(model, list(LAYERS.values())), units_of(model, [CONV5])

    def forward() -> None:
        with torch.inference_mode():
            for images in inputs:
                bare(images)

    def from_files(cached: bool) -> dict[str, LayerSearch]:
        cache = PixelCache(cache_file, len(sources), SIZE) if cached else None
        return search(model, conv5, batches(sources, BATCH, SIZE, pad=True, cache=cache), TOP, device)

    turns = in_turn(
        {
            "forward pass": timed(forward, device),
            "search, decoded": timed(lambda: search(model, conv5, decoded, TOP, device), device),
            "all five layers": timed(lambda: search(model, all_five, decoded, TOP, device), device),
            "search, cold": timed(lambda: from_files(False), device),
            "search, warm": timed(lambda: from_files(True), device),
            "usual loop": timed(
                lambda: usual_loop(usual, CONV5, setting.crops.folder, SIZE, BATCH, TOP, device), device
            ),
        },
        setting.rounds,
    )
    values, numbers = turns.results["usual loop"]
    swapped = [
        compare(turns.results[way][CONV5], values.T.numpy(), numbers.T.numpy())
        for way in ("search, decoded", "all five layers", "search, cold", "search, warm")
    ]
    of, seconds = f"search, conv 5, ZFNet {SIZE}, {len(sources):,} crops", turns.seconds
    same = {"images_found": int(values.numel()), "other_images_within_rounding": max(swapped)}
    yield Row(
        "search", f"{of}, decoded", seconds["search, decoded"],
        "the bare forward pass to conv 5, same dtype and memory format", seconds["forward pass"], Goal(0.92),
    )  # fmt: skip
    for name, goal in (("cold", 1.6), ("warm", 1.9)):
        work = f"{of}, JPEG files, {name}{' cache' if name == 'warm' else ''}"
        way = seconds[f"search, {name}"]
        yield Row("search", work, way, "the usual loop", seconds["usual loop"], Goal(goal), details=same)
    yield Row(
        "search", f"search, all five layers at once, {len(sources):,} crops, decoded", seconds["all five layers"],
        "conv 5 alone", seconds["search, decoded"], Goal(1.1, at_most=True),
    )  # fmt: skip


def units_of(model: nn.Module, layers: Sequence[str]) -> dict[str, range]:
    """All units of these layers, by their module paths."""
    return {path: range(model.get_submodule(path).out_channels) for path in layers}


def fill(cache: PixelCache, sources: Sequence[ImageSource]) -> None:
    """Put all images into the cache."""
    for source in sources:
        read_cached(source, cache.size, cache)


def compare(ours: LayerSearch, values: np.ndarray, numbers: np.ndarray) -> int:
    """See that another search found the same; returns how many of its images are others, which is allowed where
    they fire the unit as much to rounding.

    Parameters
    ----------
    values, numbers
        [units, top]: maxima, and the numbers of their images among those that were searched.
    """
    values = np.maximum(values, 0)  # what doesn't fire is not listed by ours
    rounding = 1e-5 * float(values.max())
    top = slice(values.shape[1])  # there may be fewer images
    listed = ours.top.image[:, top] != NO_IMAGE
    at_its_image = np.where(values > 0, ours.maxima[numbers, np.arange(len(values))[:, None]], 0)
    for found in (np.where(listed, ours.top.activation[:, top], 0), at_its_image):
        wrong = float(np.abs(found - values).max())
        assert wrong <= rounding, f"the two differ by {wrong}"
    return int((ours.top.image[:, top] != numbers)[listed].sum())
