"""`analyze query` with the recommended role, and with the role that owns the tables, on a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as psycopg_sql
from sqlalchemy import make_url, text

from producer.operations.query_role import query_role_check, query_role_sql
from producer.results.functions import HAS_SIDE_EFFECTS, NAMES
from producer.results.query import _cancelled_after, run_query
from shared.database import schema
from shared.database.base import Base
from shared.database.connection import Database
from shared.database.schema import database_identity, upgrade
from shared.errors import DatabaseLocked, QueryFailed
from shared.settings import Settings
from tests.conftest import Analyze, fresh_database
from tests.integration.access.servers import SecuredDatabase

ROLE = "test_query_role"
ROWS = "SELECT count(*) FROM jobs, shards"


@dataclass(frozen=True)
class Roles:
    """A database with URLs of its owner, the role for queries, and the superuser."""

    owner: str
    query: str
    superuser: str


@pytest.fixture(scope="module")
def roles(secured: SecuredDatabase, postgresql_server: str) -> Iterator[Roles]:
    upgrade(database := Database(secured.plain_url))
    database.close()
    superuser = make_url(postgresql_server).set(database=secured.name).render_as_string(hide_password=False)
    with psycopg.connect(superuser, autocommit=True) as connection:
        script = query_role_sql(ROLE)
        connection.execute(script)  # type: ignore[arg-type]
        connection.execute(script)  # type: ignore[arg-type]
        yield Roles(
            secured.plain_url,
            superuser.replace("postgres:@", f"{ROLE}@").replace("postgres@", f"{ROLE}@"),
            superuser,
        )
        connection.execute(psycopg_sql.SQL("DROP OWNED BY {}").format(psycopg_sql.Identifier(ROLE)))
        connection.execute(psycopg_sql.SQL("DROP ROLE {}").format(psycopg_sql.Identifier(ROLE)))


@pytest.fixture(params=["owner", "query"])
def database(roles: Roles, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database(getattr(roles, request.param))
    yield database
    database.close()


def raw(url: str, statement: str) -> object:
    """Run a statement without `analyze query` and its checks, as a user with psql can."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(statement).fetchone()  # type: ignore[arg-type]


ACTS = [
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT pg_advisory_lock(8206113105)",
    "SELECT pg_try_advisory_xact_lock_shared(8206113105)",
    "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
    "SELECT pg_notify('x', 'y')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_creat(-1)",
    "SELECT lo_get(1)",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT ts_stat('SELECT to_tsvector(''x'')')",
    "SELECT pg_export_snapshot()",
    "SELECT pg_sleep(100)",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_stat_reset()",
    "SELECT pg_create_physical_replication_slot('x', true)",
    "SELECT * FROM pg_authid",
]


@pytest.mark.parametrize("sql", ACTS)
def test_a_query_that_acts_is_refused(database: Database, sql: str) -> None:
    for spelled in (sql, sql.upper().replace("X'", "x'"), f"/* harmless */ {sql}"):
        with pytest.raises(QueryFailed, match="can't be used"):
            run_query(database, spelled, limit=10, seconds=5)


@pytest.mark.parametrize("sql", ["SELECT U&\"pg\\005fnotify\"('x', 'y')", "SELECT \"pg_notify\"('x', 'y')"])
def test_other_spellings_are_refused(database: Database, sql: str) -> None:
    with pytest.raises(QueryFailed, match="can't be used"):
        run_query(database, sql, limit=10, seconds=5)


@pytest.mark.parametrize("sql", ACTS)
def test_the_role_cannot_act_with_another_client(roles: Roles, sql: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(roles.query, sql)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM jobs",
        "INSERT INTO datasets DEFAULT VALUES",
        "CREATE TABLE mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "SET temp_file_limit = -1",
        "COPY jobs TO PROGRAM 'touch /tmp/new'",
        "COPY (SELECT 1) TO '/tmp/new'",
        "SET ROLE postgres",
        "DO $$ BEGIN PERFORM pg_notify('x', 'y'); END $$",
        "BEGIN; LOCK TABLE jobs",
        "ALTER SYSTEM SET fsync = off",
    ],
)
def test_the_role_cannot_write_even_outside_of_a_read_only_transaction(roles: Roles, statement: str) -> None:
    with psycopg.connect(roles.query, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[arg-type]


def test_the_role_can_read_every_table_and_view(roles: Roles) -> None:
    with psycopg.connect(roles.query) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        names += connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
        assert {("jobs",), ("top_activations",)} <= set(names)
        for (name,) in names:
            connection.execute(psycopg_sql.SQL("SELECT * FROM {}").format(psycopg_sql.Identifier(name)))


def test_the_role_can_read_tables_of_later_migrations(roles: Roles) -> None:
    raw_owner = psycopg.connect(roles.owner.replace("+psycopg", ""), autocommit=True)
    with raw_owner as connection:
        connection.execute("CREATE TABLE later (x int)")
        try:
            assert raw(roles.query, "SELECT count(*) FROM later") == (0,)
        finally:
            connection.execute("DROP TABLE later")


def test_temporary_files_are_limited(roles: Roles) -> None:
    assert raw(roles.query, "SHOW temp_file_limit") == ("1GB",)
    with psycopg.connect(roles.superuser, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {ROLE} SET temp_file_limit = '1MB'")  # type: ignore[arg-type]
        try:
            with pytest.raises(QueryFailed, match="temp_file_limit"):
                run_query(
                    Database(roles.query), "SELECT count(*) FROM generate_series(1, 1000000)", limit=1, seconds=20
                )
        finally:
            connection.execute(f"ALTER ROLE {ROLE} SET temp_file_limit = '1GB'")  # type: ignore[arg-type]


def test_the_command_uses_the_role(roles: Roles, tmp_path: Path) -> None:
    analyze = Analyze(tmp_path / "home", roles.owner)
    user = "SELECT current_user AS name, (SELECT count(*) FROM jobs) AS jobs"
    assert analyze.json("query", user)[0]["name"] == make_url(roles.owner).username
    analyze.environment["ANALYZE_QUERY_DATABASE_URL"] = roles.query
    assert analyze.json("query", user) == [{"name": ROLE, "jobs": 0}]
    checks = {check["name"]: check for check in analyze.json("doctor")["checks"]}
    assert (checks["query role"]["well"], checks["query role"]["remedy"]) == (True, "")


# --- limits in time ---


def test_the_time_limit_is_kept_by_a_second_connection(database: Database) -> None:
    """The server's own limit can be removed by a query, for the batches of rows that follow."""
    with psycopg.connect(**database.driver_arguments()) as connection:
        connection.execute("SET statement_timeout = 0")
        began = time.monotonic()
        with _cancelled_after(connection, 0.5), pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT count(*) FROM generate_series(1, 1000000000)")
        assert time.monotonic() - began < 20


def test_the_time_limit_holds_for_the_whole_query(database: Database) -> None:
    """Each batch of rows takes less than the limit."""
    slow = "(SELECT count(*) FROM generate_series(1, 20000) h WHERE h > g)"
    began = time.monotonic()
    with pytest.raises(QueryFailed, match=r"more than 1 s"):
        run_query(database, f"SELECT {slow} FROM generate_series(1, 100000) g", limit=100_000, seconds=1)
    assert time.monotonic() - began < 20


def test_an_upgrade_names_the_session_whose_lock_it_waited_for(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "UPGRADE_WAIT_SECONDS", 1)
    url = roles.owner.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True, application_name="psql of anna") as other:
        other.execute(f"SELECT pg_advisory_lock({schema.UPGRADE_LOCK})")  # type: ignore[arg-type]
        with pytest.raises(DatabaseLocked, match=r"psql of anna; .*holds an advisory lock"):
            upgrade(Database(roles.owner))
    upgrade(Database(roles.owner))


# --- doctor ---


def test_doctor_names_what_a_role_can_do_beyond_reading(roles: Roles) -> None:
    found = {
        name: query_role_check(Settings(query_database_url=url), Database(roles.owner))
        for name, url in vars(roles).items()
    }
    assert found["query"].well
    assert not found["query"].remedy
    assert re.search(r"can write tables, can create tables, can call \d+ functions", found["owner"].found)
    assert "is a superuser" in found["superuser"].found
    for name in ("owner", "superuser"):
        assert (found[name].level, "query-role" in found[name].remedy) == ("warning", True)
    assert query_role_check(Settings(), Database(roles.owner)).found == found["owner"].found


def test_doctor_refuses_a_role_in_another_database(
    roles: Roles, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    other = fresh_database("postgresql", request, tmp_path)
    upgrade(database := Database(other))
    assert database_identity(database) != database_identity(Database(roles.owner))
    check = query_role_check(Settings(query_database_url=other), Database(roles.owner))
    assert (check.level, check.exit_code) == ("error", 2)
    database.close()


def test_doctor_names_tables_that_the_role_cannot_read(roles: Roles) -> None:
    raw_superuser: Callable[[str], object] = psycopg.connect(roles.superuser, autocommit=True).execute  # type: ignore[assignment]
    raw_superuser(f"REVOKE SELECT ON jobs FROM {ROLE}")
    try:
        check = query_role_check(Settings(query_database_url=roles.query), Database(roles.owner))
        assert "can't read 1 tables" in check.found
    finally:
        raw_superuser(f"GRANT SELECT ON jobs TO {ROLE}")


# --- the list of functions ---


def normalized(condition: str) -> str:
    return " ".join(condition.split())


def test_the_role_and_the_command_refuse_the_same_functions() -> None:
    assert normalized(HAS_SIDE_EFFECTS) in normalized(query_role_sql(ROLE))


def test_no_public_name_is_refused(roles: Roles) -> None:
    """The name of a column or view that is also the name of such a function could not be used in any query."""
    database = Database(roles.owner)
    with database.read() as session:
        refused = set(session.scalars(text(NAMES)))
    database.close()
    assert len(refused) > 80
    names = {table.name for table in Base.metadata.sorted_tables}
    names |= {column.name for table in Base.metadata.sorted_tables for column in table.columns}
    assert refused & names == set()
    assert {"random", "now", "pg_relation_size", "pg_lock_status", "nextval"} & refused == set()


def test_the_sql_is_printed_for_a_name(tmp_path: Path) -> None:
    analyze = Analyze(tmp_path)
    assert analyze("db", "query-role", "readers").stdout == query_role_sql("readers")
    for name in ("Readers", "a-b", "x; DROP", "pg_x", "'"):
        analyze("db", "query-role", name, code=2)
