"""Check of a search that screened its images: images that were not computed in float32 are not in a ranking."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select

from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.search.search import search
from worker.context import JobContext
from worker.kinds.checking import ROUNDING, Comparison
from worker.kinds.common import load_network, split_sources

IMAGES = 2 * SEARCH_BATCH


def check_screening(
    context: JobContext, specification: Top9Specification, chance: random.Random, comparison: Comparison
) -> None:
    """Search some random images of the split in float32: those that no unit lists must not exceed any unit's last
    ranked activation. Each of these images counts as a row."""
    images = split_sources(context, specification.split)
    sources = sorted(chance.sample(images, min(IMAGES, len(images))), key=lambda source: source.id)
    network = specification.network
    skipped: list[Skipped] = []
    found = search(
        load_network(context, network, specification.weights_path),
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, network.image_size, pad=True, skipped=skipped),
        specification.top,
        context.device,
        mean=network.mean,
        std=network.std,
        forms=specification.forms,
    )
    left_out = {item.source.id for item in skipped}
    searched = [source for source in sources if source.id not in left_out]
    problems: dict[int, str] = {}
    for layer in specification.layers:
        exceeds = found[layer.path].maxima > _limits(context, specification, layer.path, searched)
        for number, unit in np.argwhere(exceeds).tolist():
            problem = (
                f"exceeds the last ranked activation of {layer.layer} unit {layer.units[unit]}, and is not listed"
            )
            problems.setdefault(searched[number].id, problem)
    for source in searched:
        comparison.row(f"image {source.id}", problems.get(source.id))


def _limits(
    context: JobContext, specification: Top9Specification, path: str, sources: Sequence[ImageSource]
) -> np.ndarray:
    """Return the largest activation that an image may have of each unit of a layer, without being a wrong one:
    float64 [images, units]. It is infinite where the image is listed, and for units without rankings."""
    units = next(layer.units for layer in specification.layers if layer.path == path)
    column = {unit: number for number, unit in enumerate(units)}
    row = {source.id: number for number, source in enumerate(sources)}
    with context.database.read() as session:
        of_job = (SearchedLayer.job_id == context.job_id, SearchedLayer.layer_path == path)
        layer_id = session.scalars(select(SearchedLayer.id).where(*of_job)).one()
        top = TopActivation
        ranked = session.execute(
            select(top.unit, top.rank, top.activation, top.image_id).where(top.layer_id == layer_id)
        ).all()
        broken = session.scalars(
            select(SearchedUnit.unit).where(SearchedUnit.layer_id == layer_id, SearchedUnit.not_finite.is_(True))
        ).all()
    last, largest = np.zeros(len(units)), np.zeros(len(units))
    for unit, rank, activation, _ in ranked:
        largest[column[unit]] = max(largest[column[unit]], activation)
        if rank == specification.top:
            last[column[unit]] = activation
    rounding = ROUNDING * np.maximum(largest, ROUNDING * largest.max(initial=0.0))
    limits = np.tile(last + rounding, (len(sources), 1))
    for unit, _, _, image_id in ranked:
        if image_id in row:
            limits[row[image_id], column[unit]] = np.inf
    limits[:, [column[unit] for unit in broken]] = np.inf
    return limits
