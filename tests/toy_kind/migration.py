"""Add the table and the view for the brightness of images."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = sorted(file.name[:4] for file in Path(__file__).parent.glob("[0-9]*.py"))[-2]

VIEW = """
    CREATE VIEW brightness AS
    SELECT b.job_id, b.image_id, i.path AS image_path, i.class_name, b.brightness
    FROM brightness_rows AS b JOIN images AS i ON i.id = b.image_id
"""


def upgrade() -> None:
    op.create_table(
        "brightness_rows",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("brightness", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_brightness_rows_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_brightness_rows_image_id")),
        sa.PrimaryKeyConstraint("job_id", "image_id", name=op.f("pk_brightness_rows")),
    )
    op.create_index(op.f("ix_brightness_rows_image_id"), "brightness_rows", ["image_id"])
    op.execute(VIEW)
