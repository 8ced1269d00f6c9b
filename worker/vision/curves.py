"""The curves of a training run: loss and accuracy by epoch, for both phases."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Curve = Sequence[tuple[int, float, float]]  # (epoch, loss, accuracy)


def draw_curves(title: str, phases: Mapping[str, Curve]) -> bytes:
    """A PNG file with loss on the left and accuracy on the right, a line for each phase."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    losses, accuracies = figure.subplots(1, 2)
    for name, curve in phases.items():
        epochs = [epoch for epoch, _, _ in curve]
        losses.plot(epochs, [loss for _, loss, _ in curve], marker=".", label=name)
        accuracies.plot(epochs, [100 * accuracy for _, _, accuracy in curve], marker=".", label=name)
    losses.set_ylabel("cross-entropy")
    accuracies.set_ylabel("accuracy (%)")
    accuracies.set_ylim(0, 100)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
