"""Correspondence: a row per image and part, per part and layer, and per pair of images, and a job's figure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

CORRESPONDENCE = """
    CREATE VIEW correspondence AS
    SELECT job_id, part, layer, layer_path, images, pairs, distance, spread, random_distance, random_spread,
           below_chance
    FROM correspondence_rows
"""

CORRESPONDENCE_PAIRS = """
    CREATE VIEW correspondence_pairs AS
    SELECT p.job_id, p.part, p.layer, p.image_id, i.path AS image_path, p.other_image_id,
           o.path AS other_image_path, p.distance, p.random_distance
    FROM correspondence_pair_rows AS p
    JOIN images AS i ON i.id = p.image_id
    JOIN images AS o ON o.id = p.other_image_id
"""

CORRESPONDENCE_IMAGES = """
    CREATE VIEW correspondence_images AS
    SELECT m.job_id, m.image_id, i.path AS image_path, i.class_name, m.part, m.boxes, m.masked_share, m.array_path,
           m.picture_path
    FROM correspondence_image_rows AS m JOIN images AS i ON i.id = m.image_id
"""


def upgrade() -> None:
    op.create_table(
        "correspondence_image_rows",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("masked_share", sa.Double(), nullable=False),
        sa.Column("array_path", sa.Text(), nullable=False),
        sa.Column("picture_path", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "masked_share > 0 AND masked_share <= 1", name=op.f("ck_correspondence_image_rows_masked_share")
        ),
        *_foreign_keys("correspondence_image_rows", ["image_id"]),
        sa.PrimaryKeyConstraint("job_id", "image_id", "part", name=op.f("pk_correspondence_image_rows")),
    )
    op.create_table(
        "correspondence_rows",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("layer_path", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("distance", sa.Double(), nullable=True),
        sa.Column("spread", sa.Double(), nullable=True),
        sa.Column("random_distance", sa.Double(), nullable=True),
        sa.Column("random_spread", sa.Double(), nullable=True),
        sa.Column("below_chance", sa.Double(), nullable=True),
        sa.CheckConstraint("images >= 0 AND pairs >= 0", name=op.f("ck_correspondence_rows_pairs")),
        *_foreign_keys("correspondence_rows", []),
        sa.PrimaryKeyConstraint("job_id", "part", "layer", name=op.f("pk_correspondence_rows")),
    )
    op.create_table(
        "correspondence_pair_rows",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("other_image_id", sa.Integer(), nullable=False),
        sa.Column("distance", sa.Double(), nullable=False),
        sa.Column("random_distance", sa.Double(), nullable=False),
        sa.CheckConstraint("image_id < other_image_id", name=op.f("ck_correspondence_pair_rows_order")),
        *_foreign_keys("correspondence_pair_rows", ["image_id", "other_image_id"]),
        sa.PrimaryKeyConstraint(
            "job_id", "part", "layer", "image_id", "other_image_id", name=op.f("pk_correspondence_pair_rows")
        ),
    )
    op.create_table(
        "correspondence_jobs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("figure_path", sa.Text(), nullable=False),
        *_foreign_keys("correspondence_jobs", []),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_correspondence_jobs")),
    )
    for table, column in (
        ("correspondence_image_rows", "image_id"),
        ("correspondence_pair_rows", "image_id"),
        ("correspondence_pair_rows", "other_image_id"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
    for view in (CORRESPONDENCE, CORRESPONDENCE_PAIRS, CORRESPONDENCE_IMAGES):
        op.execute(view)


def _foreign_keys(table: str, images: list[str]) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys to the job, and of columns to images."""
    return [
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE"),
        *(
            sa.ForeignKeyConstraint([column], ["images.id"], name=op.f(f"fk_{table}_{column}"))
            for column in images
        ),
    ]
