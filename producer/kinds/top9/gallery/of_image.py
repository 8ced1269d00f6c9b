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
    order = (TopActivation.rank, TopActivation.activation.desc(), TopActivation.layer_id, TopActivation.unit)
    # An image can be among the top images of thousands of units: what is shown of them is read only for the first.
    first = (
        select(TopActivation.layer_id, TopActivation.unit, TopActivation.rank, TopActivation.activation)
        .where(TopActivation.image_id == image_id)
        .order_by(*order)
        .limit(UNITS)
        .subquery()
    )
    query = (
        select(
            SearchedLayer.job_id,
            SearchedLayer.layer,
            first.c.unit,
            first.c.rank,
            first.c.activation,
            SearchedUnit.projections_path,
        )
        .join(SearchedLayer, SearchedLayer.id == first.c.layer_id)
        .join(SearchedUnit, (SearchedUnit.layer_id == first.c.layer_id) & (SearchedUnit.unit == first.c.unit))
        .order_by(first.c.rank, first.c.activation.desc(), first.c.layer_id, first.c.unit)
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
