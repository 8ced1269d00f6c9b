"""States of units (constant, not finite), reasons of empty projections, and rankings without pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TOP_ACTIVATIONS = """
    CREATE VIEW top_activations AS
    SELECT l.job_id, l.layer, l.layer_path, t.unit, t.rank, t.activation, t.image_id,
           i.path AS image_path, i.class_name, t."row", t."col", t.patch_path, t.projection_path,
           t.projection_scale, t.tied, t.projection_empty
    FROM top_activation_rows AS t
    JOIN searched_layers AS l ON l.id = t.layer_id
    JOIN images AS i ON i.id = t.image_id
"""

UNITS = """
    CREATE VIEW units AS
    SELECT l.job_id, l.layer, l.layer_path, u.unit, u.dead, u.patches_path, u.projections_path, u.constant,
           u.not_finite
    FROM searched_units AS u JOIN searched_layers AS l ON l.id = u.layer_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW units")
    op.add_column("searched_units", sa.Column("constant", sa.Boolean(), nullable=True))
    op.add_column("searched_units", sa.Column("not_finite", sa.Boolean(), nullable=True))
    op.execute(UNITS)
    op.execute("DROP VIEW top_activations")
    with op.batch_alter_table("top_activation_rows") as table:
        table.alter_column("patch_path", existing_type=sa.Text(), nullable=True)
        table.alter_column("projection_path", existing_type=sa.Text(), nullable=True)
        table.alter_column("projection_scale", existing_type=sa.Double(), nullable=True)
        table.add_column(sa.Column("projection_empty", sa.Text(), nullable=True))
    op.execute(TOP_ACTIVATIONS)
