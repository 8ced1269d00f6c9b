"""``unitscope.probe``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unitscope as us
from tests.unit.face.conftest import COLOURS, EACH
from unitscope.errors import InvalidArgument, NoSuchModule


def test_colours_are_told_apart(residual: us.Network, photos: Path) -> None:
    result = us.probe(residual, photos, ["stem", "relu3"], folds=2, seed=3, features=32)
    assert [(layer.layer, layer.grid, layer.features) for layer in result.layers] == [
        ("stem", (2, 2), 32), ("relu3", (2, 2), 32),
    ]  # fmt: skip
    rows = result.rows()
    assert len(rows) == 2 * 2 * 2
    assert {(row["class_accuracy"], row["accuracy"]) for row in rows} == {(1, 1)}
    assert {row["train_images"] + row["test_images"] for row in rows} == {EACH * len(COLOURS)}
    assert "100.0%" in result._repr_html_()
    assert len(result.figure().axes[0].containers) == 2


def test_images_are_drawn_and_labels_shuffled(residual: us.Network, photos: Path) -> None:
    options = {"classifiers": ["svm"], "seeds": 5, "per_class": 3, "test_per_class": 1, "shuffle_labels": True}
    result = us.probe(residual, photos, ["relu3"], **options)  # type: ignore[arg-type]
    assert {(row["train_images"], row["test_images"]) for row in result.rows()} == {(9, 3)}
    assert np.mean([row["class_accuracy"] for row in result.rows()]) < 0.9
    assert result.rows() == us.probe(residual, photos, ["relu3"], **options).rows()  # type: ignore[arg-type]


def test_unreadable_images_are_left_out(residual: us.Network, photos: Path, tmp_path: Path) -> None:
    for file in photos.rglob("*.png"):
        (tmp_path / file.parent.name).mkdir(exist_ok=True)
        Image.open(file).save(tmp_path / file.parent.name / file.name)
    (tmp_path / "red" / "0.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 of 24 images"):
        result = us.probe(residual, tmp_path, ["relu3"], folds=2, classifiers=["svm"])
    assert {row["train_images"] + row["test_images"] for row in result.rows()} == {EACH * len(COLOURS) - 1}


def test_wrong_arguments_are_named(residual: us.Network, photos: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"Class blue has \d training images, and 20 are needed"):
        us.probe(residual, photos, per_class=20)
    with pytest.raises(InvalidArgument, match="classifiers can't be 'tree'"):
        us.probe(residual, photos, classifiers=["tree"])  # type: ignore[list-item]
    with pytest.raises(NoSuchModule, match="stem"):
        us.probe(residual, photos, ["conv7"])
    with pytest.raises(InvalidArgument, match="at least two classes"):
        us.probe(residual, (photos / "red", photos / "red"))
