"""Figures of units: a unit's top images, and a single projection."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.pictures import Picture
from unitscope.drawing.text import fitted
from unitscope.geometry.receptive_fields import Window

PANEL, BETWEEN, TITLE, SMALL = 1.05, 0.35, 11.0, 7.5  # inches, inches, points, points


def unit_figure(
    title: str,
    patches: Sequence[Picture],
    projections: Sequence[Picture] | None,
    activations: Sequence[float],
    names: Sequence[str],
) -> NotebookFigure:
    """Draw a unit's projections on the left and its image patches on the right.

    Above each projection is its activation, above each patch the name of its class or file; without projections,
    both are above the patches.
    """
    numbers = [f"{activation:.3g}" for activation in activations]
    blocks = [(patches, [f"{number} {name}" for number, name in zip(numbers, names, strict=True)])]
    if projections is not None:
        blocks = [(projections, numbers), (patches, list(names))]
    columns = math.ceil(math.sqrt(len(patches)))
    rows = -(-len(patches) // columns)
    width = PANEL * columns * len(blocks) + BETWEEN
    figure = NotebookFigure(figsize=(width, (PANEL + 0.2) * rows + BETWEEN), layout="constrained")
    figure.suptitle(fitted(title, TITLE, 72 * width), fontsize=TITLE, parse_math=False)
    for part, (block, captions) in zip(figure.subfigures(1, len(blocks), squeeze=False)[0], blocks, strict=True):
        grid = part.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, picture, caption in zip(grid, block, captions, strict=False):
            _show(axes, picture, fitted(caption, SMALL, 72 * PANEL), SMALL)
    return figure


def projection_figure(
    title: str, image: Picture, patch: Picture, projection: Picture, window: Window | None, where: str
) -> NotebookFigure:
    """Draw an image with the outline of a unit's receptive field, the patch inside, and the projection."""
    figure = NotebookFigure(figsize=(9, 3.4), layout="constrained")
    figure.suptitle(fitted(title, TITLE, 72 * 9), fontsize=TITLE, parse_math=False)
    image_axes, patch_axes, projection_axes = figure.subplots(1, 3)
    _show(image_axes, image, fitted(where, 9, 72 * 2.8), 9)
    if window is not None:
        top, left, bottom, right = window
        outline = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor="#ff2d2d")
        image_axes.add_patch(outline)
        image_axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    _show(patch_axes, patch, "receptive field", 9)
    _show(projection_axes, projection, "projection", 9)
    for axes in (image_axes, patch_axes, projection_axes):
        axes.set_axis_off()
    return figure


def _show(axes: Axes, picture: Picture, caption: str, size: float) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(caption, fontsize=size, parse_math=False)
