"""What searches have found about an image: the units in whose top images it is."""

from __future__ import annotations

from sqlalchemy import select

from producer.gallery.page import Gallery, Link, Links
from producer.gallery.templates import job_link, number
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation

UNITS = 30


def image_links(gallery: Gallery, image_id: int) -> Links:
    """Return links to the units in whose top images the image is, first where it has the best rank.

    Activations of different units can't be compared, and ranks can; among equal ranks, the larger activation is
    first.
    """
    query = (
        select(
            SearchedLayer.job_id,
            SearchedLayer.layer,
            TopActivation.unit,
            TopActivation.rank,
            TopActivation.activation,
            SearchedUnit.projections_path,
        )
        .join(SearchedLayer, SearchedLayer.id == TopActivation.layer_id)
        .join(
            SearchedUnit,
            (SearchedUnit.layer_id == TopActivation.layer_id) & (SearchedUnit.unit == TopActivation.unit),
        )
        .where(TopActivation.image_id == image_id)
        .order_by(TopActivation.rank, TopActivation.activation.desc(), TopActivation.layer_id, TopActivation.unit)
        .limit(UNITS)
    )
    with gallery.database.read() as session:
        rows = session.execute(query).all()
    return Links(
        "Units that it activates most",
        [
            Link(
                f"{row.layer}, unit {row.unit}",
                job_link(row.job_id, "layers", row.layer, "units", row.unit),
                f"rank {row.rank}, activation {number(row.activation)}, job {row.job_id}",
                row.projections_path,
            )
            for row in rows
        ],
    )
