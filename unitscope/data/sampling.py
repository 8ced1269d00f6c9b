"""Choosing some of a data set's images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from unitscope.data.images import ImageSource


def some_of_each_class(sources: Sequence[ImageSource], count: int, seed: int) -> list[ImageSource]:
    """``count`` images of each class at random, all of a class that has fewer; in the order of ``sources``."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, source in enumerate(sources):
        by_class[source.label].append(place)
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = []
    for label in sorted(by_class):
        places = by_class[label]
        chosen += [places[i] for i in torch.randperm(len(places), generator=generator)[:count].tolist()]
    return [sources[place] for place in sorted(chosen)]
