"""User queries on both databases can read within limits, and can't change anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from producer.results.query import Answer, run_query
from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.errors import DatabaseUnreachable, QueryFailed
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event
from tests.conftest import DATABASES, fresh_database
from tests.integration.ledger.helpers import SHA256, top9

pytestmark = pytest.mark.usefixtures("unchanged")

SQL_MD = Path(__file__).parents[2] / "docs" / "reference" / "sql.md"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@pytest.fixture(scope="module", params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with a job, shared by all tests, since none of them can change it."""
    database = Database(fresh_database(request.param, request, tmp_path_factory.mktemp("query")))
    upgrade(database)
    with database.write() as session:
        row = Dataset(name="voc", kind="voc", root="/data", options={}, fingerprint=SHA256, class_names=["cat"])
        session.add(row)
        session.flush()
        dataset = row.id
        if not database.is_sqlite:
            session.execute(text("SELECT lo_from_bytea(42, 'a large object')"))
    Ledger(database).submit(top9(dataset, search=4))
    yield database
    database.close()


@pytest.fixture
def unchanged(database: Database) -> Iterator[None]:
    before = dump(database)
    yield
    assert dump(database) == before


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as session:
        return {
            table.name: sorted(map(tuple, session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def query(database: Database, sql: str, limit: int = 1000, seconds: float = 20.0) -> Answer:
    return run_query(database, sql, limit=limit, seconds=seconds)


# --- valid queries ---


def test_a_select_returns_columns_and_rows(database: Database) -> None:
    answer = query(database, "SELECT number, stage_name AS name FROM shards ORDER BY number LIMIT 2")
    assert answer.columns == ["number", "name"]
    assert [tuple(row) for row in answer.rows] == [(0, "search"), (1, "search")]
    assert not answer.cut


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM jobs", [(1,)]),
        ("select 1;", [(1,)]),
        ("  \n SELECT 1 -- and a comment", [(1,)]),
        ("/* a */ SELECT 'x;y' ;  ", [("x;y",)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("WITH j AS (SELECT id FROM jobs) SELECT count(*) FROM j JOIN shards ON job_id = j.id", [(10,)]),
        ("SELECT '100%' || '%s' || ':name' || '?'", [("100%%s:name?",)]),
        ("SELECT stage, count(*) FROM shards GROUP BY stage ORDER BY stage", [(0, 4), (1, 1), (2, 4), (3, 1)]),
        ("SELECT number, row_number() OVER (ORDER BY number DESC) FROM shards ORDER BY 2 LIMIT 1", [(9, 1)]),
        ("SELECT * FROM top_activations", []),
        ("SELECT 'ünïcödé ✓', NULL", [("ünïcödé ✓", None)]),
        ("SELECT 1 AS x, 2 AS x", [(1, 2)]),
    ],
)
def test_statements_that_only_read_are_allowed(database: Database, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert [tuple(row) for row in query(database, sql).rows] == rows


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", SQL_MD.read_text(), re.DOTALL))
def test_the_examples_of_the_documentation_run(database: Database, sql: str) -> None:
    assert query(database, sql).rows == []


def test_queries_and_writers_do_not_block_each_other(database: Database) -> None:
    with database.write() as session:
        session.add(Event(job_id=1, level="info", message="not committed"))
        session.flush()
        answer = query(database, "SELECT count(*) FROM events WHERE message = 'not committed'")
        session.rollback()
    assert answer.rows[0][0] == 0


# --- limits ---


def test_rows_beyond_the_limit_are_dropped_and_the_answer_is_marked(database: Database) -> None:
    for limit, rows, cut in ((9, 9, True), (10, 10, False), (11, 10, False)):
        answer = query(database, "SELECT id FROM shards", limit=limit)
        assert (len(answer.rows), answer.cut) == (rows, cut)


def test_an_endless_result_gives_the_first_rows(database: Database) -> None:
    answer = query(database, f"{ENDLESS} SELECT i FROM n", limit=5)
    assert [row[0] for row in answer.rows] == [1, 2, 3, 4, 5]
    assert answer.cut


@pytest.mark.parametrize(
    "sql",
    [
        f"{ENDLESS} SELECT count(*) FROM n",
        f"{ENDLESS} SELECT i FROM n WHERE i < 0",
        f"{ENDLESS} SELECT i FROM n ORDER BY i DESC",
        "SELECT count(*) FROM shards a, shards b, shards c, shards d, shards e, shards f, shards g, shards h, "
        "shards i, shards j, shards k, shards l",
    ],
    ids=["count", "filter", "sort", "product"],
)
def test_a_query_that_takes_too_long_is_stopped(database: Database, sql: str) -> None:
    with pytest.raises(QueryFailed, match=r"more than 0\.3 s"):
        query(database, sql, seconds=0.3)


def test_a_very_short_time_limit_is_enforced(database: Database) -> None:
    with pytest.raises(QueryFailed, match="more than"):
        query(database, f"{ENDLESS} SELECT count(*) FROM n", seconds=1e-6)


def test_a_query_cannot_extend_its_time_limit(database: Database) -> None:
    if not database.is_sqlite:
        with pytest.raises(QueryFailed):
            query(
                database,
                f"{ENDLESS} SELECT set_config('statement_timeout', '0', false), count(*) FROM n",
                seconds=0.3,
            )


def test_a_value_that_is_too_large_is_refused(database: Database) -> None:
    """It would be read into memory before it could be truncated."""
    if database.is_sqlite:
        with pytest.raises(QueryFailed, match="too big"):
            query(database, "SELECT zeroblob(1000000000)")


def test_an_error_with_the_word_interrupted_is_not_reported_as_a_timeout(database: Database) -> None:
    with pytest.raises(QueryFailed, match="interrupted") as raised:
        query(database, "SELECT * FROM interrupted")
    assert "more than" not in str(raised.value)


# --- refused queries ---


@pytest.mark.parametrize("sql", ["DELETE FROM jobs", "  INSERT INTO jobs DEFAULT VALUES", "DROP TABLE jobs"])
def test_a_query_that_writes_is_refused_with_what_a_query_can_do(database: Database, sql: str) -> None:
    with pytest.raises(QueryFailed, match=r"a query can only read \(SELECT\) views and tables"):
        query(database, sql)


def test_an_error_of_a_query_that_reads_is_its_own(database: Database) -> None:
    for sql, says in (("SELECT nowhere", "nowhere"), ("SELECT (1", "")):
        with pytest.raises(QueryFailed, match=says) as raised:
            query(database, sql)
        assert "can only read" not in str(raised.value)


WRITES = [
    "INSERT INTO events (job_id, at, level, message) VALUES (1, '2026-01-01', 'info', 'x')",
    "INSERT INTO events (job_id, at, level, message) VALUES (1, '2026-01-01', 'info', 'x') RETURNING id",
    "UPDATE jobs SET state = 'done'",
    "UPDATE jobs SET state = 'done' RETURNING id",
    "DELETE FROM jobs",
    "DELETE FROM jobs RETURNING *",
    "REPLACE INTO datasets (id) VALUES (1)",
    "TRUNCATE jobs CASCADE",
    "MERGE INTO jobs USING shards ON true WHEN MATCHED THEN DELETE",
    "DROP TABLE events",
    "DROP VIEW top_activations",
    "CREATE TABLE mine (x INTEGER)",
    "CREATE TEMP TABLE mine (x INTEGER)",
    "CREATE TABLE mine AS SELECT 1",
    "SELECT 1 INTO mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE INDEX mine ON jobs (kind)",
    "CREATE TRIGGER t AFTER INSERT ON jobs BEGIN SELECT 1; END",
    "ALTER TABLE jobs RENAME TO mine",
    "WITH gone AS (DELETE FROM jobs RETURNING id) SELECT * FROM gone",
    "WITH x AS (SELECT 1) DELETE FROM jobs",
    "SELECT * FROM jobs FOR UPDATE",
]

SEVERAL = [
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM jobs",
    "SELECT 1; COMMIT; DELETE FROM jobs; SELECT 1",
    "SELECT 1; CLOSE query; DELETE FROM jobs",
    "SELECT 1 /* ; */ ; DROP TABLE jobs; --",
]

OTHERS = [
    "ATTACH DATABASE '{folder}/new.sqlite3' AS other",
    "ATTACH DATABASE ':memory:' AS other",
    "DETACH DATABASE main",
    "PRAGMA user_version = 7",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA query_only = OFF",
    "VACUUM",
    "VACUUM INTO '{folder}/new.sqlite3'",
    "REINDEX",
    "ANALYZE",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "END",
    "SET statement_timeout = 0",
    "SET transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "RESET ALL",
    "COPY jobs TO '{folder}/new.csv'",
    "COPY jobs TO STDOUT",
    "COPY jobs TO PROGRAM 'touch {folder}/new'",
    "COPY (SELECT 1) TO '{folder}/new.csv'",
    "COPY jobs FROM '/etc/passwd'",
    "DO $$ BEGIN DELETE FROM jobs; END $$",
    "CALL nothing()",
    "EXECUTE nothing",
    "PREPARE x AS SELECT 1",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE jobs",
    "LOAD 'auto_explain'",
    "CREATE EXTENSION dblink",
    "CREATE ROLE mine SUPERUSER",
    "ALTER SYSTEM SET fsync = off",
    "GRANT ALL ON jobs TO public",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "EXPLAIN ANALYZE DELETE FROM jobs",
    "SECURITY LABEL ON TABLE jobs IS 'x'",
    "CHECKPOINT",
    "DISCARD ALL",
]

# Functions of SQLite and PostgreSQL that do more than read tables.
FUNCTIONS = [
    "SELECT load_extension('{file}')",
    "SELECT readfile('{file}')",
    "SELECT writefile('{folder}/new', 'x')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple', x'00')",
    "SELECT * FROM fsdir('{folder}')",
    "SELECT * FROM pragma_wal_checkpoint",
    "SELECT pg_read_file('{file}')",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_read_file('postgresql.auto.conf') WHERE false",
    "SELECT pg_read_binary_file('{file}')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT * FROM pg_ls_waldir()",
    "SELECT * FROM pg_stat_file('{file}')",
    "SELECT * FROM pg_ls_logdir()",
    "SELECT pg_file_write('{folder}/new', 'x', false)",
    "SELECT lo_import('{file}')",
    "SELECT lo_import('{file}', 4711)",
    "SELECT lo_creat(-1)",
    "SELECT lo_create(4711)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_export(42, '/dev/null')",
    "SELECT lo_unlink(42)",
    "SELECT lo_put(42, 0, 'x')",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_create_physical_replication_slot('mine', true)",
    "SELECT pg_stat_reset()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL",
    "SELECT nextval('jobs_id_seq')",
    "SELECT setval('jobs_id_seq', 4711)",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT dblink_exec('', 'DELETE FROM jobs')",
    "SELECT query_to_xml('DELETE FROM jobs', true, true, '')",
    "SELECT query_to_xml('SELECT pg_read_file(''{file}'')', true, true, '')",
]


@pytest.mark.parametrize("sql", WRITES + SEVERAL + OTHERS + FUNCTIONS)
def test_statements_that_do_more_than_read_are_refused(database: Database, tmp_path: Path, sql: str) -> None:
    with pytest.raises(QueryFailed) as raised:
        query(database, sql.format(file="/etc/passwd", folder=tmp_path))
    assert raised.value.exit_code == 2
    assert "root:" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql", ["", "   ", ";", "-- nothing", "SELEKT 1", "SELECT 1 FROM", "SELECT 'x", "SELECT no_such"]
)
def test_invalid_queries_are_refused(database: Database, sql: str) -> None:
    with pytest.raises(QueryFailed):
        query(database, sql)


@pytest.mark.parametrize(
    "sql", ["SELECT 1 \x00", "SELECT '\udcff'", "SELECT 1 / 0 FROM nowhere", "SELECT $1", "SELECT ?", "SELECT :x"]
)
def test_unusual_characters_do_not_crash(database: Database, sql: str) -> None:
    """The query gives an error message or an answer."""
    with suppress(QueryFailed):
        query(database, sql)


def test_a_query_that_ends_its_own_connection_does_not_crash(database: Database) -> None:
    if not database.is_sqlite:
        with pytest.raises(QueryFailed):
            query(database, "SELECT pg_terminate_backend(pg_backend_pid())")


def test_queries_work_after_a_failed_one(database: Database) -> None:
    for sql in ("SELEKT", "DELETE FROM jobs", f"{ENDLESS} SELECT count(*) FROM n"):
        with pytest.raises(QueryFailed):
            query(database, sql, seconds=0.2)
        assert query(database, "SELECT 1").rows[0][0] == 1


# --- unreachable databases ---


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'none.sqlite3'}", "postgresql://u:geheim@127.0.0.1:1/x"):
        with pytest.raises(DatabaseUnreachable) as raised:
            run_query(Database(url), "SELECT 1", limit=1, seconds=5)
        assert "geheim" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "100%", "what?", "#1", "ünïcödé", "it's"])
def test_a_sqlite_file_may_have_any_path(tmp_path: Path, name: str) -> None:
    database = Database("sqlite://")
    database = Database(database.url.set(database=str(tmp_path / name / "x.sqlite3")))  # type: ignore[arg-type]
    upgrade(database)
    assert run_query(database, "SELECT count(*) FROM jobs", limit=1, seconds=20).rows[0][0] == 0
    database.close()
