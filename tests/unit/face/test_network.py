"""``us.Network`` from a user's module, or by name with weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import unitscope as us
from tests.unit.face.networks import CLASSES, SIZE, Functional, Maps, Residual, Untraceable, trained_looking
from unitscope.api.network import find_class
from unitscope.description import input_defaults
from unitscope.errors import (
    AmbiguousLayer,
    InvalidArgument,
    NoSuchFile,
    NoSuchLayer,
    NoSuchNetwork,
    NotAConvolution,
    UnitscopeError,
    WeightsDontFit,
    WeightsNotReadable,
)
from unitscope.geometry.receptive_fields import trace
from unitscope.networks.build import build


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_network_is_independent_of_the_users_model() -> None:
    model = trained_looking(Residual()).train()
    model.head.requires_grad_(False)
    model.to(memory_format=torch.contiguous_format)
    before = copy.deepcopy(model)
    network = us.Network(model, size=SIZE)
    assert not network.model.training
    assert network.model(torch.rand(2, 3, SIZE, SIZE)).shape == (2, CLASSES)
    us.describe(network)
    assert model.training
    assert all(module.training for module in model.modules())
    for (name, now), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(now, old), name
        assert now.requires_grad == old.requires_grad
        assert now.stride() == old.stride()
    assert not any(module._forward_hooks for module in model.modules())
    with torch.no_grad():
        model.stem.weight.zero_()  # type: ignore[union-attr]
    assert network.model.stem.weight.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_a_network_is_converted_to_float32() -> None:
    network = us.Network(trained_looking(Residual()).half(), size=SIZE)
    assert {parameter.dtype for parameter in network.model.parameters()} == {torch.float32}
    assert us.describe(network).specification.classes == CLASSES


def test_input_size_and_normalization_are_those_of_the_name_or_as_given() -> None:
    network = us.Network(Residual())
    assert (network.name, network.size, network.mean, network.std) == ("Residual", *input_defaults("Residual"))
    assert network.size == 224
    network = us.Network(Residual(), name="zfnet")
    assert (network.size, network.mean, network.std) == input_defaults("zfnet")
    network = us.Network(
        Residual(), size=64, mean=[0.1, 0.2, 0.3], std=torch.tensor([1, 2, 3]), class_names=["abc"]
    )
    assert (network.size, network.mean, network.std) == (64, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert network.class_names == ("abc",)


def test_a_description_lists_the_layers_of_a_users_network() -> None:
    network = us.Network(Residual(), size=SIZE)
    result = us.describe(network)
    traced = trace(Residual(), SIZE)
    assert [layer.path for layer in result.layers] == [layer.path for layer in traced.layers]
    assert [layer.output_shape for layer in result.layers] == [layer.output_shape for layer in traced.layers]
    fields = {layer.path: (layer.receptive_field, layer.stride, layer.start) for layer in result.layers}
    assert fields["stem"] == (3, 2, -1)
    assert fields["inner.conv2"] == (11, 2, -5)
    assert not result.chain
    assert (result.specification.name, result.specification.classes) == ("Residual", CLASSES)
    assert result.parameters == sum(parameter.numel() for parameter in Residual().parameters())


def test_a_network_that_cannot_be_traced_is_described_by_running_it() -> None:
    result = us.describe(us.Network(Untraceable(), size=SIZE))
    traced = us.describe(us.Network(Residual(), size=SIZE))
    assert {layer.path: layer.output_shape for layer in result.layers} == {
        layer.path: layer.output_shape for layer in traced.layers
    }
    assert all(layer.receptive_field is None for layer in result.layers)
    assert not result.chain
    assert "torch.fx can't trace the network" in str(result)
    assert "torch.fx" not in str(traced)


def test_a_description_is_shown_as_a_table_in_terminals_and_notebooks() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 7))
    result = us.describe(us.Network(model, size=SIZE, name="<b>net</b>"))
    lines = str(result).splitlines()
    assert lines[0] == "<b>net</b>: 7 classes, input 3 x 32 x 32"
    assert lines[1].split() == [
        "layer",
        "module",
        "kind",
        "output",
        "form",
        "receptive",
        "field",
        "stride",
        "parameters",
    ]
    assert lines[2].split() == [
        "0",
        "Conv2d",
        "4",
        "x",
        "30",
        "x",
        "30",
        "maps",
        "30",
        "x",
        "30",
        "3",
        "px",
        "1",
        "px",
        "112",
    ]
    assert lines[-1].startswith("25,319 parameters; ")
    assert repr(result) == str(result)
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + len(result.layers)
    assert "<b>" not in html
    assert "&lt;b&gt;net" in html
    assert ">4 x 30 x 30<" in html


def test_a_description_says_which_modules_run_several_times() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), relu)
    result = us.describe(us.Network(model, size=SIZE))
    assert [row[4] for row in result.table()] == [
        *("maps 30 x 30", "maps 30 x 30", "maps 15 x 15", "maps 13 x 13"),
        "run 2",  # not the size of the first run
    ]
    assert result.runs("1") == 2
    assert result.runs("3") == 1
    assert "run several times, and a search takes their first run: 1" in str(result).splitlines()


def test_layers_can_be_given_by_name_number_or_path() -> None:
    alexnet = us.load_network("alexnet", size=96, classes=3)
    chain = us.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)), size=SIZE)
    photo = torch.zeros(96, 96, 3, dtype=torch.uint8).numpy()
    for network, said, path in (
        (alexnet, "conv2", "features.3"),
        (alexnet, "2", "features.3"),
        (alexnet, 2, "features.3"),
        (alexnet, "features.3", "features.3"),
        (chain, 2, "2"),
        (us.Network(Residual(), size=SIZE), "inner.conv1", "inner.conv1"),
    ):
        assert us.top9(network, said, photo, units=0, projection=None).layer.path == path
    for said, error in (("9", AmbiguousLayer), ("stem2", NoSuchLayer)):
        with pytest.raises(error, match=r"inner\.conv1"):
            us.top9(us.Network(Residual(), size=SIZE), said, photo)
    with pytest.raises(NotAConvolution, match=r"inner\.conv1"):
        us.inspect_filters(us.Network(Residual(), size=SIZE), "head")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_number_of_classes_is_taken_from_the_weights(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=7).eval()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": model.state_dict()}, file)
    else:
        safetensors.torch.save_file(model.state_dict(), file)
    for given in (file, str(file)):
        network = us.load_network("resnet18", weights=given, size=64)
        assert network.classes == 7
        images = torch.rand(2, 3, 64, 64)
        torch.testing.assert_close(network.model(images), model(images))
    assert (network.size, network.mean, network.std) == (64, *input_defaults("resnet18")[1:])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("squeezenet1_1", {}),  # the head is a convolution
        ("densenet121", {}),
        ("mobilenet_v3_small", {}),
        ("regnet_y_400mf", {}),
        ("zfnet", {"fc": 16, "size": 64}),
        ("zfnet", {"fc": 16, "size": 64, "maps": (4, 5, 6), "without": ["conv3"]}),
        ("cifar-cnn", {"size": 32}),
    ],
)
def test_the_head_is_found_for_every_architecture(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    built = {key: value for key, value in options.items() if key != "size"}
    model = build(name, 11, options.get("size", 64), **built)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = us.load_network(name, tmp_path / "w.pth", **{"size": 64, **options})
    assert network.classes == 11
    torch.testing.assert_close(network.model.state_dict(), model.state_dict())


def test_without_weights_the_number_of_classes_is_that_of_the_names() -> None:
    assert us.load_network("alexnet").classes == 1000
    assert us.load_network("cifar-cnn").classes == 10  # its recipe is for CIFAR-10
    assert us.load_network("cifar-cnn", classes=4).classes == 4
    named = us.load_network("cifar-cnn", class_names=["cat", "dog"])
    assert (named.classes, named.class_name(1)) == (2, "dog")


WRONG: dict[str, tuple[Callable[[Path], object], type[UnitscopeError], str]] = {
    "no module": (lambda _: us.Network("resnet18"), InvalidArgument, "torch.nn.Module, not a str"),  # type: ignore[arg-type]
    "size": (lambda _: us.Network(Residual(), size=8), InvalidArgument, "size can't be 8.*16 to 4096"),
    "no size": (lambda _: us.Network(Residual(), size="big"), InvalidArgument, "size can't be 'big'"),  # type: ignore[arg-type]
    "mean": (lambda _: us.Network(Residual(), mean=[0.5]), InvalidArgument, "mean can't be .*red, green, blue"),
    "nan": (lambda _: us.Network(Residual(), mean=[0.5, float("nan"), 0]), InvalidArgument, "finite"),
    "std": (lambda _: us.Network(Residual(), std=[0.5, 0, 1]), InvalidArgument, "std can't be .*above 0"),
    "names": (lambda _: us.Network(Residual(), class_names="cat"), InvalidArgument, "list of names"),
    "too small for it": (
        lambda _: us.describe(us.Network(nn.Sequential(nn.Conv2d(3, 4, 17)), size=16)),
        InvalidArgument,
        "Sequential can't process images of 16 pixels.*another size",
    ),
    "unknown": (lambda _: us.load_network("resnet19"), NoSuchNetwork, "did you mean resnet18"),
    "no file": (lambda p: us.load_network("resnet18", p / "w.pth"), NoSuchFile, "w.pth"),
    "no weights": (lambda p: us.load_network("resnet18", text(p)), WeightsNotReadable, "damaged"),
    "others": (lambda p: us.load_network("alexnet", residual_weights(p)), WeightsDontFit, "alexnet.*missing"),
    "classes": (lambda _: us.load_network("cifar-cnn", classes=0), InvalidArgument, "classes can't be 0"),
    "fewer names": (
        lambda _: us.load_network("cifar-cnn", classes=3, class_names=["a"]),
        InvalidArgument,
        "1 names for 3",
    ),
    "option": (lambda _: us.load_network("resnet18", fc=3), InvalidArgument, "resnet18 has no option fc"),
    "module for a network": (lambda _: us.describe(Residual()), InvalidArgument, r"unitscope.Network\(model\)"),  # type: ignore[arg-type]
}


def text(folder: Path) -> Path:
    (folder / "text.pth").write_text("these are no weights")
    return folder / "text.pth"


def residual_weights(folder: Path) -> Path:
    torch.save(Residual().state_dict(), folder / "residual.pth")
    return folder / "residual.pth"


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, tmp_path: Path) -> None:
    call, error, says = WRONG[case]
    with pytest.raises(error, match=f"(?s){says}"):
        call(tmp_path)


def test_a_class_can_be_given_by_index_or_name(residual: us.Network) -> None:
    assert find_class(residual, "label", "green") == find_class(residual, "label", 1) == 1
    assert [residual.class_name(index) for index in range(5)] == ["blue", "green", "red", "3", "4"]
    for expected, says in (
        (3, "0 to 2"),
        (-1, "0 to 2"),
        ("cat", "blue, green, red"),
        (1.5, "integer from 0 to 2"),
    ):
        with pytest.raises(InvalidArgument, match=f"label can't be {expected!r}.*{says}"):
            find_class(residual, "label", expected)  # type: ignore[arg-type]


def test_a_network_without_a_classifier_is_described_and_has_no_classes() -> None:
    network = us.Network(Maps(), size=SIZE)
    assert us.describe(network).layers[0].output_shape == (4, 30, 30)
    assert us.describe(network).title == "Maps: input 3 x 32 x 32"
    with pytest.raises(InvalidArgument, match="not a classifier"):
        network.classes  # noqa: B018
    assert us.Network(Functional(), size=SIZE).classes == CLASSES
