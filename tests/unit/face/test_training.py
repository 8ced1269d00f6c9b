"""``us.train``: results equal those of the underlying trainer, epoch by epoch."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib.figure
import pytest
import torch
from torch import nn

import unitscope as us
from tests.unit.face.networks import SIZE, Residual, trained_looking
from unitscope.data.images import ImageSource, batches
from unitscope.description import input_defaults
from unitscope.errors import InvalidArgument, InvalidRecipe, NoSuchFile, NoSuchNetwork, NotFinite
from unitscope.images.files import is_validation_image
from unitscope.networks.build import build
from unitscope.networks.initialization import initialize
from unitscope.training.loop import Trainer

RECIPE = us.Recipe(epochs=3, batch_size=4, learning_rate=1e-2)


def divided(photos: Path, paths: list[Path]) -> tuple[list[ImageSource], list[ImageSource]]:
    parts: tuple[list[ImageSource], list[ImageSource]] = ([], [])
    for number, path in enumerate(paths):
        label = ["blue", "green", "red"].index(path.parent.name)
        parts[is_validation_image(path.relative_to(photos).as_posix())].append(ImageSource(number, path, label))
    return parts


def by_hand(
    trainer: Trainer, training: list[ImageSource], validation: list[ImageSource], size: int
) -> list[tuple[float, float, dict[str, torch.Tensor]]]:
    """Return training loss, validation accuracy and weights after each epoch, by the underlying trainer."""
    result = []
    for _ in range(trainer.recipe.epochs):
        learned = trainer.train(batches(trainer.order(training), trainer.recipe.batch_size, size))
        checked = trainer.validate(batches(validation, trainer.recipe.batch_size, size))
        trainer.end_epoch(checked)
        weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        result.append((learned.loss, checked.accuracy, weights))
    return result


def assert_weights(network: us.Network, expected: dict[str, torch.Tensor]) -> None:
    for name, tensor in network.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_training_a_network_equals_the_trainer(residual: us.Network, photos: Path, paths: list[Path]) -> None:
    before = copy.deepcopy(residual.model.state_dict())
    random = torch.get_rng_state()
    result = us.train(residual, photos, RECIPE, seed=7)
    assert torch.equal(torch.get_rng_state(), random)
    assert_weights(residual, before)
    assert not residual.model.training

    torch.manual_seed(7)
    trainer = Trainer(copy.deepcopy(residual.model), RECIPE, 7, mean=residual.mean, std=residual.std)
    expected = by_hand(trainer, *divided(photos, paths), SIZE)
    assert [row["loss"] for row in result.epochs if row["phase"] == "train"] == [loss for loss, _, _ in expected]
    accuracies = [accuracy for _, accuracy, _ in expected]
    assert [row["accuracy"] for row in result.epochs if row["phase"] == "val"] == accuracies
    assert result.best_epoch == accuracies.index(max(accuracies)) + 1
    assert_weights(result.network, expected[result.best_epoch - 1][2])
    assert not result.network.model.training
    assert (result.network.size, result.network.mean) == (residual.size, residual.mean)
    assert result.recipe == RECIPE


def test_a_network_by_name_starts_with_the_recipes_weights(photos: Path, paths: list[Path]) -> None:
    result = us.train("cifar-cnn", photos, epochs=1, batch_size=8, init="he", learning_rate=1e-3, seed=2)
    assert result.recipe.crop_padding == 4  # from the network's recipe
    torch.manual_seed(2)
    model = build("cifar-cnn", 3, 32)
    initialize(model, "he")
    _, mean, std = input_defaults("cifar-cnn")
    trainer = Trainer(model, result.recipe, 2, mean=mean, std=std)
    ((loss, _, weights),) = by_hand(trainer, *divided(photos, paths), 32)
    assert result.epochs[0]["loss"] == loss
    assert_weights(result.network, weights)
    assert (result.network.name, result.network.class_names) == ("cifar-cnn", ("blue", "green", "red"))


def test_a_network_learns_colours_and_can_be_saved(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    result = us.train(residual, photos, epochs=8, batch_size=4, learning_rate=1e-2)
    best = [row for row in result.epochs if row["phase"] == "val"][result.best_epoch - 1]
    assert best["accuracy"] > 0.8
    assert list(best) == [
        *(
            "epoch",
            "phase",
            "loss",
            "accuracy",
            "top5_accuracy",
            "class_accuracy",
            "gradient_norm",
            "learning_rate",
            "images",
            "seconds",
        )
    ]
    assert best["gradient_norm"] is None
    figure = result.figure()
    assert isinstance(figure, matplotlib.figure.Figure)
    losses = figure.get_axes()[0].get_lines()
    assert [list(line.get_xdata()) for line in losses] == [list(range(1, 9))] * 2
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + 8
    assert f"after epoch {result.best_epoch}" in html
    result.save(tmp_path / "w.safetensors")
    model = Residual()
    import safetensors.torch

    model.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"))
    assert_weights(result.network, model.state_dict())
    again = us.train(result.network, photos, epochs=1, learning_rate=1e-6)
    assert again.epochs[1]["accuracy"] == best["accuracy"]


def test_saved_weights_can_be_loaded_by_name(photos: Path, tmp_path: Path) -> None:
    result = us.train("cifar-cnn", photos, epochs=1, batch_size=8)
    result.save(tmp_path / "w.safetensors")
    loaded = us.load_network("cifar-cnn", tmp_path / "w.safetensors", class_names=result.network.class_names)
    assert_weights(loaded, result.network.model.state_dict())
    with pytest.raises(InvalidArgument, match=r"w\.pth\.safetensors"):
        result.save(tmp_path / "w.pth")


def test_folders_may_already_be_split(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    training, validation = tmp_path / "data" / "train", tmp_path / "data" / "val"
    for name in ("blue", "green", "red"):
        for root, numbers in ((training, range(6)), (validation, range(6, 8))):
            (root / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(photos / name / f"{number}.png", root / name)
    result = us.train(residual, tmp_path / "data", RECIPE)
    assert [row["images"] for row in result.epochs[:2]] == [18, 6]
    pair = us.train(residual, (str(training), validation), RECIPE)
    assert [row["loss"] for row in pair.epochs] == [row["loss"] for row in result.epochs]
    validation.rename(tmp_path / "data" / "test")
    other = us.train(residual, tmp_path / "data", RECIPE)
    assert [row["loss"] for row in other.epochs] == [row["loss"] for row in result.epochs]


def test_class_folders_are_matched_to_the_networks_class_names(photos: Path) -> None:
    """The network's names may have another order."""
    model = trained_looking(Residual())
    network = us.Network(model, size=SIZE, class_names=["red", "blue", "green"])
    result = us.train(network, photos, epochs=8, batch_size=4, learning_rate=1e-2)
    assert result.network.class_names == ("red", "blue", "green")
    image = photos / "red" / "0.png"
    assert us.occlude(result.network, image, patch=8).label == 0
    with pytest.raises(InvalidArgument, match="classes that the network does not have: blue, green"):
        us.train(us.Network(model, size=SIZE, class_names=["red", "b", "g"]), photos, RECIPE)


def test_frozen_parameters_do_not_change_and_can_be_trained_later(residual: us.Network, photos: Path) -> None:
    result = us.train(residual, photos, RECIPE, freeze=("stem", "norm"))
    assert torch.equal(result.network.model.stem.weight, residual.model.stem.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(result.network.model.head.weight, residual.model.head.weight)  # type: ignore[union-attr, arg-type]
    assert all(parameter.requires_grad for parameter in result.network.model.parameters())
    later = us.train(result.network, photos, RECIPE)
    assert not torch.equal(later.network.model.stem.weight, residual.model.stem.weight)  # type: ignore[union-attr, arg-type]


def test_init_reinitializes_the_weights(residual: us.Network, photos: Path) -> None:
    one, other = (us.train(residual, photos, RECIPE, **changes) for changes in ({}, {"init": "he"}))
    assert one.epochs[0]["loss"] != other.epochs[0]["loss"]
    assert other.epochs[0]["loss"] == us.train(residual, photos, RECIPE, init="he").epochs[0]["loss"]


def test_init_does_not_change_frozen_weights(residual: us.Network, photos: Path) -> None:
    result = us.train(residual, photos, RECIPE, init="he", freeze=("stem", "norm"))
    assert torch.equal(result.network.model.stem.weight, residual.model.stem.weight)  # type: ignore[union-attr, arg-type]


def test_unreadable_images_are_left_out_with_a_warning(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    (root / "red" / "broken.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 of 25 images can't be read .*broken\.png") as warned:
        result = us.train(residual, root, RECIPE)
    assert [Path(image).name for image, _ in result.skipped] == ["broken.png"]
    assert [warning.filename for warning in warned] == [__file__]
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InvalidArgument, match="None of the"):
        us.train(residual, root, RECIPE)


class Wide(nn.Module):
    """A network with only two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)))


WRONG: dict[str, tuple[Callable[[us.Network, Path], object], type[Exception], str]] = {
    "recipe": (lambda n, p: us.train(n, p, "zfnett"), InvalidArgument, "Recipe 'zfnett' does not exist"),
    "field": (lambda n, p: us.train(n, p, epoch=3), InvalidArgument, "no field 'epoch'"),
    "value": (
        lambda n, p: us.train(n, p, optimizer="lion"),
        InvalidRecipe,
        "The recipe's optimizer can't be 'lion'",
    ),
    "network": (lambda n, p: us.train("zfnett", p, epochs=1), NoSuchNetwork, "did you mean zfnet"),
    "folder": (lambda n, p: us.train(n, p / "no"), NoSuchFile, "no"),
    "one class": (lambda n, p: us.train(n, p / "red"), InvalidArgument, "at least two classes"),
    "three": (lambda n, p: us.train(n, [p, p, p]), InvalidArgument, "pair of folders, not 3"),  # type: ignore[arg-type]
    "size": (lambda n, p: us.train(n, p, size=64), InvalidArgument, "size can't be set for a Network"),
    "seed": (lambda n, p: us.train(n, p, seed=-1), InvalidArgument, "seed can't be -1"),
    "few classes": (
        lambda n, p: us.train(us.Network(Wide(), size=32), p),
        InvalidArgument,
        "has 2 classes, but the images have 3",
    ),
    "too small": (
        lambda n, p: us.train(us.Network(nn.Conv2d(3, 4, 17), size=16), p),
        InvalidArgument,
        "can't process images of 16 pixels",
    ),
    "frozen": (
        lambda n, p: us.train(us.Network(Residual().requires_grad_(False), size=32), p),
        InvalidArgument,
        "requires a gradient",
    ),
    "nothing fits": (
        lambda n, p: us.train(n, p, freeze=("layer9",)),
        InvalidArgument,
        "'layer9' matches no parameter",
    ),
    "explodes": (
        lambda n, p: us.train(n, p, optimizer="sgd", learning_rate=10, epochs=50),
        NotFinite,
        "loss of epoch",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_are_reported(case: str, residual: us.Network, photos: Path) -> None:
    call, error, says = WRONG[case]
    with pytest.raises(error, match=says):
        call(residual, photos)


def test_validation_images_of_other_classes_are_refused(
    residual: us.Network, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "val")
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "pink")
    network = us.Network(residual.model, size=SIZE)
    with pytest.raises(InvalidArgument, match="classes that the training images do not have: pink"):
        us.train(network, (photos, tmp_path / "val"), RECIPE)
