"""A home that was created by an earlier version, for ``test_old_home``, and the program that created it:

python -m tests.acceptance.old_home tests/data/home-0005
"""

from __future__ import annotations

import json
import lzma
import math
import os
import shutil
import socket
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from producer.datasets.shapes import generate
from tests.conftest import Analyze
from unitscope.networks.build import build

IMAGES = 20  # generated images of the data set "shapes"
ROOT = "/datasets/shapes"  # root of the data set in the stored rows
PACKED, EXPORTED, OUTPUTS = "home.tar.xz", "search.tar", "outputs.json"
NETWORK = ("--network", "zfnet", "--size", "64", "--fc", "16", "--maps", "8,8,8")
SHAPES = ("--dataset", "shapes")
TRAINED, SEARCHED, SWEPT, FAILED, CANCELLED = 1, 2, 3, 4, 5  # job ids

# Arguments that submit each job again; the first one also needs its initial weights.
SUBMITTED: dict[int, tuple[str, ...]] = {
    TRAINED: (
        *("train", *SHAPES, *NETWORK, "--epochs", "2", "--batch-size", "8", "--learning-rate", "5e-4"),
        *("--freeze", "features.0", "--freeze", "features.3", "--keep-epochs", "1"),
    ),
    SEARCHED: (
        *("top9", *SHAPES, "--layers", "2,5", "--units", "0-2", "--top", "2", "--shards", "2"),
        *("--bottom", "--per-class"),
    ),
    SWEPT: (
        *("occlusion", *SHAPES, "--images", "2", "--patch", "32", "--stride", "16", "--positions"),
        *("--target", "dotted-star"),
    ),
    FAILED: (
        "train",
        *SHAPES,
        *NETWORK,
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--seed",
        "1",
    ),  # fails, since its images are missing
    CANCELLED: ("top9", *SHAPES, "--layer", "1", "--units", "0-1", "--top", "2"),  # cancelled before it started
}

# Commands whose output with --json is stored.
COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("status", str(job)) for job in SUBMITTED),
    ("results", str(TRAINED)),
    *(
        ("results", str(SEARCHED), *options)
        for options in (
            *((), ("--best", "3"), ("--statistics",), ("--bottom",), ("--per-class",)),
            *(("--layer", "5", "--units", "0,2"), ("--per-class", "--class", "dotted-star")),
        )
    ),
    *(("results", str(SWEPT), *options) for options in ((), ("--positions",))),
    ("compare", str(TRAINED)),
    ("ls",),
    ("dataset", "ls"),
    ("dataset", "show", "shapes"),
)


def initial_weights(analyze: Analyze) -> Path:
    """Return the file of the training run's initial weights."""
    path = analyze.json("status", TRAINED)["specification"]["weights_path"]
    return analyze.home / "store" / path


def outputs_of(analyze: Analyze) -> dict[str, Any]:
    """Return the outputs of the commands for a home."""
    return {" ".join(command): analyze.json(*command) for command in COMMANDS}


def rows_of_views(database: Path) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return columns and sorted rows of every view."""
    connection = sqlite3.connect(database)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name").fetchall()
    views = {}
    for (view,) in names:
        cursor = connection.execute(f"SELECT * FROM {view}")
        views[view] = [column[0] for column in cursor.description], sorted(map(list, cursor), key=repr)
    connection.close()
    return views


def unpack(stored: Path, folder: Path) -> None:
    """Unpack the home to ``folder/home``, and the export of its search to ``folder``, as if written now."""
    with tarfile.open(stored / PACKED) as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.3 and older have none
        tar.extractall(folder, **safe)  # type: ignore[arg-type]  # noqa: S202 - our own file
    for file in (folder / "home").rglob("*"):
        os.utime(file)


# --- creation of the home ---


def coarse_weights() -> dict[str, torch.Tensor]:
    """Generate weights as large as those of He initialization, but with three distinct values.

    Training leaves most of them unchanged, so that the files can be compressed.
    """
    torch.manual_seed(5)
    state = build("zfnet", 20, 64, fc=16, maps=(8, 8, 8)).state_dict()
    for name, tensor in state.items():
        fan = tensor[0].numel() if tensor.dim() > 1 else 10**4
        signs = torch.randint(0, 2, tensor.shape) - torch.randint(0, 2, tensor.shape)
        state[name] = signs * math.sqrt(4 / fan)
    return state


def make(stored: Path) -> None:
    """Create a home and store it with the outputs of its commands."""
    with tempfile.TemporaryDirectory(prefix="unitscope-home-") as made:
        folder = Path(made)
        generate(folder / "shapes", images=IMAGES)
        safetensors.torch.save_file(coarse_weights(), folder / "weights.safetensors")
        analyze = Analyze(folder / "home")
        analyze.environment |= {"ANALYZE_CACHE_GB": "0"}
        analyze("dataset", "add", "shapes", "--root", folder / "shapes")
        run_jobs(analyze, folder)
        make_anonymous(analyze.home / "unitscope.sqlite3", folder)
        analyze("export", SEARCHED, folder / EXPORTED)
        stored.mkdir(parents=True)
        views = rows_of_views(analyze.home / "unitscope.sqlite3")
        write_outputs(stored / OUTPUTS, {"commands": outputs_of(analyze), "views": views})
        close(analyze.home / "unitscope.sqlite3")
        pack(folder, stored / PACKED)


def run_jobs(analyze: Analyze, folder: Path) -> None:
    analyze.up()
    for job, words in SUBMITTED.items():
        options = ["--weights", folder / "weights.safetensors"] if job == TRAINED else []
        if job == FAILED:
            (folder / "shapes").rename(folder / "away")
        if job == CANCELLED:
            analyze.stop()
        else:
            options.append("--wait")
        code = 1 if job == FAILED else 0
        assert analyze("submit", *words, *options, code=code).stdout.split() == [str(job)]
    analyze("cancel", CANCELLED)
    (folder / "away").rename(folder / "shapes")


def make_anonymous(database: Path, folder: Path) -> None:
    """Replace the paths and the name of this machine in the database."""
    connection = sqlite3.connect(database)
    with connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith(("VARCHAR", "TEXT", "JSON")):
                    change = f'"{column}" = replace(replace("{column}", ?, ?), ?, ?)'
                    names = (str(folder), str(Path(ROOT).parent), socket.gethostname(), "host")
                    connection.execute(f"UPDATE {table} SET {change}", names)
    connection.execute("VACUUM")
    connection.close()


def close(database: Path) -> None:
    """Merge the WAL file into the database file."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert not database.with_name(f"{database.name}-wal").exists()


def write_outputs(file: Path, outputs: dict[str, dict[str, Any]]) -> None:
    """Write the outputs as JSON with one line per row."""
    parts = []
    for name, answers in outputs.items():
        lines = [f" {json.dumps(key)}: {_in_lines(value)}" for key, value in answers.items()]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def _in_lines(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]"


def pack(folder: Path, target: Path) -> None:
    def remove_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    # The same tensors occur several times. The window of the compression must be larger than the whole file.
    window = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**26}]
    with lzma.open(target, "wb", filters=window) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("home/unitscope.sqlite3", "home/store", EXPORTED):
            tar.add(folder / name, name, filter=remove_owner)


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    make(Path(sys.argv[1]))
