"""Measure some batches of an evolution on this machine: a search of a few images, projections of a few units."""

from __future__ import annotations

from typing import cast

import numpy as np

from shared.kinds.evolution.specification import SEARCH_BATCH, EvolutionSpecification, EvolvingLayer
from unitscope.data.images import ImageSource, batches, read_image
from unitscope.evolution.projections import StrongestPictures
from unitscope.evolution.strongest import Strongest, strongest_activations
from worker.context import JobContext
from worker.kinds.common import load_network
from worker.kinds.evolution.search import searched_sources
from worker.kinds.measuring import Measured, seconds_of

IMAGES = 3 * SEARCH_BATCH  # after a batch whose time is not counted
UNITS = 4  # of each layer


def measure(context: JobContext) -> Measured:
    """Measure the search of some images with the last epoch's weights, and projections of units that they
    activate."""
    specification = cast(EvolutionSpecification, context.specification)
    sources = searched_sources(context, specification, 0, SEARCH_BATCH + IMAGES)
    _search(context, specification, sources[:SEARCH_BATCH])
    timed = sources[SEARCH_BATCH:] or sources
    found: dict[str, Strongest] = {}
    took = seconds_of(lambda: found.update(_search(context, specification, timed)), context.device)
    seconds = {"search": took / len(timed)}
    drawn = sum(specification.drawn_count(layer) for layer in specification.layers)
    if drawn:
        by_id = {source.id: source for source in timed}
        seconds["project"] = (
            sum(
                specification.drawn_count(layer)
                * _projection_seconds(context, specification, layer, found[layer.path], by_id)
                for layer in specification.layers
            )
            / drawn
        )
    return Measured(seconds)


def _search(
    context: JobContext, specification: EvolutionSpecification, sources: list[ImageSource]
) -> dict[str, Strongest]:
    network = specification.network
    return strongest_activations(
        load_network(context, network, specification.checkpoints[-1].weights_path),
        {layer.path: layer.units for layer in specification.layers},
        batches(sources, SEARCH_BATCH, network.image_size, pad=True, skipped=[]),
        context.device,
        mean=network.mean,
        std=network.std,
    )


def _projection_seconds(
    context: JobContext,
    specification: EvolutionSpecification,
    layer: EvolvingLayer,
    strongest: Strongest,
    sources: dict[int, ImageSource],
) -> float:
    """Return the seconds to project a unit; 0 if no unit of the layer is active on these images."""
    network = specification.network
    units = np.flatnonzero(strongest.active)[:UNITS].tolist()
    if not units:
        return 0.0
    maker = StrongestPictures(
        load_network(context, network, specification.checkpoints[-1].weights_path),
        layer.path,
        network.image_size,
        strongest,
        units,
        specification.projection,
        context.device,
        network.mean,
        network.std,
    )

    def read(image: int) -> np.ndarray:
        return read_image(sources[image], network.image_size)

    list(maker.of(units, read))
    return seconds_of(lambda: list(maker.of(units, read)), context.device) / len(units)
