"""Random samples of a data set's images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from unitscope.data.images import ImageSource


def some_of_each_class(sources: Sequence[ImageSource], count: int, seed: int) -> list[ImageSource]:
    """Draw ``count`` images of each class, or all of a class that has fewer; keep the order of ``sources``."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, source in enumerate(sources):
        by_class[source.label].append(index)
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = []
    for label in sorted(by_class):
        indices = by_class[label]
        chosen += [indices[i] for i in torch.randperm(len(indices), generator=generator)[:count].tolist()]
    return [sources[index] for index in sorted(chosen)]
