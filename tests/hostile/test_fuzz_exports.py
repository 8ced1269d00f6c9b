"""Fuzz test: an export that is changed at any field is imported or refused, and changes no row that was there."""

from __future__ import annotations

import copy
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from producer.results.filters import EVERYTHING
from producer.results.progress import job_events, job_progress, list_jobs
from producer.transfer.importing import import_job
from shared.database.connection import Database
from shared.kinds import kind_names
from shared.store.store import NAME, Store
from tests.hostile.exports import Export, make_exports, make_victim, new_home, write_members
from tests.hostile.fuzzing import examples
from tests.hostile.test_fuzz_specifications import VALUES
from unitscope.errors import UnitscopeError

Dump = dict[str, set[str]]
ROOT = "/data"
KINDS = tuple(kind_names())
ODD_VALUES: list[Any] = [
    *(None, True, 0, 1, 2, 3, -1, 10, 2**31, 2**63, 10**400, 0.5, -1.5, 1e300, float("nan"), float("inf")),
    *("", "x", "\0", "\ud800", "\x1b[2J", "../x", "/etc/passwd", "a" * 64, "best", "val", "done", "running"),
    *("2026-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "x" * 5000),
    *([], [1], ["x"], {}, {"x": 1}, {"resumed": "x"}, {"layers": [{"layer": []}]}, [[[[[[[[[[[[[[1]]]]]]]]]]]]]]),
]
LINES = (b"", b"\n", b"[]\n", b"{}\n", b"null\n", b"[" * 5000 + b"\n", b"\xff\n", b"[1, 2", b'["x"]\n["x"]\n')


@dataclass
class Victim:
    """A home with jobs of its own, which every example finds as it was made."""

    database: Database
    store: Store
    folder: Path
    pristine: sqlite3.Connection
    before: Dump

    def connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "unitscope.sqlite3")

    def dump(self) -> Dump:
        """Return every row of every table, as text; check that all references are valid."""
        connection = self.connection()
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = dumped(connection)
        connection.close()
        return rows

    def restore(self) -> None:
        connection = self.connection()
        self.pristine.backup(connection)
        connection.close()


def dumped(connection: sqlite3.Connection) -> Dump:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: set(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], dict[str, Export]]:
    """A function, since Hypothesis prints all arguments of a test that fails."""
    made = make_exports(tmp_path_factory.mktemp("exports") / "home")
    return lambda: made


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Victim]]:
    folder = tmp_path_factory.mktemp("victim") / "home"
    make_victim(folder)
    database, store = new_home(folder)
    pristine = sqlite3.connect(":memory:")
    source = sqlite3.connect(folder / "unitscope.sqlite3")
    source.backup(pristine)
    source.close()
    made = Victim(database, store, folder, pristine, dumped(pristine))
    yield lambda: made
    database.close()


@dataclass
class Forger:
    """Changes an export. What it chooses follows from a random number generator, which Hypothesis seeds."""

    export: Export
    chance: random.Random
    value: Any  # chosen by Hypothesis
    changes: int = 0

    def is_spoilt(self, share: float) -> bool:
        """Return whether to spoil a changed export in another way, too."""
        return bool(self.changes) and self.chance.random() < share

    def change(self) -> None:
        changes: list[Callable[[], object]] = [
            *[self.set_field] * 6,
            *[self.set_inside_json] * 4,
            *[self.move_reference] * 3,
            self.drop_row,
            self.double_row,
            self.add_row,
            self.swap_rows,
            self.clear_table,
            self.drop_column,
            self.name_column_otherwise,
            self.drop_table,
            self.move_table,
            self.set_in_manifest,
            self.change_file,
        ]
        self.chance.choice(changes)()
        self.changes += 1

    def table(self) -> str | None:
        """Return a table that has rows."""
        return self.chance.choice([name for name, rows in self.export.rows.items() if rows] or [None])

    def row(self) -> list[Any]:
        name = self.table()
        return self.chance.choice(self.export.rows[name]) if name else []

    def new_value(self, old: Any) -> Any:
        """Return another value for a field: a near number, a value of another row, an odd or a random one."""
        return copy.deepcopy(self._new_value(old))  # an object must not come to contain itself

    def _new_value(self, old: Any) -> Any:
        near: list[Any] = []
        if isinstance(old, int) and abs(old) < 2**63:
            near = [old + self.chance.choice((-1, 1, 2, 100)), -old, not old]
        elif isinstance(old, float):
            near = [old + 1, -old, 0.0, 1e300]
        elif isinstance(old, str):
            near = [old + "x", old[:-1], old.upper(), "x", "val", "failed"]
            near += [value for value in self.row() if isinstance(value, str)]
        if near and self.chance.random() < 0.6:
            return self.chance.choice(near)
        return self.chance.choice(
            [self.value, self.chance.choice(ODD_VALUES), self.chance.choice(self.row() or [1])]
        )

    def set_field(self) -> None:
        if row := self.row():
            position = self.chance.randrange(len(row))
            row[position] = self.new_value(row[position])

    def move_reference(self) -> None:
        """Change an id, or a column that refers to one, in one row or in all rows of a table."""
        name = self.table()
        if name is None:
            return
        columns = self.export.manifest["rows"][name]["columns"]
        named = [
            column for column in columns if column == "id" or column.endswith(("_id", "_key", "_path", "path"))
        ]
        if not named:
            return
        column, value = self.chance.choice(named), self.new_value(1)
        rows = self.export.rows[name]
        for row in rows if self.chance.random() < 0.5 else [self.chance.choice(rows)]:
            if len(row) == len(columns):
                row[columns.index(column)] = value

    def set_inside_json(self) -> None:
        """Change, add or remove an entry at any depth of a JSON object or list."""
        places = [value for rows in self.export.rows.values() for row in rows for value in row]
        places = [value for value in places if isinstance(value, dict | list) and value]
        if not places:
            return
        place = self.chance.choice(places)
        while True:
            key: Any = self.chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and self.chance.random() < 0.7:
                place = inner
                continue
            chosen = self.chance.random()
            if chosen < 0.15:
                del place[key]
            elif chosen < 0.3 and isinstance(place, dict):
                place[str(self.new_value("x"))[:50]] = self.new_value(inner)
            else:
                place[key] = self.new_value(inner)
            return

    def drop_row(self) -> None:
        if name := self.table():
            self.export.rows[name].pop(self.chance.randrange(len(self.export.rows[name])))

    def double_row(self) -> None:
        if name := self.table():
            self.export.rows[name].append(list(self.chance.choice(self.export.rows[name])))

    def add_row(self) -> None:
        """Add a row that differs from another one in a field, or a row of another table."""
        if name := self.table():
            row = list(self.chance.choice(self.export.rows[name]))
            if row:
                position = self.chance.randrange(len(row))
                row[position] = self.new_value(row[position])
            target = name if self.chance.random() < 0.8 else self.chance.choice(list(self.export.rows))
            self.export.rows[target].append(row)

    def swap_rows(self) -> None:
        if name := self.table():
            self.chance.shuffle(self.export.rows[name])

    def clear_table(self) -> None:
        if name := self.table():
            self.export.rows[name].clear()

    def drop_column(self) -> None:
        if name := self.table():
            columns = self.export.manifest["rows"][name]["columns"]
            position = self.chance.randrange(len(columns))
            del columns[position]
            for row in self.export.rows[name]:
                del row[position : position + 1]

    def name_column_otherwise(self) -> None:
        if name := self.table():
            columns = self.export.manifest["rows"][name]["columns"]
            new = self.chance.choice([*columns, "x", ""])
            columns[self.chance.randrange(len(columns))] = new

    def drop_table(self) -> None:
        if name := self.table():
            del self.export.rows[name]
            if self.chance.random() < 0.5:
                del self.export.manifest["rows"][name]

    def move_table(self) -> None:
        names = list(self.export.rows)
        self.chance.shuffle(names)
        self.export.rows = {name: self.export.rows[name] for name in names}
        entries = self.export.manifest["rows"]
        if self.chance.random() < 0.7:
            self.export.manifest["rows"] = {name: entries[name] for name in names if name in entries}

    def set_in_manifest(self) -> None:
        key = self.chance.choice([key for key in self.export.manifest if key != "rows"])
        self.export.manifest[key] = self.new_value(self.export.manifest[key])

    def change_file(self) -> None:
        files = self.export.files
        if not files:
            return
        name = self.chance.choice(list(files))
        content = files.pop(name)
        chosen = self.chance.randrange(4)
        if chosen == 1:
            files[name] = content + b"x"
        elif chosen == 2:
            files[name[:-1]] = content
        elif chosen == 3:
            files |= {name: content, f"store/../{name}": content}

    def write(self, path: Path) -> Path:
        """Write the export. Mostly its manifest matches; sometimes it does not, or a line is no row."""
        dumps = {
            name: [json.dumps(row, default=str).encode() + b"\n" for row in rows]
            for name, rows in self.export.rows.items()
        }
        if self.is_spoilt(0.1) and dumps:
            self.chance.choice(list(dumps.values())).append(self.chance.choice(LINES))
        lines = {name: b"".join(rows) for name, rows in dumps.items()}
        manifest = self.export.signed(lines)
        if self.is_spoilt(0.1):
            manifest[self.chance.choice(("files", "bytes"))] += 1
        write_members(path, json.loads(json.dumps(manifest, default=str)), lines, self.export.files)
        if self.is_spoilt(0.03):
            content = bytearray(path.read_bytes())
            content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
            path.write_bytes(
                content[: self.chance.randrange(len(content))] if self.chance.random() < 0.5 else content
            )
        return path


@examples(120)
@given(kind=st.sampled_from(KINDS), count=st.integers(0, 4), seed=st.integers(0, 2**32), value=VALUES)
def test_a_changed_export_is_imported_or_refused(
    exports: Callable[[], dict[str, Export]],
    victim: Callable[[], Victim],
    kind: str,
    count: int,
    seed: int,
    value: Any,
) -> None:
    check(exports()[kind].copy(), victim(), kind, count, random.Random(seed), value)


def check(export: Export, victim: Victim, kind: str, count: int, chance: random.Random, value: Any) -> None:
    """Change an export so many times, import it, and check what happened."""
    forger = Forger(export, chance, value)
    for _ in range(count):
        forger.change()
    path = forger.write(victim.folder / "changed.tar")
    stored = set(victim.store.root.rglob("*"))
    imported = attempt(import_job, victim.database, victim.store, path, root=ROOT)
    if imported is None:
        assert count
        assert victim.dump() == victim.before
    else:
        try:
            check_imported(victim, imported.job_id, kind)
        finally:
            victim.restore()
    for file in set(victim.store.root.rglob("*")) - stored:  # those that no row refers to are left to `analyze gc`
        relative = file.relative_to(victim.store.root).as_posix()
        assert file.is_dir() or NAME.fullmatch(relative), relative
        if file.is_file():
            file.unlink()


def check_imported(victim: Victim, job_id: int, kind: str) -> None:
    """Check that rows were added and none was changed, and that every command can show the job."""
    after = victim.dump()
    assert all(victim.before[name] <= after[name] for name in victim.before)
    connection = victim.connection()
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        if "job_id" in columns:
            query = f"SELECT count(*) FROM {name} WHERE job_id = ?"
            own = connection.execute(query, [job_id]).fetchone()[0]
            assert own == len(after[name]) - len(victim.before[name]), name
    query = "SELECT count(*) FROM shards JOIN jobs ON jobs.id = job_id WHERE shards.state != 'done' AND job_id = ?"
    assert connection.execute(query, [job_id]).fetchone() == (0,)
    connection.close()
    shown = [job_progress(victim.database, job_id).as_json(), list_jobs(victim.database, None, None, 100)]
    shown.append(job_events(victim.database, job_id))
    assert json.dumps(shown, default=str)
    if page := producer_kinds()[kind].page:
        attempt(load(page), victim.database, victim.store, job_id, EVERYTHING)


def attempt(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function; return None if it raises an error that the command line prints in one line."""
    try:
        return function(*arguments, **named)
    except UnitscopeError:
        return None
