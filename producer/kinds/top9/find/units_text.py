"""Units on the command line: ``conv5:3,17,conv4:0-9``."""

from __future__ import annotations

from producer.cli.context import NUMBER
from producer.kinds.top9.find.kept import KeptMaxima
from shared.errors import UsageError
from unitscope.find.layer import LayerMaxima

MOST_UNITS = 100_000

LayerUnit = tuple[LayerMaxima, int]


def chosen_units(kept: KeptMaxima, text: str) -> list[LayerUnit]:
    """Return the units that a text names, each once, in its order.

    Parts are separated by commas: ``LAYER:UNIT``, ``LAYER:FIRST-LAST``, a unit or a range of the layer before, or
    the name of a layer, for all of its units that are active on some image. A pattern can name several layers.

    Raises
    ------
    NoSuchLayer, NoSuchUnit
    UsageError
        The text is not of this form.
    """
    chosen: dict[tuple[str, int], LayerUnit] = {}
    layers: list[LayerMaxima] = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, numbers = part.rpartition(":")
        if colon:
            layers = kept.named(name)
        elif not layers or not NUMBER.fullmatch(part.partition("-")[0]):
            layers, numbers = kept.named(part), ""
        for layer in layers:
            for unit in _numbers(part, numbers) if numbers else layer.active_units():
                layer.index(unit)
                chosen[layer.path, unit] = layer, unit
    if not chosen:
        raise UsageError(reason=f"'{text}' names no unit. Give units such as conv5:3,17 or conv5:0-9.")
    return list(chosen.values())


def _numbers(part: str, text: str) -> range:
    first, dash, last = text.partition("-")
    if not NUMBER.fullmatch(first) or (dash and not NUMBER.fullmatch(last)):
        raise UsageError(reason=f"'{part}' is not of the form conv5:3 or conv5:0-9.")
    units = range(int(first), int(last if dash else first) + 1)
    if not 0 < len(units) <= MOST_UNITS:
        raise UsageError(reason=f"'{part}' is not an ascending range, or is too long.")
    return units
