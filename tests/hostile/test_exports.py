"""Exports that were changed by their author: refused, in one sentence, before anything is written."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from producer.transfer.importing import Imported, import_job
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.networks import Network
from shared.errors import BadExport
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Artifact, Job, LeftOutImage, Shard
from shared.kinds.registry import parse
from shared.store.store import Store
from tests.hostile.exports import Export, dump, make_exports, make_victim, new_home, write_members

Change = Callable[[Export], object]
ROOT = "/data"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    return make_exports(tmp_path_factory.mktemp("exports") / "home")


@pytest.fixture(scope="module")
def victim_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("victim") / "home"
    make_victim(folder)
    return folder


@pytest.fixture
def victim(victim_home: Path, tmp_path: Path) -> Iterator[tuple[Database, Store]]:
    """A home with jobs of its own, as a copy that a test may change."""
    shutil.copytree(victim_home, tmp_path / "home")
    database, store = new_home(tmp_path / "home")
    yield database, store
    database.close()


def rows(table: str, **values: Any) -> Change:
    return lambda export: export.set(table, **values)


def first(table: str, **values: Any) -> Change:
    """Change columns of the first row of a table."""

    def change(export: Export) -> None:
        for name, value in values.items():
            export.rows[table][0][export.column(table, name)] = value

    return change


def option(name: str, value: Any) -> Change:
    """Change an entry of the JSON object in a column ``TABLE.COLUMN``, or a deeper one."""
    table, column, *keys = name.split(".")

    def change(export: Export) -> None:
        for row in export.rows[table]:
            place = row[export.column(table, column)]
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value

    return change


def emptied(table: str) -> Change:
    return lambda export: export.rows[table].clear()


def doubled(table: str) -> Change:
    return lambda export: export.rows[table].append(list(export.rows[table][0]))


def without_column(table: str, name: str) -> Change:
    def change(export: Export) -> None:
        position = export.column(table, name)
        for row in export.rows[table]:
            del row[position]
        export.manifest["rows"][table]["columns"].remove(name)

    return change


def without_files(suffix: str) -> Change:
    def change(export: Export) -> None:
        export.files = {name: content for name, content in export.files.items() if not name.endswith(suffix)}

    return change


NOT_IN_EXPORT = "that are not in the export"
# Name -> (kind, change, what the message says)
FORGED: dict[str, tuple[str, Change, str]] = {
    # References
    "rows of a layer of another job": ("top9", emptied("searched_layers"), NOT_IN_EXPORT),
    "an unknown layer": ("top9", rows("top_activation_rows", layer_id=77), NOT_IN_EXPORT),
    "rows of another job": ("train", rows("epochs", job_id=1), NOT_IN_EXPORT),
    "a layer of another job": ("top9", rows("searched_layers", job_id=3), NOT_IN_EXPORT),
    "an unknown image": ("top9", rows("bottom_activation_rows", image_id=1000), NOT_IN_EXPORT),
    "an image of another data set": ("top9", rows("images", dataset_id=2), NOT_IN_EXPORT),
    "a left-out image of another data set": ("top9", rows("left_out_images", image_id=99), NOT_IN_EXPORT),
    "an event of another job's shard": ("top9", rows("events", shard_id=1000), NOT_IN_EXPORT),
    "another data set of a run": ("train", rows("training_runs", dataset_id=2), NOT_IN_EXPORT),
    "a split of an unknown image": ("top9", first("image_splits", image_id=1000), NOT_IN_EXPORT),
    "two jobs": ("top9", doubled("jobs"), "UNIQUE constraint failed: jobs.id"),
    "two data sets": ("top9", doubled("datasets"), "UNIQUE constraint failed: datasets.id"),
    "no job": ("top9", emptied("jobs"), NOT_IN_EXPORT),
    "a row twice": ("top9", doubled("top_activation_rows"), "UNIQUE constraint failed"),
    # Job and shards
    "a queued shard": ("top9", rows("shards", state="queued"), "a shard of its job is not done"),
    "a shard that runs for ever": (
        "top9", rows("shards", state="running", token="x", lease_until=1e300), "a shard of its job is not done"
    ),
    "too many attempts": ("top9", rows("shards", attempt=4), "ck_shards_attempt"),
    "a shard that never ended": ("top9", rows("shards", finished_at=None), "a shard of its job is not done"),
    "negative work": ("top9", rows("shards", work_total=-1), "negative"),
    "a stage of another kind": ("top9", rows("shards", stage_name="train"), "its kind does not have"),
    "a module that is no stage": ("top9", rows("shards", stage_name="rows"), "its kind does not have"),
    "a stage beyond the last one": ("train", lambda e: (rows("shards", stage=1)(e), rows("jobs", stage=1)(e)),
                                    "its kind does not have"),
    "a key of Redis as queue": ("top9", rows("shards", queue="unacked_index"), "an unknown queue"),
    "resumed from text": ("top9", option("shards.payload.resumed", "x"), "resumed"),
    "a running job": ("top9", rows("jobs", state="running"), "its job is not done"),
    "an unknown state": ("top9", rows("jobs", state="paused"), "ck_jobs_state"),
    "shards left": ("top9", rows("jobs", shards_left=1), "its job is not done"),
    "a cancel request": ("top9", rows("jobs", cancel_requested=True), "its job is not done"),
    "more shards than there are": ("top9", rows("jobs", shards_total=100), "another number of shards"),
    "no shards": ("train", emptied("shards"), NOT_IN_EXPORT),
    "an unknown stage": ("top9", rows("jobs", stage=9), "no such stage"),
    "a job of the future": ("top9", rows("jobs", created_at="2999-01-01T00:00:00+00:00"), "in the future"),
    "a job of the year 1": ("top9", rows("jobs", created_at="0001-01-01T00:00:00+23:59"), "before 2000"),
    "a time without a zone": ("top9", rows("jobs", created_at="2026-01-01T00:00:00"), "timezone"),
    "a list as specification": ("top9", rows("jobs", specification=[]), "should be an object"),
    "a text as summary": ("top9", rows("jobs", summary="x"), "should be an object"),
    "a summary of another shape": ("top9", option("jobs.summary.layers", "x"), "summary"),
    "a specification of another data set": (
        "top9", option("jobs.specification.dataset_fingerprint", "c" * 64), "key"
    ),
    "a path of another job's file": ("top9", option("jobs.specification.weights_path", f"ab/{'ab' * 32}.pth"),
                                     "names a file"),
    "a path that leads out": ("top9", option("jobs.specification.weights_path", "../x"), "names a file"),
    "an unknown level": ("top9", rows("events", level="\x1b[2J"), "level"),
    # Data set
    "an empty hash": ("top9", rows("images", sha256=""), "sha256"),
    "a hash of other digits": ("top9", rows("images", sha256="x" * 64), "sha256"),
    "an absolute path": ("top9", first("images", path="/etc/passwd"), "outside of its data set"),
    "a parent": ("top9", first("images", path="a/../../x"), "outside of its data set"),
    "no path": ("top9", first("images", path=""), "outside of its data set"),
    "a box larger than its image": ("top9", rows("images", box_left=0, box_top=0, box_right=9400, box_bottom=9400),
                                    "ck_images_box"),
    "an image that no decoder opens": ("top9", rows("images", width=100_000, height=100_000), "too large"),
    "an unknown class": ("top9", rows("images", class_index=2), "class"),
    "another class": ("top9", rows("images", class_name="x"), "class"),
    "an option of another type": ("top9", option("datasets.options.turned_images", "x"), "options"),
    "a name that clears the terminal": ("top9", rows("datasets", name="\x1b[2J"), "printable"),
    # Files
    "a file that is not in its list": ("top9", lambda e: e.files.update({"store/../x": b""}), "list of files"),
    "fewer files": ("top9", without_files(".png"), "list of files"),
    "another hash of a checkpoint": ("train", rows("checkpoints", sha256="0" * 64), "does not match its file"),
    "another size of a checkpoint": ("train", rows("checkpoints", bytes=1), "does not match its file"),
    "another size of a file": ("top9", rows("artifacts", bytes=1), "list of files"),
    # Values
    "a missing column": ("top9", without_column("images", "width"), "images has no column width"),
    "a number too large": ("top9", rows("top_activation_rows", rank=2**40), "rank"),
    "a boolean as number": ("top9", rows("top_activation_rows", rank=True), "rank"),
    "NUL": ("top9", rows("searched_layers", layer="a\0b"), "NUL"),
    "NUL in JSON": ("top9", option("jobs.summary.engine", "a\0b"), "NUL"),
    "half a character": ("top9", rows("searched_layers", layer="\ud800"), "searched_layers"),
    "half a character in JSON": ("top9", option("jobs.summary.engine", "\ud800"), "jobs"),
    "infinity in JSON": ("top9", option("jobs.summary.engine", float("inf")), "number"),
    "a list as histogram of texts": ("top9", rows("unit_statistics_rows", histogram=["x"]), "histogram"),
    "rank 0": ("top9", rows("top_activation_rows", rank=0), "ck_top_activation_rows_rank|UNIQUE"),
    "NaN": ("top9", rows("top_activation_rows", activation=float("nan")), "NOT NULL"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_export_is_refused_and_changes_nothing(
    name: str, exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path
) -> None:
    kind, change, reason = FORGED[name]
    database, store = victim
    forged = exports[kind].copy()
    change(forged)
    before = dump(database)
    with pytest.raises(BadExport, match=reason):
        import_job(database, store, forged.write(tmp_path / "forged.tar"), root=ROOT)
    assert dump(database) == before


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another number of rows": lambda manifest: manifest["rows"]["shards"].update(count=1),
    "another hash of rows": lambda manifest: manifest["rows"]["shards"].update(sha256="0" * 64),
    "another number of files": lambda manifest: manifest.update(files=1),
    "another number of bytes": lambda manifest: manifest.update(bytes=1),
    "a column twice": lambda manifest: manifest["rows"]["shards"]["columns"].append("id"),
    "an unknown column": lambda manifest: manifest["rows"]["shards"]["columns"].append("x"),
    "no table of shards": lambda manifest: manifest["rows"].pop("shards"),
    "an unknown table": lambda manifest: manifest["rows"].update(x=manifest["rows"]["shards"]),
    "another kind": lambda manifest: manifest.update(kind="train"),
    "an unknown kind": lambda manifest: manifest.update(kind="../x"),
    "an older schema": lambda manifest: manifest.update(schema="0004"),
    "a newer schema": lambda manifest: manifest.update(schema="9998"),
    "a schema of text": lambda manifest: manifest.update(schema="0005; DROP TABLE jobs"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_does_not_match_is_refused(
    name: str, exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path
) -> None:
    database, store = victim
    forged = exports["top9"].copy()
    forged.write(tmp_path / "signed.tar")
    manifest = Export.read(tmp_path / "signed.tar").manifest
    MANIFESTS[name](manifest)
    lines = {
        table: b"".join(json.dumps(row).encode() + b"\n" for row in forged.rows[table]) for table in forged.rows
    }
    before = dump(database)
    with pytest.raises(BadExport):
        import_job(database, store, write_members(tmp_path / "x.tar", manifest, lines, forged.files), root=ROOT)
    assert dump(database) == before


# --- what is imported ---


def test_descriptions_of_networks_are_not_imported(
    exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path
) -> None:
    database, store = victim
    forged = exports["train"].copy()
    forged.rows["networks"].append(["0" * 64, "poisoned", {"layers": []}])
    for row in forged.rows["networks"]:
        row[forged.column("networks", "description")] = {"poisoned": True}
    with database.read() as session:
        before = {network.key: network.description for network in session.scalars(select(Network))}
    job_id = import_job(database, store, forged.write(tmp_path / "forged.tar"), root=ROOT).job_id
    with database.read() as session:
        job = session.get_one(Job, job_id)
        specification: Any = parse(job.kind, job.specification)
        after = {network.key: network.description for network in session.scalars(select(Network))}
    assert after == before | {specification.network.key(): {}}


def test_lists_of_other_files_and_messages_are_not_imported(
    exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path
) -> None:
    """Marks of the exporting database have no meaning here, and times are put in order."""
    database, store = victim
    changed = exports["top9"].copy().set("shards", sent_at=None, lease_until=1e300, work_done=0)
    changed.set("jobs", started_at="2026-01-02T00:00:00+00:00", finished_at="2026-01-01T00:00:00+00:00")
    changed.set("jobs", generation=7, stored_bytes=2**60)
    job_id = import_job(database, store, changed.write(tmp_path / "x.tar"), root=ROOT).job_id
    with database.read() as session:
        job = session.get_one(Job, job_id)
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.created_at <= job.finished_at
        assert job.started_at <= job.finished_at
        assert job.generation == 0
        own = session.scalars(select(Artifact.bytes).where(Artifact.job_id == job_id))
        assert job.stored_bytes == sum(own)
        shards = session.scalars(select(Shard).where(Shard.job_id == job_id)).all()
        assert {(shard.sent_at, shard.lease_until, shard.token) for shard in shards} == {(None, None, None)}
        assert all(shard.work_done == shard.work_total for shard in shards)
        assert session.scalar(select(LeftOutImage.reason).where(LeftOutImage.job_id == job_id)) == "broken"


@pytest.mark.parametrize("kind", ["top9", "train", "occlusion"])
def test_an_import_adds_rows_and_changes_none(
    kind: str, exports: dict[str, Export], request: pytest.FixtureRequest, tmp_path: Path, database_url: str
) -> None:
    from shared.database.schema import upgrade

    database, store = Database(database_url), Store(tmp_path / "store")
    upgrade(database)
    path = exports[kind].copy().write(tmp_path / "x.tar")
    first = import_job(database, store, path, root=ROOT).job_id
    before = dump(database)
    assert import_job(database, store, path).job_id == first
    assert dump(database) == before
    second = import_job(database, store, path, force=True).job_id
    after = dump(database)
    assert all(before[table] <= after[table] for table in before)
    assert {len(after[name]) - len(before[name]) for name in exports[kind].rows if name in RESULTS[kind]} == {
        len(exports[kind].rows[name]) for name in RESULTS[kind][:1]
    }
    with database.read() as session:
        assert session.get_one(Job, second).generation == 1
    assert Ledger(database).take_unsent() == []
    database.close()


def test_a_job_that_two_imports_bring_at_once_is_imported_once(
    exports: dict[str, Export], tmp_path: Path, database_url: str
) -> None:
    """Both have found no such job, and have written all files, when the first one writes its rows."""
    from shared.database.schema import upgrade

    store, path = Store(tmp_path / "store"), exports["top9"].copy().write(tmp_path / "x.tar")
    databases = [Database(database_url), Database(database_url)]
    upgrade(databases[0])
    files = len(exports["top9"].files)
    together = threading.Barrier(2)
    counts = [itertools.count(1), itertools.count(1)]

    def run(number: int) -> Imported:
        def meet_after_the_last_file() -> None:
            if next(counts[number]) == files:
                together.wait(30)

        return import_job(databases[number], store, path, root=ROOT, on_file=meet_after_the_last_file)

    with ThreadPoolExecutor(2) as pool:
        imported = list(pool.map(run, range(2)))
    assert sorted(outcome.new for outcome in imported) == [False, True]
    assert imported[0].job_id == imported[1].job_id
    with databases[0].read() as session:
        assert session.scalars(select(Job.id)).all() == [imported[0].job_id]
    for database in databases:
        database.close()


RESULTS = {"top9": ("searched_layers", "searched_units"), "train": ("epochs", "answers"),
           "occlusion": ("occlusion_map_rows", "occlusion_jobs")}  # fmt: skip


ADDED = {"left_out_images": "0008", "unit_selectivity_rows": "0021", "unit_label_rows": "0021"}


@pytest.mark.parametrize(("schema", "refused"), [("0007", "0008"), ("0018", "0021")])
def test_an_export_of_an_older_schema_lacks_what_was_added(
    exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path, schema: str, refused: str
) -> None:
    """The same export that says it is of a schema with all tables is refused."""
    database, store = victim
    older = exports["top9"].copy()
    if schema < "0015":
        without_column("jobs", "stored_bytes")(older)
    for table in [table for table, added in ADDED.items() if added > schema]:
        del older.rows[table], older.manifest["rows"][table]
    older.manifest["schema"] = schema
    assert import_job(database, store, older.write(tmp_path / "x.tar"), root=ROOT).new
    older.manifest["schema"] = refused
    with pytest.raises(BadExport, match="another version"):
        import_job(database, store, older.write(tmp_path / "x.tar"), root=ROOT, force=True)


def test_an_unregistered_data_set_needs_the_root(
    exports: dict[str, Export], victim: tuple[Database, Store], tmp_path: Path
) -> None:
    """The export does not choose the folder whose files are read. The message shows the folder it names."""
    database, store = victim
    path = exports["top9"].copy().set("datasets", root="/home/\x1b[2Jalice").write(tmp_path / "x.tar")
    before = dump(database)
    with pytest.raises(BadExport, match="--root gives the folder") as error:
        import_job(database, store, path)
    assert "alice" in str(error.value)
    assert str(error.value).isprintable()
    assert dump(database) == before
    import_job(database, store, path, root=ROOT)
    with database.read() as session:
        assert session.scalars(select(Dataset.root).where(Dataset.name == "photos")).one() == ROOT


# --- limits ---

# The highest memory of this process alone: that of ``getrusage`` begins with that of the process that starts it.
IMPORT = """
import sys
from pathlib import Path
from producer.transfer.importing import import_job
from shared.database.schema import open_database
from shared.errors import BadExport
from shared.store.store import Store

def highest():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

home = Path(sys.argv[1])
database, store = open_database(f"sqlite:///{home / 'unitscope.sqlite3'}"), Store(home / "store")
before = highest()
try:
    import_job(database, store, Path(sys.argv[2]), root="/data")
except BadExport as error:
    print(error)
print((highest() - before) // 1024)
"""
MIB = 2**20
LARGE: dict[str, tuple[str, list[str], bytes, str]] = {
    "60 MiB of rows": ("datasets", [], b"[]\n" * (20 * MIB), "no column"),
    "60 MiB of empty lists in a row": ("jobs", [], b"[" + b"[]," * (20 * MIB) + b"[]]\n", "bytes"),
    "5 MiB of empty lists in a row": ("jobs", ["specification"], b"[" + b"[]," * (2 * MIB) + b"[]]\n", "lists"),
    "a line without an end": ("shards", [], b"[" * (60 * MIB), "damaged"),
}


@pytest.mark.parametrize("name", LARGE)
def test_memory_of_a_large_export_is_limited(name: str, exports: dict[str, Export], tmp_path: Path) -> None:
    table, columns, content, reason = LARGE[name]
    export = exports["top9"].copy()
    lines = {
        other: b"".join(json.dumps(row).encode() + b"\n" for row in export.rows[other]) for other in export.rows
    }
    manifest = export.signed(lines | {table: content})
    if not columns and name.startswith("60 MiB of rows"):
        manifest["rows"][table]["columns"] = []
    path = write_members(tmp_path / "x.tar", manifest, lines | {table: content}, export.files)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-c", IMPORT, str(tmp_path / "home"), str(path)]
    said, mib = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert reason in said
    assert int(mib) < 150
