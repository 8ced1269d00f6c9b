"""Activations that no deconvnet has a rule for are refused, however they are written, and before a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.integration.cli.helpers import Home
from tests.wild.generators.activations import SIZE, SUPPORTED, UNSUPPORTED, Shifted, network
from unitscope.description import NetworkSpecification
from unitscope.errors import NoGradient, UnsupportedActivation
from unitscope.geometry.chains import chain
from unitscope.networks.build import build
from unitscope.networks.describe import describe_module
from unitscope.networks.unallocated import Unallocated
from unitscope.projection.deconvnet import Deconvnet

METHODS = ("deconvnet", "guided")
PLACE = (torch.tensor([1]), torch.tensor([9]), torch.tensor([11]))
IMAGE = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) - 0.5


def project(model: nn.Module, layer: str, method: Any) -> torch.Tensor:
    return Deconvnet(model, layer, method).project(IMAGE, *PLACE)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", UNSUPPORTED)
def test_an_activation_without_a_rule_is_refused(activation: str, method: Any) -> None:
    written, function = UNSUPPORTED[activation]
    model = network(written)
    with pytest.raises(UnsupportedActivation) as caught:
        project(model, "second", method)
    assert caught.value.details["function"] == function
    assert "'gradient'" in str(caught.value)
    assert project(model, "first", method).any()  # the activation comes after this layer
    project(model, "second", "gradient")


@pytest.mark.parametrize("activation", UNSUPPORTED)
def test_a_description_says_which_layers_have_no_deconvnet(activation: str) -> None:
    written, function = UNSUPPORTED[activation]
    specification = NetworkSpecification(name="mine", classes=1, image_size=SIZE)
    first, *others = describe_module(network(written), specification).convolutions()
    assert first.unsupported is None
    assert [layer.unsupported.function for layer in others if layer.unsupported] == [function, function]


@pytest.mark.parametrize("activation", SUPPORTED)
def test_an_operation_with_a_rule_is_projected(activation: str) -> None:
    model = network(SUPPORTED[activation])
    specification = NetworkSpecification(name="mine", classes=1, image_size=SIZE)
    assert not any(layer.unsupported for layer in describe_module(model, specification).layers)
    for method in METHODS:
        assert project(model, "last", method).isfinite().all()


class Named(nn.Module):
    """One ReLU under two names, or two ReLUs."""

    def __init__(self, one: bool) -> None:
        super().__init__()
        self.before = nn.ReLU()
        self.after = self.before if one else nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.before(x) - 0.2)


@pytest.mark.parametrize("method", METHODS)
def test_a_relu_with_two_names_is_replaced_twice(method: Any) -> None:
    shared, separate = (project(network(Named(one)), "last", method) for one in (True, False))
    assert torch.equal(shared, separate)
    assert not torch.equal(shared, project(network(Named(True)), "last", "gradient"))


class Frozen(nn.Sequential):
    """A network whose first part is run without gradients, as a backbone that is not trained."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return super().forward(x)


def test_a_layer_without_a_gradient_is_named() -> None:
    model = Frozen(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)).eval()
    with pytest.raises(NoGradient, match=r"'1'.*no_grad"):
        project(model, "1", "gradient")


class Beside(nn.Module):
    """A chain whose first map is modified through a view, beside the chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x.flatten(2).relu_()
        return self.second(x)


def _chain(*between: nn.Module) -> nn.Module:
    model = nn.Sequential()
    model.add_module("first", nn.Conv2d(3, 4, 3))
    for number, module in enumerate(between):
        model.add_module(str(number), module)
    model.add_module("second", nn.Conv2d(4, 4, 3))
    return model


def _hooked() -> nn.Module:
    model = _chain(nn.Identity())
    model[1].register_forward_hook(lambda module, inputs, output: output.clamp(min=0))
    return model


def _patched() -> nn.Module:
    model = _chain(nn.ReLU())
    model[1].forward = lambda x: x.abs()  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(
    ("model", "usable"),
    [
        (_chain(nn.ReLU(), nn.ReLU6(), nn.BatchNorm2d(4), nn.Dropout()), True),
        (Beside(), False),
        (_hooked(), False),
        (_patched(), False),
        (_chain(Shifted()), False),
        (_chain(nn.Hardtanh(0, 6)), False),
    ],
)
def test_a_chain_has_no_activation_but_relus(model: nn.Module, usable: bool) -> None:
    model = model.eval()
    assert (chain(model, "second", (SIZE, SIZE)) is not None) == usable
    if not usable:
        with pytest.raises(UnsupportedActivation):
            Deconvnet(model, "second").forward(IMAGE)


# Network: how many of its convolutions have a deconvnet, and the first activation that rules it out.
TORCHVISION = {
    "resnet18": (20, None),
    "densenet121": (120, None),
    "mobilenet_v2": (52, None),
    "regnet_y_400mf": (85, None),  # squeeze-and-excitation
    "shufflenet_v2_x0_5": (56, None),
    "squeezenet1_1": (26, None),
    "googlenet": (1, ("conv1", "BasicConv2d", "relu")),
    "mobilenet_v3_small": (1, ("features.0.2", "Hardswish", "hardswish")),
    "efficientnet_b0": (1, ("features.0.2", "SiLU", "silu")),
    "convnext_tiny": (2, ("features.1.0.block.4", "GELU", "gelu")),
    "vit_b_16": (1, None),
    "swin_t": (1, None),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_descriptions_of_torchvisions_networks(name: str) -> None:
    supported, operation = TORCHVISION[name]
    with Unallocated():
        model = build(name, 10, 224)
    description = describe_module(model, NetworkSpecification(name=name, classes=10, image_size=224))
    barred = [layer.unsupported for layer in description.convolutions() if layer.unsupported]
    assert len(description.convolutions()) - len(barred) == supported
    if operation is None:
        assert not barred
    else:
        assert tuple(barred[0].model_dump().values()) == operation
        assert f"module {operation[0]} ({operation[1]}) applies {operation[2]}" in str(description)


def _save(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    safetensors.torch.save_file(build(name, 20, 64).state_dict(), path)
    return path


SEARCH = ("submit", "--dataset", "shapes", "--network", "mobilenet_v3_small", "--size", "64", "--units", "0")
BARRED = "features.1.block.0.0"


def test_a_deconvnet_that_is_not_defined_is_refused_at_submit(home: Home, tmp_path: Path) -> None:
    weights = ("--weights", _save("mobilenet_v3_small", tmp_path))
    says = (BARRED, "features.0.2", "Hardswish", "hardswish", "--projection gradient")
    home.refused(*SEARCH, *weights, "--layer", BARRED, "--projection", "deconvnet", code=2, says=says)
    layers = ("--layer", f"features.0.0,{BARRED}")
    home.refused(*SEARCH, *weights, *layers, "--projection", "guided", code=2, says=says)
    assert int(home(*SEARCH, *weights, "--layer", "features.0.0").stdout)
    chosen = home(*SEARCH, *weights, "--layer", BARRED)
    assert "features.0.2 (Hardswish) applies hardswish" in chosen.stderr
    # The same job, however it was asked for.
    assert home(*SEARCH, *weights, "--layer", BARRED, "--projection", "gradient").stdout == chosen.stdout


def test_network_show_says_which_projections_work(home: Home) -> None:
    shown = " ".join(home("network", "show", "mobilenet_v3_small", "--size", "64").stdout.split())
    assert "all for features.0.0, features.0.1; only gradient for" in shown
    assert "other layers, since module features.0.2" in shown
    layers = json.loads(home("network", "show", "mobilenet_v3_small", "--size", "64", "--json").stdout)["layers"]
    convolutions = [layer for layer in layers if layer["kind"] == "Conv2d"]
    assert convolutions[0]["unsupported"] is None
    expected = {"module": "features.0.2", "kind": "Hardswish", "function": "hardswish"}
    assert convolutions[1]["unsupported"] == expected


def test_the_description_of_an_earlier_version_is_computed_again(home: Home) -> None:
    """It is read in another place for the network of a training run."""
    network = ("--network", "mobilenet_v3_small", "--size", "64")
    run = int(home("submit", "train", "--dataset", "shapes", *network, "--epochs", "1").stdout)
    home.change(f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at WHERE id = {run}")
    home.change(
        "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
        f"VALUES ({run}, 'best', 1, 'bb/{'b' * 64}.safetensors', '{'b' * 64}', 1)"
    )
    home.change("UPDATE networks SET description = json_set(description, '$.layers', json('[]'), '$.version', 2)")
    search = ("submit", "--dataset", "shapes", "--run", run, "--layer", BARRED)
    home.refused(*search, "--projection", "deconvnet", code=2, says=("Hardswish",))
    assert int(home(*search, "--projection", "gradient").stdout)
