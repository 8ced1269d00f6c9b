"""Databases written by earlier versions of the program: ``tests/data/schemas`` holds one per schema version."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import safetensors.torch
import torch
from sqlalchemy import Connection, inspect, make_url, text

from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.networks.build import build

FOLDER = Path(__file__).parents[1] / "data" / "schemas"
IMAGES = 20  # generated images of the data set "shapes"

# name of a table or view -> its columns and sorted rows
Content = Mapping[str, tuple[list[str], list[tuple[Any, ...]]]]


def stored_file(revision: str, kind: str) -> Path:
    return FOLDER / f"{revision}.{kind}.sql"


def load(revision: str, kind: str, url: str) -> None:
    """Load a stored dump into an empty database."""
    script = stored_file(revision, kind).read_text()
    if kind == "sqlite":
        path = Path(str(make_url(url).database))
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()
        return
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as server:
        server.execute(script.encode())


def content(database: Database, like: Content | None = None) -> Content:
    """Return the rows of all tables and views; with ``like``, only of its tables, views and columns."""
    found: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {}
    with database.read() as session:
        inspector = inspect(session.connection())
        for name in like or [*inspector.get_table_names(), *inspector.get_view_names()]:
            columns = like[name][0] if like else [column["name"] for column in inspector.get_columns(name)]
            quoted = ", ".join(f'"{column}"' for column in columns)
            rows = session.execute(text(f"SELECT {quoted} FROM {name}"))
            found[name] = columns, sorted((tuple(row) for row in rows), key=repr)
    return found


SCHEMA_QUERIES = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"],
    "postgresql": [
        "SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length, "
        "numeric_precision, numeric_scale, datetime_precision, collation_name, is_nullable, "
        "column_default, pg_get_serial_sequence(quote_ident(table_name), column_name) "
        "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        "SELECT CAST(CAST(conrelid AS regclass) AS text), conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = CAST('public' AS regnamespace) ORDER BY 1, 2",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
        "SELECT sequencename, CAST(data_type AS text), start_value, increment_by FROM pg_sequences "
        "WHERE schemaname = 'public' ORDER BY 1",
    ],
}


CHECKS = (
    "SELECT CAST(CAST(conrelid AS regclass) AS text), quote_ident(conname), pg_get_constraintdef(oid) "
    "FROM pg_constraint WHERE contype = 'c' AND connamespace = CAST('public' AS regnamespace)"
)


def schema(database: Database) -> list[tuple[Any, ...]]:
    """Return tables, columns, constraints, indexes, views and sequences from the database's catalogue."""
    queries = SCHEMA_QUERIES["sqlite" if database.is_sqlite else "postgresql"]
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            _parse_checks_again(connection)
        found = [tuple(row) for query in queries for row in connection.exec_driver_sql(query)]
        connection.rollback()
    return found


def _parse_checks_again(connection: Connection) -> None:
    """Recreate every CHECK constraint from its text in PostgreSQL's catalogue, as dumping and loading does.

    This normalizes the casts in lists of values.
    """
    for table, name, definition in connection.exec_driver_sql(CHECKS).all():
        connection.exec_driver_sql(
            f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}"
        )


def give_images(database: Database, folder: Path) -> None:
    """Generate the stored data set below ``folder`` and set its root in the database."""
    generate(folder / "shapes", images=IMAGES)
    with database.write() as session:
        session.execute(
            text("UPDATE datasets SET root = :root WHERE name = 'shapes'"), {"root": str(folder / "shapes")}
        )
        named = session.execute(
            text("SELECT DISTINCT path FROM images JOIN datasets d ON d.id = dataset_id WHERE d.name = 'shapes'")
        )
        for (path,) in named.all():  # the files may differ with another version of Pillow
            sha256 = hashlib.sha256((folder / "shapes" / path).read_bytes()).hexdigest()
            session.execute(
                text("UPDATE images SET sha256 = :sha256 WHERE path = :path"), {"sha256": sha256, "path": path}
            )


def give_weights(specification: Mapping[str, Any], store: Path) -> None:
    """Store the weights that a job's specification names, with values that don't depend on a random generator."""
    network = NetworkSpecification.model_validate(specification["network"])
    shapes = build(network.name, network.classes, network.image_size, fc=network.fc).state_dict()
    file = store / specification["weights_path"]
    file.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({name: _made_up(tensor) for name, tensor in shapes.items()}, file)


def give_files_of_version_1(store: Store) -> tuple[str, str]:
    """Store a training state and a partial search result in the format of version 1; returns their paths."""
    state = {"epoch": 4, "model": {}, "optimizer": {}, "scheduler": {}}
    found = {f"0.{name}": np.zeros((3, 5)) for name in ("activation", "image", "row", "col")}
    files = (
        store.write(".pt", lambda file: torch.save(state, file)),
        store.write(".npz", lambda file: np.savez(file, skipped=np.int64(0), allow_pickle=False, **found)),
    )
    return files[0].path, files[1].path


def _made_up(like: torch.Tensor) -> torch.Tensor:
    count = np.arange(like.numel(), dtype=np.uint64)
    values = count * np.uint64(2654435761) % np.uint64(2**32) / 2**31 - 1
    fan = like[0].numel() if like.dim() > 1 else 10**6
    return torch.tensor(values * (6 / fan) ** 0.5, dtype=torch.float32).reshape(like.shape)
