"""A linear layer on top of a network's own head, and its recipe (two parameter groups)."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import unitscope as us
from unitscope.data.images import Batch, ImageSource
from unitscope.description import NetworkSpecification
from unitscope.networks.build import build
from unitscope.networks.describe import describe_module
from unitscope.networks.weights import load_pretrained
from unitscope.training.loop import PhaseResult, Trainer
from unitscope.training.recipes import PRESETS, recipe_for

SIZE, HEAD, CLASSES = 64, 12, 5


@pytest.fixture
def topped() -> nn.Module:
    return build("zfnet", CLASSES, SIZE, fc=16, maps=(8, 8, 8), head=HEAD)


def test_the_top_maps_the_logits_of_the_head(topped: nn.Module) -> None:
    below = build("zfnet", HEAD, SIZE, fc=16, maps=(8, 8, 8)).eval()
    weights = below.state_dict()
    missing = load_pretrained(topped, weights, "zfnet", "below.pth", headless=True)
    assert missing == ["top.weight", "top.bias"]
    images = torch.randn(2, 3, SIZE, SIZE)
    top = topped.get_submodule("top")
    for model in (topped.eval(), copy.deepcopy(topped).eval()):
        torch.testing.assert_close(model(images), top(below(images)))


def test_layers_keep_their_names(topped: nn.Module) -> None:
    network = NetworkSpecification(name="zfnet", classes=CLASSES, image_size=SIZE, head=HEAD)
    layers = {layer.path: layer.name for layer in describe_module(topped, network).layers if layer.parameters}
    assert [*layers][-2:] == ["classifier.6", "top"]
    assert (layers["features.0"], layers["classifier.6"], layers["top"]) == ("conv1", "fc8", None)


def test_the_key_of_a_network_without_a_top_does_not_depend_on_it() -> None:
    plain = NetworkSpecification(name="zfnet", classes=20, image_size=64)
    assert "head" not in plain.model_dump_json()
    assert plain.key() == "1ba740140b22f162af6448d7738812d74ff78d1bfe493c1ce1dcbe067abfad10"
    topped = plain.model_copy(update={"head": 1000})
    assert topped.key() != plain.key()
    assert NetworkSpecification.model_validate_json(topped.model_dump_json()) == topped


def test_the_recipe_trains_conv1_and_the_top_in_two_groups() -> None:
    preset = PRESETS["resnet18-top"]
    recipe = recipe_for("resnet18-top", None, {})[2]
    assert (preset.network, preset.head, recipe.optimizer, recipe.learning_rate) == ("resnet18", 1000, "sgd", 1e-3)
    model = build(preset.network, CLASSES, SIZE, head=preset.head)
    before = copy.deepcopy(model.state_dict())
    trainer = Trainer(model, recipe)
    groups = trainer.optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted([names[id(p)] for p in group["params"]] for group in groups) == [
        ["conv1.weight"], ["top.weight", "top.bias"],
    ]  # fmt: skip
    assert {group["lr"] for group in groups} == {1e-3}
    sources = [ImageSource(number, Path(f"{number}.png"), label=number % CLASSES) for number in range(4)]
    trainer.train([Batch(torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8), sources)])
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"conv1.weight", "top.weight", "top.bias"}  # nor the statistics of batch normalization


def test_a_network_with_a_top_is_loaded_from_weights_below_and_from_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    below = us.load_network("cifar-cnn", classes=HEAD, size=32)
    torch.save(below.model.state_dict(), tmp_path / "below.pth")
    topped = us.load_network("cifar-cnn", tmp_path / "below.pth", classes=CLASSES, size=32, head=HEAD)
    assert "initialized at random: top.weight, top.bias" in caplog.text
    assert topped.classes == CLASSES
    torch.testing.assert_close(
        topped.model.state_dict()["features.0.weight"], below.model.state_dict()["features.0.weight"]
    )
    torch.save(topped.model.state_dict(), tmp_path / "topped.pth")
    again = us.load_network("cifar-cnn", tmp_path / "topped.pth", size=32, head=HEAD)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.model(images), topped.model(images))


def test_the_mean_of_per_class_accuracy_of_a_pass() -> None:
    answers = torch.tensor([[0, 0, 9], [0, 1, 1], [1, 1, 1], [1, 0, 3], [4, 0, 2]])
    result = PhaseResult(1.0, 10 / 16, 1.0, 16, 1.0, answers=answers)
    assert result.class_accuracy == pytest.approx((0.9 + 0.25 + 0) / 3)
    assert PhaseResult(1.0, 0.5, 1.0, 16, 1.0).class_accuracy is None
