"""The search of five layers from a warm pixel cache, against the bare forward pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.report import Finding, LimitedRow
from benchmarks.gpu.setting import Setting, up_to_conv5
from benchmarks.measuring import Goal
from benchmarks.search import units_of
from benchmarks.setting import LAYERS, TOP
from unitscope.data.images import to_input
from unitscope.search.search import LayerSearch, search

LIMIT = 10.0  # seconds


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """The row, and whether pixels from the cache and from memory gave the same bits."""
    model, device = setting.model(), setting.device
    units = units_of(model, list(LAYERS.values()))
    decoded = list(setting.batches())
    yield {name: f"{seconds:.1f} s" for name, seconds in setting.seconds.items()}
    bare = up_to_conv5(model)
    first = to_input(decoded[0].pixels, device)
    inputs = [to_input(batch.pixels, device) for batch in decoded[: setting.resident(first, len(decoded))]]

    def forward() -> None:
        with torch.inference_mode():
            for number in range(len(decoded)):
                bare(inputs[number % len(inputs)])

    def searched(cached: bool) -> dict[str, LayerSearch]:
        return search(model, units, setting.batches() if cached else decoded, TOP, device)

    turns = setting.in_turn(
        {
            "forward pass": setting.timed(forward),
            "search, warm cache": setting.timed(lambda: searched(True)),
            "search, decoded": setting.timed(lambda: searched(False)),
        },
        clock,
    )
    seconds, count = turns.seconds, len(setting.crops.sources)
    from_memory, bare_seconds = (float(np.median(seconds[way])) for way in ("search, decoded", "forward pass"))
    ours = float(np.median(seconds["search, warm cache"]))
    yield LimitedRow(
        "search",
        f"search, five layers, ZFNet {setting.sizes.image}, {count:,} crops, warm pixel cache",
        seconds["search, warm cache"],
        "the bare float32 forward pass to conv 5, same batches",
        seconds["forward pass"],
        Goal(0.85),
        f"{count / ours:,.0f} images/s. From pixels that lie in memory the search takes {from_memory:.3g} s, "
        f"{bare_seconds / from_memory:.3g} of the forward pass's speed. The bare pass has {len(inputs)} of "
        f"{len(decoded)} batches on the device, normalised, and takes them in turn.",
        {"decoded_in_memory": seconds["search, decoded"]},
        judged=setting.is_cuda,
        limit=LIMIT,
    )
    one, other = turns.results["search, warm cache"], turns.results["search, decoded"]
    for path in units:
        assert np.array_equal(one[path].maxima, other[path].maxima), f"{path}: other bits from the cache"
        assert np.array_equal(one[path].top.image, other[path].top.image), f"{path}: other images from the cache"
