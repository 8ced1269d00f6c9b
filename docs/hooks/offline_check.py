"""MkDocs hook: fails the build if a page would load a script, style, font, or picture from another server."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\ssrc="?(?:https?:)?//[^>]*>|<link\b[^>]*\shref="?(?:https?:)?//[^>]*>'
)


def on_post_page(output: str, page: Any, **_: object) -> None:
    """Check the HTML of a page."""
    from mkdocs.exceptions import PluginError

    if found := OUTSIDE.search(output):
        raise PluginError(f"{page.file.src_uri} loads a file from another server: {found[0]}")
