"""The maps of an occlusion sweep as a file: a NumPy archive (.npz) that says what its axes are."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import IO

import numpy as np

from unitscope.occlusion.sweep import OcclusionMaps

ARRAYS = {
    "activation": "[row, column] of the square: sum over the unit's map behind its ReLU",
    "probability": "[row, column]: of the true class",
    "target_probability": "[row, column]: of the class that was asked for",
    "classes": "[row, column]: index of the most probable class",
    "computed": "[row, column]: false where interpolated",
    "starts": "first row, and first column, of the square in pixels of the network's input",
}


def write_maps(file: IO[bytes], maps: OcclusionMaps) -> None:
    """Write what a sweep found, and in ``axes`` (JSON) what each array is; what there isn't is left out."""
    values = {name: value for name, value in vars(maps).items() if value is not None}
    axes = {name: text for name, text in ARRAYS.items() if name in values}
    np.savez_compressed(file, allow_pickle=False, axes=np.array(json.dumps(axes)), **values)


def read_maps(path: Path) -> OcclusionMaps:
    """What ``write_maps`` wrote."""
    with np.load(path, allow_pickle=False) as kept:
        values = {field.name: kept.get(field.name) for field in fields(OcclusionMaps)}
    return OcclusionMaps(
        **{name: value if name in ARRAYS or value is None else value.item() for name, value in values.items()}
    )
