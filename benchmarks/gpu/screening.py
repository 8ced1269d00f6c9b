"""The search with screening in TF32 and bfloat16 compared with the search in float32."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from benchmarks.gpu.report import Finding
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.search import layer_units
from benchmarks.setting import LAYERS, TOP
from benchmarks.timing import Goal, Row
from benchmarks.variants import Variants
from unitscope.search.screening import screened_search
from unitscope.search.search import search
from unitscope.vocabulary import SCREENS, Screen


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield a row for each precision, then check that the rankings are those of the search in float32, bit for
    bit."""
    model, device = setting.model(), setting.device
    units = layer_units(model, list(LAYERS.values()))
    crops = [batch.pixels[: len(batch.sources)] for batch in setting.batches(setting.sizes.varied)]
    images = Variants(torch.cat(crops).permute(0, 2, 3, 1).numpy(), setting.sizes.screened)
    precisions: list[Screen] = [screen for screen in SCREENS if screen != "tf32" or setting.is_cuda]

    def screened(precision: Screen) -> object:
        return screened_search(model, units, images.batches(), images.batches, precision, TOP, device)

    variants = {precision: setting.timed(partial(screened, precision)) for precision in precisions}
    timings = setting.time_interleaved(
        {"float32": setting.timed(lambda: search(model, units, images.batches(), TOP, device)), **variants}, budget
    )
    expected = timings.results["float32"]
    for precision in precisions:
        found = timings.results[precision]
        for path, result in found.layers.items():
            for name, values in vars(expected[path].top).items():
                assert np.array_equal(getattr(result.top, name), values), f"{precision}, {path}: another {name}"
        yield Row(
            "screening",
            f"search, five layers, ZFNet {setting.sizes.image}, {found.images:,} crops, screened in {precision}",
            timings.seconds[precision],
            "the same search in float32",
            timings.seconds["float32"],
            Goal(2.0),
            f"{found.recomputed / found.images:.1%} of the images computed again in float32, "
            f"margins of {found.widened:,} units widened",
            judged=setting.is_cuda,
        )
