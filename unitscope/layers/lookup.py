"""Layers by name, number, module path, or pattern. Torch is not imported."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unitscope.description import NUMBER, SHOWN_CHOICES, LayerDescription, NetworkDescription
from unitscope.errors import LayerWithoutUnits, UnknownLayer
from unitscope.spelling import suggestion

SCORES = "scores"  # the network's output, in any network
PATTERN = re.compile(r"[*?\[]")


def find_layer(description: NetworkDescription, identifier: str) -> LayerDescription:
    """Return a layer of units.

    Parameters
    ----------
    identifier
        A name (``conv5``, ``fc7``), a number (that of a convolution: see ``NetworkDescription.find_convolution``),
        the path of a module (``features.11``, ``layer3.0``), or ``scores`` for the class scores. Of a module that
        runs several times, the layer is its first run.

    Raises
    ------
    UnknownLayer
        the network runs no such module.
    LayerWithoutUnits
        the module's output is no tensor of units.
    NoSuchLayer, AmbiguousLayer
        ``identifier`` is a number, and there is no such convolution.
    """
    layer = _found(description, identifier)
    if layer.form is None:
        reason = layer.no_form or "its output is not a tensor"
        raise LayerWithoutUnits(layer=identifier, network=description.specification.name, reason=reason)
    return layer


def find_layers(description: NetworkDescription, identifiers: Sequence[str]) -> list[LayerDescription]:
    """Return the layers with these names, numbers, paths or patterns, each once, in execution order.

    In a pattern, such as ``layer3.*.conv2``, ``*`` stands for any characters but dots, ``**`` for any characters,
    ``?`` for one character, and ``[0-3]`` for one of several. Modules without units don't match.

    Raises
    ------
    UnknownLayer
        a pattern matches no layer. Otherwise as ``find_layer``.
    """
    chosen: set[str] = set()
    for identifier in identifiers:
        if PATTERN.search(identifier):
            chosen |= _matching(description, identifier)
        else:
            chosen.add(find_layer(description, identifier).path)
    return [layer for layer in layers_of_units(description) if layer.path in chosen]


def layers_of_units(description: NetworkDescription) -> list[LayerDescription]:
    """Return all layers of units, each module once, in execution order: a block follows what it consists of."""
    layers = {layer.path: layer for layer in description.in_order() if layer.form}
    return list(layers.values())


def _found(description: NetworkDescription, identifier: str) -> LayerDescription:
    every = description.in_order()
    for layer in every:
        if identifier in (layer.path, layer.name):
            return layer
    if NUMBER.fullmatch(identifier):
        return description.find_convolution(identifier)
    if identifier == SCORES and description.last is not None:
        return next(layer for layer in every if layer.path == description.last)
    raise _unknown(description, identifier)


def _matching(description: NetworkDescription, pattern: str) -> set[str]:
    compiled = _compiled(pattern)
    found = {
        layer.path
        for layer in layers_of_units(description)
        if any(compiled.fullmatch(name) for name in (layer.path, layer.name) if name)
    }
    if not found:
        raise _unknown(description, pattern)
    return found


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]*\])", pattern)
    known = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    expression = "".join(known.get(part) or _set_or_text(part) for part in parts)
    try:
        return re.compile(expression)
    except re.error:  # a set such as [9-0]
        return re.compile(re.escape(pattern))


def _set_or_text(part: str) -> str:
    """Return the expression of a set such as ``[0-3]`` or ``[!ab]``, or of text."""
    inside = re.fullmatch(r"\[(!?)([\w-]+)\]", part)
    if inside is None:
        return re.escape(part)
    return f"[{'^' if inside[1] else ''}{re.escape(inside[2]).replace(chr(92) + '-', '-')}]"


def _unknown(description: NetworkDescription, identifier: str) -> UnknownLayer:
    layers = layers_of_units(description)
    names = [name for layer in layers for name in (layer.name, layer.path) if name]
    weighted = [layer for layer in layers if layer.kind in ("Conv2d", "Linear")] or layers
    labels = [f"{layer.name} ({layer.path})" if layer.name else layer.path for layer in weighted]
    more = len(layers) - min(len(labels), SHOWN_CHOICES)
    choices = ", ".join([*labels[:SHOWN_CHOICES], *([f"and {more} more"] if more else [])])
    close = suggestion(identifier, names, 3)
    return UnknownLayer(network=description.specification.name, layer=identifier, close=close, choices=choices)
