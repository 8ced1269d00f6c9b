"""Every classification network of torchvision: description, published weights, and the search of a layer.

All networks are built and run without memory for their weights: the largest have 2.5 GB. One small network of each
family is described, and its weights are saved, loaded and used, since the others differ in the number and width of
layers only.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

import unitscope as us
from shared.store.store import Store
from tests.integration.cli.helpers import Home
from tests.wild.generators.networks import CLASSES, as_published, published_network
from unitscope.description import NetworkSpecification, default_classes, input_defaults
from unitscope.errors import UnsupportedSize
from unitscope.networks.build import build
from unitscope.networks.checkpoints import Checkpoint, StateDict
from unitscope.networks.names import fit
from unitscope.networks.unallocated import Unallocated, meta_copy
from unitscope.networks.weights import load_weights, read_weights
from worker.programs.describe import describe, take_weights

NAMES = models.list_models(module=models)
# A small network of each family, and a size at which it is quick; AlexNet and VGG are searched in other tests.
SEARCHED = {
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "googlenet": 32,
    "inception_v3": 75,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_y_400mf": 32,
    "resnet18": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 32,
    "swin_v2_t": 32,
    "vit_b_32": 224,
}


# A small network of each family, networks with blocks that it does not have, and the largest.
DESCRIBED = (
    *SEARCHED,
    *("alexnet", "vgg11", "vgg11_bn", "squeezenet1_0", "resnext50_32x4d", "regnet_x_400mf", "efficientnet_v2_s"),
    *("mobilenet_v3_large", "vit_h_14"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_takes_images_of_its_size_and_its_published_names_fit(name: str) -> None:
    size = input_defaults(name).size
    with Unallocated():
        model = build(name, CLASSES, size)
        published = as_published(name, published_network(name))
    with torch.inference_mode():
        assert meta_copy(model).eval()(torch.empty(1, 3, size, size, device="meta")).shape == (1, CLASSES)
    versions = {path: local["version"] for path, local in getattr(published, "_metadata", {}).items() if local}
    fitted = fit(Checkpoint(Path("x.pth"), {"": StateDict(dict(published), versions)}), model, name)
    expected = {path: tensor.shape for path, tensor in model.state_dict().items()}
    assert {path: tensor.shape for path, tensor in fitted.weights.items()} == expected
    assert bool(fitted.notes) == (name in ("googlenet", "inception_v3"))


@pytest.mark.parametrize("name", DESCRIBED)
def test_networks_of_every_family_are_described(name: str) -> None:
    size = input_defaults(name).size
    description = describe(NetworkSpecification(name=name, classes=CLASSES, image_size=size))
    assert description.layers[-1].output_shape == (CLASSES,) or name.startswith("squeezenet")
    assert description.convolutions()


@pytest.mark.parametrize("name", SEARCHED)
def test_published_weights_are_loaded_and_a_layer_is_searched(name: str, tmp_path: Path) -> None:
    reference, file, size = published_network(name), tmp_path / "published.pth", SEARCHED[name]
    torch.save(as_published(name, reference), file)
    network = us.load_network(name, file, size=size, classes=CLASSES)
    file.unlink()  # pytest keeps the folder
    photo = torch.randint(0, 256, (size, size, 3), dtype=torch.uint8)
    mean, std = torch.tensor(network.mean), torch.tensor(network.std)
    images = ((photo / 255 - mean) / std).permute(2, 0, 1)[None]
    layer = network.description.convolutions()[0]
    maps: list[torch.Tensor] = []
    reference.get_submodule(layer.path).register_forward_hook(lambda _, __, output: maps.append(output.clone()))
    with torch.inference_mode():
        torch.testing.assert_close(network.model(images), reference(images), rtol=1e-3, atol=1e-4)
    result = us.top9(network, layer.path, [photo.numpy()], units=[0, 1], projection=None)
    torch.testing.assert_close(torch.from_numpy(result.maxima), maps[0][:, :2].amax((2, 3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mnasnet0_5", "densenet121", "googlenet"])
def test_workers_load_what_was_stored_of_published_weights(name: str, tmp_path: Path) -> None:
    reference = published_network(name)
    torch.save(as_published(name, reference), tmp_path / "w.pth")
    specification = NetworkSpecification(name=name, classes=CLASSES, image_size=64)
    store = Store(tmp_path / "store")
    stored = store.locate(take_weights(specification, tmp_path / "w.pth", store)["path"])
    model, own = build(name, CLASSES, 64), reference.state_dict()
    load_weights(model, read_weights(stored), name, stored)
    assert all(torch.equal(tensor, own[key]) for key, tensor in model.state_dict().items())


# --- the size of images ---

SIZES = {
    ("vit_b_16", 64): "it is made for images of 224 pixels",
    ("vit_b_16", 448): "it is made for images of 224 pixels",
    ("maxvit_t", 64): "it is made for images of 224 pixels",
    ("inception_v3", 32): "the smallest size that works is 75",
    ("alexnet", 32): "the smallest size that works is 63",
    ("vgg11", 31): "the smallest size that works is 32",
    ("zfnet", 32): "the smallest size that works is 55",
    ("zfnet-paper", 16): "the smallest size that works is 53",
}


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_a_size_that_can_not_be_processed_is_refused_with_those_that_work(name: str, size: int) -> None:
    with pytest.raises(UnsupportedSize) as error:
        describe(NetworkSpecification(name=name, classes=CLASSES, image_size=size))
    assert f"{name} can't process images of {size} pixels: {SIZES[name, size]}." in str(error.value)
    works = int(SIZES[name, size].removesuffix(" pixels").rpartition(" ")[2])
    describe(NetworkSpecification(name=name, classes=CLASSES, image_size=works))
    if "smallest" in SIZES[name, size]:
        with pytest.raises(UnsupportedSize):
            describe(NetworkSpecification(name=name, classes=CLASSES, image_size=works - 1))


def test_the_command_line_names_a_size_that_works(home: Home) -> None:
    home.refused("network", "show", "vit_b_16", "--size", "64", code=2, says=("224 pixels", "Option: --size."))


def test_the_default_number_of_classes_is_that_of_the_recipe(home: Home) -> None:
    assert "cifar-cnn: 10 classes" in home("network", "show", "cifar-cnn").stdout
    assert default_classes("squeezenet1_1") == 1000
