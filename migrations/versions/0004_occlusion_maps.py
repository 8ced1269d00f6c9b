"""Occlusion sweeps: a row per image, on request a row per position, and a job's contact sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

OCCLUSION_MAPS = """
    CREATE VIEW occlusion_maps AS
    SELECT m.job_id, m.image_id, i.path AS image_path, i.class_name, m.layer, m.unit, m.clear_activation,
           m.clear_probability, m.min_probability, m.min_probability_row, m.min_probability_col, m.array_path,
           m.picture_path, m.layer_path, m.clear_class, m.positions, m.computed, m.error, m.min_activation,
           m.min_activation_row, m.min_activation_col, m.class_changes, m.correlation, m.target_class,
           m.clear_target_probability, m.min_target_probability, m.max_target_probability, m.inside_probability,
           m.outside_probability, m.engine, m.projection_path, m.patch_path
    FROM occlusion_map_rows AS m JOIN images AS i ON i.id = m.image_id
"""

OCCLUSION_POSITIONS = """
    CREATE VIEW occlusion_positions AS
    SELECT p.job_id, p.image_id, i.path AS image_path, i.class_name, p."row", p."col", p.activation, p.probability,
           p.target_probability, p.class_name AS answer_class
    FROM occlusion_position_rows AS p JOIN images AS i ON i.id = p.image_id
"""


def upgrade() -> None:
    _create_maps()
    _create_positions()
    op.create_table(
        "occlusion_jobs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("contact_sheet_path", sa.Text(), nullable=False),
        _job_foreign_key("occlusion_jobs"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_occlusion_jobs")),
    )
    op.execute(OCCLUSION_MAPS)
    op.execute(OCCLUSION_POSITIONS)


def _create_maps() -> None:
    op.create_table(
        "occlusion_map_rows",
        *_columns(sa.Integer, ["job_id", "image_id"]),
        *_columns(sa.Text, ["layer", "layer_path"]),
        *_columns(sa.Integer, ["unit"]),
        *_columns(sa.Double, ["clear_activation", "clear_probability"]),
        *_columns(sa.Text, ["clear_class"]),
        *_columns(sa.Integer, ["positions", "computed"]),
        *_columns(sa.Double, ["error"], nullable=True),
        *_columns(sa.Double, ["min_activation"]),
        *_columns(sa.Integer, ["min_activation_row", "min_activation_col"]),
        *_columns(sa.Double, ["min_probability"]),
        *_columns(sa.Integer, ["min_probability_row", "min_probability_col", "class_changes"]),
        *_columns(sa.Double, ["correlation"], nullable=True),
        *_columns(sa.Text, ["target_class"], nullable=True),
        *_columns(
            sa.Double,
            [
                *("clear_target_probability", "min_target_probability", "max_target_probability"),
                *("inside_probability", "outside_probability"),
            ],
            nullable=True,
        ),
        *_columns(sa.Text, ["engine", "array_path"]),
        *_columns(sa.Text, ["projection_path", "patch_path", "picture_path"], nullable=True),
        sa.CheckConstraint(
            "positions >= 1 AND computed >= 1 AND computed <= positions",
            name=op.f("ck_occlusion_map_rows_positions"),
        ),
        sa.CheckConstraint(
            "class_changes >= 0 AND class_changes <= positions", name=op.f("ck_occlusion_map_rows_class_changes")
        ),
        _image_foreign_key("occlusion_map_rows"),
        _job_foreign_key("occlusion_map_rows"),
        sa.PrimaryKeyConstraint("job_id", "image_id", name=op.f("pk_occlusion_map_rows")),
    )
    op.create_index(op.f("ix_occlusion_map_rows_image_id"), "occlusion_map_rows", ["image_id"], unique=False)


def _create_positions() -> None:
    op.create_table(
        "occlusion_position_rows",
        *_columns(sa.Integer, ["job_id", "image_id", "row", "col"]),
        *_columns(sa.Double, ["activation", "probability"]),
        *_columns(sa.Double, ["target_probability"], nullable=True),
        *_columns(sa.Text, ["class_name"]),
        _image_foreign_key("occlusion_position_rows"),
        _job_foreign_key("occlusion_position_rows"),
        sa.PrimaryKeyConstraint("job_id", "image_id", "row", "col", name=op.f("pk_occlusion_position_rows")),
    )
    op.create_index(
        op.f("ix_occlusion_position_rows_image_id"), "occlusion_position_rows", ["image_id"], unique=False
    )


def _columns(
    kind: type[sa.types.TypeEngine[Any]], names: Iterable[str], *, nullable: bool = False
) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=nullable) for name in names]


def _job_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id"), ondelete="CASCADE")


def _image_foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f(f"fk_{table}_image_id"))
