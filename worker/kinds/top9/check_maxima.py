"""Check of kept maxima: those of some images and units are computed again and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select

from shared.kinds.top9.images import searched_images
from shared.kinds.top9.maxima import units_of_maxima
from shared.kinds.top9.specification import Top9Specification
from shared.kinds.top9.tables import SearchedLayer
from unitscope.find.maxima import map_maxima
from worker.context import JobContext
from worker.kinds.checking import Comparison


def check_maxima(
    context: JobContext,
    specification: Top9Specification,
    image_ids: Sequence[int],
    units: Mapping[str, Sequence[int]],
    recomputed: Mapping[str, np.ndarray],
    comparison: Comparison,
) -> None:
    """Compare kept maxima with recomputed ones. Each layer counts as a row. Those of a search that screened its
    images are not compared, since they are of a lower precision.

    Parameters
    ----------
    image_ids
        Images that were computed again, ascending.
    units, recomputed
        By module path: units, and their maxima, float32 [images, units].

    Raises
    ------
    MaximaNotReadable
        A file is not that of the search.
    """
    if specification.screen or not image_ids:
        return
    with context.database.read() as session:
        query = select(SearchedLayer).where(SearchedLayer.job_id == context.job_id).order_by(SearchedLayer.id)
        layers = session.scalars(query).all()
        images = searched_images(session, context.job_id, specification.dataset_id, specification.split)
    positions = images.ids.searchsorted(np.asarray(image_ids))
    for layer in layers:
        if layer.maxima_path is None:
            continue
        searched = units_of_maxima(specification, layer)
        if not units.get(layer.layer_path):
            continue
        comparison.row(f"{layer.layer}, maxima")
        kept = map_maxima(context.store.locate(layer.maxima_path), len(searched), len(images.ids))
        for place, unit in enumerate(units[layer.layer_path]):
            values = kept[searched.index(unit)]
            scale = float(np.abs(recomputed[layer.layer_path][:, place]).max())
            for at, image_id in enumerate(image_ids):
                name = f"{layer.layer} unit {unit} image {image_id}, kept maximum"
                new = float(recomputed[layer.layer_path][at, place])
                comparison.number(name, float(values[positions[at]]), new, scale)
