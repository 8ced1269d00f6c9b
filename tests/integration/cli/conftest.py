"""One home that all tests of the command line share: the data set ``shapes``, jobs, and no worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from tests import reference
from tests.integration.cli.helpers import NETWORK, Home, closed_port
from tests.integration.cli.mistakes import SETTINGS


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[Home]:
    """A home for all tests, with the data set ``shapes`` and without a worker."""
    command = Home(tmp_path_factory.mktemp("bad_input") / "home")
    command("dataset", "add", "shapes", "--root", shapes_root)
    yield command
    command.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Home:
    """A home that does not exist yet."""
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def unfinished(home: Home) -> int:
    """A training run that waits for a worker."""
    return int(home("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "2").stdout)


@pytest.fixture(scope="session")
def trained(home: Home, tensors: dict[str, torch.Tensor], weights: Path) -> int:
    """A training run whose rows say that it is done."""
    job = int(home("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "1").stdout)
    home.change(f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at WHERE id = {job}")
    home.change(f"UPDATE shards SET state = 'done' WHERE job_id = {job}")
    home.change(f"UPDATE training_runs SET best_epoch = 1, best_accuracy = 0.5 WHERE job_id = {job}")
    home.change(
        "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
        f"VALUES ({job}, 'best', 1, 'aa/{'a' * 64}.safetensors', '{'a' * 64}', 1)"
    )
    return job


@pytest.fixture(scope="session")
def queued(home: Home, trained: int) -> int:
    """A search that waits for a worker."""
    return int(home("submit", "--layer", "5", "--units", "0-3", "--dataset", "shapes", "--run", trained).stdout)


@pytest.fixture(scope="session")
def finished(home: Home, trained: int) -> int:
    """A search whose rows say that it is done."""
    job = int(home("submit", "--layer", "5", "--units", "7", "--dataset", "shapes", "--run", trained).stdout)
    home.change(f"UPDATE jobs SET state = 'done', shards_left = 0 WHERE id = {job}")
    home.change(f"UPDATE shards SET state = 'done' WHERE job_id = {job}")
    return job


@pytest.fixture(scope="session")
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return reference.zfnet(20, 16).state_dict()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "zfnet.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, with names that are markup to the library that prints tables."""
    root = tmp_path_factory.mktemp("photos") / "[red]album"
    for name in ("[bold]", "[", "🐈", "a b"):
        (root / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(root / name / "[x].png")
    (root / "[" / "[y].png").write_text("no image")
    return root


@pytest.fixture(scope="session")
def places(
    tmp_path_factory: pytest.TempPathFactory,
    shapes_root: Path,
    photos: Path,
    trained: int,
    unfinished: int,
    queued: int,
    finished: int,
) -> dict[str, str]:
    """Values of the placeholders in the table of mistakes."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "text").write_text("no database at all\n" * 100)
    (folder / "full").mkdir()
    (folder / "full" / "thesis.tex").write_text("mine")
    for name, content in SETTINGS.items():
        (folder / name).mkdir()
        (folder / name / "config.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return {
        "@RUN@": str(trained),
        "@UNFINISHED@": str(unfinished),
        "@QUEUED@": str(queued),
        "@DONE@": str(finished),
        "@PORT@": str(closed_port()),
        "@FOLDER@": str(folder),
        "@FULL@": str(folder / "full"),
        "@TEXT@": str(folder / "text"),
        "@SHAPES@": str(shapes_root),
        "@PHOTOS@": str(photos),
    }
