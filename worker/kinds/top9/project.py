"""Stage *project* of a top-9 search: the top activations of units, projected back to pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import cast

import numpy as np
import torch
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from torch import nn

from shared.errors import ProjectionCheckFailed
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, UnreadableImage, read_cached
from unitscope.drawing import pictures
from unitscope.drawing.unit_pictures import UnitPicture, native_mosaics, unit_picture
from unitscope.geometry.receptive_fields import Geometry, trace
from unitscope.images.encoding import photographic_png
from unitscope.layers.forms import known_place
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import EmptyProjections, WrongProjection
from unitscope.projection.graph import GraphProjector
from unitscope.projection.requests import Projection, Requests
from unitscope.search.ranking import NO_IMAGE
from worker.kinds.common import load_network, pixel_cache, register_artifacts, sources_by_id
from worker.kinds.top9.partials import MergedTopActivations, SheetPart, encoded, load_merged, store_sheet_parts
from worker.runner import ShardContext

FEWEST_WRITERS = 4
BOX_COLUMNS = ("picture_left", "picture_top", "picture_right", "picture_bottom")
UNITS_AT_ONCE = 64  # whose images and projections are in memory at the same time
BYTES_AT_ONCE = 2**28  # of projections, for fewer units whose receptive fields are large


@dataclass(frozen=True)
class _Projected:
    """A unit's stored mosaics, and its rows."""

    unit: int
    patches: StoredFile
    projections: StoredFile
    rows: list[dict[str, object]]
    on_sheet: bytes  # encoded


def project(context: ShardContext) -> None:
    """Check every projection of the top activations of a shard's units, and store the units' mosaics."""
    specification = cast(Top9Specification, context.specification)
    layer = specification.layers[context.payload["layer"]]
    merged = load_merged(context, specification.layers.index(layer))
    units = Units(context, specification, layer, merged)
    projected: list[_Projected] = []
    drawing: list[Future[_Projected]] = []
    # Checking, drawing, encoding and writing release the GIL, and run beside the computation of the next units.
    with ThreadPoolExecutor(number_of_writers()) as writers:
        for start in range(0, len(units.live), units.at_once):
            begun = units.project(units.live[start : start + units.at_once], writers)
            projected += [unit.result() for unit in drawing]
            drawing = begun
        projected += [unit.result() for unit in drawing]
    context.progress(len(context.payload["units"]) - len(units.live))
    parts = store_sheet_parts(context, {p.unit: p.on_sheet for p in projected})

    def write(session: Session) -> None:
        layer_id = session.scalars(
            select(SearchedLayer.id).where(
                SearchedLayer.job_id == context.claim.job_id, SearchedLayer.layer_path == layer.path
            )
        ).one()
        mosaics = [file for p in projected for file in (p.patches, p.projections)]
        register_artifacts(context, session, [parts, *mosaics])
        chosen = (SearchedUnit.layer_id == layer_id, SearchedUnit.unit.in_(context.payload["units"]))
        searched = {row.unit: row for row in session.scalars(select(SearchedUnit).where(*chosen))}
        for unit, row in searched.items():
            row.constant = unit in units.constant
        of_shard = (TopActivation.layer_id == layer_id, TopActivation.unit.in_(units.live))
        session.execute(delete(TopActivation).where(*of_shard))  # without pictures, written by *select*
        for p in projected:
            row = searched[p.unit]
            row.patches_path, row.projections_path = p.patches.path, p.projections.path
            session.add_all(TopActivation(layer_id=layer_id, unit=p.unit, **values) for values in p.rows)

    context.complete(write, parts.path)


def number_of_writers() -> int:
    """Return the number of threads that draw and store pictures: one for each core of the worker, and at least
    four. On a GPU, the pictures take most of the time of a search with projections."""
    return max(FEWEST_WRITERS, torch.get_num_threads())


def _geometry(model: nn.Module, image_size: int, path: str) -> Geometry | None:
    """Return the geometry of a layer's receptive fields; None if it is the whole image, or unknown."""
    try:
        return trace(model, image_size).geometry_of(path)
    except ValueError:  # the network can't be traced
        return None


@dataclass(frozen=True)
class _TopActivation:
    """An image in a unit's ranking, with its activation and place."""

    unit: int
    rank: int  # from 0
    source: ImageSource
    row: int
    col: int
    activation: float
    tied: bool


@dataclass(frozen=True)
class _ToDraw:
    """The image, uint8 [H, W, 3], and the projection of a top activation."""

    image: np.ndarray
    projection: Projection


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
        self.geometry = _geometry(model, network.image_size, layer.path)
        method = specification.method_of(layer)
        assert method is not None  # noqa: S101 - otherwise there is no such stage
        # Count the images of all units, not only the shard's: pictures must not depend on the number of shards.
        images, counts = np.unique(self.top.image, return_counts=True)
        self.projector = projector_for(
            model,
            layer.path,
            network.image_size,
            method,
            dict(zip(images.tolist(), counts.tolist(), strict=True)),
            context.device,
            network.mean,
            network.std,
            layer.form,
        )
        self.empty = EmptyProjections(
            model,
            layer.path,
            method,
            self.projector,
            context.device,
            network.mean,
            network.std,
            layer.form,
        )
        self.constant = {unit for unit in self.live if self.empty.constant[unit]}
        self.explaining = Lock()  # empty projections are computed again, by a model that threads share
        field = network.image_size
        if self.geometry and not isinstance(self.projector, GraphProjector):  # which projects whole images
            field = min(self.geometry.size, field)
        self.at_once = max(1, min(UNITS_AT_ONCE, BYTES_AT_ONCE // (12 * specification.top * field**2)))

    def project(self, units: Sequence[int], writers: Executor) -> list[Future[_Projected]]:
        """Project the top activations of these units; ``writers`` check, draw and store their pictures.

        The futures raise ``ProjectionCheckFailed``.
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
        to_draw: dict[int, dict[_TopActivation, _ToDraw]] = {unit: {} for unit in units}
        missing = Counter(entry.unit for entry in entries)
        stored: dict[int, Future[_Projected]] = {}
        for index, projection in self.projector.project(pixels, requests):
            entry = entries[index]
            to_draw[entry.unit][entry] = _ToDraw(pixels[number[entry.source.id]], projection)
            complete = len(to_draw[entry.unit]) == missing[entry.unit]
            if complete:
                stored[entry.unit] = writers.submit(self._draw, entry.unit, to_draw.pop(entry.unit))
            self.context.progress(int(complete))
        return [stored[unit] for unit in units]

    def _draw(self, unit: int, to_draw: dict[_TopActivation, _ToDraw]) -> _Projected:
        """Check, draw and store the pictures of a unit."""
        entries = sorted(to_draw, key=lambda entry: entry.rank)
        drawn = [self._picture(entry, to_draw[entry]) for entry in entries]
        patches, projections, boxes = native_mosaics(drawn, self.specification.top)
        of_patches, of_projections = (
            self.context.store.put(photographic_png(mosaic), ".png") for mosaic in (patches, projections)
        )
        rows: list[dict[str, object]] = [
            {
                "rank": entry.rank + 1,
                "activation": entry.activation,
                "image_id": entry.source.id,
                **dict(zip(("row", "col"), known_place(entry.row, entry.col), strict=True)),
                "patch_path": of_patches.path,
                "projection_path": of_projections.path,
                "projection_scale": picture.scale,
                "projection_largest": picture.largest,
                "tied": entry.tied,
                "projection_empty": picture.empty,
                **dict(zip(BOX_COLUMNS, box, strict=True)),
            }
            for entry, picture, box in zip(entries, drawn, boxes, strict=True)
        ]
        on_sheet = encoded(self._on_sheet(drawn, patches, projections))
        return _Projected(unit, of_patches, of_projections, rows, on_sheet)

    def _on_sheet(
        self, drawn: Sequence[UnitPicture], patches: pictures.Picture, projections: pictures.Picture
    ) -> SheetPart:
        """Return the unit's part of the contact sheet.

        If all projections are empty, the reason is in the place of their mosaic: pictures in it can be too small
        for words.
        """
        block, reason = pictures.SHEET_BLOCK, drawn[0].empty
        if reason and all(picture.empty for picture in drawn):
            return pictures.note((block, block), reason), pictures.resized(patches, block)
        return pictures.shrunk_projections(projections, block), pictures.resized(patches, block)

    def _picture(self, entry: _TopActivation, to_draw: _ToDraw) -> UnitPicture:
        window = self.geometry.window(entry.row, entry.col) if self.geometry else None
        form, size = self.layer.form, self.specification.network.image_size
        square = form.square(entry.row, entry.col, size) if form else None

        def reason() -> str:
            with self.explaining:
                values = to_draw.projection.values
                return self.empty.reason(values, to_draw.image, entry.unit, entry.row, entry.col)

        try:
            return unit_picture(
                to_draw.image, to_draw.projection, window, entry.activation, self.largest, reason, square
            )
        except WrongProjection as wrong:
            raise self._failed(entry.unit, entry.source, str(wrong)) from wrong

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
