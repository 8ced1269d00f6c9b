"""Storage of occlusion maps as NumPy archives (.npz), which include a description of their arrays."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import IO

import numpy as np

from unitscope.occlusion.sweep import OcclusionMaps

ARRAYS = {
    "activation": "[row, column] of the square: sum over the unit's map after its ReLU",
    "probability": "[row, column] of the square: probability of the true class",
    "target_probability": "[row, column] of the square: probability of the target class",
    "classes": "[row, column] of the square: index of the most probable class",
    "computed": "[row, column] of the square: false where interpolated",
    "starts": "first rows of the square's positions, equal to its first columns, in pixels of the network's input",
}


def write_maps(file: IO[bytes], maps: OcclusionMaps) -> None:
    """Write occlusion maps to an open binary file; values that are None are left out.

    The array ``axes`` is a JSON object with a description of each array.
    """
    values = {name: value for name, value in vars(maps).items() if value is not None}
    axes = {name: text for name, text in ARRAYS.items() if name in values}
    np.savez_compressed(file, allow_pickle=False, axes=np.array(json.dumps(axes)), **values)


def read_maps(path: Path) -> OcclusionMaps:
    """Read a file that ``write_maps`` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        values = {field.name: archive.get(field.name) for field in fields(OcclusionMaps)}
    return OcclusionMaps(
        **{name: value if name in ARRAYS or value is None else value.item() for name, value in values.items()}
    )
