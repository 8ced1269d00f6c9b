"""Top-9 searches: ties, statistics of units, lowest minima, top images of each class."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TOP_ACTIVATIONS = """
    CREATE VIEW top_activations AS
    SELECT l.job_id, l.layer, l.layer_path, t.unit, t.rank, t.activation, t.image_id,
           i.path AS image_path, i.class_name, t."row", t."col", t.patch_path, t.projection_path,
           t.projection_scale, t.tied
    FROM top_activation_rows AS t
    JOIN searched_layers AS l ON l.id = t.layer_id
    JOIN images AS i ON i.id = t.image_id
"""

UNIT_STATISTICS = """
    CREATE VIEW unit_statistics AS
    SELECT l.job_id, l.layer, l.layer_path, s.unit, s.images, s.mean, s.minimum, s.maximum, s.fired_share,
           s.q50, s.q90, s.q99, s.q999, s.histogram
    FROM unit_statistics_rows AS s JOIN searched_layers AS l ON l.id = s.layer_id
"""

BOTTOM_ACTIVATIONS = """
    CREATE VIEW bottom_activations AS
    SELECT l.job_id, l.layer, l.layer_path, b.unit, b.rank, b.activation, b.image_id,
           i.path AS image_path, i.class_name, b."row", b."col"
    FROM bottom_activation_rows AS b
    JOIN searched_layers AS l ON l.id = b.layer_id
    JOIN images AS i ON i.id = b.image_id
"""

CLASS_ACTIVATIONS = """
    CREATE VIEW class_activations AS
    SELECT l.job_id, l.layer, l.layer_path, c.unit, i.class_name, c.rank, c.activation, c.image_id,
           i.path AS image_path, c."row", c."col"
    FROM class_activation_rows AS c
    JOIN searched_layers AS l ON l.id = c.layer_id
    JOIN images AS i ON i.id = c.image_id
"""


def upgrade() -> None:
    op.add_column("top_activation_rows", sa.Column("tied", sa.Boolean(), nullable=True))
    op.execute("DROP VIEW top_activations")
    op.execute(TOP_ACTIVATIONS)
    op.create_table(
        "unit_statistics_rows",
        sa.Column("layer_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("mean", "minimum", "maximum", "fired_share")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("q50", "q90", "q99", "q999")),
        sa.Column("histogram", sa.JSON(), nullable=False),
        sa.CheckConstraint("images >= 1", name=op.f("ck_unit_statistics_rows_images")),
        _layer_foreign_key("unit_statistics_rows"),
        sa.PrimaryKeyConstraint("layer_id", "unit", name=op.f("pk_unit_statistics_rows")),
    )
    op.execute(UNIT_STATISTICS)
    _create_ranking("bottom_activation_rows", [], "activation < 0")
    op.execute(BOTTOM_ACTIVATIONS)
    _create_ranking("class_activation_rows", ["class_index"], "activation > 0")
    op.execute(CLASS_ACTIVATIONS)


def _create_ranking(table: str, columns: list[str], sign: str) -> None:
    """Create a table of ranked images. Its primary key is also the index for the rows of one unit."""
    key = ["layer_id", "unit", *columns, "rank"]
    op.create_table(
        table,
        *(sa.Column(name, sa.Integer(), nullable=False) for name in key),
        sa.Column("activation", sa.Double(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("col", sa.Integer(), nullable=False),
        sa.CheckConstraint("rank >= 1", name=op.f(f"ck_{table}_rank")),
        sa.CheckConstraint(sign, name=op.f(f"ck_{table}_sign")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f(f"fk_{table}_image_id")),
        _layer_foreign_key(table),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )
    op.create_index(op.f(f"ix_{table}_image_id"), table, ["image_id"], unique=False)


def _layer_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["layer_id"], ["searched_layers.id"], name=op.f(f"fk_{table}_layer_id"), ondelete="CASCADE"
    )
