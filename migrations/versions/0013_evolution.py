"""Evolution of units during training: their strongest activation at each epoch, and when they settle."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

UNIT_EVOLUTION = """
    CREATE VIEW unit_evolution AS
    SELECT l.job_id, l.layer, l.layer_path, e.unit, e.epoch, e.state, e.activation, e.image_id,
           i.path AS image_path, i.class_name, e."row", e."col", e.tied, u.settled_epoch, u.drawn, e.patch_path,
           e.projection_path, e.projection_scale, e.projection_empty
    FROM unit_evolution_rows AS e
    JOIN evolution_layers AS l ON l.id = e.layer_id
    JOIN evolution_units AS u ON u.layer_id = e.layer_id AND u.unit = e.unit
    LEFT JOIN images AS i ON i.id = e.image_id
"""

SETTLED_UNITS = """
    CREATE VIEW settled_units AS
    SELECT l.job_id, l.layer, l.layer_path, s.epoch, s.units, s.active, s.active_at_end, s.settled,
           CASE WHEN s.active_at_end > 0 THEN 1.0 * s.settled / s.active_at_end END AS share
    FROM settled_unit_rows AS s JOIN evolution_layers AS l ON l.id = s.layer_id
"""


def upgrade() -> None:
    op.create_table(
        "evolution_jobs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("figure_path", sa.Text(), nullable=True),
        sa.Column("curve_path", sa.Text(), nullable=False),
        _job_foreign_key("evolution_jobs"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_evolution_jobs")),
    )
    op.create_table(
        "evolution_layers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("layer_path", sa.Text(), nullable=False),
        sa.Column("block_path", sa.Text(), nullable=True),
        _job_foreign_key("evolution_layers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evolution_layers")),
        sa.UniqueConstraint("job_id", "layer_path", name=op.f("uq_evolution_layers_job_id_layer_path")),
    )
    op.create_table(
        "evolution_units",
        sa.Column("layer_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("settled_epoch", sa.Integer(), nullable=True),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        _layer_foreign_key("evolution_units"),
        sa.PrimaryKeyConstraint("layer_id", "unit", name=op.f("pk_evolution_units")),
    )
    _create_rows()
    op.create_table(
        "settled_unit_rows",
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("layer_id", "epoch", "units", "active", "active_at_end", "settled")
        ),
        sa.CheckConstraint("settled >= 0 AND settled <= active_at_end", name=op.f("ck_settled_unit_rows_settled")),
        sa.CheckConstraint("active >= 0 AND active <= units", name=op.f("ck_settled_unit_rows_active")),
        _layer_foreign_key("settled_unit_rows"),
        sa.PrimaryKeyConstraint("layer_id", "epoch", name=op.f("pk_settled_unit_rows")),
    )
    op.execute(UNIT_EVOLUTION)
    op.execute(SETTLED_UNITS)


def _create_rows() -> None:
    table = "unit_evolution_rows"
    op.create_table(
        table,
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("layer_id", "unit", "epoch")),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("activation", sa.Double(), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("image_id", "row", "col")),
        sa.Column("tied", sa.Boolean(), nullable=True),
        sa.Column("patch_path", sa.Text(), nullable=True),
        sa.Column("projection_path", sa.Text(), nullable=True),
        sa.Column("projection_scale", sa.Double(), nullable=True),
        sa.Column("projection_empty", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('active', 'dead', 'constant', 'not finite')", name=op.f(f"ck_{table}_state")
        ),
        sa.CheckConstraint(
            "(state = 'active') = (activation IS NOT NULL) AND (state = 'active') = (image_id IS NOT NULL)",
            name=op.f(f"ck_{table}_activation"),
        ),
        sa.CheckConstraint("epoch >= 1", name=op.f(f"ck_{table}_epoch")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f(f"fk_{table}_image_id")),
        _layer_foreign_key(table),
        sa.PrimaryKeyConstraint("layer_id", "unit", "epoch", name=op.f(f"pk_{table}")),
    )
    op.create_index(op.f(f"ix_{table}_image_id"), table, ["image_id"], unique=False)


def _job_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE")


def _layer_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["layer_id"], ["evolution_layers.id"], name=op.f(f"fk_{table}_layer_id"), ondelete="CASCADE"
    )
