"""Lists of layers on the command line: ``1-3,features.10``."""

from __future__ import annotations

import click

from producer.cli.context import NUMBER, Numbers
from shared.errors import UsageError


def layer_names(text: str) -> list[str]:
    """Split ``1-3,features.10`` into ``1``, ``2``, ``3``, ``features.10``.

    Raises
    ------
    UsageError
        A range is not ascending, or is too long.
    """
    names = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if dash and NUMBER.fullmatch(first) and NUMBER.fullmatch(last):
            try:
                names += [str(number) for number in Numbers().convert(part, None, None)]
            except click.BadParameter as error:
                raise UsageError(reason=f"{error.message}.") from error
        elif part.strip():
            names.append(part.strip())
    return names
