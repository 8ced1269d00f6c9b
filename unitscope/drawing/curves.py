"""Training curves: loss and accuracy by epoch, of one or several runs in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from unitscope.drawing.figures import NotebookFigure, as_png

Curve = Sequence[tuple[int, float, float]]  # (epoch, loss, accuracy)
STYLES = {"train": "--", "val": "-"}  # line styles by phase


def phase_curves(epochs: Sequence[Any]) -> dict[str, Curve]:
    """Return the curve of each phase from the records of a run, which must be sorted by epoch."""
    return {phase: [(e.epoch, e.loss, e.accuracy) for e in epochs if e.phase == phase] for phase in STYLES}


def draw_curves(title: str, runs: Mapping[str, Mapping[str, Curve]]) -> bytes:
    """Draw ``curves_figure`` as a PNG file."""
    return as_png(curves_figure(title, runs))


def curves_figure(title: str, runs: Mapping[str, Mapping[str, Curve]]) -> NotebookFigure:
    """Draw loss (left) and accuracy (right) by epoch: a colour for each run, a line style for each phase."""
    figure = NotebookFigure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    losses, accuracies = figure.subplots(1, 2)
    for number, (run, phases) in enumerate(runs.items()):
        for phase, curve in phases.items():
            epochs = [epoch for epoch, _, _ in curve]
            style = {
                "color": f"C{number % 10}",
                "linestyle": STYLES[phase],
                "marker": ".",
                "label": f"{run}, {phase}",
            }
            losses.plot(epochs, [loss for _, loss, _ in curve], **style)
            accuracies.plot(epochs, [100 * accuracy for _, _, accuracy in curve], **style)
    losses.set_ylabel("cross-entropy")
    accuracies.set_ylabel("accuracy (%)")
    accuracies.set_ylim(0, 100)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    for text in losses.legend(fontsize="small").get_texts():
        text.set_parse_math(False)
    return figure
