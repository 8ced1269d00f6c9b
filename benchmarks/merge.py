"""Time to merge the results of many shards."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.setting import TOP, Setting
from benchmarks.timing import Row, time_interleaved, timed
from unitscope.search.ranking import rank
from unitscope.search.search import LayerSearch
from unitscope.search.statistics import tied, unit_statistics

UNITS = (64, 192, 384, 256, 256)  # number of units of ZFNet's layers
SHARDS, IMAGES = 64, 25
METHOD = f"""
Merges the randomly generated results of {SHARDS} searches over {IMAGES} images each, for all five layers of ZFNet,
and computes the ties and statistics of every unit. Reading the results from files and writing rows are not
included.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the row for the merge."""
    torch.manual_seed(0)
    layers = [[_random_result(units, shard) for shard in range(SHARDS)] for units in UNITS]

    def merge() -> None:
        for parts in layers:
            merged = LayerSearch.merged(parts)
            tied(merged.maxima, merged.top.activation)
            unit_statistics(merged.maxima)

    timings = time_interleaved({"merge": timed(merge)}, setting.rounds)
    work = f"merge of {SHARDS} shards x {sum(UNITS):,} units x {TOP}, with statistics"
    yield Row("merge", work, timings.seconds["merge"])


def _random_result(units: int, shard: int) -> LayerSearch:
    """Generate the result of a search of one layer."""
    maxima, places = torch.randn(IMAGES, units), torch.randint(13 * 13, (IMAGES, units))
    images = range(shard * IMAGES, (shard + 1) * IMAGES)
    return LayerSearch(rank(maxima, places, images, 13, TOP), None, {}, maxima.numpy())
