"""Maxima that searches keep, and the class selectivity and labels of units, and perceptual hashes of images."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

UNITS = """
    CREATE VIEW units AS
    SELECT l.job_id, l.layer, l.layer_path, u.unit, u.dead, u.patches_path, u.projections_path, u.constant,
           u.not_finite, s.class_name AS best_class, s.auc AS best_class_auc,
           s.precision_at_k AS best_class_precision, l.maxima_path
    FROM searched_units AS u
    JOIN searched_layers AS l ON l.id = u.layer_id
    LEFT JOIN unit_selectivity_rows AS s ON s.layer_id = u.layer_id AND s.unit = u.unit AND s.class_rank = 1
"""

UNIT_SELECTIVITY = """
    CREATE VIEW unit_selectivity AS
    SELECT l.job_id, l.layer, l.layer_path, s.unit, s.class_rank, s.class_index, s.class_name, s.auc,
           s.precision_at_k, s.k
    FROM unit_selectivity_rows AS s JOIN searched_layers AS l ON l.id = s.layer_id
"""

UNIT_LABELS = """
    CREATE VIEW unit_labels AS
    SELECT l.job_id, l.layer, l.layer_path, s.unit, s.rank, s.label, s.score, s.similarities_sha256
    FROM unit_label_rows AS s JOIN searched_layers AS l ON l.id = s.layer_id
"""


def upgrade() -> None:
    op.add_column("images", sa.Column("perceptual_hash", sa.BigInteger(), nullable=True))
    op.execute("DROP VIEW units")
    op.add_column("searched_layers", sa.Column("maxima_path", sa.Text(), nullable=True))
    table = "unit_selectivity_rows"
    op.create_table(
        table,
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("layer_id", "unit", "class_rank")),
        sa.Column("class_index", sa.Integer(), nullable=False),
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("auc", sa.Double(), nullable=False),
        sa.Column("precision_at_k", sa.Double(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.CheckConstraint("class_rank >= 1", name=op.f(f"ck_{table}_class_rank")),
        sa.CheckConstraint("auc >= 0 AND auc <= 1", name=op.f(f"ck_{table}_auc")),
        sa.CheckConstraint("precision_at_k >= 0 AND precision_at_k <= 1", name=op.f(f"ck_{table}_precision")),
        sa.CheckConstraint("k >= 1", name=op.f(f"ck_{table}_k")),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["searched_layers.id"], name=op.f(f"fk_{table}_layer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("layer_id", "unit", "class_rank", name=op.f(f"pk_{table}")),
    )
    table = "unit_label_rows"
    op.create_table(
        table,
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("layer_id", "unit", "rank")),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("similarities_sha256", sa.String(64), nullable=False),
        sa.CheckConstraint("rank >= 1", name=op.f(f"ck_{table}_rank")),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["searched_layers.id"], name=op.f(f"fk_{table}_layer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("layer_id", "unit", "rank", name=op.f(f"pk_{table}")),
    )
    op.execute(UNITS)
    op.execute(UNIT_SELECTIVITY)
    op.execute(UNIT_LABELS)
