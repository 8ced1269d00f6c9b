"""Pictures of a unit: the image patch and the projection of each top image. Every projection is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unitscope.drawing import pictures
from unitscope.drawing.pictures import Box, Picture
from unitscope.geometry.receptive_fields import Window
from unitscope.projection.deconvnet import find_problem
from unitscope.projection.empty import WrongProjection, is_empty
from unitscope.projection.requests import Projection


@dataclass(frozen=True)
class UnitPicture:
    """Image patch and drawn projection of one image of a unit.

    ``scale`` is the value of the projection that is drawn as black or white, ``largest`` its largest absolute
    value. Both are 0 for an empty projection, on which the reason ``empty`` is written.
    """

    patch: Picture
    projection: Picture
    scale: float
    largest: float
    empty: str | None = None

    @property
    def shown(self) -> Picture:
        """The projection to look at: a reason is legible also if the receptive field is small."""
        if self.empty is None:
            return self.projection
        cell = pictures.mosaic_cell(self.patch.shape[0])
        return pictures.note((cell, cell), self.empty)


def unit_picture(
    image: np.ndarray,
    projection: Projection,
    window: Window | None,
    recorded: float,
    largest: float,
    why_empty: Callable[[], str] | None = None,
    shown: Window | None = None,
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
    why_empty
        function that is called if the projection is empty: see ``empty.EmptyProjections.reason``. Without one, an
        empty projection is wrong.
    shown
        part of the image to show if that is not the receptive field: the square of a token.

    Raises
    ------
    WrongProjection
        ``deconvnet.find_problem`` or ``why_empty`` gives a reason.
    """
    local = window and _shifted(window, -projection.top, -projection.left)
    empty = None
    if is_empty(projection.values):
        if why_empty is None:
            raise WrongProjection("it is all zero or not finite")
        empty = why_empty()
    values = np.zeros_like(projection.values) if empty else projection.values
    if problem := find_problem(values, projection.activation, recorded, largest, local):
        raise WrongProjection(problem)
    if shown:
        window, local = shown, _shifted(shown, -projection.top, -projection.left)
    patch = pictures.cut(image, window)
    if empty:
        return UnitPicture(patch, pictures.note(patch.shape[:2], empty), 0.0, 0.0, empty)
    scale, largest_value = pictures.projection_scale(values)
    return UnitPicture(patch, pictures.cut(pictures.draw_projection(values, scale), local), scale, largest_value)


def _shifted(window: Window, rows: int, cols: int) -> Window:
    top, left, bottom, right = window
    return top + rows, left + cols, bottom + rows, right + cols


def native_mosaics(drawn: Sequence[UnitPicture], top: int) -> tuple[Picture, Picture, list[Box]]:
    """Return the mosaics of patches and of projections with their own pixels, with cells for ``top`` pictures,
    and the box of each picture in both."""
    drawn = _of_one_size(drawn)
    columns = _columns(top)
    gap = max(
        1, drawn[0].patch.shape[0] // 64
    )  # those of small receptive fields are magnified when they are shown
    patches, boxes = pictures.native_mosaic([d.patch for d in drawn], columns, top, gap)
    projections, _ = pictures.native_mosaic([d.projection for d in drawn], columns, top, gap)
    return patches, projections, boxes


def _of_one_size(drawn: Sequence[UnitPicture]) -> list[UnitPicture]:
    """Resize pictures to the largest: squares of tokens, among the whole images of a class token."""
    if len({picture.patch.shape for picture in drawn}) == 1:
        return [*drawn]
    side = max(picture.patch.shape[0] for picture in drawn)
    return [
        replace(
            picture,
            patch=pictures.resized(picture.patch, side),
            projection=pictures.resized(picture.projection, side),
        )
        for picture in drawn
    ]


def mosaic_of(drawn: list[Picture], top: int) -> Picture:
    """Arrange a unit's pictures in a mosaic to look at, with cells for ``top`` of them: 3 x 3 for 9. Pictures of
    small receptive fields are magnified, those of large ones shrunk."""
    cell = pictures.mosaic_cell(max(picture.shape[0] for picture in drawn))
    missing = [pictures.empty(cell)] * (top - len(drawn))
    return pictures.mosaic(drawn + missing, _columns(top), cell)


def _columns(top: int) -> int:
    """Return the number of columns with which a mosaic is as square as possible."""
    return math.ceil(math.sqrt(top))
