"""Data sets of imported jobs: names in both Unicode spellings, and options of another type."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from producer.transfer.datasets import ExportedDataset, find_or_register, parse_dataset
from shared.database.catalogue import FoundDataset, find_dataset, register
from shared.database.connection import Database

COMPOSED = "fünf"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def empty(*class_names: str) -> FoundDataset:
    return FoundDataset("folder", "/data", {}, [*class_names], fingerprint=f"{len(class_names):064x}")


def test_an_imported_name_in_another_spelling_is_taken_by_the_registered_one(database: Database) -> None:
    register(database, COMPOSED, empty("cat"))
    dataset = ExportedDataset(7, unicodedata.normalize("NFC", DECOMPOSED), empty("cat", "dog"), [])
    with database.write() as session:
        imported, _ = find_or_register(session, dataset, "/data")
    with database.read() as session:
        assert find_dataset(session, COMPOSED).class_names == ["cat"]
        assert find_dataset(session, f"{COMPOSED}-imported-00000000").id == imported


@pytest.mark.parametrize("options", [{"notes": 5}, {"notes": [5]}, {"splits": {"val": 1}}])
def test_options_of_another_type_are_refused(options: dict[str, Any]) -> None:
    row = {"name": "x", "kind": "folder", "root": "/data", "options": options, "class_names": []}
    with pytest.raises(ValueError, match=r"options are wrong: (notes|splits).*should be"):
        parse_dataset({**row, "id": 1, "fingerprint": ""}, [], [], [])
