"""Enumerations that the library, job specifications and the command line share. Torch is not imported.

Each is a ``Literal`` type, and a tuple of its values in the order in which they are displayed.
"""

from __future__ import annotations

from typing import Literal, get_args

# Content of the square of an occlusion sweep: see ``unitscope.occlusion.occluders.filling``.
Fill = Literal["grey", "mean", "black", "noise", "blur"]
FILLS: tuple[Fill, ...] = get_args(Fill)

# Content of masked parts: see ``unitscope.correspondence.masks.masked``.
MaskFill = Literal["grey", "mean", "black", "noise"]
MASK_FILLS: tuple[MaskFill, ...] = get_args(MaskFill)

# Computation of occluded images: in full, or only where the square can change the maps. ``auto`` uses the cheaper.
Engine = Literal["auto", "full", "incremental"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

# Transformations of whole images: see ``unitscope.invariance.transformations``.
Transformation = Literal["shift", "scale", "rotation"]
TRANSFORMATIONS: tuple[Transformation, ...] = get_args(Transformation)

# What is outside of a transformed image: a colour (grey is 128, mean the image's), the nearest pixel, or the
# mirrored image.
Outside = Literal["grey", "mean", "black", "edge", "mirror"]
OUTSIDES: tuple[Outside, ...] = get_args(Outside)

Interpolation = Literal["nearest", "bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

# Projection methods: the deconvnet (paper, section 2.1); guided back-propagation (Springenberg et al. 2015), which
# also applies the ReLU masks of the forward pass; the gradient (Simonyan et al. 2014). All are multiplied by the
# activation.
ProjectionMethod = Literal["deconvnet", "guided", "gradient"]
PROJECTION_METHODS: tuple[ProjectionMethod, ...] = get_args(ProjectionMethod)

# A method, or the deconvnet where it is defined and else the gradient (auto), or no projections.
ProjectionChoice = Literal["auto", "deconvnet", "guided", "gradient", "none"]
PROJECTION_CHOICES: tuple[ProjectionChoice, ...] = get_args(ProjectionChoice)

# State of a unit over a set of images: positive on some image; positive on none; weights of zero, so that it
# doesn't depend on the image; NaN or infinite on some image.
UnitState = Literal["active", "dead", "constant", "not finite"]
UNIT_STATES: tuple[UnitState, ...] = get_args(UnitState)

# Initial weights: see ``unitscope.networks.initialization.initialize``.
Initialization = Literal["default", "he", "he-quiet", "paper"]
INITIALIZATIONS: tuple[Initialization, ...] = get_args(Initialization)

# Fields of a training recipe: see ``unitscope.training.recipes.Recipe``.
Optimizer = Literal["adam", "adamw", "sgd"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)

Schedule = Literal["step", "plateau", "cosine", "constant"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

Precision = Literal["auto", "float32", "mixed"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# Low precision in which a search screens its images: see ``unitscope.search.screening``.
Screen = Literal["bfloat16", "tf32"]
SCREENS: tuple[Screen, ...] = get_args(Screen)

# Of which images a search lists only one: those of the same content, or also near-duplicates.
Distinct = Literal["files", "near"]

# Questions about kept maxima: how the activations of several units are combined, and the distance of images.
Combination = Literal["all", "any", "sum"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)

Metric = Literal["cosine", "l2"]
METRICS: tuple[Metric, ...] = get_args(Metric)

# Linear probes: the classifier, and how large maps are reduced (``unitscope.probing``).
Classifier = Literal["svm", "softmax"]
CLASSIFIERS: tuple[Classifier, ...] = get_args(Classifier)

Pooling = Literal["average", "max"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

# One value each for red, green and blue: a mean, or a standard deviation.
Channels = tuple[float, float, float]

# Grey levels of pictures that lie side by side: each picture uses the whole range, or all share one.
Scale = Literal["own", "shared"]
SCALES: tuple[Scale, ...] = get_args(Scale)
