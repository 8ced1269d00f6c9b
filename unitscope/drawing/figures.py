"""Figures that belong to no window, and show themselves in a notebook."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI, NOTEBOOK_DPI = 110, 80  # of figures as files, and as a notebook keeps them


class NotebookFigure(Figure):
    """A matplotlib figure without pyplot. Jupyter shows it whether or not pyplot was imported."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return as_png(self, NOTEBOOK_DPI)


def as_png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
