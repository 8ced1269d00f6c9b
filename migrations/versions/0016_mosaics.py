"""Pictures of top activations as boxes of their unit's mosaics, and the largest values of projections."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

TOP_ACTIVATIONS = """
    CREATE VIEW top_activations AS
    SELECT l.job_id, l.layer, l.layer_path, t.unit, t.rank, t.activation, t.image_id,
           i.path AS image_path, i.class_name, t."row", t."col", t.patch_path, t.projection_path,
           t.projection_scale, t.tied, t.projection_empty, t.projection_largest, t.picture_left, t.picture_top,
           t.picture_right, t.picture_bottom
    FROM top_activation_rows AS t
    JOIN searched_layers AS l ON l.id = t.layer_id
    JOIN images AS i ON i.id = t.image_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW top_activations")
    op.add_column("top_activation_rows", sa.Column("projection_largest", sa.Double(), nullable=True))
    for side in ("left", "top", "right", "bottom"):
        op.add_column("top_activation_rows", sa.Column(f"picture_{side}", sa.Integer(), nullable=True))
    op.execute(TOP_ACTIVATIONS)
