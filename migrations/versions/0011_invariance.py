"""Invariance: a row per image, per transformed image, and per transformed image and layer, and a job's figure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

INVARIANCE = """
    CREATE VIEW invariance AS
    SELECT d.job_id, d.image_id, i.path AS image_path, i.class_name, d.transformation, d.value, d.layer,
           d.layer_path, d.distance, d.relative_distance, p.probability, p.class_name AS answer_class
    FROM invariance_distance_rows AS d
    JOIN invariance_prediction_rows AS p ON p.job_id = d.job_id AND p.image_id = d.image_id
         AND p.transformation = d.transformation AND p.value = d.value
    JOIN images AS i ON i.id = d.image_id
"""

INVARIANCE_IMAGES = """
    CREATE VIEW invariance_images AS
    SELECT m.job_id, m.image_id, i.path AS image_path, i.class_name, m.clear_probability, m.clear_class,
           m.picture_path
    FROM invariance_image_rows AS m JOIN images AS i ON i.id = m.image_id
"""


def upgrade() -> None:
    _create_table(
        "invariance_image_rows",
        [
            sa.Column("clear_probability", sa.Double(), nullable=False),
            sa.Column("clear_class", sa.Text(), nullable=False),
            sa.Column("picture_path", sa.Text(), nullable=True),
        ],
    )
    transformed = ("transformation", "value")
    _create_table(
        "invariance_prediction_rows",
        [
            sa.Column("transformation", sa.Text(), nullable=False),
            sa.Column("value", sa.Double(), nullable=False),
            sa.Column("probability", sa.Double(), nullable=False),
            sa.Column("class_name", sa.Text(), nullable=False),
            sa.CheckConstraint(
                "probability >= 0 AND probability <= 1", name=op.f("ck_invariance_prediction_rows_probability")
            ),
            sa.CheckConstraint(
                "transformation IN ('shift', 'scale', 'rotation')",
                name=op.f("ck_invariance_prediction_rows_transformation"),
            ),
        ],
        transformed,
    )
    _create_table(
        "invariance_distance_rows",
        [
            sa.Column("transformation", sa.Text(), nullable=False),
            sa.Column("value", sa.Double(), nullable=False),
            sa.Column("layer", sa.Text(), nullable=False),
            sa.Column("layer_path", sa.Text(), nullable=False),
            sa.Column("distance", sa.Double(), nullable=False),
            sa.Column("relative_distance", sa.Double(), nullable=True),
            sa.CheckConstraint("distance >= 0", name=op.f("ck_invariance_distance_rows_distance")),
            sa.CheckConstraint(
                "transformation IN ('shift', 'scale', 'rotation')",
                name=op.f("ck_invariance_distance_rows_transformation"),
            ),
        ],
        (*transformed, "layer"),
    )
    op.create_table(
        "invariance_jobs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("figure_path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_invariance_jobs_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_invariance_jobs")),
    )
    op.execute(INVARIANCE)
    op.execute(INVARIANCE_IMAGES)


def _create_table(name: str, columns: list[sa.schema.SchemaItem], key: tuple[str, ...] = ()) -> None:
    """Create a table of rows of jobs and images, whose primary key ends with the columns ``key``."""
    op.create_table(
        name,
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{name}_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f(f"fk_{name}_image_id")),
        sa.PrimaryKeyConstraint("job_id", "image_id", *key, name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_image_id"), name, ["image_id"], unique=False)
