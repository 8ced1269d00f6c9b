"""Invariance of features to shifts, scales and rotations (paper, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unitscope.api.arguments import check_choice, choose_device
from unitscope.api.images import Images, collect
from unitscope.api.network import Network, describe, find_class
from unitscope.api.progress import bar
from unitscope.arithmetic import exact_float32
from unitscope.data.images import to_input
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.invariance import DrawnImage, examples, invariance_figure, spread
from unitscope.errors import InvalidArgument
from unitscope.features.choice import FeatureLayer, find_feature_layers
from unitscope.invariance.measure import ImageInvariance, Measurement
from unitscope.invariance.series import check_series, paper_series
from unitscope.vocabulary import INTERPOLATIONS, OUTSIDES, Interpolation, Outside, Transformation


@dataclass(eq=False, repr=False, match_args=False)
class Invariance:
    """Result of ``measure_invariance``.

    Attributes
    ----------
    images : list of str
        Paths of the images.
    labels : list of int
        Index of the class of each image that is used as the true one.
    class_names : tuple of str
        Class names by index; the index as text for a class without a name.
    layers : list of FeatureLayer
        The layers, with the modules whose outputs are compared.
    measured : list of ImageInvariance
        For each image, ``curves`` by transformation ("shift", "scale", "rotation"): arrays ``values``,
        ``distances`` [layers, values], ``probability`` and ``classes``; ``clear_probability``, ``clear_class`` and
        ``clear_norms`` of the untouched image.
    """

    images: list[str]
    labels: list[int]
    class_names: tuple[str, ...]
    layers: list[FeatureLayer]
    measured: list[ImageInvariance]
    _examples: list[dict[Transformation, np.ndarray]]
    _network: str

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each image, transformation, value and layer, for example for pandas."""
        return [
            {
                "image": name,
                "class_name": self.class_names[label],
                "transformation": transformation,
                "value": float(value),
                "layer": layer.layer,
                "distance": float(curves.distances[row, column]),
                "relative_distance": float(measured.relative(transformation)[row, column]),
                "probability": float(curves.probability[column]),
                "answer_class": self.class_names[int(curves.classes[column])],
            }
            for name, label, measured in zip(self.images, self.labels, self.measured, strict=True)
            for transformation, curves in measured.curves.items()
            for column, value in enumerate(curves.values)
            for row, layer in enumerate(self.layers)
        ]

    def figure(self) -> NotebookFigure:
        """Draw a figure like the paper's Fig. 5, of at most 10 images, evenly spread."""
        drawn = [
            DrawnImage(self.class_names[self.labels[number]], self.measured[number], self._examples[number])
            for number in spread(len(self.images))
        ]
        return invariance_figure(f"{self._network}: invariance", [layer.layer for layer in self.layers], drawn)

    def __repr__(self) -> str:
        layers = ", ".join(layer.layer for layer in self.layers)
        return f"Invariance({self._network}, {len(self.images)} images, {layers})"


def measure_invariance(
    network: Network,
    images: Images,
    *,
    labels: Sequence[int | str] | int | str | None = None,
    layers: Sequence[str | int] = (),
    shifts: Sequence[float] | None = None,
    scales: Sequence[float] | None = None,
    rotations: Sequence[float] | None = None,
    outside: Outside = "grey",
    interpolation: Interpolation = "bilinear",
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Invariance:
    """Measure how features and the prediction change when images are shifted, scaled, and rotated (paper, Fig. 5).

    Parameters
    ----------
    network : Network
        A classifier: its output is logits [N, classes].
    images
        A folder, paths, PIL images, or arrays uint8 [H, W, 3].
    labels : optional
        True class of each image, or one for all, by index or name; by default the most probable one of the
        untouched image.
    layers : sequence of str or int, optional
        Layers: names ("conv5"), numbers, or module paths. Of a convolution or linear layer, the output of the
        activation function that follows is compared. By default the first and the last hidden layer.
    shifts, scales, rotations : sequences of float, optional
        Vertical shifts in pixels of the network's input (downwards), factors, and degrees (counter-clockwise).
        An empty sequence leaves a transformation out. By default the paper's ranges: -60 to 60 (less for inputs
        smaller than 224 pixels), 1 to 1.8, 0 to 350.
    outside : {"grey", "mean", "black", "edge", "mirror"}
        What is outside of the image.
    interpolation : {"nearest", "bilinear", "bicubic"}
        Interpolation between pixels.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Invariance
        ``measured``, ``rows()``, ``figure()``.

    Raises
    ------
    NoSuchModule, AmbiguousLayer
        a layer does not exist.
    NoSuchFile, ImageNotReadable
        an image does not exist or can't be read.
    InvalidArgument
        another argument is not valid, or the network is not a classifier.
    NotFinite
        a feature or probability is NaN or infinite.
    """
    check_choice("outside", outside, OUTSIDES)
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    chosen_device = choose_device(device)
    chosen = find_feature_layers(describe(network), [str(layer) for layer in layers])
    class_names = tuple(network.class_name(index) for index in range(network.classes))
    series = _series(network.size, {"shift": shifts, "scale": scales, "rotation": rotations})
    collected = collect(images)
    true = _labels(network, labels, len(collected.sources))
    measured, shown, used = [], [], []
    with exact_float32(chosen_device), bar("invariance", len(collected.sources), "images", progress) as shown_bar:
        model = network.on(chosen_device)
        measurement = Measurement(
            model,
            chosen,
            series,
            outside,
            interpolation,
            device=chosen_device,
            mean=network.mean,
            std=network.std,
        )
        for number, label in enumerate(true):
            pixels = torch.from_numpy(collected.read(number, network.size).copy()).permute(2, 0, 1)
            if label is None:
                with torch.inference_mode():
                    outputs = model(to_input(pixels[None], chosen_device, network.mean, network.std))
                label = int(outputs.argmax(1)[0])
            measured.append(measurement.run(pixels, label))
            shown.append(examples(pixels, series, outside, interpolation))
            used.append(label)
            shown_bar.update()
    names = [collected.name(number) for number in range(len(collected.sources))]
    return Invariance(names, used, class_names, chosen, measured, shown, network.name)


def _series(
    size: int, given: dict[Transformation, Sequence[float] | None]
) -> dict[Transformation, tuple[float, ...]]:
    """Return the values of each transformation; those with an empty list are left out."""
    series: dict[Transformation, tuple[float, ...]] = {}
    for transformation, values in given.items():
        if values is None:
            series[transformation] = paper_series(size)[transformation]
        elif len(values):
            name = f"{transformation}s"
            series[transformation] = check_series(
                transformation,
                [float(value) for value in values],
                size,
                lambda reason, name=name: InvalidArgument(reason=f"{name} can't be used: {reason}."),  # type: ignore[misc]
            )
    if not series:
        raise InvalidArgument(reason="There is nothing to measure: give shifts, scales or rotations.")
    return series


def _labels(network: Network, labels: Sequence[int | str] | int | str | None, count: int) -> list[int | None]:
    if labels is None:
        return [None] * count
    if isinstance(labels, (int, str)):
        return [find_class(network, "labels", labels)] * count
    found: list[int | None] = [find_class(network, "labels", label) for label in labels]
    if len(found) != count:
        raise InvalidArgument(
            reason=f"labels has {len(found)} classes for {count} images. Give one for each image."
        )
    return found
