"""Changes of features and of the prediction when an image is transformed (paper, Fig. 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.data.images import MEAN, STD, to_input
from unitscope.errors import NotFinite
from unitscope.features.choice import FeatureLayer
from unitscope.invariance.transformations import transformed
from unitscope.memory import run_or_halve
from unitscope.networks.features import layer_features
from unitscope.vocabulary import Channels, Interpolation, Outside, Transformation

AT_ONCE = 32  # transformed images per batch


@dataclass(frozen=True)
class Curves:
    """Changes of an image by the values of a transformation."""

    values: np.ndarray  # float64 [V]: pixels, factors, or degrees
    distances: np.ndarray  # float64 [L, V]: Euclidean distance of each layer's features to the clear image's
    probability: np.ndarray  # float64 [V]: of the true class
    classes: np.ndarray  # int64 [V]: index of the most probable class


@dataclass(frozen=True)
class ImageInvariance:
    """Changes of an image by all transformations. The clear image is the one before any transformation."""

    curves: dict[Transformation, Curves]
    clear_norms: np.ndarray  # float64 [L]: Euclidean norm of each layer's features of the clear image
    clear_probability: float
    clear_class: int

    def relative(self, transformation: Transformation) -> np.ndarray:
        """Return distances as shares of the norm of the clear image's features, float64 [L, V]; NaN if it is 0."""
        norms = np.where(self.clear_norms > 0, self.clear_norms, np.nan)
        return self.curves[transformation].distances / norms[:, None]


class Measurement:
    """Measurement of the invariance of a network, one image after the other.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``; its output is logits [N, classes].
    layers
        layers whose features are compared.
    series
        values of each transformation.
    outside, interpolation
        see ``transformations.transformed``.
    device, mean, std
        device of the model, and normalization of its input: see ``unitscope.data.images.to_input``.
    on_smaller
        called with the new number of images per batch when a batch doesn't fit into the device's memory.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[FeatureLayer],
        series: Mapping[Transformation, Sequence[float]],
        outside: Outside = "grey",
        interpolation: Interpolation = "bilinear",
        *,
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
        on_smaller: Callable[[int], None] = lambda at_once: None,
    ) -> None:
        self.model, self.layers, self.series = model, layers, series
        self.outside, self.interpolation = outside, interpolation
        self.device, self.mean, self.std, self.on_smaller = torch.device(device), mean, std, on_smaller
        # All batches have one size, because the last bits of results depend on the shape of a batch.
        self.at_once = min(AT_ONCE, 1 + sum(len(values) for values in series.values()))

    def run(self, image: torch.Tensor, label: int, progress: Callable[[], None] = lambda: None) -> ImageInvariance:
        """Measure an image.

        Parameters
        ----------
        image
            uint8 [3, H, W].
        label
            index of the true class.
        progress
            called after each batch.

        Raises
        ------
        NotFinite
            a feature or probability is NaN or infinite.
        """
        images = [image[None]]
        for transformation, values in self.series.items():
            images.append(transformed(image, transformation, values, self.outside, self.interpolation))
        distances, norms, probability, classes = self._compare(torch.cat(images), label, progress)
        curves, start = {}, 1
        for transformation, values in self.series.items():
            stop = start + len(values)
            curves[transformation] = Curves(
                np.array(values, np.float64),
                distances[:, start:stop],
                probability[start:stop],
                classes[start:stop],
            )
            start = stop
        return ImageInvariance(curves, norms, float(probability[0]), int(classes[0]))

    def _compare(
        self, images: torch.Tensor, label: int, progress: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Compare the features of images, uint8 [N, 3, H, W], with those of the first.

        An image with the same pixels as the first has its features: it is not computed again, since its place in
        another batch could change the last bits.

        Returns
        -------
        distances [L, N], norms of the first image's features [L], probability [N]: float64; classes: int64 [N]
        """
        same = (images == images[:1]).flatten(1).all(1)
        remaining = torch.cat([torch.zeros(1, dtype=torch.int64), (~same).nonzero().flatten()])
        clear: list[torch.Tensor] = []
        norms = torch.zeros(len(self.layers), dtype=torch.float64)
        distances = torch.zeros(len(self.layers), len(images), dtype=torch.float64)
        outputs: torch.Tensor | None = None
        while len(remaining):
            numbers = remaining[: self.at_once]
            # The last batch repeats its last image, to keep the batch size.
            padded = torch.cat([numbers, numbers[-1:].expand(self.at_once - len(numbers))])
            batch = self._run(images[padded])
            if batch is None:
                continue
            features, logits = batch
            if not clear:
                clear = [values[0].clone() for values in features]
                norms = torch.tensor([float(values.double().norm()) for values in clear], dtype=torch.float64)
            for row, (values, first) in enumerate(zip(features, clear, strict=True)):
                for place, number in enumerate(numbers.tolist()):
                    distances[row, number] = (values[place].double() - first.double()).norm().cpu()
            logits = logits[: len(numbers)].double().cpu()
            if outputs is None:
                outputs = logits[0].expand(len(images), -1).clone()
            outputs[numbers] = logits
            remaining = remaining[len(numbers) :]
            progress()
        assert outputs is not None  # noqa: S101 - the first image is always computed
        probability = outputs.softmax(1)[:, label]
        for computed in (distances, norms, outputs):
            if not torch.isfinite(computed).all():
                where = "A transformed image"
                raise NotFinite(where=where, value=computed[~torch.isfinite(computed)][0].item())
        return distances.numpy(), norms.numpy(), probability.numpy(), outputs.argmax(1).numpy()

    def _run(self, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor] | None:
        """Run a batch; if it doesn't fit into memory, halve the batch size and return None."""

        def run() -> tuple[list[torch.Tensor], torch.Tensor]:
            return layer_features(self.model, self.layers, to_input(pixels, self.device, self.mean, self.std))

        result, self.at_once = run_or_halve(run, self.at_once, self.device, self.on_smaller)
        return result
