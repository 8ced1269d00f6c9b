"""Files of weights as training programs leave them are taken, and what was assumed is said. Others are refused
with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unitscope as us
from shared.errors import message
from shared.store.store import Store
from tests.integration.cli.helpers import Home
from tests.wild.generators import weights as generate
from unitscope.description import NetworkSpecification
from unitscope.errors import UnitscopeError
from worker.programs.describe import take_weights

SPECIFICATION = NetworkSpecification(name=generate.NETWORK, classes=generate.CLASSES, image_size=generate.SIZE)
OPTIONS = ("--network", generate.NETWORK, "--size", str(generate.SIZE), "--layer", "conv1.0")


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return dict(generate.network().state_dict())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor]) -> str:
    """Hash of the artifact of the weights."""
    folder = tmp_path_factory.mktemp("plain")
    torch.save(tensors, folder / "w.pth")
    return taken(folder / "w.pth")[0]


def taken(path: Path) -> tuple[str, str]:
    """Take a file with the program that the command line runs; return the artifact's hash and what was said."""
    notes: list[str] = []
    stored = take_weights(SPECIFICATION, path, Store(path.parent / "store"), say=notes.append)
    return stored["sha256"], " ".join(notes)


@pytest.mark.parametrize("case", generate.TAKEN)
def test_weights_of_training_programs_are_taken(
    case: str, tmp_path: Path, tensors: dict[str, torch.Tensor], plain: str
) -> None:
    content, words = generate.TAKEN[case]
    torch.save(content(tensors), tmp_path / "w.pth")
    sha256, notes = taken(tmp_path / "w.pth")
    assert sha256 == plain
    assert all(word in notes for word in words), notes
    assert bool(notes) == bool(words)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
@pytest.mark.parametrize("name", ["w.safetensors", "w.SAFETENSORS", "w.pth"])
def test_safetensors_are_recognized_by_content(
    prefix: str, name: str, tmp_path: Path, tensors: dict[str, torch.Tensor], plain: str
) -> None:
    generate.save_safetensors(generate.with_prefix(prefix, tensors), tmp_path / name)
    assert taken(tmp_path / name)[0] == plain


@pytest.mark.parametrize("new", [True, False])
def test_files_of_torch_save_are_recognized_by_content(
    new: bool, tmp_path: Path, tensors: dict[str, torch.Tensor], plain: str
) -> None:
    torch.save(tensors, tmp_path / "w.safetensors", _use_new_zipfile_serialization=new)
    assert taken(tmp_path / "w.safetensors")[0] == plain


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted(kind: torch.dtype, tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    half = {name: t.to(kind) if t.is_floating_point() else t for name, t in tensors.items()}
    torch.save({"model": half}, tmp_path / "w.pth")
    model = us.load_network(generate.NETWORK, tmp_path / "w.pth", size=generate.SIZE).model
    assert torch.equal(model.state_dict()["conv1.0.weight"], half["conv1.0.weight"].float())


@pytest.mark.parametrize("case", generate.REFUSED)
def test_other_content_is_refused_with_the_way_out(case: str, tmp_path: Path) -> None:
    content, words = generate.REFUSED[case]
    torch.save(content(generate.network()), tmp_path / "w.pth")
    assert_refused(tmp_path / "w.pth", words)


@pytest.mark.parametrize("name", generate.FOREIGN)
def test_files_that_are_something_else_are_named(name: str, tmp_path: Path) -> None:
    content, word = generate.FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name, (word,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_named_with_the_way_out(tmp_path: Path) -> None:
    generate.scripted(tmp_path / "w.pt")
    assert_refused(tmp_path / "w.pt", ("TorchScript", "torch.jit.load(FILE).state_dict()"))


def test_whole_models_of_old_files_and_archives_of_arrays_are_refused(tmp_path: Path) -> None:
    torch.save(generate.network(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert_refused(tmp_path / "w.pt", ("torch.save(model.state_dict()",))
    np.savez(tmp_path / "w.npz", weight=np.zeros(3))
    assert_refused(tmp_path / "w.npz", ("torch.from_numpy",))


def assert_refused(path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UnitscopeError) as error:
        taken(path)
    for word in words:
        assert word in message(error.value)


def test_attributes_that_hide_methods_of_a_dictionary_do_no_harm(
    tmp_path: Path, tensors: dict[str, torch.Tensor], plain: str
) -> None:
    torch.save(generate.HidingMethods(tensors), tmp_path / "w.pth")
    assert taken(tmp_path / "w.pth")[0] == plain


class Recorder:
    """An object that creates a file when Python's own unpickler loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_code_beside_the_weights_is_not_run(tmp_path: Path, tensors: dict[str, torch.Tensor], plain: str) -> None:
    torch.save({"state_dict": tensors, "args": Recorder(tmp_path / "trace")}, tmp_path / "w.pth")
    assert taken(tmp_path / "w.pth")[0] == plain
    assert not (tmp_path / "trace").exists()


# --- where a person uses the file ---


def test_the_command_line_says_what_was_assumed(
    home: Home, tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    file = tmp_path / "w.ckpt"
    torch.save({"state_dict": {**generate.with_prefix("model.", tensors), "loss.\x1b[2J": torch.ones(2)}}, file)
    asked = ("--dataset", "shapes", *OPTIONS, "--classes", "10", "--weights", file)
    done = home("submit", *asked)
    assert done.stdout.strip().isdigit()
    assert "Note: The tensors under 'state_dict' were taken." in done.stderr
    assert r"left out (1): 'loss.\x1b[2J'" in done.stderr


def test_the_command_line_names_the_number_of_classes(
    home: Home, tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    torch.save(tensors, tmp_path / "w.pth")
    asked = ("submit", "--dataset", "shapes", *OPTIONS, "--classes", "20", "--weights", tmp_path / "w.pth")
    home.refused(*asked, code=2, says=("[10, 1024], not [20, 1024]", "10 classes, not 20", "--classes"))


def test_training_starts_from_wrapped_weights(
    home: Home, tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    torch.save({"net": generate.with_prefix("module.", tensors)}, tmp_path / "w.pth")  # 10 classes; shapes has 20
    network = ("--network", generate.NETWORK, "--size", str(generate.SIZE), "--weights", tmp_path / "w.pth")
    done = home("submit", "train", "--dataset", "shapes", *network, "--epochs", "1")
    assert "under 'net'" in done.stderr


def test_the_library_says_what_was_assumed(
    tmp_path: Path, tensors: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"net": generate.with_prefix("module.", tensors)}, tmp_path / "w.pth")
    network = us.load_network(generate.NETWORK, tmp_path / "w.pth", size=generate.SIZE)
    assert network.classes == generate.CLASSES
    assert torch.equal(network.model.state_dict()["fc.bias"], tensors["fc.bias"])
    assert "The tensors under 'net' were taken." in caplog.text
