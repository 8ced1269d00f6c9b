"""Checks of arguments: what is wrong is named, with the values that are right."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

from unitscope.errors import InvalidArgument


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """See that ``value`` is one of ``choices``.

    Raises
    ------
    InvalidArgument
    """
    if value not in choices:
        raise InvalidArgument(reason=f"{name} can't be {value!r}. Choose one of {', '.join(map(repr, choices))}.")


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """``value`` as an int from ``least`` to ``most``; NumPy's integers are taken, too.

    Raises
    ------
    InvalidArgument
    """
    limits = f"a whole number from {least} to {most}" if most is not None else f"a whole number from {least} on"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(reason=f"{name} can't be {value!r}. It is {limits}.") from None
    if number < least or (most is not None and number > most):
        raise InvalidArgument(reason=f"{name} can't be {number}. It is {limits}.")
    return number


def channels(name: str, values: Any, *, positive: bool = False) -> tuple[float, float, float]:
    """Three finite numbers, of red, green and blue.

    Raises
    ------
    InvalidArgument
    """
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        raise InvalidArgument(
            reason=f"{name} can't be {values!r}. Give three numbers: red, green, blue."
        ) from None
    if not all(math.isfinite(value) and (value > 0 or not positive) for value in (red, green, blue)):
        kind = "finite numbers above 0" if positive else "finite numbers"
        raise InvalidArgument(reason=f"{name} can't be {values!r}. Give {kind}.")
    return red, green, blue


def choose_device(device: torch.device | str | None) -> torch.device:
    """The device that is wanted; without a wish the GPU if there is one, else the CPU.

    Raises
    ------
    InvalidArgument
        there is no such device, or it can't be used.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        reason = f"device {str(device)!r} can't be used ({first}). Choose 'cpu', or 'cuda' where there is a GPU."
        raise InvalidArgument(reason=reason) from error
    if chosen.type == "cuda" and chosen.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return chosen
