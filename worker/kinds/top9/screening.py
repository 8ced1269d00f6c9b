"""Search of a shard whose images are screened in low precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from torch import nn

from shared.jobs.tables import Shard, ShardState
from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from unitscope.data.images import Batch, ImageSource, Skipped, batches
from unitscope.data.pixel_cache import PixelCache
from unitscope.errors import ImageNotReadable
from unitscope.search.low_precision import computes_natively
from unitscope.search.ranking import TopActivations
from unitscope.search.screening import screened_search
from unitscope.search.search import LayerSearch
from worker.kinds.common import warn_of_memory
from worker.kinds.top9.partials import load_tops
from worker.runner import ShardContext


def screened(
    context: ShardContext,
    specification: Top9Specification,
    model: nn.Module,
    sources: list[ImageSource],
    cache: PixelCache | None,
    skipped: list[Skipped],
) -> dict[str, LayerSearch]:
    """Search the images of a shard. Those that can't be ranked, as the results of done shards show, are not run in
    float32: the rankings are complete only when they are merged with those of the other shards.

    Raises
    ------
    ScreeningNotPossible
        the device or the network has no such precision.
    RuntimeError
        an image could be read the first time, and not again. Another attempt leaves it out.
    """
    network, precision = specification.network, specification.screen
    assert precision is not None  # noqa: S101 - of a search that screens its images

    def read(images: Sequence[ImageSource], left_out: list[Skipped]) -> Iterator[Batch]:
        return batches(images, SEARCH_BATCH, network.image_size, pad=True, skipped=left_out, cache=cache)

    if not computes_natively(precision, context.device):
        context.log("warning", f"{context.device} has no instructions for {precision}: screening makes it slower")
    try:
        found = screened_search(
            model,
            {layer.path: layer.units for layer in specification.layers},
            read(sources, skipped),
            lambda images: read(images, []),
            precision,
            specification.top,
            context.device,
            context.progress,
            network.mean,
            network.std,
            forms=specification.forms,
            known=lambda: rankings_of_done_shards(context, specification),
            on_smaller=warn_of_memory(context),
        )
    except ImageNotReadable as error:
        raise RuntimeError(str(error)) from error
    context.log(
        "info",
        f"screened in {precision}: {found.recomputed:,} of {found.images:,} images computed again in float32, "
        f"margins of {found.widened:,} units widened",
    )
    return found.layers


def rankings_of_done_shards(context: ShardContext, specification: Top9Specification) -> dict[str, TopActivations]:
    """Return the merged rankings of the job's search shards that are done, by module path."""
    of_job = (Shard.job_id == context.claim.job_id, Shard.stage_name == context.claim.stage_name)
    with context.database.read() as session:
        query = select(Shard.result_path).where(*of_job, Shard.state == ShardState.DONE).order_by(Shard.number)
        paths = [path for path in session.scalars(query) if path]
    if not paths:
        return {}
    layers = specification.layers
    parts = [load_tops(context, path, len(layers)) for path in paths]
    return {
        layer.path: TopActivations.best_of([part[number] for part in parts]) for number, layer in enumerate(layers)
    }
