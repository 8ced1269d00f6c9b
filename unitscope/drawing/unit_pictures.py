"""A unit's pictures: patch and projection of each of its top images, every projection checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.drawing import pictures
from unitscope.drawing.pictures import Picture
from unitscope.geometry.receptive_fields import Window
from unitscope.projection.deconvnet import why_wrong
from unitscope.projection.requests import Projection


@dataclass(frozen=True)
class UnitPicture:
    """Of one of a unit's images: the patch, the projection as drawn, and the projection's scale."""

    patch: Picture
    projection: Picture
    scale: float


class WrongProjection(Exception):
    """A projection failed its check."""


def unit_picture(
    image: np.ndarray, projection: Projection, window: Window | None, recorded: float, largest: float
) -> UnitPicture:
    """Check a projection, and cut it and the patch to the unit's receptive field.

    Parameters
    ----------
    image
        uint8 [H, W, 3], as the network sees it.
    window
        (top, left, bottom, right) of the receptive field; None for the whole image.
    recorded
        the activation that the search found there.
    largest
        largest activation recorded in the layer: see ``deconvnet.why_wrong``.

    Raises
    ------
    WrongProjection
    """
    local = window and _moved(window, -projection.top, -projection.left)
    if wrong := why_wrong(projection.values, projection.activation, recorded, largest, local):
        raise WrongProjection(wrong)
    drawn, scale = pictures.draw_projection(projection.values)
    return UnitPicture(pictures.cut(image, window), pictures.cut(drawn, local), scale)


def _moved(window: Window, rows: int, cols: int) -> Window:
    top, left, bottom, right = window
    return top + rows, left + cols, bottom + rows, right + cols


def mosaics(drawn: Sequence[UnitPicture], top: int) -> tuple[Picture, Picture]:
    """The patches, and the projections, as square as may be: 3 x 3 for nine."""
    return mosaic_of([d.patch for d in drawn], top), mosaic_of([d.projection for d in drawn], top)


def mosaic_of(drawn: list[Picture], top: int) -> Picture:
    """A unit's pictures, with room for ``top`` of them."""
    cell = pictures.mosaic_cell(drawn[0].shape[0])
    missing = [pictures.empty(cell)] * (top - len(drawn))
    return pictures.mosaic(drawn + missing, int(np.ceil(np.sqrt(top))), cell)
