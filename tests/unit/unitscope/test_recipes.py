"""Recipes: published values, changes, and errors."""

from __future__ import annotations

from typing import Any

import pytest

from producer.kinds.train.request import parse_changes
from shared.errors import UsageError
from unitscope.errors import InvalidArgument
from unitscope.training.recipes import PRESETS, recipe_for


def test_defaults_are_those_of_the_replications() -> None:
    recipe = recipe_for(None, None, {})[2]
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-3, "step")
    assert (recipe.lr_step, recipe.lr_gamma, recipe.batch_size, recipe.epochs) == (15, 0.1, 128, 50)
    assert (recipe.flip, recipe.crop_padding) == (0.5, 0)


def test_the_paper_and_cifar_recipes_are_the_published_ones() -> None:
    paper = PRESETS["zfnet-paper"].recipe
    assert (paper.optimizer, paper.momentum, paper.learning_rate, paper.schedule) == ("sgd", 0.9, 1e-2, "plateau")
    assert (paper.batch_size, paper.epochs, paper.filter_rms, paper.init) == (128, 70, 0.1, "paper")
    cifar = PRESETS["cifar-cnn"].recipe
    assert (cifar.optimizer, cifar.learning_rate, cifar.batch_size, cifar.epochs) == ("adam", 1e-4, 128, 20)
    assert (cifar.crop_padding, cifar.flip, cifar.schedule) == (4, 0.5, "constant")


@pytest.mark.parametrize(
    ("recipe", "network", "expected"),
    [
        (None, None, ("zfnet", "zfnet")),
        (None, "alexnet", ("alexnet", "alexnet")),
        (None, "vgg11", ("zfnet", "vgg11")),
        ("zfnet-paper", None, ("zfnet-paper", "zfnet-paper")),
        ("resnet18", "resnet50", ("resnet18", "resnet50")),
    ],
)
def test_recipe_and_network_follow_from_each_other(
    recipe: str | None, network: str | None, expected: tuple[str, str]
) -> None:
    assert recipe_for(recipe, network, {})[:2] == expected


def test_changes_are_parsed_by_the_type_of_the_field() -> None:
    changes = parse_changes(["lr=0.01", "lr-step=7", "schedule=cosine", "filter_rms=0.2"])
    recipe = recipe_for("zfnet", None, changes)[2]
    assert (recipe.learning_rate, recipe.lr_step, recipe.schedule, recipe.filter_rms) == (0.01, 7, "cosine", 0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": "fast"}, "The recipe's learning_rate can't be 'fast'"),
        ({"learning_rate": "nan"}, "The recipe's learning_rate can't be 'nan'"),
        ({"epochs": "0"}, "The recipe's epochs can't be '0'"),
        ({"optimizer": "magic"}, "'adam', 'adamw' or 'sgd'"),
        ({"speed": "1"}, "no field 'speed'"),
        ({"rates": {"conv1": "-1"}}, "rates"),
    ],
)
def test_invalid_changes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        recipe_for(None, None, changes)


def test_an_unknown_recipe_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match=r"Recipe 'zfnett' does not exist.*zfnet-paper"):
        recipe_for("zfnett", None, {})


@pytest.mark.parametrize("setting", ["lr", "=1", "", "freeze=conv1", "rates=conv1"])
def test_a_malformed_setting_is_refused(setting: str) -> None:
    with pytest.raises(UsageError):
        parse_changes([setting])
