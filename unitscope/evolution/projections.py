"""Pictures of the strongest activations of units: image patches and projections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from unitscope.data.images import MEAN, STD
from unitscope.drawing.unit_pictures import UnitPicture, unit_picture
from unitscope.evolution.strongest import Strongest
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import EmptyProjections, WrongProjection
from unitscope.projection.requests import Requests
from unitscope.vocabulary import Channels, ProjectionMethod


class WrongUnitProjection(Exception):
    """The projection of ``unit`` from ``image`` failed its check; the message is the reason."""

    def __init__(self, unit: int, image: int, reason: str) -> None:
        super().__init__(reason)
        self.unit, self.image = unit, image


class StrongestPictures:
    """Draws the strongest activations of some units of a layer, each with a contrast of its own.

    Parameters
    ----------
    model
        network in evaluation mode, on ``device``.
    layer
        module path of the convolution.
    image_size
        height and width of the input, in pixels.
    strongest
        the activations of all units of the layer.
    units
        all units that will be drawn, also by other calls: how a picture is computed depends on how many of them
        its image serves, see ``WindowProjector``.
    method, device, mean, std
        see ``projector_for``.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        image_size: int,
        strongest: Strongest,
        units: Sequence[int],
        method: ProjectionMethod = "deconvnet",
        device: torch.device | str = "cpu",
        mean: Channels = MEAN,
        std: Channels = STD,
    ) -> None:
        self.strongest = strongest
        self.geometry = next(t.geometry for t in trace(model, image_size).layers if t.path == layer)
        images, counts = np.unique(strongest.images[self._active(units)], return_counts=True)
        counted = dict(zip(images.tolist(), counts.tolist(), strict=True))
        self.projector = projector_for(model, layer, image_size, method, counted, device, mean, std)
        self.empty = EmptyProjections(model, layer, method, self.projector, device, mean, std)
        self.largest = float(strongest.top.activation.max())

    def of(self, units: Sequence[int], read: Callable[[int], np.ndarray]) -> Iterator[tuple[int, UnitPicture]]:
        """Iterate over pairs (unit, picture) of the active ones of these units, in no particular order.

        ``read`` returns an image by its id, uint8 [H, W, 3], resized to the network's input size.

        Raises
        ------
        WrongUnitProjection
            a projection failed its check.
        """
        active = self._active(units)
        top = self.strongest.top
        ids, rows, cols = (values[active, 0].astype(np.int64) for values in (top.image, top.row, top.col))
        images, number = np.unique(ids, return_inverse=True)
        pixels = [read(image) for image in images.tolist()]
        requests = Requests(active, number.astype(np.int64), ids, rows, cols)
        for index, projection in self.projector.project(pixels, requests):
            unit, row, col = int(active[index]), int(rows[index]), int(cols[index])
            image = pixels[number[index]]
            window = self.geometry.window(row, col) if self.geometry else None
            reason = partial(self.empty.reason, projection.values, image, unit, row, col)
            activation = float(top.activation[unit, 0])
            try:
                picture = unit_picture(image, projection, window, activation, self.largest, reason)
            except WrongProjection as wrong:
                raise WrongUnitProjection(unit, int(ids[index]), str(wrong)) from wrong
            yield unit, picture

    def _active(self, units: Sequence[int]) -> np.ndarray:
        listed = np.asarray(units, np.int64)
        return listed[self.strongest.active[listed]]
