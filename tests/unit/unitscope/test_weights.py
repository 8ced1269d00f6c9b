"""Loading of pretrained weights with another number of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from unitscope.errors import OtherClasses, WeightsDontFit, WeightsNotFinite
from unitscope.networks import build as networks
from unitscope.networks.checkpoints import read_checkpoint
from unitscope.networks.names import fit
from unitscope.networks.weights import Weights, load_pretrained, load_weights

HEADS = {
    "zfnet": "classifier.6",
    "cifar-cnn": "classifier.6",
    "alexnet": "classifier.6",
    "resnet18": "fc",
    "densenet121": "classifier",
    "mobilenet_v2": "classifier.1",
    "vit_b_32": "heads.head",
    "swin_t": "head",
}


def pretrained(classes: int) -> Weights:
    torch.manual_seed(classes)
    return networks.build("resnet18", classes, 64).state_dict()


def test_a_head_for_another_number_of_classes_is_not_loaded() -> None:
    model, weights = networks.build("resnet18", 4, 64), pretrained(7)
    head = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith("fc.")}
    assert load_pretrained(model, weights, "resnet18", "x.pth") == ["fc.weight", "fc.bias"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, head[name] if name in head else weights[name]), name


def test_a_head_for_the_same_number_of_classes_is_loaded() -> None:
    model, weights = networks.build("resnet18", 7, 64), pretrained(7)
    assert load_pretrained(model, weights, "resnet18", "x.pth") == []
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_the_last_linear_layer(name: str) -> None:
    with torch.device("meta"):
        model, other = networks.build(name, 4, 224), networks.build(name, 7, 224)
    assert set(differing(model, other)) == {f"{HEADS[name]}.weight", f"{HEADS[name]}.bias"}
    if name in ("cifar-cnn", "densenet121", "mobilenet_v2"):  # small ones
        model, other = networks.build(name, 4, 32), networks.build(name, 7, 32)
        assert load_pretrained(model, other.state_dict(), name, "x.pth") == differing(model, other)


def differing(model: nn.Module, other: nn.Module) -> list[str]:
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    return [name for name, tensor in model.state_dict().items() if tensor.shape != shapes[name]]


def test_all_other_tensors_must_fit() -> None:
    model, weights = networks.build("resnet18", 4, 64), pretrained(7)
    without = {name: tensor for name, tensor in weights.items() if name != "conv1.weight"}
    headless = {name: tensor for name, tensor in weights.items() if name != "fc.bias"}
    for wrong, message in (
        (without, "1 tensor is missing .*conv1.weight"),
        (headless, "1 tensor is missing .*fc.bias"),
        ({**weights, "more": torch.zeros(1)}, "1 tensor is unexpected .*more"),
        ({**weights, "conv1.weight": torch.zeros(1, 2)}, r"conv1.weight is \[1, 2\]"),
        ({**weights, "conv1.weight": weights["conv1.weight"].to_sparse()}, "sparse"),
    ):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(WeightsDontFit, match=message):
            load_pretrained(model, wrong, "resnet18", "x.pth")
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(WeightsNotFinite, match=r"bn1\.bias contains nan \(as float32\), which is not finite"):
        load_pretrained(model, {**weights, "bn1.bias": torch.full((64,), torch.nan)}, "resnet18", "x.pth")
    with pytest.raises(WeightsDontFit, match=r"fc\.weight is"):
        load_weights(model, weights, "resnet18", "x.pth")


def test_a_network_without_a_linear_layer_has_no_head() -> None:
    weights = models.squeezenet1_1(num_classes=7).state_dict()
    with pytest.raises(WeightsDontFit, match=r"classifier.1.weight is \[7, 512, 1, 1\]"):
        load_pretrained(models.squeezenet1_1(num_classes=4), weights, "squeezenet1_1", "x.pth")


class HeadFirst(nn.Module):
    """A network that defines its head before its body."""

    def __init__(self, classes: int, width: int = 6) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)
        self.body = nn.Linear(4, width)


def test_a_head_that_is_not_the_last_module_is_recognized() -> None:
    weights = HeadFirst(7).state_dict()
    with pytest.raises(OtherClasses, match=r"for 7 classes, not 3 \(head\.weight is \[7, 6\], not \[3, 6\]"):
        load_weights(HeadFirst(3), weights, "mynet", "x.pth")
    model = HeadFirst(3)
    assert load_pretrained(model, weights, "mynet", "x.pth") == ["head.weight", "head.bias"]
    assert torch.equal(model.body.weight, weights["body.weight"])


def test_another_width_is_no_other_head() -> None:
    for load in (load_weights, load_pretrained):
        with pytest.raises(WeightsDontFit, match=r"head\.weight is \[3, 8\], not \[3, 6\]") as error:
            load(HeadFirst(3), HeadFirst(3, 8).state_dict(), "mynet", "x.pth")
        assert not isinstance(error.value, OtherClasses)


WRAPPED: dict[str, Callable[[Weights], Any]] = {
    "state_dict": lambda tensors: {"state_dict": tensors, "epoch": 3},
    "model": lambda tensors: {"model": tensors},
    "net": lambda tensors: {"net": tensors, "acc": 0.5},
    "model_state_dict": lambda tensors: {"model_state_dict": tensors, "optimizer_state_dict": {"state": {}}},
    "ema": lambda tensors: {"ema": tensors},
}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "_orig_mod.module.", "module.model."])
@pytest.mark.parametrize("key", WRAPPED)
def test_files_as_people_have_them(key: str, prefix: str, tmp_path: Path) -> None:
    """Of any network, also in half precision."""
    given = HeadFirst(3).state_dict()
    half = {f"{prefix}{name}": tensor.half() for name, tensor in given.items()}
    torch.save(WRAPPED[key](half), tmp_path / "w.pth")
    model = HeadFirst(3)
    fitted = fit(read_checkpoint(tmp_path / "w.pth"), model, "mynet")
    load_weights(model, fitted.weights, "mynet", tmp_path / "w.pth")
    assert all(torch.equal(tensor, given[name].half().float()) for name, tensor in model.state_dict().items())
    assert f"The tensors under '{key}' were taken." in fitted.notes
    assert all(f"{part}." in " ".join(fitted.notes) for part in prefix.split(".")[:-1])
