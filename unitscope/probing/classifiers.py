"""Linear classifiers on features, with a regularization that is chosen on a held-out part (paper, Table 7)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.vocabulary import Classifier

# Inverse strengths of the regularization, scikit-learn's C. Features are scaled, so that they fit any layer.
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
HELD_OUT_SHARE = 0.2  # of the training images of each class
MAX_ITERATIONS = {"svm": 2000, "softmax": 500}


@dataclass(frozen=True)
class ProbeResult:
    """Accuracies of a probe, 0 to 1.

    Parameters
    ----------
    regularization
        the chosen inverse strength C.
    held_out_accuracy
        mean of per-class accuracy on the held-out part, with that C; None without a held-out part, if there is one
        training image of each class.
    train_accuracy
        share of the training images that the final classifier, which is fitted to all of them, gets right.
    accuracy
        share of the test images that it gets right.
    class_accuracy
        mean of the accuracies of the classes that have test images.
    majority
        share of the most frequent class among the test images: the accuracy of the best constant answer.
    converged
        whether the final fit reached its tolerance before the largest number of iterations.
    predictions
        int64 [test images]: predicted classes.
    """

    regularization: float
    held_out_accuracy: float | None
    train_accuracy: float
    accuracy: float
    class_accuracy: float
    majority: float
    converged: bool
    predictions: np.ndarray


def fit_probe(
    training: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    classifier: Classifier = "svm",
    seed: int = 0,
    *,
    shuffle_labels: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> ProbeResult:
    """Fit a linear classifier to features, and measure its accuracy on test images.

    Features are standardized with the mean and the standard deviation of the training images, and divided by the
    square root of their number, so that the mean squared norm of a training image is 1. Each C of ``STRENGTHS`` is
    fitted without the held-out part, a fifth of each class; the one with the highest mean of per-class accuracy on
    that part is used, of several the smallest. The final classifier is fitted to all training images.

    Parameters
    ----------
    training, test
        features, float32 [images, features].
    labels, test_labels
        int64 [images].
    classifier
        svm: ``sklearn.svm.LinearSVC`` (squared hinge, one class against the rest); softmax:
        ``sklearn.linear_model.LogisticRegression`` (multinomial). Both have an L2 penalty.
    seed
        of the held-out part, of the order in which the SVM visits images, and of the shuffled labels.
    shuffle_labels
        permute the labels of the training images, as a control: the accuracy is then near chance.
    progress
        called before each fit; it may raise an exception to stop.

    Raises
    ------
    ValueError
        the training images have fewer than two classes.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError("a classifier needs training images of at least two classes")
    if shuffle_labels:
        labels = np.random.default_rng([seed, 1]).permutation(labels)
    training, test = _scaled(training, test)
    held_out = _held_out(labels, seed)
    chosen, held_out_accuracy = _choose(training, labels, held_out, classifier, seed, progress)
    progress()
    model, converged = fit_classifier(training, labels, classifier, chosen, seed)
    predictions = model.predict(test)
    return ProbeResult(
        regularization=chosen,
        held_out_accuracy=held_out_accuracy,
        train_accuracy=float((model.predict(training) == labels).mean()),
        accuracy=float((predictions == test_labels).mean()),
        class_accuracy=mean_class_accuracy(predictions, test_labels),
        majority=float(np.bincount(test_labels).max() / len(test_labels)),
        converged=converged,
        predictions=predictions,
    )


def mean_class_accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the accuracies of the classes that occur in ``labels``."""
    right = predictions == labels
    # Rounded, so that the same accuracies in another order have the same mean.
    return round(float(np.mean([right[labels == label].mean() for label in np.unique(labels)])), 12)


def _scaled(training: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardize both by the training images, without constant features, and divide by the square root of the
    number of features."""
    mean, deviation = training.mean(0, dtype=np.float64), training.std(0, dtype=np.float64)
    varying = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    if not varying.any():  # all features are constant: every classifier answers the same class for all images
        return np.zeros((len(training), 1), np.float32), np.zeros((len(test), 1), np.float32)
    scale = 1 / (deviation[varying] * np.sqrt(varying.sum()))
    first, second = ((part[:, varying] - mean[varying]) * scale for part in (training, test))
    return first.astype(np.float32), second.astype(np.float32)


def _held_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a mask of the held-out images: a fifth of each class, but at least one, and never all."""
    generator = np.random.default_rng([seed, 0])
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(HELD_OUT_SHARE * len(members))), len(members) - 1)
        mask[members[:count]] = True
    return mask


def _choose(
    training: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    classifier: Classifier,
    seed: int,
    progress: Callable[[], None],
) -> tuple[float, float | None]:
    """Return the C with the highest mean of per-class accuracy on the held-out part, and that accuracy.

    Without a held-out part they are 1 and None.
    """
    if not held_out.any():
        return 1.0, None
    best, best_accuracy = STRENGTHS[0], -1.0
    for strength in STRENGTHS:
        progress()
        model, _ = fit_classifier(training[~held_out], labels[~held_out], classifier, strength, seed)
        accuracy = mean_class_accuracy(model.predict(training[held_out]), labels[held_out])
        if accuracy > best_accuracy:
            best, best_accuracy = strength, accuracy
    return best, best_accuracy


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, classifier: Classifier, strength: float, seed: int
) -> tuple[Any, bool]:
    """Fit a classifier to scaled features, with one C; return it, and whether it converged."""
    # Imported here, because scikit-learn takes a second.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    iterations = MAX_ITERATIONS[classifier]
    if classifier == "svm":
        model: Any = LinearSVC(C=strength, dual="auto", max_iter=iterations, random_state=seed % 2**32)
    else:
        model = LogisticRegression(C=strength, max_iter=iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features, labels)
    return model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
