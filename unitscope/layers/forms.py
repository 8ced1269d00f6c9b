"""The form of a layer's output: which dimension are the units, and which places an activation can have.

A unit is a channel of a module's output. Maps have places (row, column); vectors have none; tokens have a place on
the grid of patches, or none, as a class token. All other code reads an output as maps [N, units, rows, columns]
(``outputs.as_maps``) and gets rows and columns from here. Torch is not imported.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["maps", "vectors", "tokens"]
Window = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are exclusive

NO_PLACE = -1  # row of an activation without a place


def known_place(row: int, column: int) -> tuple[int, int] | tuple[None, None]:
    """Return the row and column of an activation, None for both where it has no place."""
    return (None, None) if row == NO_PLACE else (int(row), int(column))


def known_places(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays of rows and columns with None, as objects, where an activation has no place."""
    placed = rows != NO_PLACE
    if placed.all():
        return rows, columns
    with_none = rows.astype(object), columns.astype(object)
    for values in with_none:
        values[~placed] = None
    return with_none


class LayerForm(BaseModel):
    """The form of a layer's output.

    A place is a pair (row, column). Where there is none, the row is ``NO_PLACE``, and the column is the number of
    the token: 0 for vectors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    units: int = Field(ge=1)
    # Whether the units are the last dimension of the output, as in [N, rows, columns, units], not the one after
    # the batch. Vectors have no other dimension.
    channels_last: bool = False
    # Of the maps, or of the grid of patches; None without places.
    rows: int | None = Field(default=None, ge=1)
    columns: int | None = Field(default=None, ge=1)
    before: int = Field(default=0, ge=0, description="tokens before those of the grid, which have no place")

    @property
    def dimensions(self) -> int:
        """Number of dimensions of the output, with the batch."""
        return {"maps": 4, "vectors": 2, "tokens": 3}[self.kind]

    @property
    def is_usual(self) -> bool:
        """Whether the output are maps [N, units, rows, columns]."""
        return self.kind == "maps" and not self.channels_last

    @property
    def title(self) -> str:
        """A short description: ``maps 13 x 13``, ``tokens 14 x 14 + 1``."""
        grid = f" {self.rows} x {self.columns}" if self.rows is not None else ""
        more = f" {'+ ' if grid else ''}{self.before}" if self.before and self.kind == "tokens" else ""
        unusual = self.channels_last if self.kind == "maps" else self.kind == "tokens" and not self.channels_last
        order = f", channels {'last' if self.channels_last else 'first'}" if unusual else ""
        return f"{self.kind}{grid}{more}{order}"

    @property
    def numbering(self) -> tuple[int, int]:
        """Columns of the grid of places, and the number of positions before it, which have no place."""
        return (1, 1) if self.kind == "vectors" else (self.columns or 1, self.before)

    def place(self, position: int) -> tuple[int, int]:
        """Return the place of a position, ``before`` + row * ``columns`` + column."""
        columns, before = self.numbering
        return (NO_PLACE, position) if position < before else divmod(position - before, columns)

    def at(self, row: int, column: int) -> tuple[int, int]:
        """Return the position of a place in ``outputs.as_maps``."""
        if self.kind == "maps":
            return row, column
        return 0, column if row == NO_PLACE else self.before + row * (self.columns or 1) + column

    def square(self, row: int, column: int, image_size: int) -> Window | None:
        """Return the square of the image that a token stands for; None for the whole image.

        All squares have the same size, also if the grid doesn't divide the image evenly.
        """
        if self.kind != "tokens" or row == NO_PLACE or self.rows is None or self.columns is None:
            return None
        top, left = row * image_size // self.rows, column * image_size // self.columns
        height, width = -(-image_size // self.rows), -(-image_size // self.columns)
        return top, left, top + height, left + width
