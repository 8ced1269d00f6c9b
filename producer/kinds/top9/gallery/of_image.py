"""What searches have found about an image: the units in whose top images it is, and where others are found."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.gallery.descriptions import from_specifications
from producer.gallery.page import Gallery, Link, Links
from producer.gallery.templates import job_link, number
from producer.kept import Kept
from shared.database.datasets import Image, ImageSplit
from shared.jobs.tables import Job, JobState
from shared.kinds.registry import specification_values
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation

UNITS = 30
SEARCHES, LOOKED_AT = 5, 50  # the newest ones; of those of all splits

_splits: Kept[tuple[int, str], str] = Kept(2**18, len)  # of searches, which take long to parse


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
        searches = _searches(session, image_id)
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
        ]
        + [
            Link(
                f"All units, job {job_id}",
                f"/find?question=units&job={job_id}&image={image_id}",
                "those that it activates exceptionally, in the top images or not",
            )
            for job_id in searches
        ],
    )


def _searches(session: Session, image_id: int) -> list[int]:
    """Return the newest searches of the image that kept the maxima of all images."""
    splits = set(session.scalars(select(ImageSplit.split).where(ImageSplit.image_id == image_id)))
    query = (
        select(SearchedLayer.job_id)
        .join(Job, Job.id == SearchedLayer.job_id)
        .join(Image, Image.dataset_id == Job.dataset_id)
        .where(Image.id == image_id, SearchedLayer.maxima_path.is_not(None), Job.state == JobState.DONE)
        .distinct()
        .order_by(SearchedLayer.job_id.desc())
    )
    newest = session.scalars(query.limit(LOOKED_AT)).all()
    split_of = from_specifications(session, newest, _splits, _split)
    return [job_id for job_id in newest if split_of.get(job_id) in splits][:SEARCHES]


def _split(kind: str, specification: Any) -> str:
    return str(specification_values(kind, specification)["split"])
