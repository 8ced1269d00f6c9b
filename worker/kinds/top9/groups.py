"""Groups of images of which a search with ``--distinct`` lists only one."""

from __future__ import annotations

from shared.kinds.top9.images import image_groups
from shared.kinds.top9.specification import Top9Specification
from unitscope.search.ranking import Groups
from worker.context import JobContext


def groups_of(context: JobContext, specification: Top9Specification) -> Groups | None:
    """Return the function of ids of images that returns their groups; None if the search lists all images."""
    if specification.distinct is None:
        return None
    with context.database.read() as session:
        groups = image_groups(session, specification.dataset_id, specification.split, specification.distinct)
    return groups.of
