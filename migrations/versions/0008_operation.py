"""Operation: the database's identity, images that jobs left out, sizes of jobs, and the state of workers."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    identity = op.create_table(
        "database_identity",
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_database_identity")),
    )
    op.bulk_insert(identity, [{"uuid": str(uuid.uuid4()), "created_at": datetime.now(UTC)}])
    op.create_table(
        "left_out_images",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_left_out_images_image_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_left_out_images_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "image_id", name=op.f("pk_left_out_images")),
    )
    op.create_index(op.f("ix_left_out_images_image_id"), "left_out_images", ["image_id"], unique=False)
    op.add_column("jobs", sa.Column("stored_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(
        "UPDATE jobs SET stored_bytes = "
        "coalesce((SELECT sum(bytes) FROM artifacts WHERE artifacts.job_id = jobs.id), 0)"
    )
    op.add_column("workers", sa.Column("problem", sa.Text(), nullable=True))
    op.add_column("workers", sa.Column("memory_used", sa.BigInteger(), nullable=True))
    op.add_column("workers", sa.Column("memory_total", sa.BigInteger(), nullable=True))
    if op.get_context().dialect.name != "sqlite":  # whose integers have 64 bits
        op.alter_column("artifacts", "bytes", type_=sa.BigInteger())
