"""Links and pictures in templates, as a server answers them. ``producer.gallery.site`` has those of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from markupsafe import Markup

from producer.gallery.templates import SHARP, cell, thumbnail

TILE = 360  # pixels: side of the square in which a picture is shown at most

Box = Sequence[int]  # left, top, right, bottom, exclusive right and bottom


class Elements(Protocol):
    """What differs between pages that a server answers and pages that are files."""

    live: bool  # whether a server answers

    def link(self, address: str) -> str:
        """Return the address of a page, or of a static file, as it is written in a page."""

    def tile(self, path: str, text: str, box: Box | None = None) -> Markup:
        """Return a square with an artifact that is a picture, or with a box of it.

        Parameters
        ----------
        path
            Of the artifact. Without a box, a large picture is shown smaller.
        text
            What it shows, for those who don't see it; empty if the text beside it says so.
        """

    def photo(self, address: str, width: int, height: int) -> Markup:
        """Return an SVG element with an image of a data set from ``pictures.image_link``."""


class LiveElements:
    """Elements of pages that a server answers."""

    live = True

    def link(self, address: str) -> str:
        return address

    def tile(self, path: str, text: str, box: Box | None = None) -> Markup:
        # A box has the pixels of the receptive field, which may be few.
        source = cell(path, box) if box else thumbnail(path, TILE)
        sharp = " sharp" if box and box[2] - box[0] < SHARP else ""
        return Markup(
            '<img class="tile%s" loading="lazy" decoding="async" src="%s" alt="%s" width="%d" height="%d">'
        ) % (sharp, source, text, TILE, TILE)

    def photo(self, address: str, width: int, height: int) -> Markup:
        return Markup('<image href="%s" width="%d" height="%d"/>') % (address, width, height)
