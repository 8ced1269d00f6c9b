"""The top-9 search: *search* shards of images, *select* the winners, *project* shards of units, *finish*."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from PIL import Image
from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlalchemy.orm import Session

from shared.errors import ProjectionCheckFailed
from shared.models import Dataset, Job, SearchedLayer, SearchedUnit, Shard, TopActivation
from shared.specifications import Top9Specification
from shared.specifications.top9 import SEARCH_BATCH, SearchedLayerSpecification
from shared.store import StoredFile
from worker.kinds.common import (
    keep,
    pixel_cache,
    report_skipped,
    require_some,
    sources_by_id,
    split_sources,
    trained,
)
from worker.runner import ShardContext
from worker.vision import pictures
from worker.vision.deconvnet import Deconvnet
from worker.vision.geometry import trace
from worker.vision.images import ImageSource, Skipped, UnreadableImage, batches, read_cached
from worker.vision.search import NO_IMAGE, TopActivations
from worker.vision.search import search as search_images
from worker.vision.unit_pictures import WrongProjection, unit_pictures

SHEET_COLUMNS = 8
WRITERS = 4
FIELDS = ("activation", "image", "row", "col")


def search(context: ShardContext) -> None:
    """A shard of images: the best of each unit, as a partial result in the store."""
    specification = cast(Top9Specification, context.specification)
    model = trained(context, specification.network, specification.weights_path)
    model = model.to(memory_format=torch.channels_last)
    sources = split_sources(context, specification.split, context.payload["start"], context.payload["stop"])
    cache = pixel_cache(context, specification.network.image_size)
    skipped: list[Skipped] = []
    found = search_images(
        model,
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, specification.network.image_size, pad=True, skipped=skipped, cache=cache),
        specification.top,
        context.device,
        context.progress,
        specification.network.mean,
        specification.network.std,
    )
    report_skipped(context, skipped)
    partial = _store_partial(context, specification, found, len(skipped))
    context.complete(lambda session: keep(context, session, [partial]), partial.path)


def _store_partial(
    context: ShardContext, specification: Top9Specification, found: dict[str, TopActivations], skipped: int
) -> StoredFile:
    arrays = {
        f"{number}.{name}": getattr(found[layer.path], name)
        for number, layer in enumerate(specification.layers)
        for name in FIELDS
    }
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, skipped=np.int64(skipped), **arrays)
    return context.store.put(file.getvalue(), ".npz")


def _load_partial(
    context: ShardContext, specification: Top9Specification, path: str
) -> tuple[dict[str, TopActivations], int]:
    with np.load(context.store.locate(path), allow_pickle=False) as arrays:
        found = {
            layer.path: TopActivations(*(arrays[f"{number}.{name}"] for name in FIELDS))
            for number, layer in enumerate(specification.layers)
        }
        return found, int(arrays["skipped"])


def _results_of(context: ShardContext, stage: str) -> list[str]:
    with context.database.read() as session:
        query = sql_select(Shard.result_path).where(
            Shard.job_id == context.claim.job_id, Shard.stage_name == stage
        )
        return [path for path in session.scalars(query.order_by(Shard.number)) if path]


def select(context: ShardContext) -> None:
    """Merge the partial results: the winners of every unit; dead units are recorded."""
    specification = cast(Top9Specification, context.specification)
    winners = {
        layer.path: TopActivations.empty(len(layer.units), specification.top) for layer in specification.layers
    }
    skipped = 0
    for path in _results_of(context, "search"):
        found, left_out = _load_partial(context, specification, path)
        winners = {path: winners[path].merged(found[path]) for path in winners}
        skipped += left_out
    require_some(context, skipped, specification.image_count)
    result = _store_partial(context, specification, winners, skipped)

    def write(session: Session) -> None:
        keep(context, session, [result])
        for layer in specification.layers:
            row = SearchedLayer(job_id=context.claim.job_id, layer=layer.layer, layer_path=layer.path)
            session.add(row)
            session.flush()
            session.add_all(
                SearchedUnit(layer_id=row.id, unit=unit, dead=bool(dead))
                for unit, dead in zip(layer.units, winners[layer.path].dead, strict=True)
            )

    context.complete(write, result.path)


@dataclass(frozen=True)
class _Projected:
    """A unit's pictures in the store, and its rows."""

    unit: int
    patches: StoredFile  # mosaics
    projections: StoredFile
    rows: list[dict[str, object]]
    files: list[StoredFile]


def project(context: ShardContext) -> None:
    """A shard of units of one layer: patch and projection of every winner, each checked, and the mosaics."""
    specification = cast(Top9Specification, context.specification)
    layer = specification.layers[context.payload["layer"]]
    projector = _Projector(context, specification, layer)
    projected: list[_Projected] = []
    for unit in context.payload["units"]:
        if not projector.is_dead(unit):
            projected.append(projector.project(unit))
        context.progress()

    def write(session: Session) -> None:
        layer_id = session.scalars(
            sql_select(SearchedLayer.id).where(
                SearchedLayer.job_id == context.claim.job_id, SearchedLayer.layer_path == layer.path
            )
        ).one()
        keep(context, session, [file for p in projected for file in p.files])
        for p in projected:
            row = session.get_one(SearchedUnit, (layer_id, p.unit))
            row.patches_path, row.projections_path = p.patches.path, p.projections.path
            session.add_all(TopActivation(layer_id=layer_id, unit=p.unit, **row) for row in p.rows)

    context.complete(write)


class _Projector:
    """Projects units of one layer, from the merged winners of the search."""

    def __init__(
        self, context: ShardContext, specification: Top9Specification, layer: SearchedLayerSpecification
    ) -> None:
        self.context, self.specification, self.layer = context, specification, layer
        network = specification.network
        model = trained(context, network, specification.weights_path)
        self.geometry = next(t.geometry for t in trace(model, network.image_size).layers if t.path == layer.path)
        self.deconvnet = Deconvnet(model, layer.path)
        merged, _ = _load_partial(context, specification, _results_of(context, "select")[0])
        self.winners = merged[layer.path]
        self.largest = float(self.winners.activation.max())
        self.place = {unit: place for place, unit in enumerate(layer.units)}
        chosen = self.winners.image[[self.place[unit] for unit in context.payload["units"]]]
        self.sources = sources_by_id(context, np.unique(chosen[chosen != NO_IMAGE]).tolist())
        self.cache = pixel_cache(context, network.image_size)

    def is_dead(self, unit: int) -> bool:
        return bool(self.winners.dead[self.place[unit]])

    def project(self, unit: int) -> _Projected:
        """Make, check and store the pictures of one unit.

        Raises
        ------
        ProjectionCheckFailed
        """
        place = self.place[unit]
        count = int((self.winners.image[place] != NO_IMAGE).sum())
        sources = [self.sources[int(image)] for image in self.winners.image[place, :count]]
        rows, cols = self.winners.row[place, :count], self.winners.col[place, :count]
        activations = self.winners.activation[place, :count]
        try:
            made = unit_pictures(
                self.deconvnet,
                self.geometry,
                unit,
                [self._read(unit, source) for source in sources],
                rows,
                cols,
                activations,
                self.largest,
                self.specification.top,
                self.context.device,
                self.specification.network.mean,
                self.specification.network.std,
            )
        except WrongProjection as wrong:
            raise self._failed(unit, sources[wrong.place], wrong.reason) from wrong
        drawn = [*made.patches, *made.projections, *made.mosaics(self.specification.top)]
        with ThreadPoolExecutor(WRITERS) as pool:  # encoding and writing let go of the GIL
            files = list(pool.map(lambda picture: self.context.store.put(pictures.png(picture), ".png"), drawn))
        found = [
            {
                "rank": rank + 1,
                "activation": float(activations[rank]),
                "image_id": source.id,
                "row": int(rows[rank]),
                "col": int(cols[rank]),
                "patch_path": files[rank].path,
                "projection_path": files[count + rank].path,
                "projection_scale": made.scales[rank],
            }
            for rank, source in enumerate(sources)
        ]
        return _Projected(unit, files[-2], files[-1], found, files)

    def _read(self, unit: int, source: ImageSource) -> np.ndarray:
        try:
            return read_cached(source, self.specification.network.image_size, self.cache)
        except UnreadableImage as error:  # it could be read when it was searched
            raise self._failed(unit, source, str(error)) from error

    def _failed(self, unit: int, source: ImageSource, reason: str) -> ProjectionCheckFailed:
        return ProjectionCheckFailed(unit=unit, layer=self.layer.layer, image=source.path, reason=reason)


def finish(context: ShardContext) -> None:
    """The contact sheet of every layer, and the job's summary."""
    specification = cast(Top9Specification, context.specification)
    with context.database.read() as session:
        dataset = session.get_one(Dataset, specification.dataset_id).name
        layers = session.scalars(
            sql_select(SearchedLayer)
            .where(SearchedLayer.job_id == context.claim.job_id)
            .order_by(SearchedLayer.id)
        ).all()
        rows = session.execute(
            sql_select(TopActivation.layer_id, func.count().label("rows"))
            .where(TopActivation.layer_id.in_([layer.id for layer in layers]))
            .group_by(TopActivation.layer_id)
        ).all()
    skipped = _load_partial(context, specification, _results_of(context, "select")[0])[1]
    summary = {"images": specification.image_count - skipped, "images_left_out": skipped, "layers": []}
    sheets: dict[int, StoredFile] = {}
    counts = {row.layer_id: row.rows for row in rows}
    for layer in layers:
        units = _units(context, layer.id)
        live = [(unit.unit, *_mosaics(context, unit)) for unit in units if not unit.dead]
        title = (
            f"{specification.network.name} {layer.layer} on {dataset} {specification.split}: "
            f"top {specification.top} of {len(live)} units, projections beside image patches"
        )
        sheets[layer.id] = context.store.put(
            pictures.jpeg(pictures.contact_sheet(live, title, SHEET_COLUMNS)), ".jpg"
        )
        summary["layers"].append(
            {
                "layer": layer.layer,
                "units": len(units),
                "dead": len(units) - len(live),
                "rows": counts.get(layer.id, 0),
            }
        )
        context.progress()

    def write(session: Session) -> None:
        keep(context, session, list(sheets.values()))
        for layer_id, sheet in sheets.items():
            session.get_one(SearchedLayer, layer_id).contact_sheet_path = sheet.path
        session.get_one(Job, context.claim.job_id).summary = summary

    context.complete(write)


def _units(context: ShardContext, layer_id: int) -> list[SearchedUnit]:
    with context.database.read() as session:
        query = sql_select(SearchedUnit).where(SearchedUnit.layer_id == layer_id)
        return list(session.scalars(query.order_by(SearchedUnit.unit)))


def _mosaics(context: ShardContext, unit: SearchedUnit) -> list[np.ndarray]:
    """Projections, then patches."""
    files = [context.store.locate(path or "") for path in (unit.projections_path, unit.patches_path)]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]
