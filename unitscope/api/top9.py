"""Top-9 search (paper, Fig. 2): the images that activate each unit of a layer most."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import nn

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import Images, ImageSet, SkippedImage, collect, report_skipped
from unitscope.api.network import Network, check_unit, find_layer
from unitscope.api.progress import bar
from unitscope.api.unit_pictures import PictureMaker, UnitPictures, empty_projections, make_projector
from unitscope.arithmetic import exact_float32
from unitscope.data.images import Batch, ImageSource, Skipped
from unitscope.description import LayerDescription
from unitscope.drawing import pictures
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.unit_pictures import mosaic_of
from unitscope.drawing.units import unit_figure
from unitscope.errors import InvalidArgument, NotFinite, UnitNotFiring
from unitscope.layers.forms import NO_PLACE
from unitscope.projection.empty import EmptyProjections
from unitscope.projection.requests import Projector
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.screening import screened_search
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import unit_statistics
from unitscope.tables import as_html
from unitscope.vocabulary import PROJECTION_CHOICES, SCREENS, ProjectionChoice, ProjectionMethod, Screen

Ranking = Literal["top", "bottom", "class"]
COLUMNS = ("layer", "unit", "rank", "activation", "image", "class", "row", "col")
SHOWN_UNITS = 10  # rows of the table in a notebook
AT_ONCE = 64  # units whose pictures are drawn in one call


class Top9:
    """Result of ``top9``.

    Attributes
    ----------
    layer : LayerDescription
        The searched layer.
    units : list of int
        The searched units.
    dead : list of int
        Those of ``units`` that are positive on no image; they have no rows.
    constant : list of int
        Those of ``units`` that are positive and the same on every image, because their weights are zero. Their
        rows are the first images, and their projections are empty.
    not_finite : list of int
        Those of ``units`` with a value that is NaN or infinite on some image; they have no rows and no statistics.
    skipped : list of SkippedImage
        Images that could not be read, as pairs (image, reason).
    maxima : numpy.ndarray
        float32 [images, units]: largest value of each map (of a convolution, before the ReLU), or of all tokens,
        or the value of a vector, without skipped images.
    projection : str or None
        The projection method of pictures: "deconvnet", "guided", "gradient", or None for image patches only.
    precision : str
        The precision in which ``maxima`` and ``statistics()`` were computed: "float32", or that of ``screen``.
    """

    def __init__(
        self,
        network: Network,
        layer: LayerDescription,
        units: list[int],
        result: LayerSearch,
        images: ImageSet,
        skipped: list[SkippedImage],
        projector: Projector | None,
        empty: EmptyProjections,
        device: torch.device,
        top: int,
        projection: ProjectionMethod | None,
    ) -> None:
        self.projection = projection
        self.layer, self.units, self.skipped, self.maxima = layer, units, skipped, result.maxima
        self.precision = result.precision
        zero = empty.constant[units]
        self.dead = _those(units, result.dead)
        self.not_finite = _those(units, result.not_finite)
        self.constant = _those(units, zero & ~result.top.dead)
        self._name, self._top, self._device = network.name, top, device
        self._search, self._images = result, images
        self._maker = PictureMaker(layer, result.top, units, images, network.size, projector, empty)

    def rows(self, ranking: Ranking = "top") -> list[dict[str, Any]]:
        """Return a ranking as a list of dicts, from which pandas makes a data frame.

        Each has ``layer``, ``unit`` (from 0), ``rank`` (from 1), ``activation``, ``image`` (path), ``class`` (name
        of the folder, or None), ``row`` and ``col`` (position of the activation in the layer's map, or on the
        grid of its tokens; None where it has no place). Equal activations are in the order of the images.

        Parameters
        ----------
        ranking
            "top"; "bottom" for the images with the lowest minimum, if ``top9`` was called with ``bottom=True``;
            "class" for the top images of each class, if it was called with ``per_class=True``.

        Raises
        ------
        InvalidArgument
            the ranking is not known, or was not searched.
        """
        check_choice("ranking", ranking, get_args(Ranking))
        if ranking == "class":
            by_class = self._search.by_class
            if not by_class:
                raise InvalidArgument(reason="Classes were not searched: call top9 with per_class=True.")
            rows = [row for label in sorted(by_class) for row in self._rows(by_class[label])]
            return sorted(rows, key=lambda row: int(row["unit"]))  # stable: then by class and rank
        if ranking == "top":
            return self._rows(self._search.top)
        if self._search.bottom is None:
            raise InvalidArgument(reason="The lowest activations were not searched: call top9 with bottom=True.")
        return [row | {"activation": -row["activation"]} for row in self._rows(self._search.bottom)]

    def _rows(self, top: TopActivations) -> list[dict[str, Any]]:
        return [
            {
                "layer": self._layer,
                "unit": unit,
                "rank": rank + 1,
                "activation": float(top.activation[index, rank]),
                "image": self._images.name(image),
                "class": self._images.class_of(image),
                "row": None if top.row[index, rank] == NO_PLACE else int(top.row[index, rank]),
                "col": None if top.row[index, rank] == NO_PLACE else int(top.col[index, rank]),
            }
            for index, unit in enumerate(self.units)
            for rank, image in enumerate(top.image[index].tolist())
            if image != NO_IMAGE
        ]

    def to_csv(self, path: str | os.PathLike[str], ranking: Ranking = "top") -> None:
        """Write ``rows(ranking)`` to a CSV file (UTF-8); raises as ``rows``."""
        rows = self.rows(ranking)
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def statistics(self) -> list[dict[str, Any]]:
        """Return statistics of each unit's maximum over the images, as a list of dicts.

        Each has ``layer``, ``unit``, ``images``, ``mean``, ``minimum``, ``maximum``, ``fired_share`` (share of
        images where it is positive, 0 to 1), the quantiles ``q50``, ``q90``, ``q99`` and ``q999``, and
        ``histogram`` (number of images in 40 equal bins from minimum to maximum).
        """
        rows = []
        finite = [unit for unit in self.units if unit not in self.not_finite]
        maxima = self.maxima[:, np.logical_not(self._search.not_finite)]
        for unit, statistics in zip(finite, unit_statistics(maxima), strict=True):
            values = vars(statistics)
            quantiles = dict(zip(("q50", "q90", "q99", "q999"), values["quantiles"], strict=True))
            scalars = {name: value for name, value in values.items() if name not in ("quantiles", "histogram")}
            histogram = {"histogram": statistics.histogram}
            rows.append({"layer": self._layer, "unit": unit, **scalars, **quantiles, **histogram})
        return rows

    def figure(self, unit: int) -> NotebookFigure:
        """Draw a unit's projections and image patches, in descending order of activation, as a matplotlib figure.

        Raises
        ------
        UnitNotFiring
            the unit is positive on no image.
        NotFinite
            the unit has a value that is not finite.
        NoSuchUnit, InvalidArgument
            the unit does not exist or was not searched.
        ImageNotReadable
            an image can't be read any more.
        BrokenProjection
            a projection failed its check.
        """
        made = self._pictures([self._firing(unit)])[unit]
        rows = [row for row in self.rows() if row["unit"] == unit]
        activations = [row["activation"] for row in rows]
        names = [row["class"] or Path(row["image"]).name for row in rows]
        title = f"{self._name} {self._layer}, unit {unit}"
        return unit_figure(title, made.patches, made.projections, activations, names)

    def picture(self, unit: int) -> Image.Image:
        """Draw a unit's mosaics as one picture: projections on the left, image patches on the right.

        Raises as ``figure``.
        """
        projections, patches = self._mosaics(self._pictures([self._firing(unit)])[unit])
        return Image.fromarray(patches if projections is None else np.hstack([projections, patches]))

    def sheet(self, columns: int = 8) -> Image.Image:
        """Draw all units that have rows on one contact sheet, each with its projections and image patches.

        Raises
        ------
        InvalidArgument
            ``columns`` is not an integer of at least 1.
        ImageNotReadable
            an image can't be read any more.
        BrokenProjection
            a projection failed its check.
        """
        columns = whole_number("columns", columns, 1)
        live = [unit for unit in self.units if unit not in (*self.dead, *self.not_finite)]
        drawn = []
        for start in range(0, len(live), AT_ONCE):
            for unit, made in self._pictures(live[start : start + AT_ONCE]).items():
                drawn.append((unit, *self._mosaics(made)))
        title = f"{self._name} {self._layer}: top {self._top} of {len(live)} units"
        notes = dict.fromkeys(self.constant, "constant")
        return Image.fromarray(pictures.contact_sheet(drawn, title, columns, notes=notes))

    def __repr__(self) -> str:
        return f"Top9({self._summary})"

    def _repr_html_(self) -> str:
        headings = ("unit", "strongest", "active on", "strongest images")
        rows = []
        for index, unit in enumerate(self.units[:SHOWN_UNITS]):
            ranked = self._search.top.image[index]
            shown = [
                self._images.class_of(i) or Path(self._images.name(i)).name
                for i in ranked[ranked != NO_IMAGE].tolist()
            ]
            share = float((self.maxima[:, index] > 0).mean())
            strongest = float(self._search.top.activation[index, 0])
            rows.append((str(unit), f"{strongest:.4g}", f"{share:.1%}", ", ".join(shown[:3])))
        more = len(self.units) - len(rows)
        return as_html(self._summary, headings, rows, headings[:3], f"and {more} more: see rows()" if more else "")

    @property
    def _layer(self) -> str:
        return self.layer.name or self.layer.path

    @property
    def _summary(self) -> str:
        parts = [f"{len(self.units)} units", f"{len(self.dead)} dead"]
        parts += [f"{len(self.constant)} constant"] if self.constant else []
        parts += [f"{len(self.not_finite)} not finite"] if self.not_finite else []
        parts += [f"{len(self.maxima)} images"]
        parts += [f"{len(self.skipped)} left out"] if self.skipped else []
        return f"{self._name} {self._layer}: {', '.join(parts)}"

    def _firing(self, unit: int) -> int:
        if check_unit(self.layer, unit) not in self.units:
            reason = f"Unit {unit} of layer '{self._layer}' was not searched. Include it in the units of top9."
            raise InvalidArgument(reason=reason)
        if unit in self.dead:
            raise UnitNotFiring(unit=unit, layer=self._layer, where=f"on any of {len(self.maxima)} images")
        if unit in self.not_finite:
            values = self.maxima[:, self.units.index(unit)]
            value = values[~np.isfinite(values)][0]
            raise NotFinite(where=f"Unit {unit} of layer '{self._layer}'", value=value)
        return unit

    def _pictures(self, units: Sequence[int]) -> dict[int, UnitPictures]:
        with exact_float32(self._device):
            return self._maker.of(units)

    def _mosaics(self, made: UnitPictures) -> tuple[np.ndarray | None, np.ndarray]:
        projections = None if made.projections is None else mosaic_of(made.projections, self._top)
        return projections, mosaic_of(made.patches, self._top)


def top9(
    network: Network,
    layer: str | int,
    images: Images,
    *,
    units: int | Iterable[int] | None = None,
    top: int = 9,
    bottom: bool = False,
    per_class: bool = False,
    projection: ProjectionChoice | None = "auto",
    screen: Screen | None = None,
    device: torch.device | str | None = None,
    batch_size: int = 32,
    progress: bool | None = None,
) -> Top9:
    """Search for the images that activate each unit of a layer most (paper, Fig. 2).

    Parameters
    ----------
    network : Network
        The network to search.
    layer : str or int
        A module whose output are maps, vectors or tokens: "conv5", "5" or "fc7" if layers have names, a module
        path ("layer3.1.conv2", "features.11", "layer3.1"), or "scores" for the class scores. See ``describe``.
    images
        A folder (its subfolders are the classes, unless it contains images itself), a list of paths, PIL images or
        arrays uint8 [H, W, 3], or one of these. Unreadable images are left out with a warning: see
        ``Top9.skipped``.
    units : int or iterable of int, optional
        Units to search; by default all.
    top : int
        Number of images for each unit, 1 to 100.
    bottom : bool
        Also rank the images with each unit's lowest minimum, where it is negative.
    per_class : bool
        Also rank the images of each class.
    projection : {"auto", "deconvnet", "guided", "gradient", "none"} or None
        Projection method of pictures (see ``project``); "none" or None for pictures with image patches only.
        Pictures are computed on request. See ``Top9.projection`` for the method that "auto" chose.
    screen : {"bfloat16", "tf32"}, optional
        Run all images in this precision, and in float32 only those that can be among a unit's top images: faster
        for tens of thousands of images. The rows stayed the same in all measurements; see ``Top9.precision``.
        "tf32" needs a GPU. Not with ``bottom`` or ``per_class``.
    device : torch.device or str, optional
        By default the GPU if there is one, else the CPU.
    batch_size : int
        Images per forward pass. The last bits of activations can depend on it.
    progress : bool, optional
        Whether to show a progress bar on stderr; by default if that is a terminal.

    Returns
    -------
    Top9
        ``rows()``, ``to_csv(path)``, ``statistics()``, ``figure(unit)``, ``picture(unit)``, ``sheet()``.

    Raises
    ------
    NoSuchLayer, AmbiguousLayer, NoSuchUnit
        the layer or a unit does not exist.
    LayerWithoutUnits
        the layer's output is no tensor of units.
    NoSuchFile
        the folder or file does not exist.
    ImageNotReadable
        the only image can't be read.
    InvalidArgument
        another argument is not valid, or no image can be read.
    UnsupportedActivation
        an activation other than a ReLU module stands before the layer: use the projection "auto", "gradient" or
        None. This is known before the search.
    NoGradient
        the network computes the layer under torch.no_grad(): use the projection None.
    NotFinite
        every unit has a value that is NaN or infinite: see ``Top9.not_finite``.
    ScreeningNotPossible
        the device or the network can't compute in the precision of ``screen``.
    """
    if projection is not None:
        check_choice("projection", projection, PROJECTION_CHOICES)
    if screen is not None:
        check_choice("screen", screen, SCREENS)
        if bottom or per_class:
            raise InvalidArgument(reason="screen finds top images only: leave out bottom and per_class.")
    top, batch_size = whole_number("top", top, 1, 100), whole_number("batch_size", batch_size, 1)
    chosen_device = choose_device(device)
    described = find_layer(network, layer)
    chosen = _chosen_units(described, units)
    method = None if projection is None else described.projection(projection)
    collected = collect(images)
    if per_class and not collected.class_names:
        raise InvalidArgument(
            reason="per_class needs classes: give a folder with one subfolder of images per class."
        )
    skipped: list[Skipped] = []
    with exact_float32(chosen_device), bar("search", len(collected.sources), "images", progress) as shown:
        if method is not None:
            make_projector(network, described, method, chosen_device)  # raise before the search, not after it
        run = partial(search, bottom=bottom, per_class=per_class)
        if screen is not None:
            run = partial(_screened, screen, lambda again: collected.batches(batch_size, network.size, [], again))
        result = run(
            network.on(chosen_device),
            {described.path: chosen},
            collected.batches(batch_size, network.size, skipped),
            top=top,
            device=chosen_device,
            progress=shown.update,
            mean=network.mean,
            std=network.std,
            forms={described.path: described.form} if described.form else {},
        )[described.path]
    if result.not_finite.all():
        raise NotFinite(where=f"Every unit of layer '{described.name or described.path}'", value="NaN or infinity")
    left_out = report_skipped(skipped, len(collected.sources), stacklevel=2)
    projector = None
    if method is not None:
        # Pictures must not depend on which of them are requested in one call: see ``WindowProjector``.
        numbers, counts = np.unique(result.top.image, return_counts=True)
        units_of_image = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        projector = make_projector(network, described, method, chosen_device, units_of_image)
    empty = empty_projections(network, described, method or "deconvnet", projector, chosen_device)
    return Top9(
        network, described, chosen, result, collected, left_out, projector, empty, chosen_device, top, method
    )


def _screened(
    precision: Screen,
    read_again: Callable[[Sequence[ImageSource]], Iterable[Batch]],
    model: nn.Module,
    layers: Mapping[str, Sequence[int]],
    batches: Iterable[Batch],
    **options: Any,
) -> dict[str, LayerSearch]:
    return screened_search(model, layers, batches, read_again, precision, **options).layers


def _those(units: Sequence[int], which: np.ndarray) -> list[int]:
    return [unit for unit, chosen in zip(units, which.tolist(), strict=True) if chosen]


def _chosen_units(layer: LayerDescription, units: int | Iterable[int] | None) -> list[int]:
    if units is None:
        return list(range(layer.units))
    listed = list(units) if isinstance(units, Iterable) else [units]
    chosen = sorted({check_unit(layer, unit) for unit in listed})
    if not chosen:
        raise InvalidArgument(reason="units is empty. Give at least one unit, or leave it out for all units.")
    return chosen
