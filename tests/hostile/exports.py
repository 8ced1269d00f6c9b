"""Homes with small jobs of every kind, written without workers, and exports that are taken apart and changed."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from producer.datasets.scan import fingerprint
from producer.transfer.exporting import export_job
from shared.database.base import Base, utc_now
from shared.database.catalogue import FoundDataset, FoundImage, Problem, insert_dataset
from shared.database.connection import Database
from shared.database.datasets import Image
from shared.database.networks import Network
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Artifact, Event, Job, LeftOutImage, Shard, ShardState
from shared.kinds.registry import kinds, parse
from shared.store.store import Store, StoredFile
from tests.hostile.test_fuzz_specifications import VALID

Rows = list[list[Any]]
LAYER = {"layer": "conv5", "layer_path": "features.10"}


def found_dataset(seed: int = 0) -> FoundDataset:
    """Return a data set of three images: two whole files, and one object in a box."""
    images = [
        FoundImage(f"a/{seed}.png", 0, 0, "a", 8, 6, None, f"{seed + 1:064x}", ("train",)),
        FoundImage(f"b/{seed}.png", 1, 1, "b", 8, 6, (1, 2, 8, 6), f"{seed + 2:064x}", ("train", "val")),
        FoundImage(f"c/{seed}.png", 0, 1, "b", 8, 6, None, f"{seed + 3:064x}", ("val",)),
    ]
    options = {"splits": ["train", "val"], "notes": ["x"], "orientation": "exif", "turned_images": 1}
    found = FoundDataset("folder", "/elsewhere", options, ["a", "b"], images, [Problem("d.png", 0, "broken", "x")])
    found.fingerprint = fingerprint(found)
    return found


def insert_done_job(database: Database, store: Store, kind: str, dataset_id: int, found: FoundDataset) -> int:
    """Insert a done job of a kind, with rows in every table of its results and files in the store."""
    picture, weights = (
        store.put(f"picture of {kind}".encode(), ".png"),
        store.put(found.fingerprint.encode(), ".safetensors"),
    )
    # The key of a job of filters has the weights, but not the data set.
    named = {"weights_path": weights.path, "weights_sha256": weights.sha256}
    named |= {"path": picture.path, "sha256": picture.sha256}  # of a file that was given
    values = {"dataset_id": dataset_id, "dataset_fingerprint": found.fingerprint}
    values |= dict.fromkeys(kinds()[kind].other_jobs)
    specification = parse(kind, {**_with_files(VALID[kind], named), **values})
    job_id, _ = Ledger(database).submit(specification)
    with database.write() as session:
        now = utc_now()
        images = list(session.scalars(select(Image.id).where(Image.dataset_id == dataset_id).order_by(Image.id)))
        session.execute(
            update(Shard)
            .where(Shard.job_id == job_id)
            .values(
                state=ShardState.DONE,
                attempt=1,
                sent_at=1e9,
                worker="w",
                work_done=Shard.work_total,
                started_at=now,
                finished_at=now,
                result_path=picture.path,
            )
        )
        shard = session.scalars(select(Shard.id).where(Shard.job_id == job_id)).first()
        session.add(Event(job_id=job_id, shard_id=shard, level="warning", message="left out"))
        session.add(LeftOutImage(job_id=job_id, image_id=images[2], stage="search", reason="broken", worker="w"))
        for file in (picture, weights):
            if session.get(Artifact, file.path) is None:
                session.add(Artifact(**vars(file), job_id=job_id))
        _insert_results(session, kind, job_id, dataset_id, images, picture, weights, specification)
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(
                state="done",
                shards_left=0,
                stage=len(kinds()[kind].stages) - 1,
                started_at=now,
                finished_at=now,
                summary=SUMMARIES[kind],
            )
        )
    return job_id


def _with_files(value: Any, named: Mapping[str, str]) -> Any:
    """Return a specification whose files, at any depth, are those of the store."""
    if isinstance(value, list):
        return [_with_files(item, named) for item in value]
    if not isinstance(value, dict):
        return value
    stored = {"weights_path", "weights_sha256", *(("path", "sha256") if "sha256" in value else ())}
    return {
        name: named[name] if name in stored and item is not None else _with_files(item, named)
        for name, item in value.items()
    }


SUMMARIES: dict[str, dict[str, Any]] = {
    "top9": {"images": 3, "images_left_out": 0, "layers": [{"layer": "conv5", "units": 1, "dead": 0, "rows": 2}]},
    "train": {"best_epoch": 1, "best_accuracy": 0.5, "epochs": 1, "images_left_out": 0, "first_layer": None},
    "occlusion": {
        "images": 1,
        "images_left_out": 0,
        "positions": 1,
        "computed_share": 1.0,
        "engine": "full",
        "images_whose_class_changes": 0,
        "mean_drop": 0.0,
    },
    "features": {"images": 3, "images_left_out": 0, "layers": 1},
    "filters": {"layers": 1, "filters": 1, "dead": 0, "dominating": 0, "over_limit": 0},
    "invariance": {"images": 2, "images_left_out": 0, "transformed_images": 5, "clear_probability": 0.5},
    "correspondence": {
        "images": 2,
        "images_left_out": 0,
        "parts": 1,
        "pairs": 1,
        "parts_skipped": 1,
        "smaller_than_random": 1,
        "compared": 1,
    },
    "evolution": {
        "images": 3,
        "images_left_out": 0,
        "epochs": [1, 5],
        "layers": [{"layer": "conv5", "units": 256, "active": 1, "drawn": 1, "settled": [1, 1]}],
    },
    "probe": {
        "images": 3,
        "images_left_out": 0,
        "layers": 1,
        "trials": 1,
        "classes": 2,
        "chance": 0.5,
        "best_layer": "conv1",
        "best_classifier": "svm",
        "best_class_accuracy": 0.5,
        "best_accuracy": 0.5,
        "not_converged": 0,
        "dtype": "float32",
    },
}


def _insert_results(
    session: Session,
    kind: str,
    job_id: int,
    dataset_id: int,
    images: list[int],
    picture: StoredFile,
    weights: StoredFile,
    specification: Any,
) -> None:
    """Insert two rows, which differ in one column of the key, into every table of the kind's results."""
    network = specification.networks[0].network if kind == "filters" else specification.network
    if session.get(Network, network.key()) is None:
        session.add(Network(key=network.key(), name=network.name, description={}))
        session.flush()
    known = {
        "job_id": job_id,
        "dataset_id": dataset_id,
        "network_key": network.key(),
        "image_id": images[0],
        "path": weights.path,
        "sha256": weights.sha256,
        "similarities_sha256": weights.sha256,
        "bytes": weights.bytes,
        "activation": 1.5,
        "histogram": [1, 2],
        "environment": {"device": "cpu"},
        "phase": "train",
        "kind": "best",
        "state": "active",
        "file": None,
        "transformation": "shift",
        "classifier": "svm",
        "other_image_id": images[1],
        **LAYER,
    }
    for model in kinds()[kind].tables:
        table: Any = model.__table__
        row = {
            column.name: known.get(column.name, picture.path if column.info.get("artifact") else _value(column))
            for column in table.columns
            if column.name != "id"
        }
        if model.__tablename__.startswith("bottom"):
            row["activation"] = -1.5
        result = session.execute(insert(table).values(row))
        if "id" in table.columns:
            (known["layer_id"],) = result.inserted_primary_key or (0,)
        for name in {"rank", "row"} & {*table.primary_key.columns.keys()}:
            session.execute(insert(table).values({**row, name: 2}))


def _value(column: Any) -> Any:
    types: dict[type, Any] = {int: 1, float: 0.5, bool: False, str: "x"}
    return types.get(column.type.python_type, "x")


# --- exports ---


@dataclass
class Export:
    """The parts of an export: its manifest, the rows of each table, and its other members."""

    manifest: dict[str, Any]
    rows: dict[str, Rows]
    files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Export:
        with tarfile.open(path) as tar:
            members = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}
        manifest = json.loads(members.pop("manifest.json"))
        rows = {name: _rows(members.pop(f"rows/{name}.jsonl")) for name in manifest["rows"]}
        return cls(manifest, rows, members)

    def copy(self) -> Export:
        return copy.deepcopy(self)

    def column(self, table: str, name: str) -> int:
        """Return the position of a column in the rows of a table."""
        position: int = self.manifest["rows"][table]["columns"].index(name)
        return position

    def set(self, table: str, **values: Any) -> Export:
        """Change columns of all rows of a table."""
        for row in self.rows[table]:
            for name, value in values.items():
                row[self.column(table, name)] = value
        return self

    def write(self, path: Path, *, sign: bool = True) -> Path:
        """Write the export; with ``sign``, its manifest's numbers and hashes match its members."""
        lines = {
            name: b"".join(json.dumps(row).encode() + b"\n" for row in rows) for name, rows in self.rows.items()
        }
        return write_members(path, self.signed(lines) if sign else self.manifest, lines, self.files)

    def signed(self, lines: Mapping[str, bytes]) -> dict[str, Any]:
        """Return the manifest for these rows."""
        manifest = copy.deepcopy(self.manifest)
        for name, content in lines.items():
            entry = manifest["rows"].setdefault(name, {"columns": []})
            entry |= {"count": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}
        manifest |= {"files": len(self.files), "bytes": sum(map(len, self.files.values()))}
        return manifest


def write_members(
    path: Path, manifest: Mapping[str, Any], lines: Mapping[str, bytes], files: Mapping[str, bytes]
) -> Path:
    """Write an export with these members."""
    named = {"manifest.json": json.dumps(manifest).encode()}
    named |= {f"rows/{name}.jsonl": content for name, content in lines.items()}
    with tarfile.open(path, "w") as tar:
        for name, content in {**named, **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _rows(lines: bytes) -> Rows:
    return [json.loads(line) for line in lines.splitlines()]


def make_exports(folder: Path) -> dict[str, Export]:
    """Return an export of a job of every kind, from a home that is left in ``folder``."""
    folder.mkdir()
    database, store = new_home(folder)
    found = found_dataset()
    with database.write() as session:
        dataset_id = insert_dataset(session, "photos", found)
    exports = {}
    for kind in VALID:
        job_id = insert_done_job(database, store, kind, dataset_id, found)
        export_job(database, store, job_id, folder / f"{kind}.tar")
        exports[kind] = Export.read(folder / f"{kind}.tar")
    database.close()
    return exports


def make_victim(folder: Path) -> None:
    """Make a home with a job of every kind on another data set, in ``folder``."""
    folder.mkdir()
    database, store = new_home(folder)
    found = found_dataset(seed=10)
    with database.write() as session:
        dataset_id = insert_dataset(session, "mine", found)
    for kind in VALID:
        insert_done_job(database, store, kind, dataset_id, found)
    database.close()


def new_home(folder: Path) -> tuple[Database, Store]:
    """Create the database and the store of a home."""
    from shared.database.schema import open_database

    return open_database(f"sqlite:///{folder / 'unitscope.sqlite3'}"), Store(folder / "store")


def dump(database: Database) -> dict[str, set[str]]:
    """Return every row of every table, as text."""
    with database.read() as session:
        return {
            table.name: {repr(tuple(row)) for row in session.execute(select(table))}
            for table in Base.metadata.sorted_tables
        }
