"""Jinja2 environment of the pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from producer.results import sections
from shared.database.base import utc_now
from shared.store.store import sha256_of
from shared.text import printable, size_text

THUMBNAIL = 360  # pixels: longer side of a thumbnail
SHARP = 120  # pixels: pictures of fewer are shown with sharp pixels


@cache
def environment() -> Environment:
    """Return the environment of the templates in the package ``producer``; they escape markup and control
    characters."""
    made = Environment(
        loader=PackageLoader("producer", ""),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["urlencode"] = query_string
    made.filters |= {
        "commands": commands,
        "number": number,
        "percent": percent,
        "bytes": size_text,
        "ago": ago,
        "duration": duration,
    }
    made.globals |= {function.__name__: function for function in (job_link, dataset_link, study_link)}
    made.globals |= {"thumbnail": thumbnail, "picture": picture, "cell": cell, "SHARP": SHARP}
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    """Render a template by its path in the package ``producer``."""
    return environment().get_template(template).render(values)


# --- filters ---


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, whole numbers with all: ``0.0123``, ``12,400``."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 10**15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage, which isn't broken across lines: ``41.3 %``."""
    return "–" if share is None else sections.percent(share, digits).replace(" ", "\u00a0")


def duration(seconds: float | None) -> str:
    """Return a time span in its two largest units: ``1 h 20 min``, ``40 s``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours // 24} days"


def ago(moment: datetime | None) -> str:
    """Return how long ago a time was: ``3 min ago``."""
    if moment is None:
        return "–"
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{duration(max((utc_now() - moment).total_seconds(), 0))} ago"


def commands(text: str) -> Markup:
    """Return a message with what stands between backticks, such as a command, as code."""
    parts = printable(text).split("`")
    if len(parts) % 2 == 0:
        return escape(printable(text))
    return Markup().join(
        Markup("<code>%s</code>") % part if at % 2 else escape(part) for at, part in enumerate(parts)
    )


# --- addresses ---


def query_string(values: Mapping[str, str] | str) -> str:
    """Return the query of an address, or a text as a part of one; half of a surrogate pair becomes ``?``."""
    if isinstance(values, str):
        return quote(values, safe="", errors="replace")
    return urlencode(values, errors="replace")


def job_link(job_id: int, *parts: object) -> str:
    """Return the address of a page of a job: ``/jobs/3/layers/conv5/units/131``."""
    return "/".join([f"/jobs/{job_id}", *(quote(str(part), safe="", errors="replace") for part in parts)])


def dataset_link(name: str) -> str:
    """Return the address of a data set's page; a name can have slashes and any other character."""
    return f"/datasets/{quote(name, errors='replace')}"


def study_link(name: str, prefix: str = "/studies/") -> str:
    """Return the address of a study's page, or with ``/paper/`` that of its sections."""
    return prefix + quote(name, safe="", errors="replace")


def picture(path: str) -> str:
    """Return the address of an artifact that is a picture, as it is stored."""
    return f"/pictures/{sha256_of(path)}.{path.rpartition('.')[2]}"


def thumbnail(path: str, side: int = THUMBNAIL) -> str:
    """Return the address of an artifact that is a picture, of which the longer side is at most ``side`` pixels."""
    return f"/pictures/{sha256_of(path)}.{path.rpartition('.')[2]}/{side}.webp"


def cell(path: str, box: Sequence[int]) -> str:
    """Return the address of a box (left, top, right, bottom) of an artifact that is a picture."""
    return f"/pictures/{sha256_of(path)}.{path.rpartition('.')[2]}/{'-'.join(map(str, box))}.png"
