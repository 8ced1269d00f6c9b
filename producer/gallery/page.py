"""A page of the gallery: an address, what it reads, and the template that shows it.

The same mapping is rendered as HTML and returned as JSON (the address with ``.json``). A page has no state but its
address: filters and order are in the query string.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

from shared.database.connection import Database
from shared.errors import UsageError
from shared.settings import Settings
from shared.store.store import Store

LARGEST = 2**31 - 1  # of a whole number in an address
LONGEST = 2000  # characters of a text in an address


@dataclass(frozen=True)
class Gallery:
    """What pages read from.

    Parameters
    ----------
    form_key
        Key of the tokens of forms that change something; None if the pages only read.
    """

    settings: Settings
    database: Database
    store: Store
    form_key: bytes | None = None


class Parameters:
    """The parts of a page's address: names in the path, and the query string. Values are checked when they are
    read.
    """

    def __init__(self, path: Mapping[str, Any], query: Mapping[str, str], address: str = "") -> None:
        if any(isinstance(value, int) and value > LARGEST for value in path.values()):
            raise HTTPException(404, "There is nothing with such a large number.")
        self.path, self.query, self.address = dict(path), dict(query), address

    def whole(self, name: str, default: int, least: int = 0, most: int = LARGEST) -> int:
        """Return a whole number of the query.

        Raises
        ------
        UsageError
        """
        number = self.optional_whole(name, least, most)
        return default if number is None else number

    def optional_whole(self, name: str, least: int = 0, most: int = LARGEST) -> int | None:
        """Return a whole number of the query, or None if it has none of this name.

        Raises
        ------
        UsageError
        """
        text = self.text(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
            raise UsageError(reason=f"{name} is '{text}', and has to be a whole number from {least} to {most}.")
        return int(text)

    def text(self, name: str, longest: int = LONGEST) -> str:
        """Return a text of the query, without spaces at its ends, or an empty one.

        Raises
        ------
        UsageError
            It has more than ``longest`` characters, or the character NUL, which PostgreSQL refuses.
        """
        text = self.query.get(name, "").strip()
        if len(text) > longest:
            raise UsageError(reason=f"{name} has {len(text)} characters; {longest} are allowed.")
        if "\0" in text:
            raise UsageError(reason=f"{name} contains the character NUL.")
        return text

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of ``choices``, the first one by default.

        Raises
        ------
        UsageError
        """
        text = self.text(name) or choices[0]
        if text not in choices:
            raise UsageError(reason=f"{name} is '{text}', and has to be one of {', '.join(choices)}.")
        return text

    def after(self) -> tuple[float, int] | None:
        """Return the key of the last row of the page before, which is its value and its number; None without one.

        Raises
        ------
        UsageError
        """
        text = self.text("after")
        if not text:
            return None
        value, _, number = text.partition(",")
        try:
            key = float(value), int(number)
        except ValueError:
            key = math.nan, 0
        if not (math.isfinite(key[0]) and 0 <= key[1] <= LARGEST):
            raise UsageError(reason=f"after is '{text}', and has to be what a link to the next page has.")
        return key

    def link(self, **changes: object) -> str:
        """Return this page's address with other values in its query; a value of None or "" is left out."""
        query = {name: value for name, value in {**self.query, **changes}.items() if value not in (None, "")}
        return f"{self.address}?{urlencode(query, errors='replace')}" if query else self.address


@dataclass(frozen=True)
class Page:
    """A page.

    Parameters
    ----------
    path
        Its address, with names in braces as in Starlette: ``/jobs/{job_id:int}``.
    template
        Path of the template in the package ``producer``. An empty path is that of a page that has only JSON.
    read
        A function ``(gallery, parameters) -> values`` of the template, which can be written as JSON. It raises the
        errors of ``shared.errors``, which are shown with the status that fits: ``NotFound`` is 404, ``UsageError``
        400, ``Unreachable`` 503.
    asked_by
        Several pages may have the same path. Each names a value of the query string, and the first whose value is
        given answers. Empty: the page answers always.
    has_forms
        The template gets ``form_token``, the token of forms that change something, which is empty unless the
        gallery allows changes.
    """

    path: str
    template: str
    read: Callable[[Gallery, Parameters], Mapping[str, Any]]
    asked_by: str = ""
    has_forms: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when it is asked for.

    Parameters
    ----------
    path
        Its address, as that of a page. What it draws must not change, since browsers keep it: the address has a
        part of the SHA-256 of what is drawn.
    read
        A function ``(gallery, parameters) -> content`` of a PNG file; it raises errors as that of a page.
    """

    path: str
    read: Callable[[Gallery, Parameters], bytes]


@dataclass(frozen=True)
class Link:
    """A link on a job's page, with a picture's artifact path (or None) and a remark."""

    title: str
    address: str
    remark: str = ""
    picture: str | None = None


@dataclass(frozen=True)
class Links:
    """Links under a title, such as the units in whose top images an image is."""

    title: str
    links: list[Link]


def as_json(value: Any) -> Any:
    """Turn values of a page into those of JSON: dataclasses into objects, times into texts, NaN into null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value if value is None or isinstance(value, (str, int)) else str(value)
