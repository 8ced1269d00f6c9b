"""Counters for monitoring, and indexes for jobs of 100,000 shards."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "kind", "stage", name=op.f("pk_counters")),
    )
    op.drop_index(op.f("ix_shards_state_queue"), table_name="shards")
    op.create_index(op.f("ix_shards_state_sent_at_id"), "shards", ["state", "sent_at", "id"], unique=False)
    op.create_index(op.f("ix_shards_job_id_state_stage"), "shards", ["job_id", "state", "stage"], unique=False)
