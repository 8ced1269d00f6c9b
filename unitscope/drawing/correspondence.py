"""Figures of masked images (paper, Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from unitscope.correspondence.masks import Box
from unitscope.correspondence.measure import Masking
from unitscope.drawing.figures import NotebookFigure, as_png
from unitscope.drawing.pictures import PAPER, Picture, resized

CELL, GAP = 112, 4  # side of a picture and the gap between two, in pixels
RANDOM_MASKS = 3  # that are shown
MOST_IMAGES = 10


def masked_row(masking: Masking, pixels: torch.Tensor, boxes: Mapping[str, Sequence[Box]], image: int) -> Picture:
    """Draw an image, uint8 [3, H, W], and the same image with each part masked, and with random masks of the sizes
    of its first part. Where it has no such part, the place is empty."""
    first = next(part for part in masking.parts if part in boxes)
    shown: list[torch.Tensor | None] = [
        pixels,
        *(
            masking.masked(pixels, part, boxes[part], image, 0) if part in boxes else None
            for part in masking.parts
        ),
        *(
            masking.masked(pixels, first, boxes[first], image, draw)
            for draw in range(1, min(RANDOM_MASKS, masking.draws) + 1)
        ),
    ]
    row = np.full((CELL, len(shown) * (CELL + GAP) - GAP, 3), PAPER, np.uint8)
    for place, picture in enumerate(shown):
        if picture is not None:
            left = place * (CELL + GAP)
            row[:, left : left + CELL] = resized(picture.permute(1, 2, 0).numpy(), CELL)
    return row


def draw_masked(title: str, parts: Sequence[str], draws: int, rows: Sequence[tuple[str, Picture]]) -> bytes:
    """Draw ``masked_figure`` as a PNG file."""
    return as_png(masked_figure(title, parts, draws, rows))


def masked_figure(
    title: str, parts: Sequence[str], draws: int, rows: Sequence[tuple[str, Picture]]
) -> NotebookFigure:
    """Draw the rows of several images, each with its caption, below headings: original, parts, random masks.

    Parameters
    ----------
    title
        heading of the figure.
    parts, draws
        those of the ``Masking``.
    rows
        captions, and pictures of ``masked_row``.
    """
    headings = ["original", *parts, *["random"] * min(RANDOM_MASKS, draws)]
    inches = 1.25
    left, top = 1.6, 0.75
    width, height = left + inches * len(headings) + 0.1, top + inches * len(rows) + 0.1
    figure = NotebookFigure(figsize=(width, height))
    figure.text(0.1 / width, 1 - 0.28 / height, _shortened(title, 100), fontsize=11, parse_math=False)
    for place, heading in enumerate(headings):
        across = (left + inches * (place + 0.5)) / width
        _text(figure, across, 1 - 0.6 / height, _shortened(heading, 18), "center")
    for number, (caption, picture) in enumerate(rows):
        bottom = height - top - inches * (number + 1)
        axes = figure.add_axes(
            (left / width, bottom / height, inches * len(headings) / width, 0.96 * inches / height)
        )
        axes.imshow(picture, aspect="equal")
        axes.set_axis_off()
        _text(figure, (left - 0.1) / width, (bottom + inches / 2) / height, _shortened(caption, 24), "right")
    return figure


def _text(figure: Figure, across: float, up: float, text: str, side: str) -> None:
    figure.text(across, up, text, fontsize=9, ha=side, va="center", parse_math=False)


def _shortened(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
