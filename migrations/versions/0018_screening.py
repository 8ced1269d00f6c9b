"""Precision of the statistics of units."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

UNIT_STATISTICS = """
    CREATE VIEW unit_statistics AS
    SELECT l.job_id, l.layer, l.layer_path, s.unit, s.images, s.mean, s.minimum, s.maximum, s.fired_share,
           s.q50, s.q90, s.q99, s.q999, s.histogram, s.precision
    FROM unit_statistics_rows AS s JOIN searched_layers AS l ON l.id = s.layer_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW unit_statistics")
    precision = sa.Column("precision", sa.Text(), server_default="float32", nullable=False)
    op.add_column("unit_statistics_rows", precision)
    op.execute(UNIT_STATISTICS)
