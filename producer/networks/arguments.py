"""Arguments of factories as people write them: ``width=64``, ``name=abc``, ``blocks=[2, 2]``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from typing import Any

from shared.errors import UsageError


def parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """Parse arguments. A value is TOML or JSON; anything else is a string.

    Raises
    ------
    UsageError
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise UsageError(reason=f"--argument {text} is not of the form width=64.")
        if name in arguments:
            raise UsageError(reason=f"--argument {name} is given twice.")
        arguments[name] = parse_value(value.strip())
    try:
        json.dumps(arguments, allow_nan=False)
    except ValueError:
        raise UsageError(reason="An --argument can't be infinite, or NaN.") from None
    return arguments


def parse_value(text: str) -> Any:
    """Return the value of a text in TOML or JSON, else the text."""
    for parse in (_toml, json.loads):
        try:
            value = parse(text)
            json.dumps(value)  # a date of TOML is none of JSON
        except (ValueError, TypeError, RecursionError):
            continue
        return value
    return text


def _toml(text: str) -> Any:
    parsed = tomllib.loads(f"value = {text}")
    if parsed.keys() != {"value"}:
        raise ValueError(text)
    return parsed["value"]


def written(value: Any) -> str:
    """Return the text of a value that ``parse_value`` turns into the value."""
    if isinstance(value, str) and parse_value(value) == value:
        return value
    return json.dumps(value)
