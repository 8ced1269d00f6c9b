"""Accuracy of linear probes against depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unitscope.drawing.figures import NotebookFigure, as_png

NAMES = {"svm": "linear SVM", "softmax": "softmax"}
LONG_NAME = 8  # characters; longer names of layers are turned


class ProbePoint(NamedTuple):
    """A classifier's accuracy on a layer, 0 to 1: mean over trials, standard deviation (None for one), chance."""

    classifier: str
    layer: str
    accuracy: float
    deviation: float | None
    chance: float


def draw_probes(title: str, points: Sequence[ProbePoint]) -> bytes:
    """Draw ``probe_figure`` as a PNG file."""
    return as_png(probe_figure(title, points))


def probe_figure(title: str, points: Sequence[ProbePoint]) -> NotebookFigure:
    """Draw a curve for each classifier over the layers, which are in order of depth, with a line at chance.

    Bars are one standard deviation over the trials in each direction.
    """
    layers = list(dict.fromkeys(point.layer for point in points))
    figure = NotebookFigure(figsize=(max(7.0, 1.6 + 0.55 * len(layers)), 4.6), layout="constrained")
    axes = figure.subplots()
    for number, classifier in enumerate(dict.fromkeys(point.classifier for point in points)):
        of_classifier = [point for point in points if point.classifier == classifier]
        axes.errorbar(
            [layers.index(point.layer) for point in of_classifier],
            [100 * point.accuracy for point in of_classifier],
            yerr=[100 * (point.deviation or 0.0) for point in of_classifier],
            color=f"C{number}",
            marker="so"[number % 2],
            markersize=5,
            capsize=3,
            label=NAMES.get(classifier, classifier),
        )
    chance = 100 * sum(point.chance for point in points) / len(points)
    axes.axhline(chance, color="0.45", linestyle=":", label=f"chance, {chance:.1f} %")
    turned = max(map(len, layers)) > LONG_NAME
    rotation, side = (45, "right") if turned else (0, "center")
    axes.set_xticks(range(len(layers)), layers, rotation=rotation, ha=side, parse_math=False)
    axes.set(xlabel="layer", ylabel="mean of per-class accuracy (%)", ylim=(0, 100))
    axes.set_title(title, fontsize="medium", wrap=True, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
