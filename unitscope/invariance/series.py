"""Values of the transformations: the paper's, and those that people write. Torch is not imported."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from unitscope.errors import InvalidArgument
from unitscope.vocabulary import Transformation

PAPER_SIZE = 224  # of the paper's input, in pixels
PAPER_SHIFT, SHIFT_STEP = 60, 5  # in pixels; the paper states ranges, not steps
SCALES = tuple(round(1 + 0.05 * step, 2) for step in range(17))  # 1 to 1.8
ROTATIONS = tuple(float(degrees) for degrees in range(0, 351, 10))
LIMITS: dict[Transformation, tuple[float, float]] = {"scale": (0.1, 10), "rotation": (-360, 360)}
MOST_VALUES = 500
UNCHANGED: dict[Transformation, float] = {"shift": 0, "scale": 1, "rotation": 0}


def paper_series(size: int) -> dict[Transformation, tuple[float, ...]]:
    """Return the ranges of the paper's Fig. 5: shifts of -60 to 60 pixels, scales of 1 to 1.8, rotations of 0 to
    350 degrees. For inputs smaller than the paper's, ``size`` in pixels, shifts are smaller in proportion."""
    share = min(size / PAPER_SIZE, 1)
    steps = range(-PAPER_SHIFT, PAPER_SHIFT + 1, SHIFT_STEP)
    shifts = tuple(sorted({float(round(share * shift)) for shift in steps}))
    return {"shift": shifts, "scale": SCALES, "rotation": ROTATIONS}


def parse_series(transformation: Transformation, text: str, size: int) -> tuple[float, ...]:
    """Return the values that a text describes: ``FROM:TO:STEP`` (TO is included), or a list ``0,90,180``.

    Raises
    ------
    InvalidArgument
        the text has another form, describes no value or more than 500, or a value is not possible for images of
        ``size`` x ``size`` pixels.
    """
    name = {"shift": "shifts", "scale": "scales", "rotation": "rotations"}[transformation]

    def refuse(reason: str) -> InvalidArgument:
        return InvalidArgument(reason=f"{name} can't be {text[:100]!r}: {reason}.")

    try:
        if ":" in text:
            first, last, step = (Decimal(part.strip()) for part in text.split(":"))
            if not all(part.is_finite() for part in (first, last, step)) or step <= 0 or last < first:
                raise refuse("FROM:TO:STEP needs a step above 0, and FROM may not be above TO")
            if (last - first) / step >= MOST_VALUES:
                raise refuse(f"that are more than {MOST_VALUES} values")
            numbers = [first + step * place for place in range(int((last - first) // step) + 1)]
        else:
            numbers = [Decimal(part.strip()) for part in text.split(",")]
    except (InvalidOperation, ValueError):
        raise refuse("write FROM:TO:STEP, or values separated by commas") from None
    return check_series(transformation, [float(number) for number in numbers], size, refuse)


def check_series(
    transformation: Transformation, values: list[float], size: int, refuse: Callable[[str], InvalidArgument]
) -> tuple[float, ...]:
    """Return the values in ascending order, each once.

    Raises
    ------
    InvalidArgument
    """
    least, most = LIMITS.get(transformation, (1 - size, size - 1))
    if not 1 <= len(values) <= MOST_VALUES:
        raise refuse(f"give 1 to {MOST_VALUES} values")
    for value in values:
        if not least <= value <= most:  # written so that NaN is refused
            raise refuse(f"{value:g} is not from {least:g} to {most:g}")
        if transformation == "shift" and value != round(value):
            raise refuse(f"{value:g} is not a whole number of pixels")
    return tuple(sorted({value + 0.0 for value in values}))  # + 0.0: -0.0 is 0
