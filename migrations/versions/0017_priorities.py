"""Priorities of jobs, and shards that pause so that others get their turn."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("shards", sa.Column("paused_until", sa.Double(), nullable=True))
    columns = ["job_id", "state", "queue", "paused_until"]
    op.create_index(op.f("ix_shards_job_id_state_queue_paused_until"), "shards", columns, unique=False)
