"""Linear probes of layers, and the mean of per-class accuracy of epochs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

PROBE_ACCURACIES = """
    CREATE VIEW probe_accuracies AS
    SELECT job_id, layer, layer_path, depth, classifier, trial, seed, fold, features, pooling, grid_rows,
           grid_cols, train_images, test_images, classes, accuracy, class_accuracy, chance, majority,
           train_accuracy, held_out_accuracy, regularization, converged, shuffled_labels, read_path
    FROM probe_accuracy_rows
"""


def upgrade() -> None:
    op.create_table(
        "probe_jobs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("curve_path", sa.Text(), nullable=False),
        _job_foreign_key("probe_jobs"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_probe_jobs")),
    )
    table = "probe_accuracy_rows"
    op.create_table(
        table,
        *_columns(sa.Integer(), "job_id", "depth"),
        *_columns(sa.String(16), "classifier"),
        *_columns(sa.Integer(), "trial"),
        *_columns(sa.Text(), "layer", "layer_path", "read_path"),
        *_columns(sa.Integer(), "features"),
        *_columns(sa.Text(), "pooling", nullable=True),
        *_columns(sa.Integer(), "grid_rows", "grid_cols", nullable=True),
        *_columns(sa.BigInteger(), "seed"),
        *_columns(sa.Integer(), "fold", nullable=True),
        *_columns(sa.Integer(), "train_images", "test_images", "classes"),
        *_columns(sa.Double(), "regularization"),
        *_columns(sa.Double(), "held_out_accuracy", nullable=True),
        *_columns(sa.Double(), "train_accuracy", "accuracy", "class_accuracy", "chance", "majority"),
        *_columns(sa.Boolean(), "converged", "shuffled_labels"),
        sa.CheckConstraint("depth >= 1 AND trial >= 1", name=op.f(f"ck_{table}_numbers")),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f(f"ck_{table}_accuracy")),
        sa.CheckConstraint("class_accuracy >= 0 AND class_accuracy <= 1", name=op.f(f"ck_{table}_class_accuracy")),
        _job_foreign_key(table),
        sa.PrimaryKeyConstraint("job_id", "depth", "classifier", "trial", name=op.f(f"pk_{table}")),
    )
    op.execute(PROBE_ACCURACIES)
    op.add_column("epochs", sa.Column("class_accuracy", sa.Double(), nullable=True))


def _columns(kind: sa.types.TypeEngine[Any], *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def _job_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE")
