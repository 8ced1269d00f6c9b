"""Figures of invariance (paper, Fig. 5): a row for each transformation, curves by its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from unitscope.drawing.figures import NotebookFigure, as_png
from unitscope.drawing.pictures import PAPER, Picture, resized
from unitscope.invariance.measure import ImageInvariance
from unitscope.invariance.transformations import transformed
from unitscope.vocabulary import Interpolation, Outside, Transformation

EXAMPLES, EXAMPLE_SIZE = 5, 72  # transformed images of a row, and their side in pixels
MOST_EXAMPLES = 5  # images of which examples are shown
MOST_IMAGES = 10  # curves, each in a colour of its own
LEGEND_COLUMNS = 6
AXES: dict[Transformation, tuple[str, str]] = {
    "shift": ("vertical shift", "pixels, downwards"),
    "scale": ("scale", "factor"),
    "rotation": ("rotation", "degrees, counter-clockwise"),
}


@dataclass(frozen=True)
class DrawnImage:
    """An image of a figure: the name of its class, its curves, and its examples, uint8 [N, rows, columns, 3]."""

    class_name: str
    measured: ImageInvariance
    examples: Mapping[Transformation, np.ndarray]


def example_values(values: Sequence[float]) -> list[float]:
    """Return at most ``EXAMPLES`` of the values, evenly spread from the first to the last."""
    chosen = np.linspace(0, len(values) - 1, min(EXAMPLES, len(values))).round().astype(int)
    return [values[index] for index in chosen.tolist()]


def examples(
    image: torch.Tensor,
    series: Mapping[Transformation, Sequence[float]],
    outside: Outside,
    interpolation: Interpolation,
) -> dict[Transformation, np.ndarray]:
    """Return small pictures of an image, uint8 [3, H, W], at ``example_values``: uint8 [N, rows, columns, 3]."""
    pictures = {}
    for transformation, values in series.items():
        changed = transformed(image, transformation, example_values(values), outside, interpolation)
        pictures[transformation] = np.stack(
            [resized(picture.permute(1, 2, 0).numpy(), EXAMPLE_SIZE) for picture in changed]
        )
    return pictures


def spread(count: int, most: int = MOST_IMAGES) -> list[int]:
    """Return at most ``most`` numbers of range(count), evenly spread."""
    chosen = min(count, most)
    return [(2 * index + 1) * count // (2 * chosen) for index in range(chosen)]


def draw_invariance(
    title: str, layers: Sequence[str], images: Sequence[DrawnImage], mean: ImageInvariance | None = None
) -> bytes:
    """Draw ``invariance_figure`` as a PNG file."""
    return as_png(invariance_figure(title, layers, images, mean))


def invariance_figure(
    title: str, layers: Sequence[str], images: Sequence[DrawnImage], mean: ImageInvariance | None = None
) -> NotebookFigure:
    """Draw a figure like the paper's Fig. 5.

    A row for each transformation; in the columns, examples of transformed images, the distance of the features of
    each layer to those of the clear image, and the probability of the true class. Each image has a colour.

    Parameters
    ----------
    title
        heading of the figure.
    layers
        names of the layers, in the order of the distances.
    images
        at most ``MOST_IMAGES`` images.
    mean
        curves of the mean of more images, drawn in black.
    """
    transformations = list(images[0].measured.curves)
    width = 3.6 + 3.3 * (len(layers) + 1)
    each = 3.0 if len(images) > 1 else 2.3  # inches a row
    lines = -(-(len(images) + (mean is not None)) // LEGEND_COLUMNS)
    bottom = 0.58 + 0.22 * lines  # axis labels and the legend, in inches
    height = 0.2 + bottom + each * len(transformations)
    figure = NotebookFigure(figsize=(width, height))
    figure.text(0.5, 1 - 0.25 / height, title, fontsize=12, ha="center", parse_math=False)
    # Placed here, because a layout engine takes longer than all curves.
    figure.subplots_adjust(
        0.25 / width, bottom / height, 1 - 0.15 / width, 1 - 0.6 / height, wspace=0.38, hspace=0.75 / (each - 0.75)
    )
    grid = figure.subplots(len(transformations), len(layers) + 2, squeeze=False)
    for row, transformation in enumerate(transformations):
        name, unit = AXES[transformation]
        _draw_examples(grid[row, 0], transformation, images)
        for column, layer in enumerate(layers):
            axes = grid[row, 1 + column]
            for number, image in enumerate(images):
                curves = image.measured.curves[transformation]
                _draw_curve(axes, curves.values, curves.distances[column], f"C{number % 10}")
            if mean is not None:
                _draw_curve(
                    axes, mean.curves[transformation].values, mean.curves[transformation].distances[column]
                )
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"distance, {layer}", parse_math=False)
        axes = grid[row, -1]
        for number, image in enumerate(images):
            curves = image.measured.curves[transformation]
            _draw_curve(axes, curves.values, curves.probability, f"C{number % 10}")
        if mean is not None:
            _draw_curve(axes, mean.curves[transformation].values, mean.curves[transformation].probability)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("probability of the true class")
        for axes in grid[row, 1:]:
            axes.set_xlabel(f"{name} ({unit})")
            axes.grid(alpha=0.3)
        if row == 0:
            for axes, heading in zip(grid[0], ["transformed images", *layers, "true class"], strict=True):
                axes.set_title(heading, fontsize=11, parse_math=False)
    handles = [
        Line2D([], [], color=f"C{number % 10}", label=label)
        for number, label in enumerate(_labels([image.class_name for image in images]))
    ]
    if mean is not None:
        handles.append(Line2D([], [], color="black", linewidth=2.2, label="mean of all images"))
    legend = figure.legend(
        handles=handles, loc="lower center", ncols=min(len(handles), LEGEND_COLUMNS), frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_curve(axes: Axes, values: np.ndarray, heights: np.ndarray, colour: str | None = None) -> None:
    """Draw a curve in a colour, or thick in black for a mean."""
    width = 2.2 if colour is None else 1.3
    marker = "." if len(values) < 40 else None
    axes.plot(values, heights, marker=marker, markersize=3, color=colour or "black", linewidth=width)


def _draw_examples(axes: Axes, transformation: Transformation, images: Sequence[DrawnImage]) -> None:
    """Draw a row of transformed pictures for each of the first images, framed in the colour of its curve."""
    shown = images[:MOST_EXAMPLES]
    values = example_values(images[0].measured.curves[transformation].values.tolist())
    for row, image in enumerate(shown):
        strip = _strip(image.examples[transformation])
        axes.imshow(strip, extent=(0, len(values), row + 1, row), aspect="equal")
        axes.plot([-0.06, -0.06], [row + 0.04, row + 0.94], color=f"C{row % 10}", linewidth=4)
    axes.set_xlim(-0.12, len(values))
    axes.set_ylim(len(shown), 0)
    axes.set_xticks(
        [column + 0.5 for column in range(len(values))], [f"{value:g}".replace("-", "\u2212") for value in values]
    )
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("{} ({})".format(*AXES[transformation]))


def _strip(pictures: np.ndarray) -> Picture:
    """Join pictures side by side with gaps, so that each takes the same width."""
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=PAPER)
    return np.concatenate(list(padded), 1)


def _labels(names: Sequence[str]) -> list[str]:
    """Return class names for a legend; several images of a class are numbered."""
    counts, seen, labels = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return labels
