"""Top-9 search (paper, Fig. 2): the images that activate each unit of a layer most."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import nn

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import Images, ImageSet, OneImage, SkippedImage, collect, report_skipped
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
from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.exceptional import exceptional_units
from unitscope.find.labels import best_concepts
from unitscope.find.layer import LayerMaxima
from unitscope.find.nearest import nearest_images
from unitscope.find.scales import scales_of
from unitscope.find.selectivity import selectivity
from unitscope.find.similar import similar_units
from unitscope.layers.forms import known_place
from unitscope.projection.empty import EmptyProjections
from unitscope.projection.requests import Projector
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.screening import screened_search
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import statistics_of, unit_statistics
from unitscope.tables import as_html
from unitscope.vocabulary import (
    COMBINATIONS,
    METRICS,
    PROJECTION_CHOICES,
    SCREENS,
    Combination,
    Metric,
    ProjectionChoice,
    ProjectionMethod,
    Screen,
)

Ranking = Literal["top", "bottom", "class"]
COLUMNS = ("layer", "unit", "rank", "activation", "image", "class", "row", "col")
SHOWN_UNITS = 10  # rows of the table in a notebook
AT_ONCE = 64  # units whose pictures are drawn in one call
ANY_MEMORY = 2**62  # bytes: the maxima are in memory already


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
    images : list of str
        Paths of the images without skipped ones; of images in memory, their indices in the list: ``images[3]``.
    maxima : numpy.ndarray
        float32 [images, units]: largest value of each map (of a convolution, before the ReLU), or of all tokens,
        or the value of a vector, of the images in ``images``. ``find_images`` and the methods after it answer
        questions from them.
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
        batch_size: int,
    ) -> None:
        self.projection = projection
        self.layer, self.units, self.skipped, self.maxima = layer, units, skipped, result.maxima
        self.precision = result.precision
        zero = empty.constant[units]
        self.dead = _those(units, result.dead)
        self.not_finite = _those(units, result.not_finite)
        self.constant = _those(units, zero & ~result.top.dead)
        self._name, self._top, self._device = network.name, top, device
        self._search, self._images, self._network, self._batch_size = result, images, network, batch_size
        left_out = {item.image for item in skipped}
        self._sources = [source for source in images.sources if str(source.path) not in left_out]
        self.images = [str(source.path) for source in self._sources]
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
                **dict(zip(("row", "col"), known_place(top.row[index, rank], top.col[index, rank]), strict=True)),
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

    def find_images(
        self,
        units: int | Iterable[int],
        how: Combination = "all",
        *,
        without: int | Iterable[int] = (),
        class_name: str | None = None,
        top: int = 20,
    ) -> list[dict[str, Any]]:
        """Find the images that several units respond to together, without running the network.

        Units are compared by normalized activations: 0 is no activation, 1 a unit's 99.9 % quantile over the
        images, or its largest activation if that quantile is not positive.

        Parameters
        ----------
        units : int or iterable of int
            Searched units.
        how : {"all", "any", "sum"}
            The value of an image: the smallest, the largest, or the sum of the units' normalized activations.
        without : int or iterable of int
            Units that must not respond: images with a normalized activation of 0.5 or more are left out.
        class_name : str, optional
            Only images of this class.
        top : int
            Number of images, at most. Images whose value is 0 are not listed.

        Returns
        -------
        list of dict
            ``rank`` (from 1), ``value``, ``image`` (path), ``class`` (name, or None), ``activations`` (of
            ``units``, in their order). Equal values are in the order of the images.

        Raises
        ------
        InvalidArgument, NoSuchUnit
            A unit does not exist or was not searched, or another argument is not valid.
        NotFinite
            A unit has a value that is NaN or infinite.
        """
        check_choice("how", how, COMBINATIONS)
        top = whole_number("top", top, 1)
        chosen = self._some(units)
        if not chosen:
            raise InvalidArgument(reason="units is empty. Give at least one unit.")
        values, absent = self._values(chosen), self._values(self._some(without))
        found = combined_images(values, how, absent, self._of_class(class_name), top, ANY_MEMORY)
        return self._image_rows(chosen, *found)

    def find_units(self, image: int | OneImage, *, top: int = 20) -> list[dict[str, Any]]:
        """Find the units that an image activates, those first that the fewest images activate more.

        Parameters
        ----------
        image : int, path, PIL.Image.Image, or numpy.ndarray
            The index of an image in ``images``, a path, a PIL image, or an array uint8 [H, W, 3]. The network runs
            only for an image that was not searched.
        top : int
            Number of units, at most.

        Returns
        -------
        list of dict
            ``rank`` (from 1), ``layer``, ``unit``, ``activation``, ``images_above`` (number of images with a
            larger activation), ``percentile`` (share of the other images with a smaller or the same activation,
            0 to 100).

        Raises
        ------
        InvalidArgument
            ``image`` is no image, or there is no such index.
        NoSuchFile, ImageNotReadable
            The file does not exist, or can't be read.
        NotFinite
            A unit is NaN or infinite on the image.
        """
        top = whole_number("top", top, 1)
        position, activations = self._activations(image)
        others = len(self.images) - (position is not None)
        return [vars(row) for row in exceptional_units([self._kept], [activations], others, top, ANY_MEMORY)]

    def like(
        self,
        image: int | OneImage,
        units: int | Iterable[int] | None = None,
        *,
        metric: Metric = "cosine",
        class_name: str | None = None,
        top: int = 20,
    ) -> list[dict[str, Any]]:
        """Find the images nearest to one in the space of the units' normalized activations.

        Parameters
        ----------
        image : int, path, PIL.Image.Image, or numpy.ndarray
            As in ``find_units``. The image itself is not listed.
        units : int or iterable of int, optional
            The units that span the space; by default all that are active on some image.
        metric : {"cosine", "l2"}
            Cosine similarity, or Euclidean distance.
        class_name : str, optional
            Only images of this class.
        top : int
            Number of images, at most.

        Returns
        -------
        list of dict
            As of ``find_images``; ``value`` is the similarity, or the distance.

        Raises
        ------
        InvalidArgument, NoSuchUnit
            As ``find_images``; also if no unit is active on the image, so that it has no cosine.
        NoSuchFile, ImageNotReadable
            The file does not exist, or can't be read.
        NotFinite
            A unit has a value that is NaN or infinite.
        """
        check_choice("metric", metric, METRICS)
        top = whole_number("top", top, 1)
        chosen = self._kept.active_units() if units is None else self._some(units)
        if not chosen:
            raise InvalidArgument(reason="units is empty, or no unit is active. Give at least one unit.")
        allowed = self._of_class(class_name)
        position, activations = self._activations(image)
        if position is not None:
            allowed = np.ones(len(self.images), bool) if allowed is None else allowed
            allowed[position] = False
        query = activations[[self._kept.index(unit) for unit in chosen]]
        found = nearest_images(self._values(chosen), query, metric, allowed, top, ANY_MEMORY)
        return self._image_rows(chosen, *found)

    def similar(
        self, unit: int, other: Top9 | None = None, *, ranks: bool = False, top: int = 10
    ) -> list[dict[str, Any]]:
        """Find the units that respond like a unit: those whose maxima correlate most with its own.

        Parameters
        ----------
        unit : int
            A searched unit.
        other : Top9, optional
            The search whose units are compared: of another layer, epoch, or network. Over the images that both
            searched, by path; images in memory are the same if they are the same objects. By default this search.
        ranks : bool
            Correlate ranks (Spearman) instead of activations before the ReLU (Pearson).
        top : int
            Number of units, at most.

        Returns
        -------
        list of dict
            ``rank`` (from 1), ``layer``, ``unit``, ``correlation`` (-1 to 1), ``images`` (number of images). Units
            that are constant or not finite have no correlation, and are not listed, nor is the unit itself.

        Raises
        ------
        InvalidArgument, NoSuchUnit
            The unit does not exist or was not searched, or the searches have fewer than two images in common.
        NotFinite
            The unit has a value that is NaN or infinite.
        """
        top, unit = whole_number("top", top, 1), self._searched(unit)
        other = self if other is None else other
        if not isinstance(other, Top9):
            raise InvalidArgument(reason=f"other must be a Top9, not a {type(other).__name__}.")
        values, positions = self._kept.unit_values(unit).values, None
        own_keys, keys = self._image_keys, other._image_keys
        if own_keys != keys:
            own_at, other_at = ({key: at for at, key in enumerate(some)} for some in (own_keys, keys))
            pairs = [(at, other_at[key]) for key, at in own_at.items() if key in other_at]
            if len(pairs) < 2:
                raise InvalidArgument(reason="The searches have fewer than two images in common: search the same.")
            own, positions = np.array(pairs, np.int64).T
            values = values[own]
        if not np.isfinite(values).all():
            raise NotFinite(where=f"On some image unit {unit} of {self._layer}", value="NaN or infinity")
        itself = (self.layer.path, unit) if other is self else None
        return [
            vars(row) for row in similar_units([other._kept], values, ranks, positions, top, ANY_MEMORY, itself)
        ]

    def selectivity(self) -> list[dict[str, Any]]:
        """Measure how well each active unit tells the images of a class from all others.

        Returns
        -------
        list of dict
            ``layer``, ``unit``, ``class_rank`` (from 1, by AUC), ``class``, ``auc`` (probability that a random
            image of the class has a larger maximum than a random other image), ``precision_at_k`` (share of the
            ``k`` images with the largest maxima that are of the class), ``k`` (100, or the number of images).

        Raises
        ------
        InvalidArgument
            The images have no classes.
        """
        if not self._images.class_names:
            raise InvalidArgument(
                reason="selectivity needs classes: search a folder with one subfolder of images per class."
            )
        rows = []
        for unit in self._kept.active_units():
            found = selectivity(self._kept.unit_values(unit).values, self._labels)
            if found is None:
                continue
            columns = (found.labels.tolist(), found.auc.tolist(), found.precision.tolist())
            for rank, (label, auc, precision) in enumerate(zip(*columns, strict=True), 1):
                of_class = {"class_rank": rank, "class": self._images.class_names[label], "auc": auc}
                of_unit = {"layer": self._layer, "unit": unit}
                rows.append({**of_unit, **of_class, "precision_at_k": precision, "k": found.at})
        return rows

    def label(self, similarities: np.ndarray, names: Sequence[str], *, top: int = 5) -> list[dict[str, Any]]:
        """Label each active unit with words, after CLIP-Dissect (Oikarinen & Weng 2023).

        A unit gets the concepts that its 100 strongest images are similar to, and those of the layer's other
        searched units are not (soft weighted pointwise mutual information).

        Parameters
        ----------
        similarities : numpy.ndarray
            float [images, concepts]: of each image in ``images`` and each concept, by any model of images and
            texts, such as cosines of the embeddings.
        names : sequence of str
            Names of the concepts.
        top : int
            Number of labels of a unit, at most.

        Returns
        -------
        list of dict
            ``layer``, ``unit``, ``rank`` (from 1), ``label``, ``score`` (larger is better).

        Raises
        ------
        InvalidArgument
            ``similarities`` has another shape or type, or a value that is NaN or infinite.
        """
        top, names, values = whole_number("top", top, 1), list(names), np.asarray(similarities)
        expected = (len(self.images), len(names))
        if values.shape != expected or not len(names) or values.dtype.kind != "f" or not np.isfinite(values).all():
            given = f"an array of {values.dtype}, shape {list(values.shape)}"
            raise InvalidArgument(
                reason=f"similarities can't be {given}: it must be finite floats of shape {list(expected)}, a row "
                "for each image in Top9.images, and a column for each name."
            )
        every = np.arange(len(self.images))
        found = best_concepts(self._kept, every, every, lambda: [values], len(names), top)
        return [
            {
                "layer": self._layer,
                "unit": one.unit,
                "rank": one.rank,
                "label": names[one.concept],
                "score": one.score,
            }
            for one in found
        ]

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

    @cached_property
    def _kept(self) -> LayerMaxima:
        quantiles, largest = np.zeros((2, len(self.units)))
        for index in np.flatnonzero(~self._search.not_finite).tolist():
            statistics = statistics_of(self.maxima[:, index])
            quantiles[index], largest[index] = statistics.quantiles[-1], statistics.maximum
        active = ~(self._search.dead | self._search.not_finite)
        maxima = np.ascontiguousarray(self.maxima.T)  # questions read the values of a unit
        return LayerMaxima(self._layer, self.layer.path, self.units, maxima, scales_of(quantiles, largest), active)

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.array([source.label for source in self._sources], np.int64)

    @cached_property
    def _image_keys(self) -> list[str | int]:
        """What identifies each image: its path, or the object in memory."""
        pictures = self._images.pictures
        return [
            id(pictures[source.id]) if source.id in pictures else str(source.path.absolute())
            for source in self._sources
        ]

    def _activations(self, image: int | OneImage) -> tuple[int | None, np.ndarray]:
        """Return an image's position in the maxima, None if it was not searched, and its maxima, float32
        [units]."""
        if isinstance(image, (int, np.integer)):
            position = whole_number("image", image, 0, len(self.images) - 1)
            return position, self._kept.maxima[:, position]
        key = str(Path(image).absolute()) if isinstance(image, (str, os.PathLike)) else id(image)
        if key in self._image_keys:
            return self._activations(self._image_keys.index(key))
        collected = collect(image)
        if len(collected.sources) != 1:
            raise InvalidArgument(reason=f"image must be one image, not {len(collected.sources)}.")
        skipped: list[Skipped] = []
        with exact_float32(self._device):
            result = search(
                self._network.on(self._device),
                {self.layer.path: self.units},
                collected.batches(self._batch_size, self._network.size, skipped),
                top=1,
                device=self._device,
                mean=self._network.mean,
                std=self._network.std,
                forms={self.layer.path: self.layer.form} if self.layer.form else {},
            )[self.layer.path]
        report_skipped(skipped, 1, stacklevel=3)
        return None, result.maxima[0]

    def _of_class(self, class_name: str | None) -> np.ndarray | None:
        if class_name is None:
            return None
        names = self._images.class_names
        if class_name not in names:
            raise InvalidArgument(
                reason=f"class_name can't be {class_name!r}. The classes are {', '.join(names) or 'unknown'}."
            )
        allowed: np.ndarray = self._labels == names.index(class_name)
        return allowed

    def _some(self, units: int | Iterable[int]) -> list[int]:
        """Return searched units, each once, in their order."""
        listed = units if isinstance(units, Iterable) else [units]
        return list(dict.fromkeys(self._searched(unit) for unit in listed))

    def _values(self, units: Sequence[int]) -> list[UnitValues]:
        return [self._kept.unit_values(unit) for unit in units]

    def _image_rows(self, units: Sequence[int], positions: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
        activations = self._kept.maxima[[self._kept.index(unit) for unit in units]][:, positions].T.tolist()
        return [
            {
                "rank": rank,
                "value": value,
                "image": self.images[position],
                "class": self._images.class_of(self._sources[position].id),
                "activations": of_image,
            }
            for rank, (position, value, of_image) in enumerate(
                zip(positions.tolist(), values.tolist(), activations, strict=True), 1
            )
        ]

    def _searched(self, unit: int) -> int:
        number = check_unit(self.layer, unit)
        if number not in self.units:
            reason = f"Unit {unit} of layer '{self._layer}' was not searched. Include it in the units of top9."
            raise InvalidArgument(reason=reason)
        return number

    def _firing(self, unit: int) -> int:
        unit = self._searched(unit)
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
        ``rows()``, ``to_csv(path)``, ``statistics()``, ``figure(unit)``, ``picture(unit)``, ``sheet()``; questions
        about the maxima: ``find_images(units)``, ``find_units(image)``, ``like(image)``, ``similar(unit)``,
        ``selectivity()``, ``label(similarities, names)``.

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
        network,
        described,
        chosen,
        result,
        collected,
        left_out,
        projector,
        empty,
        chosen_device,
        top,
        method,
        batch_size,
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
