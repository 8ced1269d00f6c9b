"""Stage *project* of an evolution: the strongest activations of drawn units, projected with an epoch's weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.errors import ImageNoLongerReadable, ProjectionCheckFailed
from shared.kinds.evolution.specification import EvolutionSpecification, EvolvingLayer
from shared.kinds.evolution.tables import EvolvedLayer, UnitEvolution
from shared.store.store import StoredFile
from unitscope.data.images import ImageSource, UnreadableImage, read_cached
from unitscope.data.pixel_cache import PixelCache
from unitscope.drawing.unit_pictures import UnitPicture
from unitscope.evolution.projections import StrongestPictures, WrongUnitProjection
from unitscope.evolution.strongest import Strongest
from unitscope.images.encoding import photographic_png
from worker.kinds.common import load_network, pixel_cache, register_artifacts, sources_by_id
from worker.kinds.evolution.partials import load_merged
from worker.runner import ShardContext

UNITS_AT_ONCE = 64  # whose images and projections are in memory at the same time


@dataclass(frozen=True)
class _Stored:
    """A unit's picture, in the store."""

    layer: EvolvingLayer
    unit: int
    patch: StoredFile
    projection: StoredFile
    scale: float
    empty: str | None


def project(context: ShardContext) -> None:
    """Check and store the patches and projections of a shard's units."""
    specification = cast(EvolutionSpecification, context.specification)
    number = context.payload["checkpoint"]
    merged = load_merged(context, number, len(specification.layers))
    numbered = [(place, unit) for place, (_, drawn) in enumerate(merged) for unit in drawn]
    chosen = numbered[context.payload["start"] : context.payload["stop"]]
    stored: list[_Stored] = []
    for place, layer in enumerate(specification.layers):
        units = [unit for chosen_place, unit in chosen if chosen_place == place]
        if units:
            stored += project_layer(context, specification, layer, number, *merged[place], units)

    def write(session: Session) -> None:
        register_artifacts(context, session, [file for item in stored for file in (item.patch, item.projection)])
        query = select(EvolvedLayer.layer_path, EvolvedLayer.id)
        ids = dict(session.execute(query.where(EvolvedLayer.job_id == context.claim.job_id)).all())
        epoch = specification.checkpoints[number].epoch
        for item in stored:
            row = session.get_one(UnitEvolution, (ids[item.layer.path], item.unit, epoch))
            row.patch_path, row.projection_path = item.patch.path, item.projection.path
            row.projection_scale, row.projection_empty = item.scale, item.empty

    context.complete(write)


def project_layer(
    context: ShardContext,
    specification: EvolutionSpecification,
    layer: EvolvingLayer,
    checkpoint: int,
    strongest: Strongest,
    drawn: list[int],
    units: list[int],
) -> Iterator[_Stored]:
    """Project the active ones of ``units``, which are some of the layer's ``drawn`` units, and store the pictures.

    Raises
    ------
    ProjectionCheckFailed, ImageNoLongerReadable
    """
    network = specification.network
    path = specification.checkpoints[checkpoint].weights_path
    maker = StrongestPictures(
        load_network(context, network, path),
        layer.path,
        network.image_size,
        strongest,
        drawn,
        specification.projection,
        context.device,
        network.mean,
        network.std,
    )
    active = [unit for unit in units if strongest.active[unit]]
    context.progress(len(units) - len(active))
    sources = sources_by_id(context, np.unique(strongest.images[active]).tolist())
    cache = pixel_cache(context, network.image_size)

    def read(image: int) -> np.ndarray:
        return _read(context, sources[image], network.image_size, cache)

    for start in range(0, len(active), UNITS_AT_ONCE):
        try:
            for unit, picture in maker.of(active[start : start + UNITS_AT_ONCE], read):
                yield _store(context, layer, unit, picture)
                context.progress()
        except WrongUnitProjection as wrong:
            image = sources[wrong.image].path
            raise ProjectionCheckFailed(
                unit=wrong.unit, layer=layer.layer, image=image, reason=str(wrong)
            ) from wrong


def _read(context: ShardContext, source: ImageSource, size: int, cache: PixelCache | None) -> np.ndarray:
    try:
        return read_cached(source, size, cache)
    except UnreadableImage as error:  # the stage search could read it
        job_id = context.claim.job_id
        raise ImageNoLongerReadable(image=source.path, reason=str(error), job_id=job_id) from error


def _store(context: ShardContext, layer: EvolvingLayer, unit: int, picture: UnitPicture) -> _Stored:
    patch, projection = (
        context.store.put(photographic_png(drawn), ".png") for drawn in (picture.patch, picture.projection)
    )
    return _Stored(layer, unit, patch, projection, picture.scale, picture.empty)
