"""Features of a network's layers: outputs of modules, pooled where they are large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unitscope.data.images import MEAN, STD, Batch, ImageSource
from unitscope.data.upload import Uploader
from unitscope.errors import InvalidArgument, NotFinite
from unitscope.features.hooks import Place, observed
from unitscope.memory import run_in_parts
from unitscope.probing.layers import ProbedLayer
from unitscope.vocabulary import Channels, Pooling

BATCH = 32  # images per forward pass: the last bits of an activation can depend on it


@dataclass(frozen=True)
class Features:
    """Features of images: the images that could be read, and float32 [images, features] for each layer."""

    sources: list[ImageSource]
    arrays: list[np.ndarray]


def read_features(
    model: nn.Module,
    layers: Sequence[ProbedLayer],
    batches: Iterable[Batch],
    pooling: Pooling = "average",
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
    mean: Channels = MEAN,
    std: Channels = STD,
    *,
    on_smaller: Callable[[int], None] = lambda at_once: None,
) -> Features:
    """Run the network over batches, and collect the features of several layers.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    batches
        padded batches of one shape.
    pooling
        how maps are reduced to a layer's grid: the average or the largest value of each cell.
    progress
        called after each batch with the number of its images.
    mean, std
        the input's normalization by channel: see ``images.to_input``.
    on_smaller
        called with the new number of images per forward pass when a batch doesn't fit into the device's memory.

    Raises
    ------
    NotFinite
        a feature is NaN or infinite.
    InvalidArgument
        a layer is not run, or less often than when the network was described.
    """
    reader = _Reader(model, layers, pooling, Uploader(device, mean, std), on_smaller)
    sources: list[ImageSource] = []
    collected: list[list[np.ndarray]] = [[np.zeros((0, layer.features), np.float32)] for layer in layers]
    with torch.inference_mode():
        for batch in batches:
            for parts, features in zip(collected, reader.read(batch), strict=True):
                parts.append(features[: len(batch.sources)])
            sources += batch.sources
            progress(len(batch.sources))
    arrays = [np.concatenate(parts) for parts in collected]
    for layer, array in zip(layers, arrays, strict=True):
        if not np.isfinite(array).all():
            raise NotFinite(where=f"Layer {layer.layer}", value=array[~np.isfinite(array)][0])
    return Features(sources, arrays)


def pool(output: torch.Tensor, grid: tuple[int, int] | None, pooling: Pooling) -> torch.Tensor:
    """Pool maps [N, C, H, W] to a grid, and flatten the result, or any other output, to [N, features]."""
    if grid is not None:
        reduce = F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d
        output = reduce(output, grid)
    return output.flatten(1)


class _Reader:
    """Features of batches, which are split once a whole batch didn't fit into memory."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[ProbedLayer],
        pooling: Pooling,
        upload: Uploader,
        on_smaller: Callable[[int], None],
    ) -> None:
        self.model, self.layers, self.pooling = model, layers, pooling
        self.upload, self.on_smaller = upload, on_smaller
        self.at_once = 0  # images per forward pass; 0: a whole batch

    def read(self, batch: Batch) -> list[np.ndarray]:
        """Return float32 [N, features] of each layer, with rows for the padding."""
        images = self.upload(batch.pixels)
        parts, self.at_once = run_in_parts(self._run, images, self.at_once, self.on_smaller)
        return [torch.cat(of_layer).cpu().numpy() for of_layer in zip(*parts, strict=True)]

    def _run(self, images: torch.Tensor) -> list[torch.Tensor]:
        outputs: dict[int, torch.Tensor] = {}

        def see(place: Place, output: torch.Tensor) -> None:
            for index, layer in enumerate(self.layers):
                if place == (layer.read_path, layer.call):
                    # A copy, because an in-place operation may modify the output afterwards.
                    outputs[index] = pool(output, layer.grid, self.pooling).float().clone()

        with observed(self.model, {layer.read_path for layer in self.layers}, see):
            self.model(images)
        for index, layer in enumerate(self.layers):
            if index not in outputs:
                reason = f"Layer {layer.layer} has no features: module {layer.read_path} is not run."
                raise InvalidArgument(reason=reason)
        return [outputs[index] for index in range(len(self.layers))]
