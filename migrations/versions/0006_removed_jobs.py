"""Removing jobs and data sets: a record of the removed jobs, and indexes that deletes follow."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "removed_jobs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removed_jobs")),
    )
    # The file of a removed job may be in use by others: its row stays until `analyze gc` removes the file.
    with op.batch_alter_table("artifacts") as artifacts:
        artifacts.drop_constraint(op.f("fk_artifacts_job_id"), type_="foreignkey")
        artifacts.alter_column("job_id", existing_type=sa.Integer(), nullable=True)
        artifacts.create_foreign_key(op.f("fk_artifacts_job_id"), "jobs", ["job_id"], ["id"], ondelete="SET NULL")
    # Deleting a shard or an image looks for the rows that refer to it: without an index, in the whole table.
    op.create_index(op.f("ix_events_shard_id"), "events", ["shard_id"], unique=False)
    op.create_index(op.f("ix_image_splits_image_id"), "image_splits", ["image_id"], unique=False)
