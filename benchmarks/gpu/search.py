"""The search of five layers with a warm pixel cache compared with the forward pass alone, and with searches from
pageable memory and without prefetching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.gpu.report import Finding, LimitedRow
from benchmarks.gpu.setting import Setting, up_to_conv5
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.search import layer_units
from benchmarks.setting import LAYERS, TOP
from benchmarks.timing import Goal, Row
from unitscope.data import images, upload
from unitscope.data.images import to_input
from unitscope.search.search import LayerSearch, search

LIMIT = 10.0  # seconds
NOTHING: AbstractContextManager[object] = nullcontext()
WITHOUT = {
    "from pageable memory": lambda: patch.object(torch.Tensor, "pin_memory", lambda pixels: pixels),
    "with one batch prepared in advance": lambda: patch.object(images, "AHEAD", 1),
    "with one batch queued on the device": lambda: patch.object(upload, "AHEAD", 1),
}


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield the rows, then check that pixels from the cache and from memory give bitwise equal results."""
    model, device = setting.model(), setting.device
    units = layer_units(model, list(LAYERS.values()))
    decoded = list(setting.batches())
    yield {name: f"{seconds:.1f} s" for name, seconds in setting.seconds.items()}
    bare = up_to_conv5(model)
    first = to_input(decoded[0].pixels, device)
    inputs = [to_input(batch.pixels, device) for batch in decoded[: setting.resident(first, len(decoded))]]

    def forward() -> None:
        with torch.inference_mode():
            for number in range(len(decoded)):
                bare(inputs[number % len(inputs)])

    def searched(cached: bool, changed: AbstractContextManager[object] = NOTHING) -> dict[str, LayerSearch]:
        with changed:
            return search(model, units, setting.batches() if cached else decoded, TOP, device)

    timings = setting.time_interleaved(
        {
            "forward pass": setting.timed(forward),
            "search, warm cache": setting.timed(lambda: searched(True)),
            "search, decoded": setting.timed(lambda: searched(False)),
            **{
                name: setting.timed(lambda without=without: searched(True, without()))
                for name, without in WITHOUT.items()
            },
        },
        budget,
    )
    seconds, count = timings.seconds, len(setting.crops.sources)
    from_memory, bare_seconds = (
        float(np.median(seconds[variant])) for variant in ("search, decoded", "forward pass")
    )
    ours = float(np.median(seconds["search, warm cache"]))
    yield LimitedRow(
        "search",
        f"search, five layers, ZFNet {setting.sizes.image}, {count:,} crops, warm pixel cache",
        seconds["search, warm cache"],
        "float32 forward pass to conv 5, same batches",
        seconds["forward pass"],
        Goal(0.85),
        f"{count / ours:,.0f} images/s. With decoded pixels in memory, the search takes {from_memory:.3g} s, "
        f"{bare_seconds / from_memory:.3g} times the speed of the forward pass. The forward pass cycles through "
        f"{len(inputs)} of {len(decoded)} batches, which are normalized and on the device.",
        {"decoded_in_memory": seconds["search, decoded"]},
        judged=setting.is_cuda,
        limit=LIMIT,
    )
    for name in WITHOUT:
        yield Row(
            "search",
            "the same search, warm pixel cache",
            seconds["search, warm cache"],
            f"the same {name}",
            seconds[name],
        )
    cached, in_memory = timings.results["search, warm cache"], timings.results["search, decoded"]
    for path in units:
        assert np.array_equal(cached[path].maxima, in_memory[path].maxima), f"{path}: the cache changes the maxima"
        assert np.array_equal(cached[path].top.image, in_memory[path].top.image), (
            f"{path}: the cache changes the images"
        )
