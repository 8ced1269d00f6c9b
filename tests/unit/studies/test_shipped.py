"""Shipped studies: `analyze study run NAME --dry-run` of each, with real requests on a small data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer.cli.main import cli
from producer.networks.specification import network_specification
from producer.studies.file import read_study, shipped_studies
from shared.database.catalogue import FoundDataset, FoundImage, register, store_network_description
from shared.database.connection import Database
from shared.jobs.tables import Job
from shared.settings import sqlite_url
from worker.programs.describe import describe

CLASSES, IMAGES = 3, 20  # of each class
SETTINGS = {
    "cifar-cnn": ["val-split=val"],
    "paper": ["size=64", "fc=16"],
    "table-3": ["size=64", "fc=16", "fc-smaller=8", "fc-larger=32", "init=he", "learning-rate=5e-4"],
    "table-7": ["source=photos", "size=64", "fc=16", "init=he", "learning-rate=5e-4"],
    "transfer": ["source=photos", "size=64", "fc=16", "init=he", "learning-rate=5e-4"],
    "zfnet-alexnet": ["size=64", "init=he", "learning-rate=5e-4"],
}
SMALL = {"size": 64, "fc": 16}
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("cifar-cnn", {}),
    ("alexnet", {"size": 64}),
    ("zfnet", {"size": 64}),
    ("zfnet", {**SMALL, "fc": 8}),
    ("zfnet", {**SMALL, "fc": 32}),
    ("zfnet", {**SMALL, "maps": (512, 1024, 512)}),
    *(
        ("zfnet", {**SMALL, "without": without})
        for without in ((), ("conv3", "conv4"), ("fc7",), ("fc6", "fc7"), ("conv3", "conv4", "fc6", "fc7"))
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A home with a data set, and descriptions of all networks, each of which takes a process otherwise."""
    folder = tmp_path_factory.mktemp("shipped")
    file = folder / "unitscope.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(sqlite_url(file))
    images = [
        FoundImage(f"{c}/{n}.png", 0, c, f"c{c}", 8, 8, None, f"{c}{n:02}".ljust(64, "0"), (split,))
        for c in range(CLASSES)
        for n in range(IMAGES)
        for split in ["val" if n % 5 == 0 else "train"]
    ]
    names = [f"c{c}" for c in range(CLASSES)]
    options = {"splits": ["train", "val"]}
    register(database, "photos", FoundDataset("folder", "/d", options, names, images, fingerprint="f" * 64))
    for name, network in NETWORKS:
        store_network_description(database, describe(network_specification(name, CLASSES, **network)))
    database.close()
    return folder


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["study", "run", *arguments, "--dry-run"], env={"ANALYZE_HOME": str(home), "COLUMNS": "300"}
    )


@pytest.mark.parametrize("name", shipped_studies())
def test_a_dry_run_of_a_shipped_study(home: Path, name: str) -> None:
    settings = [word for setting in ["dataset=photos", *SETTINGS.get(name, [])] for word in ("--set", setting)]
    done = run(home, name, *settings)
    assert done.exit_code == 0, done.output + str(done.exception)
    _, study = read_study(name)
    listed = {line.replace("[", " ").split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(study.jobs) <= listed
    database = Database(sqlite_url(home / "unitscope.sqlite3"))
    with database.read() as session:
        assert session.query(Job).count() == 0
    database.close()


def test_the_parts_of_a_transfer_that_need_no_trained_network_are_checked_first(home: Path) -> None:
    settings = ["source=photos", "dataset=photos", "size=64", "fc=16", "images=17"]
    done = run(home, "transfer", *(word for setting in settings for word in ("--set", setting)))
    assert "job 'scratch[per-class=17, fold=1/5]'" in str(done.exception)
    assert "17 are needed" in str(done.exception)
