"""Reading the results of an occlusion sweep."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from producer.reading import job_of_kind
from shared.database import Database
from shared.errors import UsageError

# What fits on a line; `analyze query` reads the rest.
COLUMNS = (
    *("image_id", "image_path", "class_name", "layer", "unit", "clear_activation", "min_activation"),
    *("clear_class", "clear_probability", "min_probability", "min_probability_row", "min_probability_col"),
    *("class_changes", "positions", "correlation", "array_path", "picture_path"),
)


def map_rows(database: Database, job_id: int) -> list[dict[str, Any]]:
    """A row for each image, in the order of their ids.

    Raises
    ------
    NoSuchJob, UsageError
    """
    listed = ", ".join(COLUMNS)
    query = f"SELECT {listed} FROM occlusion_maps WHERE job_id = :job ORDER BY image_id"  # noqa: S608 - a constant
    with database.read() as session:
        job_of_kind(session, job_id, "occlusion")
        return [dict(row) for row in session.execute(text(query), {"job": job_id}).mappings()]


def position_rows(database: Database, job_id: int) -> list[dict[str, Any]]:
    """Rows of ``occlusion_positions``, in the order of image, row and column.

    Raises
    ------
    NoSuchJob, UsageError
        there is no such sweep, or it was submitted without --positions.
    """
    query = 'SELECT * FROM occlusion_positions WHERE job_id = :job ORDER BY image_id, "row", "col"'
    with database.read() as session:
        if not job_of_kind(session, job_id, "occlusion").specification["positions"]:
            raise UsageError(reason=f"Job {job_id} was submitted without --positions: submit it again with it.")
        return [dict(row) for row in session.execute(text(query), {"job": job_id}).mappings()]
