"""Unicode spellings of names: file names of macOS have decomposed letters (NFD), typed names composed ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def nfc(text: str) -> str:
    """Return ``text`` with composed letters (Unicode NFC)."""
    return unicodedata.normalize("NFC", text)


def spellings(text: str) -> set[str]:
    """Return the spellings of a name, composed and decomposed, under which it may be stored."""
    return {text, nfc(text), unicodedata.normalize("NFD", text)}


def index_of(name: str, names: Sequence[str]) -> int | None:
    """Return the index of a name, or of the first one with another spelling of it; None if there is none."""
    if name in names:
        return names.index(name)
    return next((index for index, known in enumerate(names) if nfc(known) == nfc(name)), None)
