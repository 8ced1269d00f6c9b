"""Pictures of the filters of a convolution (paper, Fig. 6): a sheet of its kernels, and a figure of two networks.

A convolution that reads pixels is drawn in colour, a tile for each filter. The kernels of any other one are grey
tiles: a row for each filter, a column for each input channel. A layer can have hundreds of each: the sheet shows
some of them, evenly spread, and below them the norm of every kernel as one pixel of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from PIL import Image, ImageDraw

from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.pictures import INK, Picture
from unitscope.drawing.text import NUMBER, SOFT, blank, font, heading, stacked
from unitscope.filters.layers import LayerFilters
from unitscope.filters.statistics import DEAD_SHARE, DOMINATING_SHARE
from unitscope.vocabulary import Scale

MOST_COLOURED = 256  # filters of a sheet in colour
MOST_ROWS, MOST_COLUMNS = 32, 48  # filters and input channels of a sheet in grey
TILE_SIDE, GREY_TILE_SIDE = 48, 18  # pixels, about
LEAST_NORMS, MOST_NORMS = 256, 1024  # sides of the map of norms, in pixels
LEAST_WIDTH = 640
RED, DIM = (200, 30, 30), (150, 150, 150)  # numbers of filters that dominate, or are dead
NORMS = colormaps["magma"]


# --- the sheet of a layer ---


def filter_sheet(
    filters: LayerFilters, scale: Scale = "own", units: Sequence[int] = (), inputs: Sequence[int] = ()
) -> Picture:
    """Draw the kernels of a layer, with a heading that says what is shown.

    Parameters
    ----------
    scale
        zero is mid-grey. "own": the largest absolute value of each filter is black or white; "shared": that of the
        whole layer.
    units, inputs
        numbers of the filters and of the input channels to show; by default as many as fit, evenly spread.

    Returns
    -------
    numpy.ndarray
        uint8 [rows, columns, 3].
    """
    count, channels = filters.weight.shape[:2]
    most = MOST_COLOURED if filters.reads_pixels else MOST_ROWS
    rows = _chosen(units, count, most)
    columns = list(range(channels)) if filters.reads_pixels else _chosen(inputs, channels, MOST_COLUMNS)
    values = _levels(filters.weight, scale)[np.ix_(rows, columns)]
    statistics = filters.statistics
    colours = [RED if statistics.dominating[row] else DIM if statistics.dead[row] else INK for row in rows]
    lines = [
        f"{statistics.dead.sum()} dead (grey numbers), {statistics.dominating.sum()} dominating (red numbers); "
        f"RMS {statistics.rms.min():.3g} to {statistics.rms.max():.3g}, median {statistics.median_rms:.3g}",
        _scale_text(filters, scale),
    ]
    if filters.reads_pixels:
        parts = [_coloured(values, rows, colours)]
        lines.insert(0, f"Filters in colour: {_shown(rows, count, 'filters')}.")
    else:
        parts = [_grey(values, rows, columns, colours), *_norm_map(filters)]
        lines.insert(
            0,
            f"A row for each filter, a column for each input channel: {_shown(rows, count, 'filters')}, "
            f"{_shown(columns, channels, 'input channels')}.",
        )
    width = max(LEAST_WIDTH, *(part.shape[1] for part in parts))
    title = f"{filters.network} {filters.layer}: {filters.shape_text}"
    return stacked([heading(title, lines, width), *parts], gap=10, margin=16)


def _chosen(numbers: Sequence[int], count: int, most: int) -> list[int]:
    """Return the given numbers, or all of ``count``, as far as they fit; if not all do, evenly spread."""
    numbers = list(numbers) or list(range(count))
    if len(numbers) <= most:
        return numbers
    return [numbers[(2 * index + 1) * len(numbers) // (2 * most)] for index in range(most)]


def _shown(numbers: Sequence[int], count: int, what: str) -> str:
    if len(numbers) == count:
        return f"all {count} {what}"
    return f"{len(numbers)} of {count} {what}"


def _levels(weight: np.ndarray, scale: Scale) -> np.ndarray:
    """Return weights [N, C, h, w] as grey levels uint8: 128 is zero, 1 and 255 the largest absolute value."""
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    if scale == "shared":
        largest = np.full_like(largest, largest.max())
    steps = np.divide(weight, largest, out=np.zeros_like(weight), where=largest > 0) * 127
    return (np.rint(steps) + 128).astype(np.uint8)


def _scale_text(filters: LayerFilters, scale: Scale) -> str:
    if scale == "own":
        return "Mid-grey is zero; each filter has its own scale, up to its largest absolute weight."
    return f"Mid-grey is zero; one scale for all filters, up to {np.abs(filters.weight).max():.3g}."


def _coloured(levels: np.ndarray, numbers: Sequence[int], colours: Sequence[tuple[int, int, int]]) -> Picture:
    """Draw filters uint8 [N, 3, h, w] in a grid, each with its number above."""
    _, _, height, width = levels.shape
    zoom = max(1, TILE_SIDE // max(height, width))
    cell_width, cell_height = width * zoom + 6, height * zoom + NUMBER + 8
    columns = max(1, min(len(numbers), math.ceil(math.sqrt(len(numbers) * 1.6))))
    rows = -(-len(numbers) // columns)
    picture = Image.fromarray(blank(columns * cell_width, rows * cell_height))
    draw = ImageDraw.Draw(picture)
    for index, (tile, number) in enumerate(zip(levels, numbers, strict=True)):
        left, top = (index % columns) * cell_width, (index // columns) * cell_height
        draw.text((left, top), str(number), colours[index], font(NUMBER))
        enlarged = tile.transpose(1, 2, 0).repeat(zoom, 0).repeat(zoom, 1)
        picture.paste(Image.fromarray(enlarged), (left, top + NUMBER + 4))
    return np.asarray(picture)


def _grey(
    levels: np.ndarray,
    rows: Sequence[int],
    columns: Sequence[int],
    colours: Sequence[tuple[int, int, int]],
) -> Picture:
    """Draw kernels uint8 [N, C, h, w] as a table of tiles, with the numbers of filters and input channels."""
    count, channels, height, width = levels.shape
    zoom = max(1, GREY_TILE_SIDE // max(height, width))
    tile_height, tile_width = height * zoom, width * zoom
    left, top = 40, NUMBER + 8
    picture = Image.fromarray(blank(left + channels * (tile_width + 2), top + count * (tile_height + 2)))
    draw = ImageDraw.Draw(picture)
    every = max(1, math.ceil(30 / (tile_width + 2)))  # columns have numbers where these fit
    for index in range(0, channels, every):
        draw.text((left + index * (tile_width + 2), 0), str(columns[index]), SOFT, font(NUMBER))
    for row, number in enumerate(rows):
        y = top + row * (tile_height + 2)
        draw.text((0, y + (tile_height - NUMBER) // 2 - 1), str(number), colours[row], font(NUMBER))
        for column in range(channels):
            tile = Image.fromarray(levels[row, column].repeat(zoom, 0).repeat(zoom, 1)).convert("RGB")
            picture.paste(tile, (left + column * (tile_width + 2), y))
    return np.asarray(picture)


def _norm_map(filters: LayerFilters) -> list[Picture]:
    """Draw the norm of every kernel as a pixel, magnified or shrunk to a usable size, and a caption."""
    norms = np.sqrt(np.square(filters.weight.astype(np.float64)).sum((2, 3)))
    largest = float(norms.max())
    count, channels = norms.shape
    shrunk = max(-(-count // MOST_NORMS), -(-channels // MOST_NORMS))
    if shrunk > 1:
        norms = _block_maxima(norms, shrunk)
    zoom = max(1, LEAST_NORMS // max(norms.shape))
    shares = norms / largest if largest else norms
    pixels = (NORMS(shares)[..., :3] * 255).round().astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)
    size = f"each pixel the largest of {shrunk} x {shrunk} kernels" if shrunk > 1 else "a pixel for each"
    caption = (
        f"Norms of all {count} x {channels} kernels, {size}: filters from top to bottom, input channels "
        f"from left to right; from 0 (black) to {largest:.3g} (light)."
    )
    return [heading("", [caption], max(LEAST_WIDTH, pixels.shape[1]))[NUMBER + 8 :], pixels]


def _block_maxima(values: np.ndarray, side: int) -> np.ndarray:
    """Return the maxima of blocks of ``side`` x ``side`` values; the last ones may be smaller."""
    rows, columns = (-(-length // side) * side for length in values.shape)
    padded = np.zeros((rows, columns))
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(rows // side, side, columns // side, side).max((1, 3))


# --- the figure of one network, or of two side by side ---


def filters_figure(layers: Sequence[LayerFilters], scale: Scale = "own") -> NotebookFigure:
    """Draw the filters of a layer of each network, and below the RMS of each filter in descending order."""
    figure = NotebookFigure(figsize=(6.2 * len(layers), 9), layout="constrained")
    panels = figure.subplots(2, len(layers), squeeze=False, height_ratios=[1.6, 1])
    for column, filters in enumerate(layers):
        top, bottom = panels[0][column], panels[1][column]
        top.imshow(filter_mosaic(filters, scale), interpolation="nearest")
        top.set_axis_off()
        title = f"{filters.network} {filters.layer}\n{filters.shape_text}"
        top.set_title(title, fontsize=11, parse_math=False)
        statistics = filters.statistics
        draw_rms(bottom, statistics.rms, statistics.median_rms)
        bottom.set_title(f"{statistics.dead.sum()} dead, {statistics.dominating.sum()} dominating", fontsize=10)
    return figure


def filter_mosaic(filters: LayerFilters, scale: Scale) -> Picture:
    """Arrange the filters in a grid with gaps of one pixel: in colour, or some kernels in grey, a row for each."""
    levels = _levels(filters.weight, scale)
    if not filters.reads_pixels:
        chosen = _chosen((), levels.shape[0], MOST_ROWS)
        columns = _chosen((), levels.shape[1], MOST_ROWS)
        levels = levels[np.ix_(chosen, columns)].reshape(-1, 1, *levels.shape[2:]).repeat(3, 1)
        return _mosaic(levels, len(columns))
    return _mosaic(levels, math.ceil(math.sqrt(len(levels) * 1.3)))


def _mosaic(tiles: np.ndarray, columns: int) -> Picture:
    """Arrange tiles uint8 [N, 3, h, w] row by row."""
    count, _, height, width = tiles.shape
    rows = math.ceil(count / columns)
    mosaic = blank(columns * (width + 1) - 1, rows * (height + 1) - 1)
    for number, tile in enumerate(tiles.transpose(0, 2, 3, 1)):
        top, left = (number // columns) * (height + 1), (number % columns) * (width + 1)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic


def draw_rms(axes: Axes, rms: np.ndarray, median: float) -> None:
    """Draw the RMS of filters [N] in descending order, with the limits of dead and dominating ones."""
    axes.bar(range(len(rms)), np.sort(rms)[::-1], width=1.0)
    for share, name in ((DOMINATING_SHARE, "dominating"), (DEAD_SHARE, "dead")):
        axes.axhline(share * median, color="C3", linestyle=":", linewidth=1)
        axes.annotate(  # right of the bars, which would cover it
            name,
            (1, share * median),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="C3",
            annotation_clip=False,
        )
    axes.set(xlabel="filters, in descending order of RMS", ylabel="RMS of the weights", ylim=(0, None))
