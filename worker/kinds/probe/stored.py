"""Features in the artifact store: a file for each shard of images, from which one layer at a time is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.errors import IncompatibleVersion
from shared.store.store import StoredFile
from unitscope.probing.features import Features
from worker.context import JobContext
from worker.kinds.common import stage_results
from worker.runner import ShardContext


@dataclass(frozen=True)
class LayerFeatures:
    """Features of a layer, float32 [images, features], and the ids of the images, ascending: int64 [images]."""

    image_ids: np.ndarray
    features: np.ndarray


def store_features(context: ShardContext, features: Features) -> StoredFile:
    """Store the features of a shard's images as float32; images that could not be read are not in the file."""
    arrays = {"image_ids": np.array([source.id for source in features.sources], np.int64)}
    arrays |= {f"layer.{number}": values for number, values in enumerate(features.arrays)}
    return context.store.write(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_layer(context: ShardContext, number: int) -> LayerFeatures:
    """Load the features of a layer, by its number in the specification, of all images."""
    return load_from(context, stage_results(context, "features"), number)


def load_from(context: JobContext, paths: Sequence[str], number: int) -> LayerFeatures:
    """Load the features of a layer from the files of all shards, in the order of the shards.

    Raises
    ------
    IncompatibleVersion
        a file has no such array.
    """
    ids, parts = [], []
    for path in paths:
        with np.load(context.store.verified(path), allow_pickle=False) as arrays:
            try:
                ids.append(arrays["image_ids"])
                parts.append(arrays[f"layer.{number}"])
            except KeyError as error:
                raise IncompatibleVersion(path=path, reason=error.args[0]) from error
    return LayerFeatures(np.concatenate(ids), np.concatenate(parts))
