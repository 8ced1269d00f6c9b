"""Reading of an export. The file is untrusted: its rows are checked whole before any of them is used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import ValidationError

from producer.tars import Member, members
from producer.transfer.format import (
    LARGEST_MANIFEST,
    MANIFEST,
    OLDEST_SCHEMA,
    Manifest,
    exported_tables,
    rows_member,
    tables_of_kind,
)
from producer.transfer.row_types import Row, row_reader
from producer.transfer.staging import StagedRows
from shared.database.networks import Network
from shared.database.schema import NEWEST_REVISION
from shared.jobs.tables import Artifact
from shared.kinds import kind_names
from shared.store.store import NAME, Store, sha256_of

LONGEST_LINE = 2**24  # bytes
COMPUTED = Network.__tablename__  # its rows are not imported: this program computes them


class ExportFile:
    """An open export. Its parts are read in their order: manifest, rows, files.

    All methods raise ``ValueError`` or ``DamagedTar`` if the export is damaged or not one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._members = members(file)
        self.manifest = self._read_manifest()
        self.sizes: dict[str, int] = {}  # of the store's files, by their paths

    def _next(self, name: str) -> Member:
        member = next(self._members, None)
        if member is None or member.name != name:
            raise ValueError(f"it has {repr(member.name[:200]) if member else 'nothing'} in place of {name}")
        if not member.is_file:
            raise ValueError(f"{name!r} is not a regular file")
        return member

    def _read_manifest(self) -> Manifest:
        member = self._next(MANIFEST)
        if member.size > LARGEST_MANIFEST:
            raise ValueError("its manifest is too large")
        try:
            manifest = Manifest.model_validate_json(b"".join(member.chunks(self._file)))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"manifest, {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if not OLDEST_SCHEMA <= manifest.schema_ <= NEWEST_REVISION:
            raise ValueError(f"its schema is {manifest.schema_}, but this program's schema is {NEWEST_REVISION}")
        if manifest.kind not in kind_names() or not _has_known_tables(manifest):
            raise ValueError("it was written by another version of unitscope")
        return manifest

    def stage_rows(self, folder: Path) -> StagedRows:
        """Copy the rows to a temporary database in ``folder``, and check them and their references."""
        lines = {name: self._copy_rows(name, folder / f"{name}.jsonl") for name in self.manifest.rows}
        readers = {name: row_reader(name, self.manifest.rows[name].columns) for name in self._tables()}
        artifacts = Artifact.__tablename__
        self.sizes = _sizes(map(readers[artifacts], _lines(lines[artifacts])))
        if len(self.sizes) != self.manifest.files or sum(self.sizes.values()) != self.manifest.bytes:
            raise ValueError("its list of files does not match its manifest")
        staged = StagedRows(folder / "rows.sqlite3", [exported_tables()[name] for name in self._tables()])
        try:
            for name in self._tables():
                if name != COMPUTED:
                    rows = map(readers[name], _lines(lines[name]))
                    staged.insert(name, map(self._row_check(name), rows))
            staged.check_references(except_to=COMPUTED)
        except BaseException:
            staged.__exit__()
            raise
        return staged

    def _tables(self) -> list[str]:
        return tables_of_kind(self.manifest.kind, self.manifest.schema_)

    def _copy_rows(self, table: str, target: Path) -> Path:
        """Copy a table's rows to a file; check their number, their hash and the length of their lines."""
        digest, count, last = hashlib.sha256(), 0, b"\n"
        with target.open("wb") as copy:
            for chunk in self._next(rows_member(table)).chunks(self._file):
                copy.write(chunk)
                digest.update(chunk)
                count, last = count + chunk.count(b"\n"), chunk[-1:]
        rows = self.manifest.rows[table]
        if digest.hexdigest() != rows.sha256 or count != rows.count or last != b"\n":
            raise ValueError(f"the rows of {table} are damaged")
        return target

    def _row_check(self, table: str) -> Callable[[Row], Row]:
        columns = exported_tables()[table].columns
        names = [column.name for column in columns if column.info.get("artifact")]
        hashed = "sha256" if names == ["path"] and "sha256" in columns else None
        return partial(self._checked, table, names, hashed)

    def _checked(self, table: str, names: list[str], hashed: str | None, row: Row) -> Row:
        """Check that the files that a row names are in the export, and have the size and the hash in the row."""
        for name in names:
            if row[name] is not None and row[name] not in self.sizes:
                raise ValueError(f"a row of {table} names a file that is not in the export")
        if hashed and (row[hashed], row["bytes"]) != (sha256_of(row["path"]), self.sizes[row["path"]]):
            raise ValueError(f"a row of {table} does not match its file")
        return row

    def take_files(self, store: Store, on_file: Callable[[], None]) -> None:
        """Write the files to the store; check that each has its size, and the SHA-256 in its name."""
        missing = set(self.sizes)
        for member in self._members:
            path = member.name.removeprefix("store/")
            if path not in missing or not member.is_file:
                raise ValueError(f"{member.name[:200]!r} is not in its list of files")
            if member.size != self.sizes[path]:
                raise ValueError(f"{member.name} is damaged: it has {member.size} bytes")
            stored = store.write(PurePosixPath(path).suffix, partial(self._copy_file, member))
            if stored.path != path:  # `analyze gc` removes the file that was written
                raise ValueError(f"{member.name} is damaged: its SHA-256 is {stored.sha256}")
            missing.discard(path)
            on_file()
        if missing:
            raise ValueError(f"{len(missing)} files are missing")

    def _copy_file(self, member: Member, target: IO[bytes]) -> None:
        target.writelines(member.chunks(self._file))


def _has_known_tables(manifest: Manifest) -> bool:
    """Check that the tables of the job's kind are included, and that other tables have no rows."""
    needed = set(tables_of_kind(manifest.kind, manifest.schema_))
    others = [rows for table, rows in manifest.rows.items() if table not in needed]
    return needed <= manifest.rows.keys() and not any(rows.count for rows in others)


def _sizes(artifacts: Iterator[Row]) -> dict[str, int]:
    """Return the sizes of files by path, from the rows of ``artifacts``."""
    sizes: dict[str, int] = {}
    for row in artifacts:
        path = row["path"]
        valid = NAME.fullmatch(path) and path.startswith(sha256_of(path)[:2]) and row["sha256"] == sha256_of(path)
        if not valid or path in sizes or row["bytes"] < 0:
            raise ValueError("its list of files is wrong")
        sizes[path] = row["bytes"]
    return sizes


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        while line := lines.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                raise ValueError(f"a row of {file.stem} has more than {LONGEST_LINE} bytes")
            yield line
