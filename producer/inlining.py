"""HTML pages that open by double click: everything is inside them."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, Template

from shared.store import Store

TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def page_template(name: str) -> Template:
    """A template of this package; what is put into it is escaped."""
    return Environment(loader=PackageLoader("producer"), autoescape=True).get_template(name)


def inline(store: Store, path: str | None) -> str:
    """A picture of the store as a data URL; nothing for None.

    Raises
    ------
    ArtifactMissing
    """
    if path is None:
        return ""
    content = base64.b64encode(store.locate(path).read_bytes()).decode()
    return f"data:{TYPES[Path(path).suffix]};base64,{content}"
