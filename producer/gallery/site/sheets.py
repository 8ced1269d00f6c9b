"""Sheets: many pictures in one file, of which a page shows a part."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SIDE = 1920  # pixels: of a sheet, at most
QUALITY = 85  # of WebP


@dataclass(frozen=True)
class Place:
    """The place of a picture in a sheet.

    Parameters
    ----------
    file
        Of the sheet, relative to the site.
    left, top, width, height
        Of the picture in the sheet, in pixels.
    side
        Height and width of the sheet.
    scale
        Pixels in the sheet of a pixel of the picture.
    """

    file: str
    left: int
    top: int
    width: int
    height: int
    side: int
    scale: float


class Sheets:
    """Sheets of square cells, filled one after the other; a sheet is written when it is full.

    Parameters
    ----------
    folder
        Of the site.
    name
        The sheets are the files ``sheets/NAME-1.webp``, ``sheets/NAME-2.webp``, ...
    largest
        Side of a cell, in pixels, at most: larger pictures are made smaller.
    step
        Sides of cells are multiples of it, so that pictures of many sizes share a few sheets.
    exact
        Cells of fewer pixels are stored without loss, since pages magnify them.
    """

    def __init__(self, folder: Path, name: str, largest: int, *, step: int = 1, exact: int = 0) -> None:
        self.folder, self.name, self.largest, self.step, self.exact = folder, name, largest, step, exact
        self.count = 0  # sheets
        self._places: dict[Hashable, Place] = {}
        self._open: dict[int, _Sheet] = {}  # by the side of their cells

    def place(self, key: Hashable, picture: Callable[[], Image.Image]) -> Place:
        """Return the place of a picture. It is read, and put into a sheet, when its key is new."""
        if key not in self._places:
            self._places[key] = self._put(picture())
        return self._places[key]

    def close(self) -> None:
        """Write the sheets that are not full."""
        for sheet in self._open.values():
            sheet.write()
        self._open.clear()

    def _put(self, picture: Image.Image) -> Place:
        scale = min(1.0, self.largest / max(picture.size))
        if scale < 1:
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        cell = min(-(-max(picture.size) // self.step) * self.step, self.largest)
        sheet = self._open.get(cell) or self._begin(cell)
        place = sheet.put(picture, scale)
        if sheet.is_full:
            self._open.pop(cell).write()
        return place

    def _begin(self, cell: int) -> _Sheet:
        self.count += 1
        self._open[cell] = _Sheet(self.folder, f"sheets/{self.name}-{self.count}.webp", cell, cell < self.exact)
        return self._open[cell]


class _Sheet:
    def __init__(self, folder: Path, file: str, cell: int, lossless: bool) -> None:
        self.path, self.file, self.cell, self.lossless = folder / file, file, cell, lossless
        self.columns = max(1, SIDE // cell)
        self.used = 0
        self.picture = Image.new("RGB", (self.columns * cell, self.columns * cell), (128, 128, 128))

    @property
    def is_full(self) -> bool:
        return self.used == self.columns**2

    def put(self, picture: Image.Image, scale: float) -> Place:
        row, column = divmod(self.used, self.columns)
        self.used += 1
        left, top = column * self.cell, row * self.cell
        self.picture.paste(picture, (left, top))
        return Place(self.file, left, top, *picture.size, self.columns * self.cell, scale)

    def write(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        if self.lossless:
            self.picture.save(self.path, "WEBP", lossless=True, method=0)
        else:
            self.picture.save(self.path, "WEBP", quality=QUALITY, method=2)
