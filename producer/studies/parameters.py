"""Parameters of a study: their values, and the placeholders ``{name}`` that stand for them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from producer.studies.file import OptionValue, Parameter, Scalar, StudyFile
from shared.errors import UsageError

LEAVE_OUT = "leave-out"  # a parameter of every study: entries that are left out, and those that rest on them
PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_-]*)\}")

Text = TypeVar("Text", bound=OptionValue)


def parameter_values(study: StudyFile, settings: Sequence[str]) -> dict[str, OptionValue]:
    """Return the value of each parameter: that of ``NAME=VALUE`` in ``settings``, or its default.

    Raises
    ------
    UsageError
    """
    parameters = {**study.parameters, LEAVE_OUT: Parameter(default=[])}
    given: dict[str, OptionValue] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(reason=f"--set {setting} is not of the form dataset=voc.")
        if name not in parameters:
            choices = ", ".join(parameters)
            raise UsageError(reason=f"Study '{study.name}' has no parameter '{name}'. Parameters: {choices}.")
        given[name] = _parsed(name, text.strip(), parameters[name])
    values: dict[str, OptionValue] = {}
    for name, parameter in parameters.items():
        value = given.get(name, parameter.default)
        if value is None:
            about = f" ({parameter.about})" if parameter.about else ""
            raise UsageError(reason=f"Study '{study.name}' needs a value for {name}{about}: --set {name}=VALUE.")
        values[name] = value
    return values


def _parsed(name: str, text: str, parameter: Parameter) -> OptionValue:
    """Read a value in the type of the parameter's default; without a default, it is text."""
    default = parameter.default
    if default is None or isinstance(default, str):
        return text
    if isinstance(default, list):
        parts = text.removeprefix("[").removesuffix("]").split(",")
        return [_literal(name, part.strip(), default[0] if default else "") for part in parts if part.strip()]
    return _literal(name, text, default)


def _literal(name: str, text: str, example: Scalar) -> Scalar:
    if isinstance(example, str):
        return text.strip("\"'")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        value = None
    if type(value) is type(example):
        return value
    if isinstance(example, float) and type(value) is int:
        return float(value)
    kind = {bool: "true or false", int: "an integer", float: "a number"}[type(example)]
    raise UsageError(reason=f"--set {name}={text}: '{text}' is not {kind}.")


def placeholders(value: OptionValue) -> set[str]:
    """Return the names of the placeholders in a text, or in the texts of a list."""
    texts = value if isinstance(value, list) else [value]
    return {name for text in texts if isinstance(text, str) for name in PLACEHOLDER.findall(text)}


def filled(value: OptionValue, values: Mapping[str, OptionValue]) -> OptionValue:
    """Replace placeholders. A text that is one placeholder becomes its value, of any type.

    Raises
    ------
    UsageError
        There is no such parameter.
    """
    if isinstance(value, list):
        parts = [filled(part, values) for part in value]
        return [inner for part in parts for inner in (part if isinstance(part, list) else [part])]
    if not isinstance(value, str):
        return value
    if unknown := sorted(placeholders(value) - set(values)):
        known = ", ".join(values) or "none"
        raise UsageError(
            reason=f"'{{{unknown[0]}}}' is neither a parameter nor a name of the grid. Names: {known}."
        )
    if whole := PLACEHOLDER.fullmatch(value):
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda match: as_text(values[match[1]]), value)


def as_text(value: OptionValue) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(as_text, value)) if isinstance(value, list) else str(value)
