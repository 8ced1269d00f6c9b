"""Searches of layers of all forms, against a plain loop with hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import unitscope as us
from tests.unit.layers.networks import CASES, IMAGES, Case, made, pixels
from unitscope.data.images import Batch, ImageSource, to_input
from unitscope.layers.lookup import find_layer
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.screening import screened_search
from unitscope.search.search import LayerSearch, search

TOP, UNITS = 4, 12
Row = tuple[int, int, float, int | None, int | None]


def outputs_of(network: us.Network, images: torch.Tensor, paths: list[str]) -> dict[str, np.ndarray]:
    """Return the first output of each module, in its first run, for a batch."""
    found: dict[str, np.ndarray] = {}

    def hook_for(path: str) -> Any:
        def hook(module: object, inputs: object, output: Any) -> None:
            while not isinstance(output, torch.Tensor):
                parts = list(output.values()) if isinstance(output, dict) else list(output)
                output = next(part for part in parts if not isinstance(part, str))
            found.setdefault(path, output.detach().clone().contiguous().numpy())

        return hook

    handles = [network.model.get_submodule(path).register_forward_hook(hook_for(path)) for path in paths]
    with torch.inference_mode():
        network.model(to_input(images, "cpu", network.mean, network.std))
    for handle in handles:
        handle.remove()
    return found


def values_and_places(output: np.ndarray, dimensions: str, case: Case) -> tuple[np.ndarray, list[Any]]:
    """Return values [images, units, places], and the row and column of each place, None where there is none."""
    if dimensions == "nc":
        return output[:, :, None], [(None, None)]
    if dimensions == "ntc":
        columns, before = case.grid
        tokens = output.shape[1] - before
        return output.transpose(0, 2, 1), [(None, None)] * before + [divmod(t, columns) for t in range(tokens)]
    if dimensions == "nhwc":
        output = output.transpose(0, 3, 1, 2)
    rows, columns = output.shape[2:]
    return output.reshape(*output.shape[:2], -1), [(row, col) for row in range(rows) for col in range(columns)]


def plain(output: np.ndarray, dimensions: str, case: Case, sign: int = 1) -> list[Row]:
    """Rank the images for each unit: (unit, image, value, row, column)."""
    values, places = values_and_places(output, dimensions, case)
    ranked: list[Row] = []
    for unit in range(min(UNITS, values.shape[1])):
        best = []
        for image in range(len(values)):
            place = int((sign * values[image, unit]).argmax())
            if (value := float(sign * values[image, unit, place])) > 0:
                best.append((-value, image, *places[place]))
        best.sort(key=lambda entry: entry[:2])
        ranked += [(unit, image, -value, row, col) for value, image, row, col in best[:TOP]]
    return ranked


def rows_of(top: TopActivations) -> list[Row]:
    return [
        (
            unit,
            image,
            float(top.activation[unit, rank]),
            None if top.row[unit, rank] < 0 else int(top.row[unit, rank]),
            None if top.row[unit, rank] < 0 else int(top.col[unit, rank]),
        )
        for unit in range(len(top.image))
        for rank, image in enumerate(top.image[unit].tolist())
        if image != NO_IMAGE
    ]


def batch(images: torch.Tensor, first: int = 0) -> Batch:
    labels = [number % 2 for number in range(len(images))]
    sources = [ImageSource(first + n, None, label) for n, label in enumerate(labels)]  # type: ignore[arg-type]
    return Batch(images, sources)


def searched(network: us.Network, case: Case, images: torch.Tensor, **options: Any) -> dict[str, LayerSearch]:
    layers = {path: find_layer(network.description, path) for path in case.layers}
    return search(
        network.model,
        {path: range(min(UNITS, layer.units)) for path, layer in layers.items()},
        [batch(images)],
        TOP,
        mean=network.mean,
        std=network.std,
        forms={path: layer.form for path, layer in layers.items() if layer.form},
        **options,
    )


@pytest.fixture(scope="module", params=CASES)
def network_of_case(request: pytest.FixtureRequest) -> tuple[us.Network, Case]:
    case = CASES[request.param]
    return us.Network(made(case), size=case.size), case


def test_forms_are_those_of_the_outputs(network_of_case: tuple[us.Network, Case]) -> None:
    network, case = network_of_case
    outputs = outputs_of(network, pixels(case, 2), list(case.layers))
    for path, dimensions in case.layers.items():
        form = find_layer(network.description, path).form
        assert form is not None
        assert form.kind == {"nchw": "maps", "nhwc": "maps", "ntc": "tokens", "nc": "vectors"}[dimensions]
        assert form.units == outputs[path].shape[dimensions.index("c")]
        assert form.channels_last == (dimensions in ("nhwc", "ntc"))
        if form.kind == "tokens":
            assert form.rows is not None
            assert form.rows * form.columns + form.before == outputs[path].shape[1]  # type: ignore[operator]
            assert (form.columns, form.before) == case.grid


def test_a_search_equals_a_plain_loop(network_of_case: tuple[us.Network, Case]) -> None:
    network, case = network_of_case
    images = pixels(case, 3 if case.size == 224 else IMAGES)
    outputs = outputs_of(network, images, list(case.layers))
    found = searched(network, case, images, bottom=True, per_class=True)
    ranked = 0
    for path, dimensions in case.layers.items():
        expected = plain(outputs[path], dimensions, case)
        assert rows_of(found[path].top) == expected, path
        bottom = found[path].bottom
        assert bottom is not None
        assert rows_of(bottom) == plain(outputs[path], dimensions, case, -1), path
        values, _ = values_and_places(outputs[path], dimensions, case)
        assert np.array_equal(found[path].maxima, values.max(2)[:, :UNITS])
        for label, of_class in found[path].by_class.items():
            numbers = [number for number in range(len(images)) if number % 2 == label]
            listed = [
                (unit, numbers[image], *rest)
                for unit, image, *rest in plain(outputs[path][numbers], dimensions, case)
            ]
            assert rows_of(of_class) == listed, path
        ranked += len(expected)
    assert ranked > 2 * len(case.layers)


@pytest.mark.parametrize("name", ["shared", "vit", "swin"])
def test_a_layer_alone_has_the_rows_that_it_has_among_others(name: str) -> None:
    case = CASES[name]
    network, images = us.Network(made(case), size=case.size), pixels(case)
    together = searched(network, case, images)
    for path in case.layers:
        alone = Case(case.make, case.size, {path: case.layers[path]})
        assert rows_of(searched(network, alone, images)[path].top) == rows_of(together[path].top)


def test_an_in_place_relu_does_not_change_the_values_of_the_layer_before_it() -> None:
    case = CASES["shared"]
    network = us.Network(made(case), size=case.size)
    found = searched(network, case, pixels(case), bottom=True)["first"]
    assert found.bottom is not None
    assert (found.bottom.activation > 0).any()  # negated minima: a ReLU has none


def _narrow_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=64, patch_size=16, num_layers=4, num_heads=3, hidden_dim=96, mlp_dim=192, num_classes=20
    )


def _narrow_swin() -> nn.Module:
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=20
    )


# Arithmetic of 16 bits is slow on CPUs without instructions for it: the transformers are narrow.
SCREENED = {
    "vit": replace(CASES["vit"], make=_narrow_vit),
    "swin": replace(CASES["swin"], make=_narrow_swin),
    "mobilenet": CASES["mobilenet"],
}


@pytest.mark.parametrize("name", SCREENED)
def test_screening_gives_the_same_rows(name: str) -> None:
    case = SCREENED[name]
    network, images = us.Network(made(case), size=case.size), pixels(case, 80)
    layers = {path: find_layer(network.description, path) for path in list(case.layers)[-3:]}
    units = {path: range(UNITS) for path in layers}
    forms: Any = {path: layer.form for path, layer in layers.items()}
    batches = [batch(images[start : start + 8], start) for start in range(0, 80, 8)]

    def read_again(sources: Any) -> Any:
        numbers = [source.id for source in sources]
        return [
            Batch(images[numbers[start : start + 8]], sources[start : start + 8])
            for start in range(0, len(numbers), 8)
        ]

    exact = search(network.model, units, batches, TOP, forms=forms)
    quick = screened_search(network.model, units, batches, read_again, "bfloat16", TOP, forms=forms)
    for path in layers:
        assert rows_of(quick.layers[path].top) == rows_of(exact[path].top)


def test_an_output_of_another_form_is_refused() -> None:
    case = CASES["shared"]
    model = made(case)
    for path, says in (("hidden", "no maps"), ("relu2", "relu2")):
        with pytest.raises((ValueError, AttributeError), match=says):
            search(model, {path: [0]}, [batch(pixels(case))])
