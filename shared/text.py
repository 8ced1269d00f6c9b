"""Words from outside, made fit to be shown: a name can hold anything, commands to a terminal too."""

from __future__ import annotations

import re

# Control characters but tab and line feed, the marks that turn the direction of writing, and lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""``text`` with what a terminal could obey, or can't show, in the form ``\x1b``; lines stay lines."""
    return _UNFIT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str, longest: int = 2000) -> str:
    r"""``printable`` text in one line, line feeds as ``\n``; of a long one the beginning and the end."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
