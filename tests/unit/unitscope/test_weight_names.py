"""Dictionary and prefix of a weights file, found by comparison with a network's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from unitscope.errors import WeightsAmbiguous, WeightsNotReadable
from unitscope.networks.build import build
from unitscope.networks.checkpoints import Checkpoint, StateDict
from unitscope.networks.names import Fitted, fit


class Net(nn.Module):
    """A network with a part that has names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.block = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))


def fitted(names: Mapping[str, list[str]], model: nn.Module | None = None) -> Fitted:
    """Fit dictionaries of zeros with these names to a network."""
    state_dicts = {key: StateDict({name: torch.zeros(1) for name in given}, {}) for key, given in names.items()}
    return fit(Checkpoint(Path("w.pth"), state_dicts), model or Net(), "net")


OWN = list(Net().state_dict())


def prefixed(prefix: str) -> list[str]:
    return [prefix + name for name in OWN]


@pytest.mark.parametrize(
    "given",
    [
        OWN,
        prefixed("module."),
        prefixed("block."),  # also the name of one of its modules
        prefixed("a.b.c."),
        [*prefixed("a."), "conv.weight", "conv.bias"],  # few names without the prefix
    ],
)
def test_the_names_are_those_of_the_network(given: list[str]) -> None:
    assert list(fitted({"": given}).weights) == OWN


def test_names_that_do_not_fit_stay_for_the_message() -> None:
    assert "head.weight" in fitted({"": [*OWN, "head.weight"]}).weights
    assert list(fitted({"a": ["x"], "b": ["y", "z"]}).weights)[:2] == ["y", "z"]  # the largest


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["state_dict", "other"], "state_dict"),
        (["other", "model"], "model"),
        (["model", "state_dict"], "state_dict"),
        (["ema", "other"], "other"),
        (["state_dict_ema", "swa.state_dict", "net"], "net"),
        (["schema", "model_ema"], "schema"),  # no average, in spite of its last letters
        (["model_ema"], "model_ema"),
    ],
)
def test_of_several_dictionaries_the_trained_or_usual_one_is_taken(keys: list[str], chosen: str) -> None:
    notes = fitted(dict.fromkeys(keys, OWN)).notes
    assert notes[0] == f"The tensors under '{chosen}' were taken."
    assert all(f"under '{key}'" in " ".join(notes) for key in keys)


@pytest.mark.parametrize(
    "names",
    [
        {"first": OWN, "second": OWN},
        {"": [*prefixed("left."), *prefixed("right.")]},
        {"state_dict": [*prefixed("left."), *prefixed("right.")]},
        {"model_ema": OWN, "swa": OWN},
    ],
)
def test_several_that_fit_equally_well_are_refused(names: dict[str, list[str]]) -> None:
    with pytest.raises(WeightsAmbiguous, match="several sets of weights that fit net"):
        fitted(names)


def test_the_same_tensor_with_and_without_a_wrapper_is_refused() -> None:
    with pytest.raises(WeightsNotReadable, match=r"conv\.bias twice, with and without"):
        fitted({"": [*OWN, "module.conv.bias"]})


def test_a_part_of_the_network_that_is_called_module_keeps_its_name() -> None:
    model = nn.Sequential()
    model.add_module("module", nn.Conv2d(3, 2, 1))
    assert list(fitted({"": ["module.weight", "module.bias"]}, model).weights) == ["module.weight", "module.bias"]


@pytest.mark.parametrize("versions", [{}, {"": 2}, {"": 1}, {"": 999}])
def test_versions_that_a_module_does_not_know_do_no_harm(versions: dict[str, int]) -> None:
    model = build("mnasnet0_5", 3, 32)
    state = StateDict(dict(model.state_dict()), versions)
    result = fit(Checkpoint(Path("w.pth"), {"": state}), model, "mnasnet0_5")
    assert all(torch.equal(result.weights[name], tensor) for name, tensor in model.state_dict().items())
