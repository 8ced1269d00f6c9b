"""Pictures of the evolution of units: the layout of the paper's Fig. 4, and the shares of settled units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter
from PIL import Image, ImageDraw

from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.pictures import INK, PAPER, Picture, note, resized, shrunk_projections
from unitscope.drawing.text import SOFT, fitted, font

FRAME = (235, 110, 20)  # around the epoch at which the top image last changes
GAP, MARGIN, BETWEEN = 3, 24, 28  # pixels: between cells, around a picture, between blocks
HEADING, NUMBERS, LABEL = 28, 18, 40  # pixels: height of a block's heading and of the epochs, width of the units
BLOCKS_IN_A_ROW = 3
LEGEND_ROWS = 12
LOGARITHMIC = 12  # ratio of the last and the first epoch from which the axis is logarithmic
NOTE_SIDE = 96  # pixels: of the picture on which a note is written


@dataclass(frozen=True)
class UnitRow:
    """A unit of a block: a picture for each epoch, or a word where it has none ("dead").

    ``settled`` is the index of the epoch at which the top image last changes; None if the unit has none at the
    last epoch.
    """

    unit: int
    cells: Sequence[Picture | str]
    settled: int | None


@dataclass(frozen=True)
class LayerBlock:
    """A layer of the figure: a row for each unit, a column for each epoch."""

    layer: str
    epochs: Sequence[int]
    rows: Sequence[UnitRow]


def draw_block(block: LayerBlock, cell: int, *, projections: bool = True) -> Picture:
    """Draw a block with cells of ``cell`` pixels. Units are numbered on the left, epochs above.

    ``projections`` says whether the pictures are projections, which are shrunk in another way than image patches.
    """
    step = cell + GAP
    width = LABEL + len(block.epochs) * step
    height = HEADING + NUMBERS + max(len(block.rows), 1) * step
    picture = Image.new("RGB", (width, height), (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(picture)
    draw.text((LABEL, 2), fitted(block.layer, 17, width - LABEL), INK, font(17))
    draw.text((LABEL - 6, HEADING + NUMBERS - 5), "epoch", SOFT, font(10), anchor="rs")
    for column, epoch in enumerate(block.epochs):
        middle = LABEL + column * step + cell // 2
        draw.text((middle, HEADING + NUMBERS - 4), f"{epoch}", SOFT, font(12), anchor="ms")
    for number, row in enumerate(block.rows):
        top = HEADING + NUMBERS + number * step
        draw.text((LABEL - 6, top + cell // 2), f"{row.unit}", INK, font(12), anchor="rm")
        for column, content in enumerate(row.cells):
            left = LABEL + column * step
            picture.paste(Image.fromarray(_cell(content, cell, projections)), (left, top))
    for number, row in enumerate(block.rows):  # after the pictures, which would cover a part of a frame
        if row.settled is not None:
            left, top = LABEL + row.settled * step, HEADING + NUMBERS + number * step
            draw.rectangle((left - 2, top - 2, left + cell + 1, top + cell + 1), outline=FRAME, width=3)
    return np.asarray(picture)


def _cell(content: Picture | str, size: int, projections: bool) -> Picture:
    if isinstance(content, str):
        return resized(note((NOTE_SIDE, NOTE_SIDE), content), size)
    return shrunk_projections(content, size) if projections else resized(content, size)


def beside(left: Picture, right: Picture) -> Picture:
    """Arrange two pictures of equal height beside each other."""
    between = np.full((len(left), BETWEEN, 3), PAPER, np.uint8)
    return np.hstack([left, between, right])


def evolution_figure(title: str, caption: str, blocks: Sequence[Picture]) -> Picture:
    """Draw the blocks of all layers on one picture, up to three in a row, as in the paper's Fig. 4."""
    rows = [blocks[start : start + BLOCKS_IN_A_ROW] for start in range(0, len(blocks), BLOCKS_IN_A_ROW)]
    title_font, small = font(20), font(13)
    widths = [sum(block.shape[1] + BETWEEN for block in row) - BETWEEN for row in rows]
    texts = [int(title_font.getlength(title)), int(small.getlength(caption))]
    heights = [max(len(block) for block in row) for row in rows]
    top = MARGIN + 54
    size = max(widths + texts) + 2 * MARGIN, top + sum(heights) + BETWEEN * (len(rows) - 1) + MARGIN
    figure = Image.new("RGB", size, (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(figure)
    draw.text((MARGIN, MARGIN - 8), title, INK, title_font)
    draw.text((MARGIN, MARGIN + 22), caption, SOFT, small)
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for block in row:
            figure.paste(Image.fromarray(block), (left, top))
            left += block.shape[1] + BETWEEN
        top += height + BETWEEN
    return np.asarray(figure)


def settled_figure(title: str, epochs: Sequence[int], shares: Mapping[str, Sequence[float]]) -> NotebookFigure:
    """Draw the share of settled units (0 to 1) by epoch, a line for each layer, from dark to light by depth.

    The way to the last epoch, where the share is 1 by definition, is dotted.
    """
    figure = NotebookFigure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, parse_math=False)
    colours = colormaps["viridis"](np.linspace(0, 0.88, max(len(shares), 1)))
    for colour, (layer, values) in zip(colours, shares.items(), strict=False):
        percent = [100 * value for value in values]
        axes.plot(epochs[:-1], percent[:-1], ".-", color=colour, label=layer)
        axes.plot(epochs[-2:], percent[-2:], ":", color=colour)
    axes.set(xlabel="epoch", ylabel="units whose top image no longer changes (%)", ylim=(0, 103))
    if epochs[-1] / epochs[0] > LOGARITHMIC:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(epochs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.grid(alpha=0.3)
    if shares:
        columns = -(-len(shares) // LEGEND_ROWS)
        axes.legend(fontsize="small", ncols=columns, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
