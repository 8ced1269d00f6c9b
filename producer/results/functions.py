"""Functions of PostgreSQL with side effects, which user queries must not call.

A function that does more than compute or read is declared volatile. Most of them work in a read-only transaction
as well: they end connections, take locks, change settings, or write to the log of transactions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.errors import QueryFailed

if TYPE_CHECKING:
    import psycopg

# Condition on a row of pg_proc. Volatile functions that only read, compute, or are protected by the privileges of
# a sequence are excluded, and those that no query can call. query_role.sql has it as well.
HAS_SIDE_EFFECTS = r"""
    prokind IN ('f', 'p') AND provolatile = 'v'
    AND NOT ARRAY['internal', 'trigger', 'event_trigger']::regtype[]::oid[]
        && (proargtypes::oid[] || prorettype)
    AND proname !~ ('^((curr|last|next|set)val|array_(sample|shuffle)|clock_timestamp|current_query|random'
        || '|gen_random_uuid|random_normal|setseed|timeofday|txid_status|uuidv[47]|pg_\w+_size|pg_(available_wal'
        || '|blocking|collation|control|current_wal|database_collation|get|is|jit_available|last|lock_status'
        || '|notification_queue|partition|prepared_xact|safe_snapshot|sequence_last|stat_get|wal_summary'
        || '|xact)\w*)$')
"""
NAMES = f"SELECT DISTINCT proname FROM pg_proc WHERE {HAS_SIDE_EFFECTS}"  # noqa: S608
COUNT_FUNCTIONS = f"SELECT count(*) FROM pg_proc WHERE {HAS_SIDE_EFFECTS}"  # noqa: S608
SECRET_TABLES = ("pg_authid", "pg_shadow", "pg_subscription", "pg_user_mapping", "pg_user_mappings")


def refuse_side_effects(connection: psycopg.Connection, sql: str) -> None:
    """Refuse a query in which the name of a function with side effects occurs, even in a text or a comment.

    No parser is needed, since nothing that the query can execute is spelled differently: functions that run a text
    as a query have side effects themselves, and identifiers with Unicode escapes are refused.

    Raises
    ------
    QueryFailed
    """
    names = connection.execute(NAMES).fetchall()
    words = "|".join(re.escape(name.lower()) for name in (*SECRET_TABLES, *(row[0] for row in names)))
    if match := re.search(rf"(?<![\w$])({words})(?![\w$])", sql.lower()):
        raise QueryFailed(reason=f"{match[1]} can't be used, since it can do more than read the tables")
    if 'u&"' in sql.lower():
        raise QueryFailed(reason='names with Unicode escapes (U&"...") can\'t be used')
