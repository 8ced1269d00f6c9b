"""Training recipes: how a network learns, as presets that can be named, printed and overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unitscope.errors import InvalidArgument, InvalidRecipe
from unitscope.vocabulary import Initialization, Optimizer, Precision, Schedule

Rate = Annotated[float, Field(gt=0, le=10)]


class Recipe(BaseModel):
    """The defaults are those of the published replications on VOC crops: Adam 1e-3, StepLR 15 x 0.1, batch 128,
    horizontal flips, 50 epochs, cross-entropy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=50, ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=1, le=4096)
    optimizer: Optimizer = "adam"
    learning_rate: Rate = 1e-3
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    schedule: Schedule = Field(default="step", description="plateau: a drop when the validation error stalls")
    lr_step: int = Field(default=15, ge=1, description="step: epochs between two drops")
    lr_gamma: float = Field(default=0.1, gt=0, le=1, description="step, plateau: factor of a drop")
    patience: int = Field(default=5, ge=0, description="plateau: epochs without a better one before a drop")
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")
    crop_padding: int = Field(default=0, ge=0, le=64, description="random crop: pixels padded on every side")
    init: Initialization = Field(
        default="default",
        description="initial weights: PyTorch's, He et al. 2015's, these with a tenth of it in the first layer, "
        "or the paper's normal 1e-2",
    )
    filter_rms: float | None = Field(
        default=None,
        gt=0,
        description="filters of convolutions with a larger RMS are scaled back to it after each step (paper, "
        "section 3); it is meant for pixels in [-128, 128], and scaled for the first layer if they lie otherwise",
    )
    precision: Precision = Field(
        default="auto", description="mixed: bfloat16 where it is safe; auto: mixed on a GPU, float32 on a CPU"
    )
    freeze: tuple[str, ...] = Field(
        default=(), description="modules or parameters that don't learn: layer1.*, conv1 (patterns as of a shell)"
    )
    rates: dict[str, Rate] = Field(
        default_factory=dict, description="learning rates of their own, by the same patterns; the first that fits"
    )


class Preset(NamedTuple):
    """A recipe and the network it is for."""

    network: str
    recipe: Recipe
    about: str


_PAPER = Recipe(epochs=70, optimizer="sgd", learning_rate=1e-2, schedule="plateau", init="paper", filter_rms=0.1)

PRESETS: dict[str, Preset] = {
    "zfnet": Preset("zfnet", Recipe(), "ZFNet of the replications on VOC crops"),
    "alexnet": Preset("alexnet", Recipe(), "AlexNet of the replications on VOC crops"),
    "zfnet-paper": Preset("zfnet-paper", _PAPER, "the paper's own: SGD, plateau, filters scaled back to RMS 0.1"),
    "zfnet-wide": Preset("zfnet-wide", _PAPER, "the same with 512, 1024, 512 maps in layers 3 to 5"),
    "cifar-cnn": Preset(
        "cifar-cnn",
        Recipe(epochs=20, learning_rate=1e-4, schedule="constant", crop_padding=4),
        "CifarCNN on CIFAR-10",
    ),
    "resnet18": Preset(
        "resnet18",
        Recipe(epochs=25, optimizer="sgd", learning_rate=1e-3, lr_step=7),
        "a new head on ResNet-18, which begins with given weights",
    ),
}


def recipe_for(name: str | None, network: str | None, changes: Mapping[str, Any]) -> tuple[str, str, Recipe]:
    """The names of a recipe and of its network, and the recipe with ``changes`` to its fields.

    Without ``name`` it is the preset of the network, or the replications' for a network that has none.

    Raises
    ------
    InvalidArgument
        there is no such preset or field, or a value is wrong.
    """
    chosen = name or (network if network in PRESETS else "zfnet")
    if chosen not in PRESETS:
        raise InvalidArgument(reason=f"There is no recipe '{chosen}'. Recipes: {', '.join(PRESETS)}.")
    preset = PRESETS[chosen]
    try:
        recipe = Recipe.model_validate({**preset.recipe.model_dump(), **changes})
    except ValidationError as error:
        raise _first_mistake(error, changes) from error
    return chosen, network or preset.network, recipe


def _first_mistake(error: ValidationError, changes: Mapping[str, Any]) -> InvalidArgument:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return InvalidArgument(reason=f"A recipe has no '{name}'. It has: {', '.join(Recipe.model_fields)}.")
    return InvalidRecipe(field=name, value=changes.get(name), reason=first["msg"])
