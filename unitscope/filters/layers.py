"""The filters of one convolution of a network, with what is needed to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.errors import InvalidArgument, NotFinite
from unitscope.filters.statistics import FilterStatistics, filter_statistics, paper_rms_limit


@dataclass(frozen=True)
class LayerFilters:
    """Filters of a convolution.

    ``weight`` is float32 [N, C, h, w]: N filters of C input channels each (of a grouped convolution those of its
    group). ``reads_pixels``: the convolution's inputs are the three colours of the image.
    """

    network: str
    layer: str
    path: str
    weight: np.ndarray
    stride: tuple[int, int]
    groups: int
    reads_pixels: bool
    statistics: FilterStatistics

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernels."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def shape_text(self) -> str:
        """The shape in words: ``96 filters 7 x 7, stride 2``."""
        (height, width), (down, across) = self.kernel, self.stride
        stride = f"stride {down}" if down == across else f"stride {down} x {across}"
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        return f"{len(self.weight)} filters {height} x {width}, {stride}{groups}"


def layer_filters(model: nn.Module, network: str, layer: str, path: str, std: Sequence[float]) -> LayerFilters:
    """Return the filters of the convolution ``path`` of a network.

    Parameters
    ----------
    network, layer
        names for titles.
    std
        by which the network's input is divided, by channel, for pixels from 0 to 1.

    Raises
    ------
    InvalidArgument
        the module is not a Conv2d.
    NotFinite
        a weight is NaN or infinite.
    """
    module = model.get_submodule(path)
    if not isinstance(module, nn.Conv2d):
        raise InvalidArgument(reason=f"Module '{path}' of {network} is a {type(module).__name__}, not a Conv2d.")
    weight = module.weight.detach().to("cpu", torch.float32).contiguous().numpy()
    if not np.isfinite(weight).all():
        value = weight[~np.isfinite(weight)][0]
        raise NotFinite(where=f"Layer '{layer}' of {network}", value=value)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    reads_pixels = module is first and module.in_channels == 3 and module.groups == 1
    down, across = module.stride
    statistics = filter_statistics(weight, paper_rms_limit(reads_pixels, std))
    return LayerFilters(
        network, layer, path, weight, (int(down), int(across)), module.groups, reads_pixels, statistics
    )
