"""Boxes of photographs that are turned as their EXIF orientation says.

Today's annotation tools show a photograph turned, older ones as it is stored. The size that an annotation states
tells which of them it was, unless the size is the same turned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from producer.datasets.scan import Scanned, ScannedFile
from producer.datasets.voc.boxes import OVERHANG, Box
from unitscope.images.orientation import UPRIGHT

Size = tuple[int, int]  # width, height


class Frames:
    """Whether the boxes of an image are in stored pixels, or in those of the turned image.

    Where the stated size does not tell, the boxes are as in most images of the set where it does. Where none does,
    they are in the turned image, unless they only fit into the stored one.

    Parameters
    ----------
    images
        The stated size and the file of each annotated image.
    upright
        Whether images are turned. If not, every box is taken to be in stored pixels.
    """

    def __init__(self, images: Iterable[tuple[Size | None, Scanned]], upright: bool) -> None:
        self._upright = upright
        said = (
            [_is_stored(size, file) for size, file in images if isinstance(file, ScannedFile)] if upright else []
        )
        self._stored, self._turned = said.count(True), said.count(False)

    def box(self, box: Box, file: ScannedFile, is_stored: bool) -> Box:
        """Return a box in the image as it is used, of a box in stored pixels or in those of the turned image."""
        return turned_box(box, file) if self._upright and is_stored else box

    def is_stored(self, size: Size | None, file: ScannedFile, boxes: Sequence[Box]) -> bool:
        """Return whether boxes are in stored pixels."""
        if not self._upright or file.orientation == UPRIGHT:
            return True
        said = _is_stored(size, file)
        if said is not None:
            return said
        if self._stored != self._turned:
            return self._stored > self._turned
        fits_stored = _fit(boxes, file.stored_width, file.stored_height)
        return fits_stored and not _fit(boxes, file.width, file.height)


def turned_box(box: Box, file: ScannedFile) -> Box:
    """Return the box in the turned image of a box in stored pixels."""
    left, top, right, bottom = box
    width, height = file.stored_width, file.stored_height
    from_right, from_bottom = (width - right, width - left), (height - bottom, height - top)
    columns, rows = {
        1: ((left, right), (top, bottom)),
        2: (from_right, (top, bottom)),
        3: (from_right, from_bottom),
        4: ((left, right), from_bottom),
        5: ((top, bottom), (left, right)),
        6: (from_bottom, (left, right)),
        7: (from_bottom, from_right),
        8: ((top, bottom), from_right),
    }[file.orientation]
    return columns[0], rows[0], columns[1], rows[1]


def _is_stored(size: Size | None, file: ScannedFile) -> bool | None:
    """Return whether a stated size is that of the stored pixels, None if it doesn't tell."""
    stored = file.stored_width, file.stored_height
    if file.orientation == UPRIGHT or stored == (file.width, file.height):
        return None
    return {stored: True, (file.width, file.height): False}.get(size) if size else None


def _fit(boxes: Sequence[Box], width: int, height: int) -> bool:
    return all(box[2] <= width + OVERHANG and box[3] <= height + OVERHANG for box in boxes)
