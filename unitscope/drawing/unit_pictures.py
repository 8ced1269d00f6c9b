"""Pictures of a unit: the image patch and the projection of each top image. Every projection is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.drawing import pictures
from unitscope.drawing.pictures import Picture
from unitscope.geometry.receptive_fields import Window
from unitscope.projection.deconvnet import find_problem
from unitscope.projection.requests import Projection


@dataclass(frozen=True)
class UnitPicture:
    """Image patch, drawn projection, and the projection's scale, of one image of a unit."""

    patch: Picture
    projection: Picture
    scale: float


class WrongProjection(Exception):
    """A projection failed its check; the message is the reason."""


def unit_picture(
    image: np.ndarray, projection: Projection, window: Window | None, recorded: float, largest: float
) -> UnitPicture:
    """Check a projection, draw it, and crop it and the image to the unit's receptive field.

    Parameters
    ----------
    image
        uint8 [H, W, 3], resized to the network's input size.
    projection
        projection from this image.
    window
        (top, left, bottom, right) of the receptive field; None for the whole image.
    recorded
        the activation that the search recorded.
    largest
        largest activation recorded in the layer: see ``deconvnet.find_problem``.

    Raises
    ------
    WrongProjection
        ``deconvnet.find_problem`` gives a reason.
    """
    local = window and _shifted(window, -projection.top, -projection.left)
    if problem := find_problem(projection.values, projection.activation, recorded, largest, local):
        raise WrongProjection(problem)
    drawn, scale = pictures.draw_projection(projection.values)
    return UnitPicture(pictures.cut(image, window), pictures.cut(drawn, local), scale)


def _shifted(window: Window, rows: int, cols: int) -> Window:
    top, left, bottom, right = window
    return top + rows, left + cols, bottom + rows, right + cols


def mosaics(drawn: Sequence[UnitPicture], top: int) -> tuple[Picture, Picture]:
    """Return the mosaics of patches and of projections, with cells for ``top`` pictures."""
    return mosaic_of([d.patch for d in drawn], top), mosaic_of([d.projection for d in drawn], top)


def mosaic_of(drawn: list[Picture], top: int) -> Picture:
    """Arrange a unit's pictures in a mosaic with cells for ``top`` of them, as square as possible: 3 x 3 for 9."""
    cell = pictures.mosaic_cell(drawn[0].shape[0])
    missing = [pictures.empty(cell)] * (top - len(drawn))
    return pictures.mosaic(drawn + missing, int(np.ceil(np.sqrt(top))), cell)
