"""Unicode spellings of names: file names of macOS have decomposed letters (NFD), typed names composed ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches


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


def suggestion(name: str, names: Sequence[str], most: int = 1) -> str:
    """Return `` (did you mean A or B?)`` for an unknown name, with at most ``most`` similar ones, in any case; an
    empty text if there is none."""
    folded = {nfc(known).casefold(): known for known in names}
    close = [folded[match] for match in get_close_matches(nfc(name).casefold(), folded, most)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
