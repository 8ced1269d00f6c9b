"""Feature maps of an image in every layer (replications 002 and 004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import OneImage
from unitscope.api.network import Network, describe
from unitscope.api.projection import one_image
from unitscope.arithmetic import exact_float32
from unitscope.data.images import to_input
from unitscope.drawing.features import MeanMap, channel_grid, overview
from unitscope.errors import InvalidArgument
from unitscope.features import extraction
from unitscope.features.extraction import LayerFeatures
from unitscope.features.layers import LayerRun, find_layers, layers_with_maps
from unitscope.vocabulary import SCALES, Scale


@dataclass(eq=False, repr=False, match_args=False)
class Features:
    """Result of ``extract_features``.

    Attributes
    ----------
    layers : list of LayerFeatures
        The outputs of the layers in execution order: ``path``, ``call`` (number of the module's run, from 1),
        ``shape``, ``mean_map`` (float32 [rows, columns]: mean over the channels), ``maps`` (float32 [channels,
        rows, columns]), ``mean``, ``minimum``, ``maximum``, ``positive_share``, ``silent``.
    pixels : numpy.ndarray
        uint8 [H, W, 3]: the image, resized to the network's input size.
    image : str
        Path of the image.
    """

    layers: list[LayerFeatures]
    pixels: np.ndarray
    image: str
    _runs: list[LayerRun]
    _network: Network

    def maps(self, layer: str | int, call: int = 1) -> np.ndarray:
        """Return the maps float32 [channels, rows, columns] of a layer, in the ``call``-th run of its module.

        Raises
        ------
        NoSuchLayer, AmbiguousLayer, InvalidArgument
        """
        return self._found(layer, call)[1]

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each layer, for ``pandas.DataFrame``."""
        return [
            {
                "layer": run.description.label,
                "layer_path": found.path,
                "call": found.call,
                "module": run.description.kind,
                "channels": found.shape[0],
                "rows": found.shape[1],
                "cols": found.shape[2],
                "mean": found.mean,
                "minimum": found.minimum,
                "maximum": found.maximum,
                "positive_share": found.positive_share,
                "silent_channels": found.silent,
            }
            for run, found in zip(self._runs, self.layers, strict=True)
        ]

    def picture(self) -> Image.Image:
        """Draw every layer as one picture, the mean over its channels."""
        means = [
            MeanMap(run.title, found.shape[0], found.mean_map)
            for run, found in zip(self._runs, self.layers, strict=True)
        ]
        return Image.fromarray(overview(f"{self._network.name}: {Path(self.image).name}", self.pixels, means))

    def grid(self, layer: str | int, *, call: int = 1, scale: Scale = "own") -> Image.Image:
        """Draw all channels of a layer in a square grid, each with its own scale, or one for all ("shared").

        Raises
        ------
        NoSuchLayer, AmbiguousLayer, InvalidArgument
        """
        check_choice("scale", scale, SCALES)
        run, maps = self._found(layer, call)
        return Image.fromarray(
            channel_grid(f"{run.title}: {self._network.name}, {Path(self.image).name}", maps, scale)
        )

    def _found(self, layer: str | int, call: int) -> tuple[LayerRun, np.ndarray]:
        chosen = find_layers(self._network.description, [str(layer)])
        call = whole_number("call", call, 1, len(chosen))
        for run, found in zip(self._runs, self.layers, strict=True):
            if run == chosen[call - 1] and found.maps is not None:
                return run, found.maps
        raise InvalidArgument(reason=f"Layer '{layer}' was not extracted. Name it in the argument layers.")

    def __repr__(self) -> str:
        return f"Features({self._network.name}, {self.image}, {len(self.layers)} layers)"


def extract_features(
    network: Network,
    image: OneImage,
    layers: Sequence[str | int] | None = None,
    *,
    device: torch.device | str | None = None,
) -> Features:
    """Extract the feature maps of an image, in every layer whose output is a set of maps.

    Each output is copied when the layer returns: an in-place ReLU that follows does not overwrite it.

    Parameters
    ----------
    network : Network
        The network.
    image
        A path, a PIL image, or an array uint8 [H, W, 3].
    layers : sequence of str or int, optional
        Names, numbers of convolutions, or module paths of the layers to extract; by default all.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.

    Returns
    -------
    Features
        ``layers``, ``maps()``, ``rows()``, ``picture()``, ``grid()``.

    Raises
    ------
    NoSuchLayer, AmbiguousLayer
        a layer does not exist.
    NoSuchFile, ImageNotReadable
        the image does not exist or can't be read.
    InvalidArgument
        a layer outputs no maps, or another argument is not valid.
    NotFinite
        a layer produced NaN or infinity.
    """
    description = describe(network)
    runs = layers_with_maps(description)
    if layers is not None:
        named = [layers] if isinstance(layers, (str, int)) else layers
        runs = find_layers(description, [str(layer) for layer in named])
    if not runs:
        raise InvalidArgument(reason=f"No layer of {network.name} outputs maps (channels, rows, columns).")
    chosen_device = choose_device(device)
    images = one_image(image)
    pixels = images.read(0, network.size)
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    places = {(run.path, run.call) for run in runs}
    with exact_float32(chosen_device):
        found = extraction.extract_features(
            network.on(chosen_device), to_input(batch, chosen_device, network.mean, network.std), places, places
        )
    ran = [run for run in runs if (run.path, run.call) in found]
    return Features([found[run.path, run.call] for run in ran], pixels, images.name(0), ran, network)
