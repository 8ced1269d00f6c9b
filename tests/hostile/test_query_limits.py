"""Limits on the memory and time of user queries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from producer.cli.context import App
from producer.cli.printing import print_json, print_rows
from producer.results.query import LARGEST_ANSWER, run_query
from producer.results.query_limits import TEMPORARY_ROWS, memory_limit
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


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", range(3))
def test_an_answer_that_is_too_large_is_refused(database: Database, number: int) -> None:
    queries = LARGE[database.is_sqlite]
    with pytest.raises(QueryFailed, match=f"more than {LARGEST_ANSWER // 1_000_000} MB"):
        run_query(database, queries[number % len(queries)], limit=1000, seconds=60)


@pytest.mark.usefixtures("unchanged")
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


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "sql",
    [
        f"{ENDLESS} SELECT randomblob(5000000) AS b FROM n LIMIT 1000",
        f"{ENDLESS} SELECT count(*) FROM (SELECT DISTINCT randomblob(5000000) FROM n LIMIT 1000)",
        # The numbers end: they are stored as well, and without an end would take the memory before the blobs do.
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000), "
        "m AS MATERIALIZED (SELECT zeroblob(5000000) AS b FROM n) SELECT count(*) FROM m x JOIN m y",
        "WITH RECURSIVE "
        + ", ".join(
            f"n{k}(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{k}), "
            f"m{k} AS MATERIALIZED (SELECT randomblob(4000000) AS b FROM n{k} LIMIT 50)"
            for k in range(4)
        )
        + " SELECT count(*) FROM m0 JOIN m1 JOIN m2 JOIN m3 LIMIT 1",
    ],
    ids=["sort", "distinct", "stored", "stored in four parts of 200 MB"],
)
def test_temporary_rows_of_sqlite_are_limited(database: Database, sql: str) -> None:
    if database.is_sqlite:
        ordered = f"SELECT * FROM ({sql}) ORDER BY 1"
        with pytest.raises(QueryFailed, match=f"more than {TEMPORARY_ROWS // 1_000_000} MB"):
            run_query(database, ordered, limit=10, seconds=120)
        assert run_query(database, "SELECT 1", limit=1, seconds=20).rows == [(1,)]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1, "a\n\u00e9'\"", None)],
        [(1.5, float("nan"), {"a": [1, float("inf")], "b\n": {}}), (b"\x00", [], True)],
    ],
)
def test_rows_are_printed_as_the_same_json(
    capsys: pytest.CaptureFixture[str], rows: list[tuple[Any, ...]]
) -> None:
    columns = ["x", 'a"b', "x_2"]
    print_rows(App({}), ["x", 'a"b', "x"], rows, "json")
    printed = capsys.readouterr().out
    print_json([dict(zip(columns, row, strict=True)) for row in rows])
    assert printed == capsys.readouterr().out


def test_printing_json_takes_little_more_memory_than_the_rows(home: Home) -> None:
    """Each byte becomes six characters."""
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 19) "
    sql += "SELECT replace(printf('%.*c', 9999000, 'x'), 'x', char(1)) AS t FROM n"
    program = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, '-m', 'producer', 'query', '--json', "
        f"{sql!r}], stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=home.environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 800_000  # kB; 3.7 GB if the text is made at once


def test_memory_is_limited_if_the_system_supports_it(tmp_path: object) -> None:
    def take() -> bytearray:
        return bytearray(2**40)

    with memory_limit(), pytest.raises(MemoryError):
        take()
    assert len(bytearray(2**20)) == 2**20
