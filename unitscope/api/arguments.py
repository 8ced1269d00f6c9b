"""Validation of arguments. Errors name the argument, its value, and the valid values."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

from unitscope.errors import InvalidArgument


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Check that ``value`` is one of ``choices``.

    Raises
    ------
    InvalidArgument
        ``value`` is not among ``choices``.
    """
    if value not in choices:
        raise InvalidArgument(reason=f"{name} can't be {value!r}. Choose one of {', '.join(map(repr, choices))}.")


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return ``value`` as an int; NumPy integers are accepted, bools are not.

    Raises
    ------
    InvalidArgument
        ``value`` is not an integer from ``least`` to ``most`` (inclusive; None for no upper limit).
    """
    limits = f"an integer from {least} to {most}" if most is not None else f"an integer of at least {least}"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(reason=f"{name} can't be {value!r}. It must be {limits}.") from None
    if number < least or (most is not None and number > most):
        raise InvalidArgument(reason=f"{name} can't be {number}. It must be {limits}.")
    return number


def channels(name: str, values: Any, *, positive: bool = False) -> tuple[float, float, float]:
    """Return three finite floats, for red, green and blue.

    Raises
    ------
    InvalidArgument
        ``values`` are not three finite numbers, or with ``positive`` one of them is not above 0.
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
    """Return the requested device; for None the GPU if there is one, else the CPU.

    Raises
    ------
    InvalidArgument
        the device does not exist or can't be used.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        reason = f"Device {str(device)!r} can't be used ({first}). Use 'cpu', or 'cuda' on a machine with a GPU."
        raise InvalidArgument(reason=reason) from error
    if chosen.type == "cuda" and chosen.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return chosen
