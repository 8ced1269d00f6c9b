"""How long the merge of many shards takes."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.measuring import Row, in_turn, timed
from benchmarks.setting import TOP, Setting
from unitscope.search.ranking import rank
from unitscope.search.search import LayerSearch
from unitscope.search.statistics import tied, unit_statistics

UNITS = (64, 192, 384, 256, 256)  # of ZFNet's layers
SHARDS, IMAGES = 64, 25
HOW = f"""
Results of {SHARDS} searches of {IMAGES} images each, drawn at random, of all five layers of ZFNet: their merge,
and the ties and statistics of every unit. Without reading them from files and writing rows.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The row of the table."""
    torch.manual_seed(0)
    layers = [[_found(units, shard) for shard in range(SHARDS)] for units in UNITS]

    def merge() -> None:
        for parts in layers:
            merged = LayerSearch.merged(parts)
            tied(merged.maxima, merged.top.activation)
            unit_statistics(merged.maxima)

    turns = in_turn({"merge": timed(merge)}, setting.rounds)
    work = f"merge of {SHARDS} shards x {sum(UNITS):,} units x {TOP}, with statistics"
    yield Row("merge", work, turns.seconds["merge"])


def _found(units: int, shard: int) -> LayerSearch:
    """What a search of a layer might find."""
    maxima, places = torch.randn(IMAGES, units), torch.randint(13 * 13, (IMAGES, units))
    images = range(shard * IMAGES, (shard + 1) * IMAGES)
    return LayerSearch(rank(maxima, places, images, 13, TOP), None, {}, maxima.numpy())
