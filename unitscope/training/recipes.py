"""Training recipes: hyperparameters, and presets of them for the published networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unitscope.errors import InvalidArgument, InvalidRecipe
from unitscope.vocabulary import Initialization, Optimizer, Precision, Schedule

Rate = Annotated[float, Field(gt=0, le=10)]


class Recipe(BaseModel):
    """Hyperparameters of a training run.

    The defaults are those of the published replications on VOC crops: Adam 1e-3, StepLR 15 x 0.1, batch 128,
    horizontal flips, 50 epochs, cross-entropy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=50, ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=1, le=4096)
    optimizer: Optimizer = "adam"
    learning_rate: Rate = 1e-3
    momentum: float = Field(default=0.9, ge=0, lt=1, description="sgd only")
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    schedule: Schedule = Field(
        default="step", description="plateau: reduce the rate when the validation accuracy stops improving"
    )
    lr_step: int = Field(default=15, ge=1, description="step: epochs between two reductions of the rate")
    lr_gamma: float = Field(default=0.1, gt=0, le=1, description="step, plateau: factor of a reduction")
    patience: int = Field(
        default=5, ge=0, description="plateau: epochs without improvement before the rate is reduced"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")
    crop_padding: int = Field(
        default=0, ge=0, le=64, description="random crop: pixels of padding on every side; 0: no random crop"
    )
    init: Initialization = Field(
        default="default",
        description="initial weights. default: the network's own; he: He et al. 2015; he-quiet: he, with the "
        "first layer scaled by 0.1; paper: normal with standard deviation 1e-2",
    )
    filter_rms: float | None = Field(
        default=None,
        gt=0,
        description="largest RMS of a convolution's filter: larger ones are scaled down after each step (paper, "
        "section 3). Meant for inputs from -128 to 128; for other ranges the first layer's bound is scaled",
    )
    precision: Precision = Field(
        default="auto",
        description="mixed: torch.autocast with bfloat16; auto: mixed on a GPU with bfloat16, else float32",
    )
    freeze: tuple[str, ...] = Field(
        default=(), description="modules or parameters to freeze, as shell patterns: layer1.*, conv1"
    )
    rates: dict[str, Rate] = Field(
        default_factory=dict,
        description="learning rates of modules or parameters, by shell pattern; the first match is used",
    )


class Preset(NamedTuple):
    """A recipe with its network and a one-line description."""

    network: str
    recipe: Recipe
    about: str
    head: int | None = None  # outputs of the network's own head, if a linear layer is put on top of it


_PAPER = Recipe(epochs=70, optimizer="sgd", learning_rate=1e-2, schedule="plateau", init="paper", filter_rms=0.1)

PRESETS: dict[str, Preset] = {
    "zfnet": Preset("zfnet", Recipe(), "ZFNet of the replications on VOC crops"),
    "alexnet": Preset("alexnet", Recipe(), "AlexNet of the replications on VOC crops"),
    "zfnet-paper": Preset("zfnet-paper", _PAPER, "the paper's recipe: SGD, plateau, RMS of filters at most 0.1"),
    "zfnet-wide": Preset("zfnet-wide", _PAPER, "the paper's recipe, with 512, 1024, 512 maps in layers 3 to 5"),
    "cifar-cnn": Preset(
        "cifar-cnn",
        Recipe(epochs=20, learning_rate=1e-4, schedule="constant", crop_padding=4),
        "CifarCNN on CIFAR-10",
    ),
    "resnet18": Preset(
        "resnet18",
        Recipe(epochs=25, optimizer="sgd", learning_rate=1e-3, lr_step=7),
        "fine-tuning of ResNet-18: a new head on given weights",
    ),
    "resnet18-top": Preset(
        "resnet18",
        Recipe(
            epochs=25,
            optimizer="sgd",
            learning_rate=1e-3,
            lr_step=7,
            freeze=("bn1", "layer*", "fc"),
            rates={"conv1": 1e-3},
        ),
        "ResNet-18 with a linear layer on top of its head: only that layer and conv1 are trained",
        head=1000,
    ),
}


def recipe_for(name: str | None, network: str | None, changes: Mapping[str, Any]) -> tuple[str, str, Recipe]:
    """Return the name of a preset, the name of its network, and the recipe with ``changes`` applied to its fields.

    If ``name`` is None, the preset is the network's own, or ``zfnet`` for a network that has none.

    Raises
    ------
    InvalidArgument
        the preset or a field does not exist.
    InvalidRecipe
        the value of a field is not valid.
    """
    chosen = name or (network if network in PRESETS else "zfnet")
    if chosen not in PRESETS:
        raise InvalidArgument(reason=f"Recipe '{chosen}' does not exist. Recipes: {', '.join(PRESETS)}.")
    preset = PRESETS[chosen]
    try:
        recipe = Recipe.model_validate({**preset.recipe.model_dump(), **changes})
    except ValidationError as error:
        raise _first_error(error, changes) from error
    return chosen, network or preset.network, recipe


def _first_error(error: ValidationError, changes: Mapping[str, Any]) -> InvalidArgument:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return InvalidArgument(reason=f"A recipe has no field '{name}'. Fields: {', '.join(Recipe.model_fields)}.")
    return InvalidRecipe(field=name, value=changes.get(name), reason=first["msg"])
