"""Feature maps: a row per image, a row per image and layer, and a job's sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

FEATURE_MAPS = """
    CREATE VIEW feature_maps AS
    SELECT m.job_id, m.image_number, f.image_id, coalesce(i.path, f.file) AS image_path, i.class_name,
           m.layer_number, m.layer, m.layer_path, m.call, m.module, m.channels, m."rows", m.cols, m.mean,
           m.minimum, m.maximum, m.positive_share, m.silent_channels, f.picture_path, m.channels_path, f.array_path
    FROM feature_map_rows AS m
    JOIN feature_image_rows AS f ON f.job_id = m.job_id AND f.image_number = m.image_number
    LEFT JOIN images AS i ON i.id = f.image_id
"""


def upgrade() -> None:
    op.create_table(
        "feature_image_rows",
        *_columns(sa.Integer, ["job_id", "image_number"]),
        *_columns(sa.Integer, ["image_id"], nullable=True),
        *_columns(sa.Text, ["file"], nullable=True),
        *_columns(sa.Text, ["picture_path"]),
        *_columns(sa.Text, ["array_path"], nullable=True),
        sa.CheckConstraint("image_number >= 1", name=op.f("ck_feature_image_rows_image_number")),
        sa.CheckConstraint("(image_id IS NULL) <> (file IS NULL)", name=op.f("ck_feature_image_rows_source")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_feature_image_rows_image_id")),
        _job_foreign_key("feature_image_rows"),
        sa.PrimaryKeyConstraint("job_id", "image_number", name=op.f("pk_feature_image_rows")),
    )
    op.create_index(op.f("ix_feature_image_rows_image_id"), "feature_image_rows", ["image_id"], unique=False)
    op.create_table(
        "feature_map_rows",
        *_columns(sa.Integer, ["job_id", "image_number", "layer_number"]),
        *_columns(sa.Text, ["layer", "layer_path"]),
        *_columns(sa.Integer, ["call"]),
        *_columns(sa.Text, ["module"]),
        *_columns(sa.Integer, ["channels", "rows", "cols"]),
        *_columns(sa.Double, ["mean", "minimum", "maximum", "positive_share"]),
        *_columns(sa.Integer, ["silent_channels"]),
        *_columns(sa.Text, ["channels_path"], nullable=True),
        sa.CheckConstraint("layer_number >= 1 AND call >= 1", name=op.f("ck_feature_map_rows_numbers")),
        _job_foreign_key("feature_map_rows"),
        sa.PrimaryKeyConstraint("job_id", "image_number", "layer_number", name=op.f("pk_feature_map_rows")),
    )
    op.create_table(
        "features_jobs",
        *_columns(sa.Integer, ["job_id"]),
        *_columns(sa.Text, ["sheet_path"]),
        _job_foreign_key("features_jobs"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_features_jobs")),
    )
    op.execute(FEATURE_MAPS)


def _columns(
    kind: type[sa.types.TypeEngine[Any]], names: Iterable[str], *, nullable: bool = False
) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=nullable) for name in names]


def _job_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE")
