"""Weights files that were taken before are not read again, and are whenever that isn't certain to be the same."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from producer.networks import description
from producer.networks.description import StoredWeights, describe_with_weights
from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.settings import Settings, load_settings
from tests import programs
from unitscope.description import NetworkSpecification
from unitscope.errors import NoSuchFile
from unitscope.networks.build import build

NETWORK = NetworkSpecification(name="zfnet", classes=4, image_size=64, fc=16)


class Taking:
    """Takes weights into a new home, and counts the processes that read them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANALYZE_HOME", str(folder / "home"))
        programs.fork_programs(monkeypatch)
        self.settings: Settings = load_settings()
        self.settings.home.mkdir()
        self.database = Database(self.settings.resolved_database_url)
        upgrade(self.database)
        self.processes = 0
        ask = description.ask_worker

        def counted(*arguments: Any, **options: Any) -> dict[str, Any]:
            self.processes += 1
            return ask(*arguments, **options)

        monkeypatch.setattr(description, "ask_worker", counted)

    def __call__(self, file: Path, network: NetworkSpecification = NETWORK) -> tuple[StoredWeights, int]:
        """Take the weights; return them and the number of processes that it needed."""
        before = self.processes
        _, stored = describe_with_weights(self.database, network, file, self.settings)
        return stored, self.processes - before

    def stored_file(self, stored: StoredWeights) -> Path:
        return self.settings.resolved_store / stored.path


@pytest.fixture
def taking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Taking:
    return Taking(tmp_path, monkeypatch)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return _saved(tmp_path / "w.pth", {"net": build("zfnet", 4, 64, fc=16).state_dict()})


def _saved(file: Path, content: object) -> Path:
    torch.save(content, file)
    return file


def test_the_same_content_is_read_once_wherever_it_lies(
    taking: Taking, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored, processes = taking(weights)
    assert processes == 1
    elsewhere = Path(shutil.copyfile(weights, tmp_path / "copy.bin"))
    with caplog.at_level(logging.WARNING):
        assert taking(elsewhere) == (stored, 0)
    assert "'net'" in caplog.text  # what was assumed is said each time


def test_other_content_and_another_network_are_read(taking: Taking, weights: Path, tmp_path: Path) -> None:
    stored, _ = taking(weights)
    changed = build("zfnet", 4, 64, fc=16).state_dict()
    next(iter(changed.values()))[0] += 1
    other, processes = taking(_saved(weights, changed))
    assert processes == 1
    assert other != stored
    assert taking(weights, NETWORK.model_copy(update={"image_size": 96}))[1] == 1


@pytest.mark.parametrize("fault", ["removed", "damaged"])
def test_weights_that_the_store_lost_are_taken_again(taking: Taking, weights: Path, fault: str) -> None:
    stored, _ = taking(weights)
    file = taking.stored_file(stored)
    content = file.read_bytes()
    if fault == "removed":
        file.unlink()
    else:
        file.write_bytes(content[:-1])
    assert taking(weights) == (stored, 1)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"path": 1}', b'{"path": "../../etc/passwd", "notes": []}', b"\xff\xfe"]
)
def test_a_record_that_is_broken_is_replaced(taking: Taking, weights: Path, content: bytes) -> None:
    stored, _ = taking(weights)
    [record] = (taking.settings.cache_folder / "weights").iterdir()
    whole = record.read_bytes()
    record.write_bytes(content)
    assert taking(weights) == (stored, 1)
    assert record.read_bytes() == whole


def test_without_a_cache_folder_weights_are_taken(taking: Taking, weights: Path) -> None:
    taking.settings.cache_folder.write_text("a file")
    assert taking(weights)[1] == 1
    assert taking(weights)[1] == 1


def test_a_file_that_does_not_exist_is_named(taking: Taking, tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile, match=r"none\.pth"):
        taking(tmp_path / "none.pth")


def test_a_file_that_changes_while_it_is_read_is_not_recorded(
    taking: Taking, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = description.ask_worker
    before = weights.read_bytes()

    def overwritten(*arguments: Any, **options: Any) -> dict[str, Any]:
        changed = build("zfnet", 4, 64, fc=16).state_dict()
        next(iter(changed.values()))[0] += 1
        _saved(weights, changed)
        return ask(*arguments, **options)

    monkeypatch.setattr(description, "ask_worker", overwritten)
    other, _ = taking(weights)
    monkeypatch.setattr(description, "ask_worker", ask)
    weights.write_bytes(before)
    stored, processes = taking(weights)
    assert processes == 1
    assert stored != other
