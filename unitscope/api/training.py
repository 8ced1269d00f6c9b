"""Training of a classifier on a folder of images."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from unitscope.api.arguments import choose_device, whole_number
from unitscope.api.images import ImageSet, SkippedImage, class_folders, report_skipped
from unitscope.api.network import LARGEST_SIZE, LEAST_SIZE, Network
from unitscope.api.progress import bar
from unitscope.arithmetic import exact_float32
from unitscope.data.images import Batch, ImageSource, Skipped, batches
from unitscope.description import input_defaults
from unitscope.drawing.curves import curves_figure, phase_curves
from unitscope.drawing.figures import NotebookFigure
from unitscope.errors import InvalidArgument, NoSuchFile
from unitscope.images.files import is_validation_image
from unitscope.images.splits import split_of
from unitscope.networks.build import build
from unitscope.networks.initialization import initialize
from unitscope.networks.weights import weights_writer
from unitscope.spelling import nfc
from unitscope.tables import as_html
from unitscope.training.loop import PhaseResult, Trainer
from unitscope.training.optimizers import is_frozen
from unitscope.training.recipes import Recipe, recipe_for

Root = str | os.PathLike[str]
TRAIN, VALIDATION = "train", ("val", "test")  # splits of a data set that is divided already
SUFFIX = ".safetensors"


@dataclass(eq=False, repr=False, match_args=False)
class Trained:
    """Result of ``train``.

    Attributes
    ----------
    network : Network
        Network with the weights of the epoch with the highest validation accuracy. Its ``class_names`` are those
        of the folders, unless the trained network had its own.
    epochs : list of dict
        Two records per epoch, from which pandas makes a data frame: ``epoch`` (from 1), ``phase`` ("train",
        "val"), ``loss`` (mean cross-entropy), ``accuracy`` and ``top5_accuracy`` (0 to 1), ``class_accuracy``
        (mean of the accuracies of the classes; None for "train"), ``gradient_norm`` (None for "val"),
        ``learning_rate``, ``images``, ``seconds``.
    best_epoch : int
        Epoch with the highest validation accuracy, from 1; of several the first.
    recipe : Recipe
        Hyperparameters of the run.
    skipped : list of SkippedImage
        Images that could not be read, as pairs (image, reason).
    """

    network: Network
    epochs: list[dict[str, Any]]
    best_epoch: int
    recipe: Recipe
    skipped: list[SkippedImage]

    def figure(self) -> NotebookFigure:
        """Draw loss and accuracy by epoch, as a matplotlib figure."""
        curves = phase_curves([SimpleNamespace(**row) for row in self.epochs])
        return curves_figure(f"{self.network.name}, best epoch {self.best_epoch}", {self.network.name: curves})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the weights of the best epoch to a .safetensors file, which ``load_network`` reads.

        Raises
        ------
        InvalidArgument
            the file name does not end in .safetensors.
        """
        if Path(path).suffix != SUFFIX:
            raise InvalidArgument(
                reason=f"path can't be {path}. Weights are saved as safetensors: {path}{SUFFIX}."
            )
        write = weights_writer(self.network.model.state_dict())
        with open(path, "wb") as file:
            write(file)

    def __repr__(self) -> str:
        return f"Trained({self._summary})"

    def _repr_html_(self) -> str:
        headings = ("epoch", "train loss", "train accuracy", "val loss", "val accuracy")
        rows = [
            (
                str(training["epoch"]),
                f"{training['loss']:.4f}",
                f"{training['accuracy']:.1%}",
                f"{validation['loss']:.4f}",
                f"{validation['accuracy']:.1%}",
            )
            for training, validation in zip(self.epochs[::2], self.epochs[1::2], strict=True)
        ]
        return as_html(self._summary, headings, rows, headings)

    @property
    def _summary(self) -> str:
        best = self.epochs[2 * self.best_epoch - 1]
        return f"{self.network.name}: validation accuracy {best['accuracy']:.1%} after epoch {self.best_epoch}"


def train(
    network: Network | str,
    images: Root | tuple[Root, Root],
    recipe: str | Recipe | None = None,
    *,
    size: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Trained:
    """Train a classifier.

    Parameters
    ----------
    network : Network or str
        A ``Network`` is trained from its current weights; it is copied and not modified. A network given by name
        (see ``load_network``) is trained from the recipe's initial weights and has as many classes as the images.
    images
        A folder with one subfolder of images per class; or a folder whose subfolders ``train`` and ``val`` (or
        ``test``, or other usual names such as ``Training`` and ``valid``) are such folders; or a pair (training
        folder, validation folder). If the data set is not divided, one image in five, chosen by a hash of its
        path, is used for validation.
    recipe : str or Recipe, optional
        zfnet, alexnet, zfnet-paper, zfnet-wide, cifar-cnn or resnet18; by default the recipe of the network's
        name, or zfnet: Adam 1e-3, batches of 128, flips, 50 epochs.
    size : int, optional
        Height and width of images in pixels, for a network given by name.
    seed : int
        Seed of initial weights, image order, flips, crops and dropout. Torch's global generator is restored at the
        end.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.
    **changes
        Fields of the recipe to override: ``epochs=8``, ``batch_size=32``, ``learning_rate=5e-4``,
        ``freeze=("layer1.*",)``. ``init`` also reinitializes a ``Network``, except for frozen parameters.

    Returns
    -------
    Trained
        ``network``, ``epochs``, ``figure()``, ``save(path)``.

    Raises
    ------
    NoSuchNetwork
        the network's name is not known.
    NoSuchFile
        a folder does not exist.
    InvalidRecipe
        the value of a recipe's field is not valid.
    InvalidArgument
        another argument is not valid, the images don't have the network's classes, or no image of a phase can be
        read.
    NotFinite
        the loss is NaN or infinite.
    """
    name = network.name if isinstance(network, Network) else str(network)
    chosen = _recipe(recipe, name, changes)
    seed, chosen_device = whole_number("seed", seed, 0, 2**63 - 1), choose_device(device)
    data = _classified(*split_images(images), network.class_names if isinstance(network, Network) else None)
    with torch.random.fork_rng([chosen_device] if chosen_device.type == "cuda" else []):
        torch.manual_seed(seed)
        start = _initial(network, data, chosen, size, reinitialize="init" in changes)
        run = _Run(start, data, chosen, seed, chosen_device)
        images_seen = chosen.epochs * (len(data.training) + len(data.validation))
        with exact_float32(chosen_device), bar("train", images_seen, "images", progress) as shown:
            while run.trainer.epoch < chosen.epochs:
                run.run_epoch(shown.update)
    skipped = report_skipped(run.skipped, len(data.training) + len(data.validation), stacklevel=2)
    return Trained(run.best_network(), run.rows, run.best_epoch, chosen, skipped)


def _recipe(recipe: str | Recipe | None, network: str, changes: dict[str, Any]) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe_for(None, None, {**recipe.model_dump(), **changes})[2]
    return recipe_for(recipe, network, changes)[2]


@dataclass(frozen=True)
class _Data:
    """Training and validation images, whose labels are indices in ``class_names``."""

    training: list[ImageSource]
    validation: list[ImageSource]
    class_names: tuple[str, ...]


def split_images(images: Root | tuple[Root, Root]) -> tuple[ImageSet, ImageSet]:
    """Collect training and validation images, and divide them if they are not divided already."""
    if not isinstance(images, (str, os.PathLike)):
        pair = list(images)
        if len(pair) != 2:
            raise InvalidArgument(reason=f"images must be a folder or a pair of folders, not {len(pair)} of them.")
        return class_folders(_folder(pair[0])), class_folders(_folder(pair[1]))
    root = _folder(images)
    folders = sorted(root.iterdir(), key=lambda path: (path.name in (TRAIN, *VALIDATION), path.name))
    named = [(split, path) for path in folders if path.is_dir() and (split := split_of(path.name))]
    splits = dict(named)
    divided = [splits[name] for name in VALIDATION if name in splits]
    if divided and TRAIN in splits and any(inner.is_dir() for inner in splits[TRAIN].iterdir()):
        if len(named) > len(splits):
            names = ", ".join(path.name for _, path in named)
            reason = f"{root} has several folders for one split ({names}). Give a pair of folders."
            raise InvalidArgument(reason=reason)
        return class_folders(splits[TRAIN]), class_folders(divided[0])
    together = class_folders(root)
    parts: tuple[list[ImageSource], list[ImageSource]] = ([], [])
    for source in together.sources:
        parts[is_validation_image(source.path.relative_to(root).as_posix())].append(source)
    if not all(parts):
        reason = f"{root} has too few images to use one in five for validation. Give a pair of folders."
        raise InvalidArgument(reason=reason)
    return ImageSet(parts[0], together.class_names), ImageSet(parts[1], together.class_names)


def _folder(root: Root) -> Path:
    if not Path(root).is_dir():
        raise NoSuchFile(path=root)
    return Path(root)


def _classified(training: ImageSet, validation: ImageSet, known: tuple[str, ...] | None) -> _Data:
    """Relabel the images by the network's class names, or by those of the training folders if it has none."""
    if len(training.class_names) < 2:
        reason = "Training needs at least two classes: give a folder with one subfolder of images per class."
        raise InvalidArgument(reason=reason)
    names = tuple(map(nfc, known or training.class_names))
    for images, owner, verb in (
        (training, "the network", "does"),
        (validation, "the network", "does") if known else (validation, "the training images", "do"),
    ):
        if unknown := [name for name in images.class_names if name not in names]:
            some = ", ".join(unknown[:5])
            raise InvalidArgument(reason=f"Images have classes that {owner} {verb} not have: {some}.")
    return _Data(_relabelled(training, names), _relabelled(validation, names), names)


def _relabelled(images: ImageSet, names: Sequence[str]) -> list[ImageSource]:
    labels = [names.index(name) for name in images.class_names]
    return [replace(source, label=labels[source.label]) for source in images.sources]


def _initial(
    network: Network | str, data: _Data, recipe: Recipe, size: int | None, *, reinitialize: bool
) -> Network:
    """Return the network to train, with its weights initialized again if ``reinitialize``."""
    if isinstance(network, Network):
        if size is not None:
            raise InvalidArgument(reason="size can't be set for a Network, which has its own. Leave it out.")
        if network.classes < (count := len(data.class_names)):
            reason = f"{network.name} has {network.classes} classes, but the images have {count}."
            raise InvalidArgument(reason=f"{reason} Load it with at least {count} classes.")
        if not any(parameter.requires_grad for parameter in network.model.parameters()):
            raise InvalidArgument(
                reason=f"No parameter of {network.name} requires a gradient: set requires_grad of those to train."
            )
        start = Network(
            network.model,
            size=network.size,
            mean=network.mean,
            std=network.std,
            class_names=network.class_names or data.class_names,
            name=network.name,
        )
        if reinitialize:
            names = start.model.named_parameters()
            initialize(start.model, recipe.init, {name for name, p in names if is_frozen(name, p, recipe)})
        return start
    pixels = input_defaults(network).size if size is None else whole_number("size", size, LEAST_SIZE, LARGEST_SIZE)
    model = build(network, len(data.class_names), pixels)
    initialize(model, recipe.init)
    return Network(model, size=pixels, class_names=data.class_names, name=network)


class _Run:
    """State of a training run, with its records and the best weights so far."""

    def __init__(self, start: Network, data: _Data, recipe: Recipe, seed: int, device: torch.device) -> None:
        self.start, self.data, self.recipe = start, data, recipe
        model = copy.deepcopy(start.model)
        self.trainer = Trainer(model, recipe, seed, device, mean=start.mean, std=start.std)
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[Skipped] = []
        self.best_epoch, self.best_accuracy = 0, -1.0
        self.best: dict[str, torch.Tensor] = {}

    def run_epoch(self, progress: Callable[[int], None]) -> None:
        """Train and validate for one epoch."""
        trainer, rate = self.trainer, self.trainer.learning_rate
        training = trainer.train(self._batches(trainer.order(self.data.training)), progress)
        validation = trainer.validate(self._batches(self.data.validation), progress)
        trainer.end_epoch(validation)
        self.rows += [_row(trainer.epoch, "train", training, rate), _row(trainer.epoch, "val", validation, rate)]
        if validation.accuracy > self.best_accuracy:
            self.best_epoch, self.best_accuracy = trainer.epoch, validation.accuracy
            self.best = {name: tensor.cpu().clone() for name, tensor in trainer.model.state_dict().items()}

    def best_network(self) -> Network:
        """Return the network with the weights of the best epoch."""
        start = self.start
        start.model.load_state_dict(self.best)
        return start

    def _batches(self, sources: Sequence[ImageSource]) -> Iterator[Batch]:
        """Iterate over the batches of a phase; raises ``InvalidArgument`` if no image can be read."""
        skipped: list[Skipped] = []
        yield from batches(sources, self.recipe.batch_size, self.start.size, skipped=skipped)
        if len(skipped) == len(sources):
            report_skipped(skipped, len(sources), stacklevel=1)  # raises
        self.skipped += skipped


def _row(epoch: int, phase: str, result: PhaseResult, learning_rate: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "phase": phase,
        "loss": result.loss,
        "accuracy": result.accuracy,
        "top5_accuracy": result.top5,
        "class_accuracy": result.class_accuracy,
        "gradient_norm": result.gradient_norm,
        "learning_rate": learning_rate,
        "images": result.images,
        "seconds": result.seconds,
    }
