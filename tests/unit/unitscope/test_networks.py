"""Networks: sizes, layer names, ablations, and descriptions without allocation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from producer.networks.specification import network_specification
from shared.errors import UsageError
from shared.store.store import Store
from unitscope.description import NetworkDescription, NetworkSpecification, input_defaults
from unitscope.errors import InvalidArgument, NoSuchLayer, NoSuchNetwork
from unitscope.networks import build as networks
from unitscope.networks.build import layer_names
from worker.networks.build import build_network
from worker.programs.describe import describe

REMOVABLE = ("conv3", "conv4", "conv5", "fc6", "fc7")


def described(name: str, classes: int = 10, **options: Any) -> NetworkDescription:
    return describe(network_specification(name, classes, **options))


def weighted(description: NetworkDescription) -> dict[str, tuple[int, ...]]:
    """Return the output shapes of the layers that have a name."""
    return {layer.name: layer.output_shape for layer in description.layers if layer.name}


def test_cifar_cnn_has_the_published_size() -> None:
    model = networks.build("cifar-cnn", 10, 32)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 5_852_170
    assert model.training
    counts = [buffer for name, buffer in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts
    assert not any(counts)  # building it runs no batch
    found = described("cifar-cnn")
    assert found.parameters == 5_852_170
    assert f"{found.bytes / 2**20:.2f}" == "22.33"


def test_cifar_cnn_layer_by_layer() -> None:
    description = described("cifar-cnn")
    assert description.chain
    assert weighted(description) == {
        "conv1": (32, 32, 32), "conv2": (64, 32, 32), "conv3": (128, 16, 16), "conv4": (128, 16, 16),
        "conv5": (256, 8, 8), "conv6": (256, 8, 8), "fc7": (1024,), "fc8": (512,), "fc9": (10,),
    }  # fmt: skip
    assert [layer.receptive_field for layer in description.convolutions()] == [3, 5, 10, 14, 24, 32]
    kinds = [type(module) for module in networks.build("cifar-cnn", 10, 32).features]
    normalized = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert kinds == [*normalized, *normalized, nn.Dropout2d, *normalized]


def test_the_wide_network_is_the_papers_with_more_maps() -> None:
    wide, paper = described("zfnet-wide"), described("zfnet-paper", maps=(512, 1024, 512))
    assert wide.layers == paper.layers
    assert [layer.units for layer in wide.convolutions()] == [96, 256, 512, 1024, 512]
    assert [layer.receptive_field for layer in wide.convolutions()] == [7, 27, 75, 107, 139]


def test_maps_and_width_can_be_set() -> None:
    found = weighted(described("zfnet", maps=(5, 6, 7), fc=11))
    assert [found[name][0] for name in found] == [64, 192, 5, 6, 7, 11, 11, 10]


@pytest.mark.parametrize("name", ["zfnet", "zfnet-paper", "zfnet-wide"])
@pytest.mark.parametrize(
    "without",
    [
        ("conv3", "conv4"),
        ("fc7",),
        ("fc6",),
        ("fc6", "fc7"),
        ("conv3", "conv4", "fc6", "fc7"),
        ("conv5",),
        REMOVABLE,
    ],
    ids=",".join,
)
def test_layers_keep_their_names_when_others_are_left_out(name: str, without: tuple[str, ...]) -> None:
    """Their output shapes stay the same, too."""
    whole, cut = described(name, fc=16), described(name, fc=16, without=without)
    shapes = weighted(whole)
    assert list(weighted(cut)) == [layer for layer in shapes if layer not in without]
    assert all(shape == shapes[layer] for layer, shape in weighted(cut).items())
    pools = [layer for layer in cut.layers if layer.kind == "MaxPool2d"]
    assert len(pools) == 3
    assert pools[-1].output_shape[1:] == (6, 6)
    if "conv5" not in without:
        assert cut.find_convolution("conv5") == cut.convolutions()[-1]
    if {"fc6", "fc7"} <= set(without):
        assert not [layer for layer in cut.layers if layer.kind == "Dropout"]


def test_an_ablated_network_runs_and_its_names_match_its_modules() -> None:
    specification = NetworkSpecification(
        name="zfnet-paper", classes=3, image_size=64, fc=8, maps=(4, 5, 6), without=("fc6", "conv4")
    )
    model = build_network(specification, Store(Path())).eval()
    names = layer_names(model)
    assert list(names.values()) == ["conv1", "conv2", "conv3", "conv5", "fc7", "fc8"]
    sizes = {name: model.get_submodule(path).weight.shape[:2] for path, name in names.items()}
    assert (sizes["conv3"], sizes["conv5"]) == ((4, 256), (6, 4))
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)


def test_a_number_refers_to_the_name_not_to_the_index() -> None:
    cut = described("zfnet", without=("conv3", "conv4"))
    assert [cut.find_convolution(layer).name for layer in ("1", "2", "5")] == ["conv1", "conv2", "conv5"]
    for layer in ("3", "6", "conv4"):
        with pytest.raises(NoSuchLayer, match=f"'{layer}'.*conv1 .*conv2 .*conv5"):
            cut.find_convolution(layer)
    assert described("vgg11_bn").find_convolution("3").path == "features.8"  # a network without names


def test_a_specification_sorts_layers_and_removes_duplicates() -> None:
    first, second = (
        network_specification("zfnet", 10, without=without)
        for without in (["conv4", "conv3", "conv4"], ["conv3", "conv4"])
    )
    assert first.without == ("conv3", "conv4")
    assert first.key() == second.key() != network_specification("zfnet", 10).key()
    assert NetworkSpecification.model_validate_json(first.model_dump_json()) == first


WRONG: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "fc": (
        "cifar-cnn",
        {"fc": 16},
        "cifar-cnn has no option fc. Networks that have it: zfnet, zfnet-paper, zfnet-wide",
    ),
    "maps": (
        "resnet18",
        {"maps": (1, 2, 3)},
        "resnet18 has no option maps. Networks that have it: zfnet, zfnet-paper, zfnet-wide",
    ),
    "without": (
        "alexnet",
        {"without": ("conv3",)},
        "alexnet has no option without. Networks that have it: zfnet, ",
    ),
    "layer": ("zfnet", {"without": ("conv3", "conv9")}, "'conv9' .* conv3, conv4, conv5, fc6, fc7"),
    "first layer": ("zfnet-wide", {"without": ("conv1",)}, "'conv1' .* conv3, conv4, conv5, fc6, fc7"),
    "size": ("cifar-cnn", {"size": 16, "maps": (1, 1, 1)}, "cifar-cnn has no option maps"),
    "too small": ("zfnet-paper", {"size": 33}, "zfnet-paper can't process images of 33 pixels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_options_are_named(case: str) -> None:
    name, options, message = WRONG[case]
    with pytest.raises((InvalidArgument, UsageError), match=message):
        described(name, **options)


def test_an_unknown_network_is_unknown_whatever_its_options() -> None:
    with pytest.raises(NoSuchNetwork, match="zfnet-paper"):
        described("zfnetpaper", fc=16)


@pytest.mark.parametrize("maps", [(0, 1, 1), (1, 1), (1, 1, 1, 1), (1, 1, 10**6)])
def test_invalid_maps_are_refused(maps: Any) -> None:
    with pytest.raises(ValidationError):
        network_specification("zfnet", 10, maps=maps)


# RegNet computes its widths with tensors; googlenet and inception_v3 draw truncated normal weights.
@pytest.mark.parametrize(
    "name",
    ["zfnet", "zfnet-paper", "cifar-cnn", "alexnet", "resnet18", "vgg11_bn", "inception_v3", "googlenet",
     "regnet_y_400mf", "convnext_tiny", "swin_t", "vit_b_16"],
)  # fmt: skip
def test_a_description_counts_the_parameters_of_the_network(name: str) -> None:
    """It is computed without allocating them."""
    specification = network_specification(name, 10)
    found, model = describe(specification), build_network(specification, Store(Path()))
    tensors = [*model.parameters(), *model.buffers()]
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.bytes == sum(t.numel() * t.element_size() for t in tensors)
    assert not any(t.is_meta for t in tensors)


def test_a_network_too_large_for_memory_can_be_described() -> None:
    assert described("zfnet", maps=(65_536, 65_536, 65_536)).bytes > 2**37


def test_inputs_are_those_of_the_recipes() -> None:
    assert input_defaults("cifar-cnn") == (32, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert input_defaults("resnet18") == (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for name, size in (("zfnet", 227), ("alexnet", 227), ("inception_v3", 299)):
        assert input_defaults(name) == (size, (0.5,) * 3, (0.5,) * 3)
    for name in ("zfnet-paper", "zfnet-wide"):
        size, mean, std = input_defaults(name)
        assert size == 224
        assert [(pixel - mean[0]) / std[0] for pixel in (0, 0.5, 1)] == [-128, 0, 128]
    specification = network_specification("cifar-cnn", 10, size=64)
    assert (specification.image_size, specification.std) == (64, (0.2023, 0.1994, 0.2010))


def test_a_zfnet_is_searched_without_torchvision() -> None:
    """Importing it takes longer than importing torch, in every worker process and at every submit."""
    code = (
        "import sys, worker.kinds.top9.search, worker.kinds.top9.project, worker.programs.describe\n"
        "from unitscope.networks import build as networks\n"
        "networks.layer_names(networks.build('zfnet', 20, 64, fc=16))\n"
        "sys.exit('torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
