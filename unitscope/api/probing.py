"""Linear probes: how well the features of each layer separate the classes of images (paper, Table 7)."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import SkippedImage, report_skipped
from unitscope.api.network import Network, describe
from unitscope.api.progress import bar
from unitscope.api.training import split_images
from unitscope.arithmetic import exact_float32
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.data.subsets import Fold, Subsets, draw_subsets, smallest_class
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.probing import ProbePoint, probe_figure
from unitscope.errors import InvalidArgument
from unitscope.probing.classifiers import fit_probe
from unitscope.probing.features import BATCH, read_features
from unitscope.probing.layers import MAX_FEATURES, ProbedLayer, probed_layers
from unitscope.tables import as_html
from unitscope.vocabulary import CLASSIFIERS, POOLINGS, Classifier, Pooling

Root = str | os.PathLike[str]


@dataclass(frozen=True)
class ProbeTrial:
    """A classifier on the features of a layer, in one trial.

    Accuracies are 0 to 1: ``class_accuracy`` is the mean of the accuracies of the classes, ``chance`` that of a
    constant answer.
    """

    layer: str
    classifier: str
    trial: int
    features: int
    train_images: int
    test_images: int
    class_accuracy: float
    accuracy: float
    chance: float
    train_accuracy: float
    regularization: float


@dataclass(eq=False, repr=False, match_args=False)
class Probed:
    """Result of ``probe``.

    Attributes
    ----------
    trials : list of ProbeTrial
        A result for each layer, classifier and trial, by depth.
    layers : list of ProbedLayer
        The layers, with the module that was read and the grid to which maps were pooled.
    skipped : list of SkippedImage
        Images that could not be read, as pairs (image, reason).
    """

    trials: list[ProbeTrial]
    layers: list[ProbedLayer]
    skipped: list[SkippedImage]
    _title: str

    def rows(self) -> list[dict[str, Any]]:
        """Return the trials as dictionaries, from which pandas makes a data frame."""
        return [asdict(trial) for trial in self.trials]

    def figure(self) -> NotebookFigure:
        """Draw accuracy against depth, with a line at chance; bars are one standard deviation over the trials."""
        return probe_figure(self._title, self._points())

    def _points(self) -> list[ProbePoint]:
        points = []
        for (layer, classifier), group in groupby(self.trials, key=lambda trial: (trial.layer, trial.classifier)):
            trials = list(group)
            values = [trial.class_accuracy for trial in trials]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            chance = statistics.fmean(trial.chance for trial in trials)
            points.append(ProbePoint(classifier, layer, statistics.fmean(values), deviation, chance))
        return points

    def __repr__(self) -> str:
        return f"Probed({self._title}: {len(self.layers)} layers, {len(self.trials)} probes)"

    def _repr_html_(self) -> str:
        headings = ("layer", "classifier", "mean of per-class accuracy", "standard deviation")
        rows = [
            (
                point.layer,
                point.classifier,
                f"{point.accuracy:.1%}",
                "" if point.deviation is None else f"{point.deviation:.1%}",
            )
            for point in self._points()
        ]
        return as_html(self._title, headings, rows, headings[2:])


def probe(
    network: Network,
    images: Root | tuple[Root, Root],
    layers: Sequence[str | int] = (),
    *,
    classifiers: Sequence[Classifier] = CLASSIFIERS,
    folds: int | None = None,
    seeds: int = 1,
    per_class: int | None = None,
    test_per_class: int | None = None,
    pool: Pooling = "average",
    features: int = MAX_FEATURES,
    shuffle_labels: bool = False,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Probed:
    """Fit linear classifiers to the features of each layer (paper, Table 7).

    Features are the output of a layer after its activation function. They are standardized by the training images;
    the regularization is chosen on a fifth of the training images of each class.

    Parameters
    ----------
    network : Network
        The network, whose classes may be others than those of the images.
    images
        Training and test images, as in ``train``: a folder with a subfolder for each class, or with subfolders
        ``train`` and ``val``, or a pair (training folder, test folder).
    layers : sequence of str or int, optional
        Names, numbers, or module paths; by default all convolutions and hidden fully connected layers.
    classifiers : sequence of {"svm", "softmax"}
        Linear support vector machine, and softmax regression.
    folds : int, optional
        Divide all images into this many folds, each of which is the test set of one trial.
    seeds : int
        Number of trials without folds.
    per_class, test_per_class : int, optional
        Number of training images, and largest number of test images, of each class; by default all.
    pool : {"average", "max"}
        How maps with more than ``features`` values are reduced to a grid.
    features : int
        Largest number of features of a layer's maps.
    shuffle_labels : bool
        Permute the labels of the training images: a control, near chance.
    seed : int
        Seed of folds, drawn images, held-out images, and classifiers.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Probed
        ``rows()``, ``figure()``.

    Raises
    ------
    NoSuchModule, NoFeatures
        a layer does not exist, or its output can't be used.
    NoSuchFile
        a folder does not exist.
    InvalidArgument
        another argument is not valid, or a class has too few images.
    NotFinite
        a feature is NaN or infinite.
    """
    description = describe(network)
    for name in classifiers:
        check_choice("classifiers", name, CLASSIFIERS)
    check_choice("pool", pool, POOLINGS)
    chosen_device = choose_device(device)
    probed = probed_layers(description, [str(layer) for layer in layers], whole_number("features", features, 1))
    data = _Data.of(images)
    seed = whole_number("seed", seed, 0, 2**62 - 1)
    draws: list[tuple[Fold | None, int]]
    if folds is not None:
        numbers = range(1, whole_number("folds", folds, 2, 100) + 1)
        draws = [(Fold(number, folds), seed) for number in numbers]
    else:
        draws = [(None, seed + number) for number in range(whole_number("seeds", seeds, 1, 100))]
    trials = [data.draw(fold, drawn, per_class, test_per_class) for fold, drawn in draws]
    skipped: list[Skipped] = []
    with exact_float32(chosen_device), bar("probe", len(data.sources), "images", progress) as shown:
        read = read_features(
            network.on(chosen_device),
            probed,
            batches(data.sources, BATCH, network.size, pad=True, skipped=skipped),
            pool,
            chosen_device,
            shown.update,
            network.mean,
            network.std,
        )
    left_out = report_skipped(skipped, len(data.sources), stacklevel=2)
    place = {source.id: row for row, source in enumerate(read.sources)}
    labels = np.array([source.label for source in read.sources])
    results = []
    for layer, values in zip(probed, read.arrays, strict=True):
        for classifier in (name for name in CLASSIFIERS if name in classifiers):
            for number, (subsets, (_, drawn)) in enumerate(zip(trials, draws, strict=True), start=1):
                training, test = ([place[index] for index in part if index in place] for part in subsets)
                result = fit_probe(
                    values[training],
                    labels[training],
                    values[test],
                    labels[test],
                    classifier,
                    drawn,
                    shuffle_labels=shuffle_labels,
                )
                results.append(
                    ProbeTrial(
                        layer=layer.layer,
                        classifier=classifier,
                        trial=number,
                        features=layer.features,
                        train_images=len(training),
                        test_images=len(test),
                        class_accuracy=result.class_accuracy,
                        accuracy=result.accuracy,
                        chance=1 / len(np.unique(labels[test])),
                        train_accuracy=result.train_accuracy,
                        regularization=result.regularization,
                    )
                )
    return Probed(results, probed, left_out, f"{network.name}: linear probes by layer")


@dataclass(frozen=True)
class _Data:
    """Training and test images, whose ids are their indices, and the indices of each part."""

    sources: list[ImageSource]
    class_names: list[str]
    parts: Subsets

    @classmethod
    def of(cls, images: Root | tuple[Root, Root]) -> _Data:
        training, test = split_images(images)
        names = sorted({*training.class_names, *test.class_names})
        if len(names) < 2:
            reason = "A probe needs at least two classes: give a folder with one subfolder of images per class."
            raise InvalidArgument(reason=reason)
        together = [
            (part, source, names.index(part.class_names[source.label]))
            for part in (training, test)
            for source in part.sources
        ]
        sources = [replace(source, id=index, label=label) for index, (_, source, label) in enumerate(together)]
        count = len(training.sources)
        return cls(sources, names, Subsets([*range(count)], [*range(count, len(sources))]))

    def draw(self, fold: Fold | None, seed: int, per_class: int | None, test_per_class: int | None) -> Subsets:
        """Draw the images of a trial, and check that each class has enough."""
        labels = [source.label for source in self.sources]
        for name, number in (("per_class", per_class), ("test_per_class", test_per_class)):
            if number is not None:
                whole_number(name, number, 1)
        drawn = draw_subsets(labels, self.parts, fold, seed, per_class=per_class, test_per_class=test_per_class)
        for part, indices, least in (
            ("training", drawn.training, max(2, per_class or 0)),
            ("test", drawn.test, 1),
        ):
            label, count = smallest_class(labels, indices, range(len(self.class_names)))
            if count < least:
                where = "" if fold is None else f" of fold {fold.number}"
                raise InvalidArgument(
                    reason=f"Class {self.class_names[label]} has {count} {part} images{where}, and {least} are "
                    "needed."
                )
        return drawn
