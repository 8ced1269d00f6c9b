"""Limits on the memory and time of user queries."""

from __future__ import annotations

import pytest

from producer.results.query import LARGEST_ANSWER, run_query
from producer.results.query_limits import memory_limit
from shared.database.connection import Database
from shared.errors import QueryFailed
from tests.hostile.test_queries import ENDLESS, database, unchanged
from tests.integration.cli.helpers import Home, refusal

__all__ = ["database", "unchanged"]  # fixtures

LARGE = {
    True: [
        f"{ENDLESS} SELECT zeroblob(9999999) FROM n",
        f"{ENDLESS} SELECT printf('%.*c', 9999999, 'x') FROM n",
        "SELECT " + ", ".join(["zeroblob(9999999)"] * 99),
    ],
    False: [
        "SELECT repeat('x', 10000000) FROM generate_series(1, 30)",
        f"{ENDLESS} SELECT lpad('x', 5000000) FROM n LIMIT 60",
    ],
}


@pytest.mark.parametrize("number", range(3))
def test_an_answer_that_is_too_large_is_refused(database: Database, number: int) -> None:
    queries = LARGE[database.is_sqlite]
    with pytest.raises(QueryFailed, match=f"more than {LARGEST_ANSWER // 1_000_000} MB"):
        run_query(database, queries[number % len(queries)], limit=1000, seconds=60)


def test_too_many_columns_are_refused(database: Database) -> None:
    if database.is_sqlite:
        with pytest.raises(QueryFailed, match="too many columns"):
            run_query(database, "SELECT " + ", ".join(["zeroblob(9999999)"] * 2000), limit=1, seconds=60)


def test_a_query_that_sqlite_cannot_interrupt_ends_at_the_time_limit(home: Home) -> None:
    """SQLite can interrupt a statement only between the steps of its virtual machine."""
    sql = "SELECT instr(zeroblob(9000000), CAST(zeroblob(4500000) || x'01' AS BLOB))"
    line = refusal(home("query", sql, "--seconds", "0.5", code=2), 2)
    assert "more than 0.5 s" in line


def test_a_huge_value_is_truncated_only_in_a_table(home: Home) -> None:
    sql = "SELECT printf('%.*c', 100000, 'x') AS x"
    table, as_json = home.many([(("query", sql), {}), (("query", sql, "--json"), {})])
    assert "90000 more characters" in " ".join(table.stdout.split())
    assert as_json.stdout.count("x") == 100_001


def test_memory_is_limited_if_the_system_supports_it(tmp_path: object) -> None:
    def take() -> bytearray:
        return bytearray(2**40)

    with memory_limit(), pytest.raises(MemoryError):
        take()
    assert len(bytearray(2**20)) == 2**20
