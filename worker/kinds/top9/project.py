"""Stage *project* of a top-9 search: the top activations of units, projected back to pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared.errors import ProjectionCheckFailed
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, UnreadableImage, read_cached
from unitscope.drawing import pictures
from unitscope.drawing.unit_pictures import UnitPicture, mosaics, unit_picture
from unitscope.geometry.receptive_fields import trace
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import EmptyProjections, WrongProjection
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE
from worker.kinds.common import load_network, pixel_cache, register_artifacts, sources_by_id
from worker.kinds.top9.partials import MergedTopActivations, load_merged
from worker.runner import ShardContext

WRITERS = 4
UNITS_AT_ONCE = 64  # whose images and pictures are in memory at the same time


@dataclass(frozen=True)
class _Projected:
    """A unit's stored pictures, and its rows."""

    unit: int
    patches: StoredFile  # mosaics
    projections: StoredFile
    rows: list[dict[str, object]]
    files: list[StoredFile]


def project(context: ShardContext) -> None:
    """Check and store the patch and projection of every top activation of a shard's units, and their mosaics."""
    specification = cast(Top9Specification, context.specification)
    layer = specification.layers[context.payload["layer"]]
    merged = load_merged(context, specification.layers.index(layer))
    units = Units(context, specification, layer, merged)
    projected: list[_Projected] = []
    with ThreadPoolExecutor(WRITERS) as writers:  # encoding and writing release the GIL
        for start in range(0, len(units.live), UNITS_AT_ONCE):
            projected += units.project(units.live[start : start + UNITS_AT_ONCE], writers)
    context.progress(len(context.payload["units"]) - len(units.live))

    def write(session: Session) -> None:
        layer_id = session.scalars(
            select(SearchedLayer.id).where(
                SearchedLayer.job_id == context.claim.job_id, SearchedLayer.layer_path == layer.path
            )
        ).one()
        register_artifacts(context, session, [file for p in projected for file in p.files])
        for unit in context.payload["units"]:
            session.get_one(SearchedUnit, (layer_id, unit)).constant = unit in units.constant
        of_shard = (TopActivation.layer_id == layer_id, TopActivation.unit.in_(units.live))
        session.execute(delete(TopActivation).where(*of_shard))  # without pictures, written by *select*
        for p in projected:
            row = session.get_one(SearchedUnit, (layer_id, p.unit))
            row.patches_path, row.projections_path = p.patches.path, p.projections.path
            session.add_all(TopActivation(layer_id=layer_id, unit=p.unit, **row) for row in p.rows)

    context.complete(write)


@dataclass(frozen=True)
class _TopActivation:
    """An image in a unit's ranking, with its activation and position."""

    unit: int
    rank: int  # from 0
    source: ImageSource
    row: int
    col: int
    activation: float
    tied: bool


class Units:
    """The units of a shard, with their merged top activations and the projector."""

    def __init__(
        self,
        context: ShardContext,
        specification: Top9Specification,
        layer: SearchedLayerSpecification,
        merged: MergedTopActivations,
    ) -> None:
        self.context, self.specification, self.layer = context, specification, layer
        network = specification.network
        self.top, self.tied = merged.top, merged.tied
        self.largest = float(self.top.activation.max())
        self.index = {unit: index for index, unit in enumerate(layer.units)}
        self.live = [unit for unit in context.payload["units"] if not self.top.dead[self.index[unit]]]
        chosen = self.top.image[[self.index[unit] for unit in self.live]]
        self.sources = sources_by_id(context, np.unique(chosen[chosen != NO_IMAGE]).tolist())
        self.cache = pixel_cache(context, network.image_size)
        model = load_network(context, network, specification.weights_path)
        self.geometry = next(t.geometry for t in trace(model, network.image_size).layers if t.path == layer.path)
        # Count the images of all units, not only the shard's: pictures must not depend on the number of shards.
        images, counts = np.unique(self.top.image, return_counts=True)
        self.projector = projector_for(
            model,
            layer.path,
            network.image_size,
            specification.projection,
            dict(zip(images.tolist(), counts.tolist(), strict=True)),
            context.device,
            network.mean,
            network.std,
        )
        self.empty = EmptyProjections(
            model,
            layer.path,
            specification.projection,
            self.projector,
            context.device,
            network.mean,
            network.std,
        )
        self.constant = {unit for unit in self.live if self.empty.constant[unit]}

    def project(self, units: Sequence[int], writers: Executor) -> list[_Projected]:
        """Draw, check and store the pictures of these units.

        Raises
        ------
        ProjectionCheckFailed
        """
        entries = [entry for unit in units for entry in self._top_activations(unit)]
        sources = {entry.source.id: entry.source for entry in entries}
        number = {image: number for number, image in enumerate(sources)}
        pixels = [self._read(source) for source in sources.values()]
        images = [entry.source.id for entry in entries]
        numbers = (
            [entry.unit for entry in entries],
            [number[image] for image in images],
            images,
            [entry.row for entry in entries],
            [entry.col for entry in entries],
        )
        requests = Requests(*(np.array(values, np.int64) for values in numbers))
        drawn: dict[int, dict[_TopActivation, UnitPicture]] = {unit: {} for unit in units}
        missing = Counter(entry.unit for entry in entries)
        stored: dict[int, Future[_Projected]] = {}
        for index, projection in self.projector.project(pixels, requests):
            entry = entries[index]
            window = self.geometry.window(entry.row, entry.col) if self.geometry else None
            image = pixels[number[entry.source.id]]
            reason = partial(self.empty.reason, projection.values, image, entry.unit, entry.row, entry.col)
            try:
                picture = unit_picture(image, projection, window, entry.activation, self.largest, reason)
            except WrongProjection as wrong:
                raise self._failed(entry.unit, entry.source, str(wrong)) from wrong
            drawn[entry.unit][entry] = picture
            complete = len(drawn[entry.unit]) == missing[entry.unit]
            if complete:
                stored[entry.unit] = writers.submit(self._store, entry.unit, drawn.pop(entry.unit))
            self.context.progress(int(complete))
        return [stored[unit].result() for unit in units]

    def _top_activations(self, unit: int) -> Iterator[_TopActivation]:
        index, top = self.index[unit], self.top
        for rank in range(int((top.image[index] != NO_IMAGE).sum())):
            yield _TopActivation(
                unit,
                rank,
                self.sources[int(top.image[index, rank])],
                int(top.row[index, rank]),
                int(top.col[index, rank]),
                float(top.activation[index, rank]),
                bool(self.tied[index, rank]),
            )

    def _store(self, unit: int, drawn: dict[_TopActivation, UnitPicture]) -> _Projected:
        entries = sorted(drawn, key=lambda entry: entry.rank)
        of_unit = [drawn[entry] for entry in entries]
        patches = [self._put(picture.patch) for picture in of_unit]
        projections = [self._put(picture.projection) for picture in of_unit]
        of_patches, of_projections = (self._put(mosaic) for mosaic in mosaics(of_unit, self.specification.top))
        rows: list[dict[str, object]] = [
            {
                "rank": entry.rank + 1,
                "activation": entry.activation,
                "image_id": entry.source.id,
                "row": entry.row,
                "col": entry.col,
                "patch_path": patch.path,
                "projection_path": projection.path,
                "projection_scale": picture.scale,
                "tied": entry.tied,
                "projection_empty": picture.empty,
            }
            for entry, picture, patch, projection in zip(entries, of_unit, patches, projections, strict=True)
        ]
        files = [*patches, *projections, of_patches, of_projections]
        return _Projected(unit, of_patches, of_projections, rows, files)

    def _put(self, picture: pictures.Picture) -> StoredFile:
        return self.context.store.put(pictures.png(picture), ".png")

    def _read(self, source: ImageSource) -> np.ndarray:
        try:
            return read_cached(source, self.specification.network.image_size, self.cache)
        except UnreadableImage as error:  # the stage search could read it
            unit = next(
                unit for unit in self.live if source in (entry.source for entry in self._top_activations(unit))
            )
            raise self._failed(unit, source, str(error)) from error

    def _failed(self, unit: int, source: ImageSource, reason: str) -> ProjectionCheckFailed:
        return ProjectionCheckFailed(unit=unit, layer=self.layer.layer, image=source.path, reason=reason)
