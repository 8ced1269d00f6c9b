"""Stage *draw* of a job of filters: the statistics and the picture of each layer of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import delete, tuple_
from sqlalchemy.orm import Session

from shared.kinds.filters.specification import FiltersSpecification
from shared.kinds.filters.tables import FilterLayer, FilterRow
from shared.store.store import StoredFile
from unitscope.drawing import pictures
from unitscope.drawing.filters import filter_sheet
from unitscope.filters.layers import LayerFilters, layer_filters
from worker.context import JobContext
from worker.kinds.common import load_network, register_artifacts
from worker.runner import ShardContext


def draw(context: ShardContext) -> None:
    """Compute the statistics of the filters of a shard's layers, and draw their kernels."""
    specification = cast(FiltersSpecification, context.specification)
    layers: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    files: list[StoredFile] = []
    for network, layer in specification.all_layers()[context.payload["start"] : context.payload["stop"]]:
        filters = filters_of(context, specification, network, layer)
        key = {"job_id": context.claim.job_id, "network_number": network + 1, "layer_number": layer + 1}
        sheet = filter_sheet(filters, specification.scale, specification.units, specification.inputs)
        files.append(context.store.put(pictures.png(sheet), ".png"))
        layers.append({**key, **layer_columns(filters), "picture_path": files[-1].path})
        rows += [{**key, **columns} for columns in filter_columns(filters)]
        context.progress()

    def write(session: Session) -> None:
        register_artifacts(context, session, files)
        _remove_rows(context, session, layers)
        session.add_all(FilterLayer(**columns) for columns in layers)
        session.add_all(FilterRow(**columns) for columns in rows)

    context.complete(write)


def _remove_rows(context: ShardContext, session: Session, layers: Sequence[dict[str, Any]]) -> None:
    """Delete the rows of these layers that an earlier run of the shard wrote."""
    numbers = [(layer["network_number"], layer["layer_number"]) for layer in layers]
    for model in (FilterRow, FilterLayer):
        of_layers = tuple_(model.network_number, model.layer_number).in_(numbers)
        session.execute(delete(model).where(model.job_id == context.claim.job_id, of_layers))


def filters_of(context: JobContext, specification: FiltersSpecification, network: int, layer: int) -> LayerFilters:
    """Return the filters of a layer, by the indices of its network and of the layer in the specification."""
    chosen = specification.networks[network]
    model = load_network(context, chosen.network, chosen.weights_path)
    named = chosen.layers[layer]
    return layer_filters(model, chosen.network.name, named.layer, named.path, chosen.network.std)


def layer_columns(filters: LayerFilters) -> dict[str, Any]:
    """Return the columns of ``FilterLayer`` that follow from the filters."""
    statistics = filters.statistics
    return {
        "network": filters.network,
        "layer": filters.layer,
        "layer_path": filters.path,
        "filters": filters.weight.shape[0],
        "inputs": filters.weight.shape[1],
        "groups": filters.groups,
        "kernel_rows": filters.kernel[0],
        "kernel_cols": filters.kernel[1],
        "stride_rows": filters.stride[0],
        "stride_cols": filters.stride[1],
        "reads_pixels": filters.reads_pixels,
        "rms_median": statistics.median_rms,
        "rms_limit": statistics.rms_limit,
        "dead": int(statistics.dead.sum()),
        "dominating": int(statistics.dominating.sum()),
        "over_limit": int(statistics.over_limit.sum()),
    }


def filter_columns(filters: LayerFilters) -> list[dict[str, Any]]:
    """Return the columns of ``FilterRow`` of each filter."""
    statistics = filters.statistics
    return [
        {
            "unit": unit,
            "rms": float(statistics.rms[unit]),
            "norm": float(statistics.norm[unit]),
            "mean": float(statistics.mean[unit]),
            "minimum": float(statistics.minimum[unit]),
            "maximum": float(statistics.maximum[unit]),
            "dead": bool(statistics.dead[unit]),
            "dominating": bool(statistics.dominating[unit]),
            "over_limit": bool(statistics.over_limit[unit]),
        }
        for unit in range(len(filters.weight))
    ]
