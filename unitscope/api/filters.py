"""Filters of a convolution (paper, section 4.1 and Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unitscope.api.arguments import check_choice
from unitscope.api.network import Network, check_unit, find_convolution
from unitscope.description import LayerDescription
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.filters import filter_sheet, filters_figure
from unitscope.errors import InvalidArgument
from unitscope.filters.layers import LayerFilters, layer_filters
from unitscope.filters.statistics import FilterStatistics
from unitscope.vocabulary import SCALES, Scale


@dataclass(eq=False, repr=False, match_args=False)
class Filters:
    """Result of ``inspect_filters``.

    Attributes
    ----------
    weight : numpy.ndarray
        float32 [N, C, h, w]: N filters of C input channels.
    statistics : FilterStatistics
        Arrays [N]: ``rms``, ``norm``, ``mean``, ``minimum``, ``maximum`` (float64), ``dead``, ``dominating``,
        ``over_limit`` (bool); and ``median_rms`` and ``rms_limit``.
    layer : LayerDescription
        The convolution.
    """

    weight: np.ndarray
    statistics: FilterStatistics
    layer: LayerDescription
    _filters: LayerFilters

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each filter, for ``pandas.DataFrame``."""
        columns = {
            name: values for name, values in vars(self.statistics).items() if isinstance(values, np.ndarray)
        }
        return [
            {"unit": unit, **{name: values[unit].item() for name, values in columns.items()}}
            for unit in range(len(self.weight))
        ]

    def picture(
        self, *, scale: Scale = "own", units: Sequence[int] = (), inputs: Sequence[int] = ()
    ) -> Image.Image:
        """Draw the kernels: in colour if the layer reads pixels, else as grey tiles by filter and input channel.

        Parameters
        ----------
        scale : {"own", "shared"}
            Each filter has its own scale, or all share one. Zero is mid-grey.
        units, inputs : sequence of int, optional
            Filters and input channels to show; by default as many as fit, evenly spread.

        Raises
        ------
        InvalidArgument, NoSuchUnit
        """
        check_choice("scale", scale, SCALES)
        shown = [check_unit(self.layer, unit) for unit in units]
        wrong = [channel for channel in inputs if not 0 <= channel < self.weight.shape[1]]
        if wrong:
            raise InvalidArgument(
                reason=f"inputs can't contain {wrong[0]}. The filters have {self.weight.shape[1]} input channels."
            )
        return Image.fromarray(filter_sheet(self._filters, scale, shown, list(inputs)))

    def figure(self, other: Filters | None = None, *, scale: Scale = "own") -> NotebookFigure:
        """Draw the filters and their RMS, and beside them those of another network, like the paper's Fig. 6."""
        check_choice("scale", scale, SCALES)
        return filters_figure([self._filters, *([other._filters] if other else [])], scale)

    def __repr__(self) -> str:
        return f"Filters({self._filters.network}, {self._filters.layer}: {self._filters.shape_text})"


def inspect_filters(network: Network, layer: str | int = 1) -> Filters:
    """Show the filters of a convolution, and find those that are dead or dominate (paper, section 4.1).

    A filter is dead if the root mean square (RMS) of its weights is at most 5 % of the median of the layer's
    filters that are not zero, dominating if it is more than three times the median, and above the limit if it is
    larger than 0.1, the limit of the paper's training (for the first layer, in proportion to the range of inputs).

    Parameters
    ----------
    network : Network
        The network.
    layer : str or int
        A convolution, as in ``top9``.

    Returns
    -------
    Filters
        ``statistics``, ``rows()``, ``picture()``, ``figure()``.

    Raises
    ------
    NoSuchLayer, NotAConvolution, AmbiguousLayer
        the layer does not exist.
    NotFinite
        a weight is NaN or infinite.
    InvalidArgument
        ``network`` is not a ``Network``.
    """
    described = find_convolution(network, layer)
    filters = layer_filters(network.model, network.name, described.label, described.path, network.std)
    return Filters(filters.weight, filters.statistics, described, filters)
