"""``us.compare_epochs``: rows, shares and pictures equal those of plain searches of each epoch's network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unitscope as us
from tests.unit.face.networks import CLASSES, SIZE, Functional, Residual, trained_looking
from unitscope.errors import InvalidArgument, NoSuchLayer, NoSuchUnit, UnsupportedActivation

EPOCHS = [1, 3, 7]
LAYERS = ["inner.conv2", "stem"]


def network_of(seed: int, *, dead: bool = False) -> us.Network:
    """A network with other weights for each seed, in which unit 2 of ``stem`` can be dead."""
    model = trained_looking(Residual())
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data += 0.2 * torch.randn_like(module.weight)
    if dead:
        model.get_submodule("stem").bias.data[2] = -1e6  # type: ignore[union-attr]
    return us.Network(model, size=SIZE, name="residual")


@pytest.fixture(scope="module")
def networks() -> dict[int, us.Network]:
    """Networks in another order than that of the epochs; those of epochs 3 and 7 are the same."""
    last = network_of(3)
    return {7: last, 1: network_of(1, dead=True), 3: last}


@pytest.fixture(scope="module")
def evolved(networks: dict[int, us.Network], photos: Path) -> us.Evolution:
    return us.compare_epochs(networks, LAYERS, photos, batch_size=8, progress=False)


def test_rows_equal_a_search_of_each_epoch(
    networks: dict[int, us.Network], evolved: us.Evolution, photos: Path
) -> None:
    rows = evolved.rows()
    found = {(row["layer"], row["unit"], row["epoch"]): row for row in rows}
    assert len(found) == len(rows) == 2 * 8 * len(EPOCHS)
    assert [layer.path for layer in evolved.layers] == ["stem", "inner.conv2"]  # as in the network
    assert evolved.epochs == EPOCHS
    for epoch, network in networks.items():
        for layer in LAYERS:
            searched = us.top9(network, layer, photos, top=1, batch_size=8, progress=False)
            for row in searched.rows():
                same = found[layer, row["unit"], epoch]
                assert same["state"] == "active"
                for name in ("activation", "image", "class", "row", "col"):
                    assert same[name] == row[name], name
            dead = [unit for unit in range(8) if found[layer, unit, epoch]["state"] == "dead"]
            assert dead == searched.dead
    gone = found["stem", 2, 1]
    assert (gone["state"], gone["activation"], gone["image"], gone["row"]) == ("dead", None, None, None)


def test_units_settle_where_their_top_image_last_changes(evolved: us.Evolution) -> None:
    images: dict[Any, list[Any]] = {}
    settled = {}
    for row in evolved.rows():
        images.setdefault((row["layer"], row["unit"]), []).append(row["image"])
        settled[row["layer"], row["unit"]] = row["settled_epoch"]
    for unit, listed in images.items():  # the last two epochs have the same weights
        expected = None if listed[-1] is None else 1 if listed[0] == listed[1] else 3
        assert settled[unit] == expected
    assert settled["stem", 2] == 3
    for layer, shares in evolved.shares().items():
        epochs = [epoch for (name, _), epoch in settled.items() if name == layer and epoch]
        assert shares == [sum(epoch <= until for epoch in epochs) / len(epochs) for until in EPOCHS]
        assert shares[1:] == [1, 1]


def test_the_picture_and_the_curve_show_all_layers(evolved: us.Evolution) -> None:
    picture = evolved.picture(units=[2, 5], cell=32)
    blocks = np.asarray(picture)
    assert blocks.shape[0] > 2 * 32
    assert blocks.shape[1] > 2 * 3 * 32
    again = evolved.picture(units=[5, 2], cell=32)
    assert np.array_equal(np.asarray(again), blocks)
    by_chance = [np.asarray(evolved.picture(draw=2, seed=seed, cell=32)) for seed in (0, 0, 1)]
    assert np.array_equal(by_chance[0], by_chance[1])
    assert not np.array_equal(by_chance[0], by_chance[2])
    (axes,) = evolved.curve().get_axes()
    assert [line.get_label() for line in axes.get_lines()[::2]] == ["stem", "inner.conv2"]
    assert "epochs 1, 3, 7" in repr(evolved)


def test_rows_are_written_to_a_csv_file(evolved: us.Evolution, tmp_path: Path) -> None:
    evolved.to_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    rows = evolved.rows()
    assert len(read) == len(rows)
    assert read[5] == {name: "" if value is None else str(value) for name, value in rows[5].items()}
    json.dumps(rows)


def test_bad_arguments_are_refused(networks: dict[int, us.Network], photos: Path, evolved: us.Evolution) -> None:
    network = networks[1]
    other = us.Network(trained_looking(Residual()), size=SIZE + 8, name="residual")
    functional = {epoch: us.Network(Functional(), size=SIZE) for epoch in (1, 2)}
    wider = Residual(CLASSES)
    wider.stem = nn.Conv2d(3, 8, 5, stride=2, padding=1)
    refused: list[tuple[type[Exception], Any, Any]] = [
        (InvalidArgument, {1: network}, "stem"),
        (InvalidArgument, {0: network, 1: network}, "stem"),
        (InvalidArgument, [network, network], "stem"),
        (InvalidArgument, {1: network, 2: nn.ReLU()}, "stem"),
        (InvalidArgument, {1: network, 2: other}, "stem"),
        (InvalidArgument, {1: network, 2: us.Network(wider, size=SIZE)}, "stem"),
        (InvalidArgument, networks, []),
        (NoSuchLayer, networks, "conv9"),
        (UnsupportedActivation, functional, "conv2"),
    ]
    for error, given, layers in refused:
        with pytest.raises(error):
            us.compare_epochs(given, layers, photos, progress=False)
    with pytest.raises(NoSuchUnit):
        evolved.picture(units=8)
    with pytest.raises(InvalidArgument):
        evolved.picture(draw=0)
