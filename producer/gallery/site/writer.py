"""Writes the pages of a job as files, with the templates of the gallery."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from producer.gallery.elements import TILE, Box
from producer.gallery.page import Gallery
from producer.gallery.pictures import STATIC, read_artifact, read_image
from producer.gallery.site.sheets import Place, Sheets
from producer.gallery.templates import render
from shared.errors import ArtifactDamaged, FileNotWritable, UsageError
from unitscope.images.decoding import BrokenImage

MOSAIC = 480  # pixels: side of a unit's mosaic, at most
EXACT = 240  # pixels: mosaics of a smaller side are stored without loss, since they are magnified
PHOTO = 240  # pixels: longer side of an image of the data set
PHOTO_STEP = 48  # pixels: between the sizes of cells of images, which have many sizes
STATIC_FILES = ("style.css", "gallery.js", "icon.svg")


class Site:
    """A folder that becomes a site.

    Raises
    ------
    UsageError
        The folder is not empty.
    FileNotWritable
    """

    live = False  # see ``producer.gallery.elements.Elements``

    def __init__(self, gallery: Gallery, folder: Path) -> None:
        self.gallery, self.folder = gallery, folder
        self._existed = folder.exists()
        self._pages: dict[str, str] = {}
        self._mosaics = Sheets(folder, "units", MOSAIC, exact=EXACT)
        self._photos = Sheets(folder, "images", PHOTO, step=PHOTO_STEP)
        self.left_out = 0  # images that can't be read here
        try:
            if folder.exists() and any(folder.iterdir()):
                raise UsageError(reason=f"{folder} exists and is not empty. Choose a new folder.")
            (folder / "static").mkdir(parents=True, exist_ok=True)
            for name in STATIC_FILES:
                shutil.copyfile(STATIC / name, folder / "static" / name)
        except OSError as error:
            raise FileNotWritable(path=folder, reason=error.strerror or error) from error

    def name(self, address: str, file: str) -> None:
        """Say in which file the page of an address will be; a file can have several pages, ``page.html#place``."""
        self._pages[address] = file

    def page(self, file: str, template: str, values: Mapping[str, Any]) -> None:
        """Render a template into a file.

        Raises
        ------
        FileNotWritable
        """
        text = render(template, {**values, "elements": self, "json_link": None})
        try:
            (self.folder / file).write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise FileNotWritable(path=self.folder / file, reason=error.strerror or error) from error

    def close(self) -> None:
        """Write the sheets that are not full."""
        self._mosaics.close()
        self._photos.close()

    def discard(self) -> None:
        """Remove what was written, so that the folder can be used again."""
        for entry in self.folder.iterdir() if self.folder.exists() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if not self._existed:
            self.folder.rmdir()

    # --- Elements ---

    def link(self, address: str) -> str:
        return self._pages[address] if address in self._pages else address.removeprefix("/")

    def tile(self, path: str, text: str, box: Box | None = None) -> Markup:
        place = self._mosaics.place(path, lambda: self._artifact(path))
        left, top, right, bottom = (value * place.scale for value in box or (0, 0, *_size(place)))
        width, height = f"{right - left:g}", f"{bottom - top:g}"
        view = f"{place.left + left:g} {place.top + top:g} {width} {height}"
        # The inner element clips what surrounds the picture in the sheet.
        return Markup(
            '<svg class="tile sharp" role="img" aria-label="%s" viewBox="0 0 %s %s" width="%d" height="%d">'
            '<svg width="%s" height="%s" viewBox="%s">%s</svg></svg>'
        ) % (text, width, height, TILE, TILE, width, height, view, _whole_sheet(place))

    def photo(self, address: str, width: int, height: int) -> Markup:
        place = self._photos.place(address, lambda: self._read(address))
        return Markup(
            '<svg x="0" y="0" width="%d" height="%d" viewBox="%d %d %d %d" preserveAspectRatio="none">%s</svg>'
        ) % (width, height, place.left, place.top, place.width, place.height, _whole_sheet(place))

    def _artifact(self, path: str) -> Image.Image:
        try:
            return read_artifact(self.gallery.store, path)
        except BrokenImage as error:
            raise ArtifactDamaged(path=path, root=self.gallery.store.root) from error

    def _read(self, address: str) -> Image.Image:
        try:
            return read_image(self.gallery, int(address.split("/")[2]))
        except BrokenImage:  # its folder is not on this machine, or the file was changed
            self.left_out += 1
            return Image.new("RGB", (PHOTO, PHOTO), (128, 128, 128))


def _size(place: Place) -> tuple[float, float]:
    return place.width / place.scale, place.height / place.scale


def _whole_sheet(place: Place) -> Markup:
    return Markup('<image href="%s" width="%d" height="%d"/>') % (place.file, place.side, place.side)
