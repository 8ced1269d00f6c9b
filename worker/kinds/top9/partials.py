"""Intermediate results of a top-9 search: arrays in the store that a later stage reads, one layer at a time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngImageFile
from sqlalchemy import select

from shared.errors import IncompatibleVersion
from shared.jobs.tables import Shard
from shared.store.store import StoredFile
from unitscope.drawing.pictures import Picture
from unitscope.images.encoding import photographic_png
from unitscope.search.ranking import FIELDS, TopActivations
from unitscope.search.search import FLOAT32, LayerSearch
from worker.kinds.common import stage_results
from worker.runner import ShardContext

Arrays = dict[str, np.ndarray]
SheetPart = tuple[Picture, Picture]  # of a unit on the contact sheet: projections, and patches


@dataclass(frozen=True)
class MergedTopActivations:
    """A layer's top activations among all images. ``tied``, bool [units, top], marks those that have the same
    value as another image's."""

    top: TopActivations
    tied: np.ndarray


def store_partial(context: ShardContext, results: Sequence[LayerSearch], skipped: int) -> StoredFile:
    """Store a search shard's result for each layer, and the number of its images that were left out."""
    arrays: Arrays = {"skipped": np.array(skipped, np.int64)}
    for number, layer in enumerate(results):
        arrays |= {f"{number}.{name}": values for name, values in _arrays_of(layer)}
    return _store(context, arrays)


def load_partial(context: ShardContext, path: str, number: int) -> LayerSearch:
    """Load a search shard's result for the layer of this number, reading no other arrays. The file's content is
    not verified, since ``load_skipped`` has done so."""
    with _stored(context.store.locate(path)) as arrays:
        labels = arrays[f"{number}.labels"]
        classes = _load_top(arrays, f"{number}.class") if len(labels) else None
        return LayerSearch(
            _load_top(arrays, f"{number}.top"),
            _load_top(arrays, f"{number}.bottom") if f"{number}.bottom.activation" in arrays else None,
            {
                label: TopActivations(*(getattr(classes, name)[place] for name in FIELDS))
                for place, label in enumerate(labels.tolist())
            },
            arrays[f"{number}.maxima"],
            *_load_screening(arrays, number),
        )


def load_tops(context: ShardContext, path: str, layers: int) -> list[TopActivations]:
    """Load the top activations of the layers from a search shard's result, without verifying the file: the stage
    *select* does."""
    with _stored(context.store.locate(path)) as arrays:
        return [_load_top(arrays, f"{number}.top") for number in range(layers)]


def store_merged(context: ShardContext, layers: Sequence[MergedTopActivations], skipped: int) -> StoredFile:
    """Store the merged top activations of each layer, and the number of images that were left out."""
    arrays: Arrays = {"skipped": np.array(skipped, np.int64)}
    for number, layer in enumerate(layers):
        arrays |= {f"{number}.{name}": values for name, values in _top_arrays("top", layer.top)}
        arrays[f"{number}.tied"] = layer.tied
    return _store(context, arrays)


def load_merged(context: ShardContext, number: int) -> MergedTopActivations:
    """Load the merged top activations of a layer, by its number, which the stage *select* stored."""
    with _stored(context.store.verified(stage_results(context, "select")[0])) as arrays:
        return MergedTopActivations(_load_top(arrays, f"{number}.top"), arrays[f"{number}.tied"])


def load_skipped(context: ShardContext, path: str) -> int:
    """Verify a file that a stage stored; return the number of images that were left out."""
    with _stored(context.store.verified(path)) as arrays:
        return int(arrays["skipped"])


def encoded(part: SheetPart) -> bytes:
    """Encode a unit's part of a contact sheet as a PNG file, since a shard has many."""
    return photographic_png(np.hstack(part))


def store_sheet_parts(context: ShardContext, parts: Mapping[int, bytes]) -> StoredFile:
    """Store the parts of a contact sheet that a project shard has drawn and encoded, by unit."""
    ends = np.cumsum([len(content) for content in parts.values()], dtype=np.int64)
    content = np.frombuffer(b"".join(parts.values()), np.uint8)
    return _store(context, {"units": np.array([*parts], np.int64), "ends": ends, "files": content})


def load_sheet_parts(context: ShardContext, number: int) -> dict[int, SheetPart]:
    """Load the parts of a layer's contact sheet that project shards have drawn, by unit.

    Units that a version before schema 0016 has projected are missing.
    """
    with context.database.read() as session:
        query = select(Shard.payload, Shard.result_path)
        of_stage = (Shard.job_id == context.claim.job_id, Shard.stage_name == "project")
        shards = session.execute(query.where(*of_stage).order_by(Shard.number)).all()
    parts: dict[int, SheetPart] = {}
    for path in [path for payload, path in shards if path and payload["layer"] == number]:
        with _stored(context.store.verified(path)) as arrays:
            parts |= sheet_parts(arrays)
    return parts


def sheet_parts(arrays: Mapping[str, np.ndarray]) -> dict[int, SheetPart]:
    """Return the parts of a contact sheet that a shard has stored, by unit."""
    units = arrays["units"].tolist()
    if "files" in arrays:
        content, ends = arrays["files"].tobytes(), arrays["ends"].tolist()
        pairs = [_picture(content[start:end]) for start, end in itertools.pairwise([0, *ends])]
    else:  # of a version that stored one file, with the parts below one another
        pairs = np.split(_picture(arrays["parts"].tobytes()), len(units)) if units else []
    halves = [pair.shape[1] // 2 for pair in pairs]
    return {unit: (pair[:, :half], pair[:, half:]) for unit, pair, half in zip(units, pairs, halves, strict=True)}


def _picture(content: bytes) -> np.ndarray:
    return np.asarray(PngImageFile(io.BytesIO(content)))


def _arrays_of(result: LayerSearch) -> Iterator[tuple[str, np.ndarray]]:
    yield from _top_arrays("top", result.top)
    if result.bottom:
        yield from _top_arrays("bottom", result.bottom)
    labels = sorted(result.by_class)
    yield "labels", np.array(labels, np.int64)
    for name in FIELDS if labels else ():
        yield f"class.{name}", np.stack([getattr(result.by_class[label], name) for label in labels])
    yield "maxima", result.maxima
    if result.recomputed is not None and result.presupposed is not None:
        yield "precision", np.array(result.precision)
        yield "recomputed", result.recomputed
        yield "presupposed", result.presupposed


def _load_screening(
    arrays: Mapping[str, np.ndarray], number: int
) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    """Return ``LayerSearch.precision``, ``recomputed`` and ``presupposed``."""
    if f"{number}.precision" not in arrays:
        return FLOAT32, None, None
    return str(arrays[f"{number}.precision"]), arrays[f"{number}.recomputed"], arrays[f"{number}.presupposed"]


def _top_arrays(kind: str, top: TopActivations) -> Iterator[tuple[str, np.ndarray]]:
    return ((f"{kind}.{name}", getattr(top, name)) for name in FIELDS)


def _load_top(arrays: Mapping[str, np.ndarray], prefix: str) -> TopActivations:
    return TopActivations(*(arrays[f"{prefix}.{name}"] for name in FIELDS))


@contextmanager
def _stored(file: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Open a stored file of arrays. Raises ``IncompatibleVersion`` if an array is missing."""
    with np.load(file, allow_pickle=False) as arrays:
        try:
            yield arrays
        except KeyError as error:
            path = f"{file.parent.name}/{file.name}"
            raise IncompatibleVersion(path=path, reason=error.args[0] if error.args else error) from error


def _store(context: ShardContext, arrays: Arrays) -> StoredFile:
    return context.store.write(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
