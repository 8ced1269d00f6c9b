"""Matplotlib figures without pyplot, and their encoding as PNG."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI, NOTEBOOK_DPI = 110, 80  # resolution of figures in files and in notebooks


class NotebookFigure(Figure):
    """Matplotlib figure without pyplot, which Jupyter displays whether or not pyplot was imported."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return as_png(self, NOTEBOOK_DPI)


def as_png(figure: Figure, dpi: int = DPI) -> bytes:
    """Encode a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
