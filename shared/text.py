"""Text for display: sizes, and untrusted text, which can contain control sequences of a terminal."""

from __future__ import annotations

import re

# Control characters except tab and line feed, bidirectional formatting characters, and lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return ``text`` with control characters and unprintable characters escaped as ``\x1b``; line feeds stay."""
    return _UNFIT.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""Return a line of JSON with the characters that ``printable`` escapes in JSON's own form: ``\u009b``."""
    return _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def size_text(count: int) -> str:
    """Return a number of bytes for people: ``340.0 MB``, ``1.2 GB``."""
    number, unit = (count / 10**9, "GB") if count >= 10**9 else (count / 10**6, "MB")
    return f"{number:,.1f} {unit}"


def duration(seconds: float) -> str:
    """Format seconds as ``1:05`` or ``2:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def one_line(text: str, longest: int = 2000) -> str:
    r"""Return ``text`` as one printable line, with line feeds as ``\n``; long text is shortened in the middle."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
