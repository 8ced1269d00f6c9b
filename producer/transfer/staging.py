"""The rows of an export in a temporary SQLite database of their own.

There the tables' constraints are checked against the export alone, before a row is written to the real database.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Table, create_engine, event, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateTable

from producer.transfer.row_types import Row

ROWS_AT_ONCE = 10_000


class StagedRows:
    """Rows of an export, with the ids of the exporting database. Use it as a context manager.

    Parameters
    ----------
    file
        Path of the temporary database, which is created.
    tables
        The tables of the export; a table follows those that it refers to.
    """

    def __init__(self, file: Path, tables: Iterable[Table]) -> None:
        self.tables = {table.name: table for table in tables}
        engine = create_engine(f"sqlite:///{file}", poolclass=StaticPool)
        event.listen(engine, "connect", _prepare)
        self._connection = engine.connect()
        for table in self.tables.values():
            self._connection.execute(CreateTable(table))

    def __enter__(self) -> StagedRows:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()
        self._connection.engine.dispose()

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows of a table.

        Raises
        ------
        ValueError
            A constraint of the table is violated: a key is not unique, or a value is outside of its range. Or no
            space is left on the disk.
        """
        try:
            for part in parts(rows):
                self._connection.execute(insert(self.tables[table]), part)
        except DBAPIError as error:
            raise ValueError(f"the rows of {table}: {error.orig}") from None

    def check_references(self, *, except_to: str) -> None:
        """Check that every row that is referred to is in the export, except those of one table.

        Raises
        ------
        ValueError
        """
        for table, _, referred, _ in self._connection.exec_driver_sql("PRAGMA foreign_key_check"):
            if referred != except_to:
                raise ValueError(f"a row of {table} refers to {referred} that are not in the export")

    def rows(self, table: str) -> Iterator[Row]:
        """Iterate over the rows of a table in the order of its primary key."""
        selected = self.tables[table]
        query = select(selected).order_by(*selected.primary_key)
        rows = self._connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
        return (dict(row) for row in rows.mappings())

    def only_row(self, table: str) -> Row:
        """Return the only row of a table.

        Raises
        ------
        ValueError
            There is none, or there are several.
        """
        rows = list(itertools.islice(self.rows(table), 2))
        if len(rows) != 1:
            raise ValueError(f"it has not exactly one row of {table}")
        return rows[0]

    def count(self, table: str) -> int:
        return int(self._connection.scalar(select(func.count()).select_from(self.tables[table])) or 0)


def parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Split rows into lists that fit into memory."""
    iterator = iter(rows)
    while part := list(itertools.islice(iterator, ROWS_AT_ONCE)):
        yield part


def _prepare(connection: Any, record: object) -> None:
    """The file is of no use after a failure, and references are checked when all rows are inserted."""
    for setting in ("synchronous=OFF", "journal_mode=OFF", "foreign_keys=OFF", "locking_mode=EXCLUSIVE"):
        connection.execute(f"PRAGMA {setting}")
