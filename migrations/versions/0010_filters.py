"""Filters of convolutions: a row per layer, a row per filter, and a job's figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

FILTER_LAYERS = """
    CREATE VIEW filter_layers AS
    SELECT job_id, network_number, network, layer, layer_path, filters, inputs, groups, kernel_rows, kernel_cols,
           stride_rows, stride_cols, reads_pixels, rms_median, rms_limit, dead, dominating, over_limit,
           picture_path
    FROM filter_layer_rows
"""

FILTERS = """
    CREATE VIEW filters AS
    SELECT f.job_id, f.network_number, l.network, l.layer, l.layer_path, f.unit, f.rms, f.norm, f.mean, f.minimum,
           f.maximum, f.dead, f.dominating, f.over_limit
    FROM filter_rows AS f JOIN filter_layer_rows AS l
      ON l.job_id = f.job_id AND l.network_number = f.network_number AND l.layer_number = f.layer_number
"""


def upgrade() -> None:
    op.create_table(
        "filter_layer_rows",
        *_columns(sa.Integer, ["job_id", "network_number", "layer_number"]),
        *_columns(sa.Text, ["network", "layer", "layer_path"]),
        *_columns(
            sa.Integer,
            ["filters", "inputs", "groups", "kernel_rows", "kernel_cols", "stride_rows", "stride_cols"],
        ),
        *_columns(sa.Boolean, ["reads_pixels"]),
        *_columns(sa.Double, ["rms_median", "rms_limit"]),
        *_columns(sa.Integer, ["dead", "dominating", "over_limit"]),
        *_columns(sa.Text, ["picture_path"]),
        sa.CheckConstraint("network_number >= 1 AND layer_number >= 1", name=op.f("ck_filter_layer_rows_numbers")),
        _job_foreign_key("filter_layer_rows"),
        sa.PrimaryKeyConstraint("job_id", "network_number", "layer_number", name=op.f("pk_filter_layer_rows")),
    )
    op.create_table(
        "filter_rows",
        *_columns(sa.Integer, ["job_id", "network_number", "layer_number", "unit"]),
        *_columns(sa.Double, ["rms", "norm", "mean", "minimum", "maximum"]),
        *_columns(sa.Boolean, ["dead", "dominating", "over_limit"]),
        sa.CheckConstraint("unit >= 0", name=op.f("ck_filter_rows_unit")),
        _job_foreign_key("filter_rows"),
        sa.PrimaryKeyConstraint("job_id", "network_number", "layer_number", "unit", name=op.f("pk_filter_rows")),
    )
    op.create_table(
        "filters_jobs",
        *_columns(sa.Integer, ["job_id"]),
        *_columns(sa.Text, ["figure_path"]),
        _job_foreign_key("filters_jobs"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_filters_jobs")),
    )
    op.execute(FILTER_LAYERS)
    op.execute(FILTERS)


def _columns(kind: type[sa.types.TypeEngine[Any]], names: Iterable[str]) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=False) for name in names]


def _job_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE")
