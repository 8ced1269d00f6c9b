"""The schema on both databases: creation, agreement with the models, and detection of other versions."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION, _config, check, current_revision, open_database, upgrade
from shared.errors import DatabaseUnreachable, SchemaTooNew, SchemaTooOld
from tests.conftest import DATABASES, fresh_database

# The public views and their columns, which users' queries rely on.
PUBLIC_TABLES = {
    "jobs", "shards", "datasets", "images", "training_runs", "epochs", "checkpoints", "artifacts",
    "left_out_images",
}  # fmt: skip
TOP_ACTIVATIONS = [
    "job_id", "layer", "layer_path", "unit", "rank", "activation", "image_id", "image_path", "class_name",
    "row", "col", "patch_path", "projection_path", "projection_scale", "tied", "projection_empty",
    "projection_largest", "picture_left", "picture_top", "picture_right", "picture_bottom",
    "projection_method",
]  # fmt: skip
UNITS = [
    "job_id", "layer", "layer_path", "unit", "dead", "patches_path", "projections_path", "constant", "not_finite",
    "best_class", "best_class_auc", "best_class_precision", "maxima_path",
]  # fmt: skip
UNIT_SELECTIVITY = [
    "job_id", "layer", "layer_path", "unit", "class_rank", "class_index", "class_name", "auc", "precision_at_k",
    "k",
]  # fmt: skip
UNIT_LABELS = [
    "job_id", "layer", "layer_path", "unit", "rank", "label", "score", "similarities_sha256",
]  # fmt: skip
UNIT_STATISTICS = [
    "job_id", "layer", "layer_path", "unit", "images", "mean", "minimum", "maximum", "fired_share",
    "q50", "q90", "q99", "q999", "histogram", "precision",
]  # fmt: skip
BOTTOM_ACTIVATIONS = [
    "job_id", "layer", "layer_path", "unit", "rank", "activation", "image_id", "image_path", "class_name",
    "row", "col",
]  # fmt: skip
CLASS_ACTIVATIONS = [
    "job_id", "layer", "layer_path", "unit", "class_name", "rank", "activation", "image_id", "image_path",
    "row", "col",
]  # fmt: skip
SEARCH_VIEWS = {
    "top_activations": TOP_ACTIVATIONS,
    "units": UNITS,
    "unit_statistics": UNIT_STATISTICS,
    "unit_selectivity": UNIT_SELECTIVITY,
    "unit_labels": UNIT_LABELS,
    "bottom_activations": BOTTOM_ACTIVATIONS,
    "class_activations": CLASS_ACTIVATIONS,
}
OCCLUSION_MAPS = [
    "job_id", "image_id", "image_path", "class_name", "layer", "unit", "clear_activation", "clear_probability",
    "min_probability", "min_probability_row", "min_probability_col", "array_path", "picture_path",
    "layer_path", "clear_class", "positions", "computed", "error", "min_activation", "min_activation_row",
    "min_activation_col", "class_changes", "correlation", "target_class", "clear_target_probability",
    "min_target_probability", "max_target_probability", "inside_probability", "outside_probability", "engine",
    "projection_path", "patch_path",
]  # fmt: skip
OCCLUSION_POSITIONS = [
    "job_id", "image_id", "image_path", "class_name", "row", "col", "activation", "probability",
    "target_probability", "answer_class",
]  # fmt: skip
OCCLUSION_VIEWS = {"occlusion_maps": OCCLUSION_MAPS, "occlusion_positions": OCCLUSION_POSITIONS}
EVOLUTION_VIEWS = {
    "unit_evolution": [
        "job_id", "layer", "layer_path", "unit", "epoch", "state", "activation", "image_id", "image_path",
        "class_name", "row", "col", "tied", "settled_epoch", "drawn", "patch_path", "projection_path",
        "projection_scale", "projection_empty",
    ],
    "settled_units": [
        "job_id", "layer", "layer_path", "epoch", "units", "active", "active_at_end", "settled", "share",
    ],
}  # fmt: skip
FILTERS = [
    "job_id", "network_number", "network", "layer", "layer_path", "unit", "rms", "norm", "mean", "minimum",
    "maximum", "dead", "dominating", "over_limit",
]  # fmt: skip
FILTER_LAYERS = [
    "job_id", "network_number", "network", "layer", "layer_path", "filters", "inputs", "groups", "kernel_rows",
    "kernel_cols", "stride_rows", "stride_cols", "reads_pixels", "rms_median", "rms_limit", "dead", "dominating",
    "over_limit", "picture_path",
]  # fmt: skip
FEATURE_MAPS = [
    "job_id", "image_number", "image_id", "image_path", "class_name", "layer_number", "layer", "layer_path",
    "call", "module", "channels", "rows", "cols", "mean", "minimum", "maximum", "positive_share",
    "silent_channels", "picture_path", "channels_path", "array_path",
]  # fmt: skip
OTHER_VIEWS = {"filters": FILTERS, "filter_layers": FILTER_LAYERS, "feature_maps": FEATURE_MAPS}
VIEWS = {*SEARCH_VIEWS, *OCCLUSION_VIEWS, *EVOLUTION_VIEWS, *OTHER_VIEWS}
VIEWS |= {"probe_accuracies", "confusion_matrix", "class_accuracies"}

# Each of these kinds of job has views of its own.
VIEWS |= {"invariance", "invariance_images"}
VIEWS |= {"correspondence", "correspondence_pairs", "correspondence_images"}


@pytest.fixture(scope="module", params=DATABASES)
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the current schema for tests that only read."""
    template = request.getfixturevalue(f"{request.param}_template")
    database = Database(fresh_database(request.param, request, tmp_path_factory.mktemp("read"), template))
    yield database
    database.close()


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def set_revision(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


# --- creation ---


def test_upgrade_creates_the_schema_in_an_empty_database(database_url: str) -> None:
    database = Database(database_url)
    assert current_revision(database) is None
    upgrade(database)
    assert current_revision(database) == NEWEST_REVISION
    assert tables(database) == set(Base.metadata.tables) | {"alembic_version"}
    assert set(inspect(database.engine).get_view_names()) == VIEWS
    assert tables(database) >= PUBLIC_TABLES
    database.close()


def test_upgrade_again_changes_nothing(database: Database) -> None:
    before = tables(database)
    upgrade(database)
    check(database)
    assert current_revision(database) == NEWEST_REVISION
    assert tables(database) == before


def test_a_failed_upgrade_is_rolled_back(database_url: str) -> None:
    """The last statement of the last migration fails, since a table of this name exists."""
    database = Database(database_url)
    with database.write() as session:
        session.execute(text("CREATE TABLE occlusion_positions (mine INTEGER)"))
    with pytest.raises((DBAPIError, DatabaseUnreachable)):
        upgrade(database)
    assert tables(database) == {"occlusion_positions"}
    with database.write() as session:
        session.execute(text("DROP TABLE occlusion_positions"))
    upgrade(database)
    assert current_revision(database) == NEWEST_REVISION
    database.close()


def test_the_newest_revision_is_alembics_head() -> None:
    script = ScriptDirectory.from_config(_config())
    assert script.get_heads() == [NEWEST_REVISION]


# --- agreement with the models ---


def test_models_and_migrations_agree(unchanged: Database) -> None:
    with unchanged.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def constraints(engine: Engine) -> dict[str, Any]:
    """Return what Alembic doesn't compare: checks, rules of foreign keys, and names of constraints."""
    inspector = inspect(engine)

    def spaceless(sql: str) -> str:
        return re.sub(r"\s+", " ", sql)

    return {
        table: {
            "check": sorted((c["name"], spaceless(c["sqltext"])) for c in inspector.get_check_constraints(table)),
            "foreign": sorted(
                (key["name"], *key["constrained_columns"], key["referred_table"], str(key["options"]))
                for key in inspector.get_foreign_keys(table)
            ),
            "unique": sorted((u["name"], *u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "index": sorted((str(i["name"]), *map(str, i["column_names"])) for i in inspector.get_indexes(table)),
            "primary": inspector.get_pk_constraint(table)["name"],
            "null": sorted((c["name"], c["nullable"], str(c["default"])) for c in inspector.get_columns(table)),
        }
        for table in Base.metadata.tables
    }


def test_the_models_and_the_migrations_have_the_same_constraints(
    unchanged: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind = "sqlite" if unchanged.is_sqlite else "postgresql"
    other = Database(fresh_database(kind, request, tmp_path / "models"))
    Base.metadata.create_all(other.engine)
    assert constraints(unchanged.engine) == constraints(other.engine)
    other.close()


def test_every_constraint_has_a_name(unchanged: Database) -> None:
    """Otherwise later migrations could not refer to it on both databases."""
    for table, found in constraints(unchanged.engine).items():
        names = [found["primary"], *(entry[0] for kind in ("check", "foreign", "unique") for entry in found[kind])]
        assert None not in names, table


def test_every_foreign_key_has_an_index(unchanged: Database) -> None:
    """Else deleting a row looks through the whole of each table that refers to its table."""
    inspector = inspect(unchanged.engine)
    for table in Base.metadata.tables:
        leading = [tuple(inspector.get_pk_constraint(table)["constrained_columns"])]
        leading += [tuple(index["column_names"]) for index in inspector.get_indexes(table)]
        leading += [tuple(unique["column_names"]) for unique in inspector.get_unique_constraints(table)]
        for key in inspector.get_foreign_keys(table):
            columns = tuple(key["constrained_columns"])
            if key["referred_table"] != "networks":  # their rows are not deleted
                assert any(index[: len(columns)] == columns for index in leading), (table, columns)


@pytest.mark.parametrize(
    ("view", "columns"), [*(SEARCH_VIEWS | OCCLUSION_VIEWS | EVOLUTION_VIEWS | OTHER_VIEWS).items()]
)
def test_the_public_views_have_the_columns_of_the_design(
    unchanged: Database, view: str, columns: list[str]
) -> None:
    assert [column["name"] for column in inspect(unchanged.engine).get_columns(view)] == columns
    with unchanged.read() as session:
        quoted = ", ".join(f'"{column}"' for column in columns)
        assert session.execute(text(f"SELECT {quoted} FROM {view}")).all() == []


# Values as SQL literals.
OCCLUSION_ROW = {
    "job_id": "2", "image_id": "5", "layer": "'conv5'", "layer_path": "'features.10'", "unit": "7",
    "clear_activation": "9.5", "clear_probability": "0.75", "clear_class": "'dog'", "positions": "16",
    "computed": "15", "error": "0.03125", "min_activation": "0.5", "min_activation_row": "8",
    "min_activation_col": "24", "min_probability": "0.25", "min_probability_row": "16",
    "min_probability_col": "32", "class_changes": "3", "correlation": "-0.5", "target_class": "'bird'",
    "clear_target_probability": "0.125", "min_target_probability": "0.0625", "max_target_probability": "0.375",
    "inside_probability": "0.625", "outside_probability": "0.875", "engine": "'full'", "array_path": "'a.npz'",
    "projection_path": "'p.png'", "patch_path": "'q.png'", "picture_path": "'r.png'",
}  # fmt: skip


def sweep_of(row: dict[str, str]) -> str:
    return f"INSERT INTO occlusion_map_rows ({', '.join(row)}) VALUES ({', '.join(row.values())})"


def plain(literal: str) -> str | float:
    return literal.strip("'") if literal.startswith("'") else float(literal)


def test_the_views_show_a_row(database: Database) -> None:
    sha = "'" + "ab" * 32 + "'"
    now = "'2026-01-01 00:00:00+00'"
    statements = [
        f"INSERT INTO datasets VALUES (1, 'voc', 'voc', '/data', '{{}}', {sha}, '[]', {now})",
        f"""INSERT INTO images (id, dataset_id, path, object_number, class_index, class_name, width, height,
            sha256) VALUES (5, 1, 'JPEGImages/a.jpg', 1, 0, 'cat', 10, 10, {sha})""",
        f"""INSERT INTO jobs (id, kind, key, generation, specification, dataset_id, state, stage, shards_total,
            shards_left, cancel_requested, created_at)
            VALUES (2, 'top9', {sha}, 0, '{{}}', 1, 'done', 0, 1, 0, :no, {now})""",
        "INSERT INTO searched_layers VALUES (3, 2, 'conv5', 'features.10', NULL, 'guided', 'm.npy')",
        "INSERT INTO searched_units VALUES (3, 7, :no, 'p.png', 'q.png', :no, NULL)",
        "INSERT INTO top_activation_rows VALUES (3, 7, 1, 0.5, 5, 11, 12, 'a.png', 'b.png', 0.25, :no, 'zero', "
        "0.5, 141, 0, 280, 139)",
        "INSERT INTO unit_statistics_rows VALUES (3, 7, 2, 0, -1, 1, 0.5, 0.1, 0.2, 0.3, 0.4, '[1, 1]', 'tf32')",
        "INSERT INTO unit_selectivity_rows VALUES (3, 7, 1, 0, 'cat', 0.75, 0.5, 2)",
        f"INSERT INTO unit_label_rows VALUES (3, 7, 1, 'wheel', -1.5, {sha})",
        "INSERT INTO bottom_activation_rows VALUES (3, 7, 1, -0.5, 5, 11, 12)",
        "INSERT INTO class_activation_rows VALUES (3, 7, 0, 1, 0.5, 5, 11, 12)",
        sweep_of(OCCLUSION_ROW),
        "INSERT INTO occlusion_position_rows VALUES (2, 5, 8, 16, 1.5, 0.25, 0.125, 'dog')",
        "INSERT INTO evolution_layers VALUES (4, 2, 'conv5', 'features.10', NULL)",
        "INSERT INTO evolution_units VALUES (4, 7, 10, :no)",
        "INSERT INTO unit_evolution_rows VALUES "
        "(4, 7, 10, 'active', 0.5, 5, 11, 12, :no, 'a.png', 'b.png', 0.25, NULL)",
        "INSERT INTO settled_unit_rows VALUES (4, 10, 8, 5, 4, 3)",
    ]
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement), {"no": False} if ":no" in statement else {})
    with database.read() as session:
        shown = {
            view: tuple(session.execute(text(f"SELECT * FROM {view}")).one())
            for view in (*SEARCH_VIEWS, *OCCLUSION_VIEWS, *EVOLUTION_VIEWS)
        }
    unit, image = (2, "conv5", "features.10", 7), (5, "JPEGImages/a.jpg")
    assert shown["top_activations"] == (
        *unit,
        1,
        0.5,
        *image,
        "cat",
        11,
        12,
        "a.png",
        "b.png",
        0.25,
        False,
        "zero",
        *(0.5, 141, 0, 280, 139),
        "guided",
    )
    assert shown["units"] == (*unit, False, "p.png", "q.png", False, None, "cat", 0.75, 0.5, "m.npy")
    assert shown["unit_labels"] == (*unit, 1, "wheel", -1.5, "ab" * 32)
    assert shown["unit_selectivity"] == (*unit, 1, 0, "cat", 0.75, 0.5, 2)
    *numbers, histogram, precision = shown["unit_statistics"]
    assert precision == "tf32"
    assert numbers == [*unit, 2, 0, -1, 1, 0.5, 0.1, 0.2, 0.3, 0.4]
    assert histogram in ([1, 1], "[1, 1]")  # SQLite returns JSON as text
    assert shown["bottom_activations"] == (*unit, 1, -0.5, *image, "cat", 11, 12)
    assert shown["class_activations"] == (*unit, "cat", 1, 0.5, *image, 11, 12)
    of_image = {"image_path": image[1], "class_name": "cat"}
    inserted = {name: plain(value) for name, value in OCCLUSION_ROW.items()} | of_image
    assert shown["occlusion_maps"] == tuple(inserted[column] for column in OCCLUSION_MAPS)
    assert shown["occlusion_positions"] == (2, *image, "cat", 8, 16, 1.5, 0.25, 0.125, "dog")
    pictures = "a.png", "b.png", 0.25, None
    assert shown["unit_evolution"] == (
        *(*unit, 10, "active", 0.5, *image, "cat", 11, 12, False, 10, False, *pictures),
    )
    assert shown["settled_units"] == (*unit[:3], 10, 8, 5, 4, 3, 0.75)


# --- other schema versions ---


def test_a_database_without_a_schema(database_url: str) -> None:
    """The schema is created on SQLite; a PostgreSQL database may belong to another program and is not changed."""
    if database_url.startswith("sqlite"):
        database = open_database(database_url)
        assert current_revision(database) == NEWEST_REVISION
    else:
        with pytest.raises(SchemaTooOld, match="schema none") as raised:
            open_database(database_url)
        assert raised.value.exit_code == 5
        assert "analyze db upgrade" in str(raised.value)
        database = Database(database_url)
        assert tables(database) == set()
    database.close()


def test_a_database_with_an_empty_alembic_table(database_url: str) -> None:
    """An upgrade was started and created only Alembic's table."""
    database = Database(database_url)
    with database.write() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    if database.is_sqlite:
        open_database(database_url).close()
    else:
        with pytest.raises(SchemaTooOld):
            open_database(database_url)
        upgrade(database)
    check(database)
    database.close()


def test_a_newer_schema_is_refused_and_not_changed(database: Database) -> None:
    set_revision(database, "9999")
    before = tables(database)
    for call in (lambda: open_database(url_of(database)), lambda: upgrade(database), lambda: check(database)):
        with pytest.raises(SchemaTooNew, match="9999") as raised:
            call()
        assert raised.value.exit_code == 5
        assert "***" in str(raised.value) or "@" not in str(raised.value)
    assert current_revision(database) == "9999"
    assert tables(database) == before


def test_an_older_schema_is_reported_or_upgraded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is given one more migration than the database has."""
    monkeypatch.setattr("shared.database.schema.NEWEST_REVISION", "9999")
    with pytest.raises(SchemaTooOld, match=NEWEST_REVISION):
        check(database)
    if not database.is_sqlite:
        with pytest.raises(SchemaTooOld):
            open_database(url_of(database))


def test_the_password_is_in_no_message(
    postgresql_server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = fresh_database("postgresql", request, tmp_path).replace("postgres:@", "postgres:geheim@")
    assert "geheim" in url
    with pytest.raises(SchemaTooOld) as raised:
        open_database(url)
    assert "geheim" not in str(raised.value)


# --- unreachable databases ---


def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(DatabaseUnreachable) as raised:
        open_database("postgresql://user:geheim@127.0.0.1:1/x")
    assert raised.value.exit_code == 3
    assert "geheim" not in str(raised.value)


def test_a_read_only_server_is_reported(postgresql_server: str) -> None:
    """Such as a standby, or a server that is temporarily read-only."""
    url = make_url(postgresql_server).update_query_dict({"options": "-c default_transaction_read_only=on"})
    database = Database(url.render_as_string(hide_password=False))
    with database.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
    with pytest.raises(DatabaseUnreachable, match="read-only"), database.write() as session:
        session.execute(text("CREATE TABLE refused (id INTEGER)"))
    database.close()


def test_a_file_that_is_not_a_database_is_reported_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(DatabaseUnreachable):
        open_database(f"sqlite:///{path}")
    assert path.read_text() == "not a database " * 100


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "unitscope.sqlite3"
    open_database(f"sqlite:///{path}").close()
    content = bytearray(path.read_bytes())
    content[1024:] = b"\xff" * (len(content) - 1024)
    path.write_bytes(content)
    with pytest.raises(DatabaseUnreachable):
        open_database(f"sqlite:///{path}")


def test_a_url_without_a_driver_uses_psycopg(database: Database) -> None:
    """SQLAlchemy's default driver for ``postgresql://`` is another one."""
    if not database.is_sqlite:
        other = open_database(url_of(database).replace("postgresql+psycopg", "postgresql"))
        assert other.url.drivername == "postgresql+psycopg"
        other.close()


# --- sweeps ---


def insert(database: Database, *statements: str) -> None:
    """Insert a data set, a job, and the rows that the statements add."""
    with database.write() as session:
        for statement in (
            "INSERT INTO datasets (id, name, kind, root, options, fingerprint, class_names, created_at) "
            "VALUES (1, 'voc', 'voc', '/', '{}', 'f', '[]', '2026-01-01')",
            "INSERT INTO jobs (id, kind, key, generation, specification, dataset_id, state, stage, shards_total, "
            "shards_left, cancel_requested, created_at) "
            "VALUES (1, 'train', 'k', 0, '{}', 1, 'done', 0, 1, 0, false, '2026-01-01')",
            *statements,
        ):
            session.execute(text(statement))


SEARCHED = (
    "INSERT INTO images (id, dataset_id, path, object_number, class_index, class_name, width, height, sha256) "
    "VALUES (5, 1, 'a.jpg', 1, 0, 'cat', 10, 10, 's')",
    "INSERT INTO searched_layers VALUES (3, 1, 'conv5', 'features.10', NULL, NULL, NULL)",
    "INSERT INTO searched_units (layer_id, unit, dead) VALUES (3, 7, false)",
)


OCCLUSION_TABLES = ("occlusion_map_rows", "occlusion_position_rows", "occlusion_jobs")


def insert_sweep(database: Database, changes: dict[str, str] | None = None) -> None:
    """Insert the rows of a sweep with one image, a position and a contact sheet."""
    with database.write() as session:
        for statement in (
            sweep_of(OCCLUSION_ROW | {"job_id": "1"} | (changes or {})),
            "INSERT INTO occlusion_position_rows VALUES (1, 5, 0, 0, 1.5, 0.25, NULL, 'dog')",
            "INSERT INTO occlusion_jobs VALUES (1, 's.jpg')",
        ):
            session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state) VALUES (4, 7, 1, 'active')",
        "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state, activation) VALUES (4, 7, 1, 'dead', 0.5)",
        "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state) VALUES (4, 7, 1, 'asleep')",
        "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state) VALUES (4, 7, 0, 'dead')",
        "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state) VALUES (9, 7, 1, 'dead')",
        "INSERT INTO settled_unit_rows VALUES (4, 1, 8, 5, 4, 5)",
        "INSERT INTO settled_unit_rows VALUES (4, 1, 8, 9, 4, 3)",
    ],
)
def test_invalid_rows_of_an_evolution_are_refused(database: Database, statement: str) -> None:
    insert(database, "INSERT INTO evolution_layers VALUES (4, 1, 'conv5', 'c', NULL)")
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text(statement))
    with database.write() as session:
        dead = "INSERT INTO unit_evolution_rows (layer_id, unit, epoch, state) VALUES (4, 7, 1, 'dead')"
        session.execute(text(dead))
        session.execute(text("DELETE FROM jobs"))
    assert [count(database, table) for table in ("evolution_layers", "unit_evolution_rows")] == [0, 0]


def count(database: Database, table: str) -> int:
    with database.read() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_rows_of_a_sweep_are_deleted_with_its_job(database: Database) -> None:
    insert(database, *SEARCHED)
    insert_sweep(database)
    with pytest.raises(IntegrityError), database.write() as session:  # rows must refer to existing images
        session.execute(text("DELETE FROM images"))
    assert [count(database, table) for table in OCCLUSION_TABLES] == [1, 1, 1]
    with database.write() as session:
        session.execute(text("DELETE FROM searched_layers"))
        session.execute(text("DELETE FROM jobs"))
    assert [count(database, table) for table in OCCLUSION_TABLES] == [0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "0", "computed": "0", "class_changes": "0"},
        {"computed": "0"},
        {"computed": "17"},
        {"class_changes": "-1"},
        {"class_changes": "17"},
        {"image_id": "6"},
        {"job_id": "9"},
        {"array_path": "NULL"},
    ],
    ids=str,
)
def test_invalid_rows_of_a_sweep_are_refused(database: Database, changes: dict[str, str]) -> None:
    insert(database, *SEARCHED)
    with pytest.raises(IntegrityError):
        insert_sweep(database, changes)
    assert [count(database, table) for table in OCCLUSION_TABLES] == [0, 0, 0]
    insert_sweep(database)
    with pytest.raises(IntegrityError):  # an image has only one row
        insert_sweep(database)


# --- concurrent processes ---


def run_at_once(program: str, url: str, count: int) -> list[str]:
    """Run a program in several processes at the same time and return the output of each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate()[0] for process in processes]


def test_concurrent_upgrades_succeed(database_url: str) -> None:
    program = (
        "import sys, alembic.command\n"
        "from shared.database.connection import Database\n"
        "from shared.database.schema import check, upgrade\n"
        "database = Database(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "upgrade(database)\n"
        "check(database)\n"
        "print('well')\n"
    )
    assert run_at_once(program, database_url, 3) == ["well\n"] * 3


def test_processes_can_open_a_new_sqlite_file_concurrently(tmp_path: Path) -> None:
    program = (
        "import sys, alembic.command\n"
        "from shared.database.schema import check, open_database\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "check(open_database(sys.argv[1]))\n"
        "print('well')\n"
    )
    url = f"sqlite:///{tmp_path / 'home' / 'unitscope.sqlite3'}"
    assert run_at_once(program, url, 4) == ["well\n"] * 4
