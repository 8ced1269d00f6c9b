"""The top-9 search (paper, Fig. 2): for every unit of a layer the images that fire it most."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image

from unitscope.api.arguments import check_choice, choose_device, whole_number
from unitscope.api.images import Images, ImageSet, SkippedImage, collect, report_skipped
from unitscope.api.network import Network, check_unit, find_layer
from unitscope.api.progress import bar
from unitscope.api.unit_pictures import PictureMaker, UnitPictures, make_projector
from unitscope.arithmetic import exact_float32
from unitscope.data.images import Skipped
from unitscope.description import LayerDescription
from unitscope.drawing import pictures
from unitscope.drawing.figures import NotebookFigure
from unitscope.drawing.unit_pictures import mosaic_of
from unitscope.drawing.units import unit_figure
from unitscope.errors import InvalidArgument, UnitNotFiring
from unitscope.projection.requests import Projector
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch, search
from unitscope.search.statistics import unit_statistics
from unitscope.tables import as_html
from unitscope.vocabulary import PROJECTION_METHODS, ProjectionMethod

Ranking = Literal["top", "bottom", "class"]
COLUMNS = ("layer", "unit", "rank", "activation", "image", "class", "row", "col")
SHOWN_UNITS = 10  # of the table in a notebook
AT_ONCE = 64  # units whose pictures are made together


class Top9:
    """What a search found; ``top9`` makes it.

    Attributes
    ----------
    layer : LayerDescription
    units : list of int
        Those that were searched.
    dead : list of int
        Those of them that are positive on no image: they have no rows.
    skipped : list of SkippedImage
        Images that could not be read, as pairs (image, reason).
    maxima : numpy.ndarray
        float32 [images, units]: the largest value of each map, before the ReLU, without the skipped images.
    """

    def __init__(
        self,
        network: Network,
        layer: LayerDescription,
        units: list[int],
        found: LayerSearch,
        images: ImageSet,
        skipped: list[SkippedImage],
        projector: Projector | None,
        device: torch.device,
        top: int,
    ) -> None:
        self.layer, self.units, self.skipped, self.maxima = layer, units, skipped, found.maxima
        self.dead = [unit for unit, dead in zip(units, found.top.dead.tolist(), strict=True) if dead]
        self._name, self._top, self._device = network.name, top, device
        self._found, self._images = found, images
        self._maker = PictureMaker(layer, found.top, units, images, network.size, projector)

    def rows(self, ranking: Ranking = "top") -> list[dict[str, Any]]:
        """The ranking as records, which pandas takes as they are.

        Each has ``layer``, ``unit`` (from 0), ``rank`` (from 1), ``activation``, ``image`` (its path), ``class``
        (its folder, or None), ``row`` and ``col`` (of the activation in the layer's map). Equal activations are in
        the order of the images.

        Parameters
        ----------
        ranking
            "top"; or, if they were asked for, "bottom" (the images with the lowest minimum) and "class" (the best
            of each class).

        Raises
        ------
        InvalidArgument
        """
        check_choice("ranking", ranking, get_args(Ranking))
        if ranking == "class":
            if not self._found.by_class:
                raise InvalidArgument(reason="Classes were not searched: call top9 with per_class=True.")
            rows = [
                row for label in sorted(self._found.by_class) for row in self._rows(self._found.by_class[label])
            ]
            return sorted(rows, key=lambda row: int(row["unit"]))  # stable: then class, then rank
        if ranking == "top":
            return self._rows(self._found.top)
        if self._found.bottom is None:
            raise InvalidArgument(reason="The lowest activations were not searched: call top9 with bottom=True.")
        return [row | {"activation": -row["activation"]} for row in self._rows(self._found.bottom)]

    def _rows(self, top: TopActivations) -> list[dict[str, Any]]:
        return [
            {
                "layer": self._layer,
                "unit": unit,
                "rank": rank + 1,
                "activation": float(top.activation[place, rank]),
                "image": self._images.name(image),
                "class": self._images.class_of(image),
                "row": int(top.row[place, rank]),
                "col": int(top.col[place, rank]),
            }
            for place, unit in enumerate(self.units)
            for rank, image in enumerate(top.image[place].tolist())
            if image != NO_IMAGE
        ]

    def to_csv(self, path: str | os.PathLike[str], ranking: Ranking = "top") -> None:
        """Write ``rows`` to a CSV file (UTF-8)."""
        rows = self.rows(ranking)
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def statistics(self) -> list[dict[str, Any]]:
        """Statistics of each unit's maximum in every image, as records.

        Each has ``layer``, ``unit``, ``images``, ``mean``, ``minimum``, ``maximum``, ``fired_share`` (of the
        images where it is positive), the quantiles ``q50``, ``q90``, ``q99`` and ``q999``, and ``histogram``
        (images in 40 equal steps from minimum to maximum).
        """
        rows = []
        for unit, found in zip(self.units, unit_statistics(self.maxima), strict=True):
            values = vars(found)
            quantiles = dict(zip(("q50", "q90", "q99", "q999"), values["quantiles"], strict=True))
            plain = {name: value for name, value in values.items() if name not in ("quantiles", "histogram")}
            rows.append({"layer": self._layer, "unit": unit, **plain, **quantiles, "histogram": found.histogram})
        return rows

    def figure(self, unit: int) -> NotebookFigure:
        """A unit's projections and image patches, its strongest image first, as a matplotlib figure.

        Raises
        ------
        UnitNotFiring
            no image makes it positive.
        InvalidArgument
            it was not searched.
        ImageNotReadable, BrokenProjection
        """
        made = self._pictures([self._firing(unit)])[unit]
        rows = [row for row in self.rows() if row["unit"] == unit]
        activations = [row["activation"] for row in rows]
        names = [row["class"] or Path(row["image"]).name for row in rows]
        title = f"{self._name} {self._layer}, unit {unit}"
        return unit_figure(title, made.patches, made.projections, activations, names)

    def picture(self, unit: int) -> Image.Image:
        """A unit's mosaics as one picture: projections on the left, image patches on the right. Raises as
        ``figure``."""
        projections, patches = self._mosaics(self._pictures([self._firing(unit)])[unit])
        return Image.fromarray(patches if projections is None else np.hstack([projections, patches]))

    def sheet(self, columns: int = 8) -> Image.Image:
        """All units that fire on one sheet, each with its projections beside its image patches. Raises as
        ``figure``."""
        columns = whole_number("columns", columns, 1)
        live = [unit for unit in self.units if unit not in self.dead]
        drawn = []
        for start in range(0, len(live), AT_ONCE):
            for unit, made in self._pictures(live[start : start + AT_ONCE]).items():
                drawn.append((unit, *self._mosaics(made)))
        title = f"{self._name} {self._layer}: top {self._top} of {len(live)} units"
        return Image.fromarray(pictures.contact_sheet(drawn, title, columns))

    def __repr__(self) -> str:
        return f"Top9({self._summary})"

    def _repr_html_(self) -> str:
        headings = ("unit", "strongest", "fires on", "strongest images")
        rows = []
        for place, unit in enumerate(self.units[:SHOWN_UNITS]):
            listed = self._found.top.image[place]
            shown = [
                self._images.class_of(i) or Path(self._images.name(i)).name
                for i in listed[listed != NO_IMAGE].tolist()
            ]
            share = float((self.maxima[:, place] > 0).mean())
            strongest = float(self.maxima[:, place].max())
            rows.append((str(unit), f"{strongest:.4g}", f"{share:.1%}", ", ".join(shown[:3])))
        more = len(self.units) - len(rows)
        return as_html(self._summary, headings, rows, headings[:3], f"and {more} more: see rows()" if more else "")

    @property
    def _layer(self) -> str:
        return self.layer.name or self.layer.path

    @property
    def _summary(self) -> str:
        parts = [f"{len(self.units)} units", f"{len(self.dead)} dead", f"{len(self.maxima)} images"]
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        return f"{self._name} {self._layer}: {', '.join(parts)}"

    def _firing(self, unit: int) -> int:
        if check_unit(self.layer, unit) not in self.units:
            reason = f"Unit {unit} of layer '{self._layer}' was not searched: name it in units."
            raise InvalidArgument(reason=reason)
        if unit in self.dead:
            raise UnitNotFiring(unit=unit, layer=self._layer, where=f"on any of {len(self.maxima)} images")
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
    projection: ProjectionMethod | None = "deconvnet",
    device: torch.device | str | None = None,
    batch_size: int = 32,
    progress: bool | None = None,
) -> Top9:
    """Search a layer: for each unit, which images fire it most?

    Parameters
    ----------
    network : Network
    layer : str or int
        A convolution: "conv5" or "5" where layers have names or form a chain, or a module path ("layer3.1.conv2").
    images
        A folder (its folders are the classes, if no image lies beside them), a list of paths, PIL images or arrays
        uint8 [H, W, 3], or one of these. Images that can't be read are left out with a warning: see ``skipped``.
    units : int or several, optional
        All by default.
    top : int
        Images for each unit, 1 to 100.
    bottom : bool
        Also the images with each unit's lowest minimum, where it is negative.
    per_class : bool
        Also the top images of each class.
    projection : {"deconvnet", "guided", "gradient"} or None
        How activations are projected back to pixels in pictures, which are made when they are asked for. None:
        pictures show image patches alone.
    device : torch.device or str, optional
        The GPU if there is one, else the CPU.
    batch_size : int
        Images that run at once. The last bits of activations can depend on it.
    progress : bool, optional
        Show a bar on stderr; by default where that is a terminal.

    Returns
    -------
    Top9
        ``rows()``, ``to_csv(path)``, ``statistics()``, ``figure(unit)``, ``picture(unit)``, ``sheet()``.

    Raises
    ------
    InvalidArgument, NoSuchFile, ImageNotReadable
    NoSuchLayer, NotAConvolution, AmbiguousLayer, NoSuchUnit
    FunctionalActivation
        the network has no deconvnet: choose the gradient, or None.
    NotFinite
        the layer gave NaN or infinity.
    """
    if projection is not None:
        check_choice("projection", projection, PROJECTION_METHODS)
    top, batch_size = whole_number("top", top, 1, 100), whole_number("batch_size", batch_size, 1)
    chosen_device = choose_device(device)
    described = find_layer(network, layer)
    chosen = _chosen_units(described, units)
    collected = collect(images)
    if per_class and not collected.class_names:
        raise InvalidArgument(reason="per_class needs classes: a folder that holds a folder of images for each.")
    skipped: list[Skipped] = []
    with exact_float32(chosen_device), bar("search", len(collected.sources), "images", progress) as shown:
        if projection is not None:
            make_projector(network, described, projection, chosen_device)  # can it be done at all?
        found = search(
            network.on(chosen_device),
            {described.path: chosen},
            collected.batches(batch_size, network.size, skipped),
            top,
            chosen_device,
            shown.update,
            network.mean,
            network.std,
            bottom=bottom,
            per_class=per_class,
        )[described.path]
    left_out = report_skipped(skipped, len(collected.sources), stacklevel=2)
    projector = None
    if projection is not None:
        # Pictures must not depend on which of them are asked for together: see ``WindowProjector``.
        numbers, counts = np.unique(found.top.image, return_counts=True)
        served = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        projector = make_projector(network, described, projection, chosen_device, served)
    return Top9(network, described, chosen, found, collected, left_out, projector, chosen_device, top)


def _chosen_units(layer: LayerDescription, units: int | Iterable[int] | None) -> list[int]:
    if units is None:
        return list(range(layer.units))
    listed = list(units) if isinstance(units, Iterable) else [units]
    chosen = sorted({check_unit(layer, unit) for unit in listed})
    if not chosen:
        raise InvalidArgument(reason="units is empty. Name at least one unit, or leave it out for all.")
    return chosen
