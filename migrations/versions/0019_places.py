"""Activations without a place, as those of vectors, and the projection method of a layer."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

TOP_ACTIVATIONS = """
    CREATE VIEW top_activations AS
    SELECT l.job_id, l.layer, l.layer_path, t.unit, t.rank, t.activation, t.image_id,
           i.path AS image_path, i.class_name, t."row", t."col", t.patch_path, t.projection_path,
           t.projection_scale, t.tied, t.projection_empty, t.projection_largest, t.picture_left, t.picture_top,
           t.picture_right, t.picture_bottom, l.projection AS projection_method
    FROM top_activation_rows AS t
    JOIN searched_layers AS l ON l.id = t.layer_id
    JOIN images AS i ON i.id = t.image_id
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

TABLES = ("top_activation_rows", "bottom_activation_rows", "class_activation_rows")
VIEWS = ("top_activations", "bottom_activations", "class_activations")


def upgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    for table in TABLES:
        if op.get_bind().dialect.name == "sqlite":
            _copy(table)
        else:
            for column in ("row", "col"):
                op.alter_column(table, column, existing_type=sa.Integer(), nullable=True)
    op.add_column("searched_layers", sa.Column("projection", sa.Text(), nullable=True))
    for view in (TOP_ACTIVATIONS, BOTTOM_ACTIVATIONS, CLASS_ACTIVATIONS):
        op.execute(view)


def _copy(table: str) -> None:
    """Copy a table, since SQLite can't change a column. Alembic's copies have their constraints in any order."""
    connection = op.get_bind()
    select = "SELECT sql FROM sqlite_master WHERE tbl_name = :table AND type = :type AND sql IS NOT NULL"
    (definition,) = connection.execute(sa.text(select), {"table": table, "type": "table"}).scalars()
    indexes = connection.execute(sa.text(select), {"table": table, "type": "index"}).scalars().all()
    changed, count = re.subn(r'("row"|\bcol) INTEGER NOT NULL', r"\1 INTEGER", definition)
    if count != len(("row", "col")):
        raise RuntimeError(f"the definition of {table} is not that of schema 0018: {definition}")
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.execute(changed)
    op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")  # noqa: S608 - a name above
    op.execute(f"DROP TABLE {table}_before")
    for index in indexes:
        op.execute(index)
