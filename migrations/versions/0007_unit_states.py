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
    if op.get_context().dialect.name == "sqlite":
        _copy_rows()
    else:
        op.alter_column("top_activation_rows", "patch_path", nullable=True)
        op.alter_column("top_activation_rows", "projection_path", nullable=True)
        op.alter_column("top_activation_rows", "projection_scale", nullable=True)
        op.add_column("top_activation_rows", sa.Column("projection_empty", sa.Text(), nullable=True))
    op.execute(TOP_ACTIVATIONS)


def _copy_rows() -> None:
    """Copy the table: SQLite can't make a column nullable, and Alembic's copies have constraints in any order."""
    numbers = ("layer_id", "unit", "rank", "activation", "image_id", "row", "col")
    op.create_table(
        "new_rows",
        *(
            sa.Column(name, sa.Double() if name == "activation" else sa.Integer(), nullable=False)
            for name in numbers
        ),
        sa.Column("patch_path", sa.Text(), nullable=True),
        sa.Column("projection_path", sa.Text(), nullable=True),
        sa.Column("projection_scale", sa.Double(), nullable=True),
        sa.Column("tied", sa.Boolean(), nullable=True),
        sa.Column("projection_empty", sa.Text(), nullable=True),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_top_activation_rows_rank")),
        sa.CheckConstraint("unit >= 0", name=op.f("ck_top_activation_rows_unit")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_top_activation_rows_image_id")),
        sa.ForeignKeyConstraint(
            ["layer_id"],
            ["searched_layers.id"],
            name=op.f("fk_top_activation_rows_layer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("layer_id", "unit", "rank", name=op.f("pk_top_activation_rows")),
    )
    op.execute("INSERT INTO new_rows SELECT *, NULL FROM top_activation_rows")
    op.drop_table("top_activation_rows")
    op.rename_table("new_rows", "top_activation_rows")
    op.create_index(op.f("ix_top_activation_rows_image_id"), "top_activation_rows", ["image_id"], unique=False)
