"""Charts of a trained network: confusion matrix and first-layer filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unitscope.drawing.figures import as_png
from unitscope.drawing.filters import draw_rms
from unitscope.filters.statistics import filter_statistics

NAMED_CLASSES = 110  # with more classes, names would be illegible
NUMBERED_CLASSES = 25  # with more classes, cells are too small for numbers


def draw_confusion(title: str, class_names: Sequence[str], answers: np.ndarray) -> bytes:
    """Draw a confusion matrix as a PNG file: a row for each true class, with predictions as shares of the row.

    ``answers``, int64 [K, 3], has rows (true class, predicted class, number of images).
    """
    count = len(class_names)
    matrix = np.zeros((count, count))
    matrix[answers[:, 0], answers[:, 1]] = answers[:, 2]
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    side = min(4 + 0.28 * count, 24)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class (images)")
    axes.set_title(title, parse_math=False)
    if count <= NAMED_CLASSES:
        size = 9 if count <= 40 else 6
        axes.set_xticks(range(count), class_names, rotation=90, fontsize=size, parse_math=False)
        named = [f"{name} ({int(total)})" for name, total in zip(class_names, totals[:, 0], strict=True)]
        axes.set_yticks(range(count), named, fontsize=size, parse_math=False)
    if count <= NUMBERED_CLASSES:
        for row, col in np.argwhere(shares >= 0.005):
            colour = "white" if shares[row, col] > 0.5 else "black"
            axes.text(
                col, row, f"{100 * shares[row, col]:.0f}", ha="center", va="center", fontsize=7, color=colour
            )
    figure.colorbar(picture, label="share of the true class (%)", shrink=0.8)
    return as_png(figure)


def filter_summary(weight: torch.Tensor) -> dict[str, float | int]:
    """Summarize the RMS of filters [N, C, h, w], and count dead and dominating ones (paper, section 4.1)."""
    statistics = filter_statistics(weight.numpy())
    return {
        "filters": len(statistics.rms),
        "rms_least": float(statistics.rms.min()),
        "rms_median": statistics.median_rms,
        "rms_largest": float(statistics.rms.max()),
        "dead": int(statistics.dead.sum()),
        "dominating": int(statistics.dominating.sum()),
    }


def draw_filters(title: str, weight: torch.Tensor) -> bytes:
    """Draw the first layer's filters [N, 3, h, w] (paper, Fig. 6) and the RMS of each as a PNG file.

    Each filter has its own scale: zero is mid-grey, and its largest absolute value is black or white.
    """
    statistics = filter_statistics(weight.numpy())
    dead, dominating = int(statistics.dead.sum()), int(statistics.dominating.sum())
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: {dead} dead, {dominating} dominating of {len(weight)}", parse_math=False)
    grid, bars = figure.subplots(1, 2, width_ratios=[1.2, 1])
    grid.imshow(_mosaic(weight), interpolation="nearest")
    grid.set_axis_off()
    draw_rms(bars, statistics.rms, statistics.median_rms)
    return as_png(figure)


def _mosaic(weight: torch.Tensor) -> np.ndarray:
    """Arrange filters in a grid with gaps of one pixel: float32 [rows, columns, 3], 0 to 1."""
    count, _, height, width = weight.shape
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    tiles = (0.5 + 0.5 * weight / largest).permute(0, 2, 3, 1).numpy()
    columns = math.ceil(math.sqrt(count * 1.3))
    rows = math.ceil(count / columns)
    mosaic = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), np.float32)
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (height + 1), (number % columns) * (width + 1)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic
