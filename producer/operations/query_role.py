"""The PostgreSQL role for user queries: the SQL that creates it, and a check of what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from producer.operations.checks import Check
from producer.results.functions import COUNT_FUNCTIONS
from shared.database.connection import Database
from shared.database.schema import database_identity
from shared.settings import Settings

DEFAULT_ROLE = "unitscope_query"
REMEDY = (
    "`analyze db query-role` prints the SQL of a role that can only read; set ANALYZE_QUERY_DATABASE_URL to a URL "
    "with it. See docs/operations/security.md."
)
ATTRIBUTES = """
    SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
    FROM pg_roles WHERE rolname = current_user
"""
ATTRIBUTE_NAMES = (
    "is a superuser",
    "can create roles",
    "can create databases",
    "can replicate",
    "bypasses policies",
)
TABLES = "FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
WRITABLE = f"SELECT count(*) {TABLES} AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"
UNREADABLE = f"SELECT count(*) {TABLES} AND NOT has_table_privilege(oid, 'SELECT')"
ACTING = f"{COUNT_FUNCTIONS} AND has_function_privilege(oid, 'EXECUTE')"
CREATES = (
    "SELECT has_schema_privilege('public', 'CREATE') OR has_database_privilege(current_database(), 'TEMPORARY')"
)
UNLIMITED = "SELECT current_setting('temp_file_limit') = '-1'"
OTHER_ROLES = (
    "SELECT string_agg(rolname, ', ') FROM pg_roles WHERE rolname <> current_user AND pg_has_role(oid, 'MEMBER')"
)


def query_role_sql(role: str) -> str:
    """Return the SQL that creates the role, for a superuser. ``role`` needs no quotes: ``[a-z_][a-z0-9_]*``."""
    return Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").replace(DEFAULT_ROLE, role)


def query_role_check(settings: Settings, database: Database) -> Check:
    """Check that the role of `analyze query` can read the tables of this PostgreSQL database, and do nothing else.

    Raises
    ------
    DatabaseUnreachable
    """
    queried = Database(settings.query_database_url) if settings.query_database_url else database
    try:
        if queried is not database and database_identity(queried) != database_identity(database):
            found = "ANALYZE_QUERY_DATABASE_URL is another database than ANALYZE_DATABASE_URL"
            return Check("query role", False, found, "Correct it.", 2)
        with queried.read() as session:
            powers = list(_powers(session))
            role = session.scalar(text("SELECT current_user"))
            unreadable = session.scalar(text(UNREADABLE))
    finally:
        if queried is not database:
            queried.close()
    if unreadable:
        found = f"the role {role} can't read {unreadable} tables"
        return Check("query role", False, found, "Run the SQL of `analyze db query-role` again.")
    if powers:
        return Check(
            "query role", False, f"`analyze query` uses the role {role}, which {', '.join(powers)}", REMEDY
        )
    return Check("query role", True, f"`analyze query` uses the role {role}, which can only read")


def _powers(session: Session) -> Iterator[str]:
    """Yield what the connection's role can do apart from reading."""
    attributes = session.execute(text(ATTRIBUTES)).one()
    yield from (name for name, given in zip(ATTRIBUTE_NAMES, attributes, strict=True) if given)
    if others := session.scalar(text(OTHER_ROLES)):
        yield f"is a member of {others}" if len(others) < 100 else "is a member of many roles"
    if session.scalar(text(WRITABLE)):
        yield "can write tables"
    if session.scalar(text(CREATES)):
        yield "can create tables"
    if count := session.scalar(text(ACTING)):
        yield f"can call {count} functions with side effects"
    if session.scalar(text(UNLIMITED)):
        yield "has no temp_file_limit"
