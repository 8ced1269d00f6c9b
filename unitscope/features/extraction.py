"""Extraction of the feature maps of one image, with a hook on each layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.errors import NotFinite
from unitscope.features.hooks import Place, observed


@dataclass(frozen=True)
class LayerFeatures:
    """The output of one run of a layer for an image.

    Attributes
    ----------
    path, call
        module path, and the number of the module's run in the forward pass, from 1.
    shape
        (channels, rows, columns).
    mean_map
        float32 [rows, columns]: mean over the channels.
    maps
        float32 [channels, rows, columns], or None if only the mean was kept.
    mean, minimum, maximum
        of all values.
    positive_share
        share of values above 0.
    silent
        number of channels without a value above 0.
    """

    path: str
    call: int
    shape: tuple[int, int, int]
    mean_map: np.ndarray
    maps: np.ndarray | None
    mean: float
    minimum: float
    maximum: float
    positive_share: float
    silent: int


@torch.inference_mode()
def extract_features(
    model: nn.Module, image: torch.Tensor, layers: Collection[Place], kept: Collection[Place] = ()
) -> dict[Place, LayerFeatures]:
    """Run a network on an image, and return the feature maps of layers in the order in which they ran.

    The output of a layer is copied when it returns: an in-place ReLU that follows overwrites it.

    Parameters
    ----------
    model
        network in evaluation mode, on the device of ``image``.
    image
        float32 [1, 3, H, W].
    layers
        module paths with the numbers of the runs to observe; a run that does not happen, or whose output is not
        a tensor [1, C, H, W], is missing in the result.
    kept
        those of them whose maps are kept, not only their mean.

    Raises
    ------
    NotFinite
        a layer produced NaN or infinity.
    """
    found: dict[Place, LayerFeatures] = {}

    def see(place: Place, output: object) -> None:
        if place in layers and isinstance(output, torch.Tensor) and output.dim() == 4:
            # A tensor on the CPU shares its memory with the array of numpy().
            maps = output[0].detach().to("cpu", torch.float32).numpy().copy()
            found[place] = summarized(place, maps, place in kept)

    with observed(model, {path for path, _ in layers}, see):
        model(image)
    return found


def summarized(place: Place, maps: np.ndarray, keep: bool) -> LayerFeatures:
    """Compute the statistics of maps float32 [C, H, W].

    Raises
    ------
    NotFinite
    """
    minimum, maximum = float(maps.min()), float(maps.max())
    if not np.isfinite((minimum, maximum)).all():
        raise NotFinite(where=f"Layer '{place[0]}'", value="NaN or infinity")
    channels, rows, columns = maps.shape
    return LayerFeatures(
        path=place[0],
        call=place[1],
        shape=(channels, rows, columns),
        mean_map=maps.mean(0, dtype=np.float64).astype(np.float32),
        maps=maps if keep else None,
        mean=float(maps.mean(dtype=np.float64)),
        minimum=minimum,
        maximum=maximum,
        positive_share=float((maps > 0).mean()),
        silent=int((maps.max((1, 2)) <= 0).sum()),
    )
