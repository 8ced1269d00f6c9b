"""Fingerprints change if and only if a data set's content changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from producer.datasets.folder import read_folder
from producer.datasets.voc import read_voc
from tests.integration.datasets.helpers import Voc, an_annotation, an_object, encoded, noise, write_folder


@pytest.fixture
def original(voc: Voc) -> Voc:
    """A data set with two images, two objects and two splits."""
    voc.add("other", an_object("cat"), content=encoded(noise(seed=1)))
    voc.split("train", "good", "other")
    voc.split("val", "other")
    return voc


def changed_pixel(voc: Voc) -> None:
    pixels = noise()
    pixels[0, 0, 0] ^= 1
    voc.image("good.png", encoded(pixels))


CHANGES: dict[str, Callable[[Voc], None]] = {
    "a pixel": changed_pixel,
    "a box": lambda voc: voc.add("good", an_object(box=(2, 3, 9, 9))),
    "a class": lambda voc: voc.add("good", an_object("cow")),
    "an object more": lambda voc: voc.add("good", an_object(), an_object()),
    "an image fewer": lambda voc: voc.split("train", "other"),
    "a split's members": lambda voc: voc.split("val", "good", "other"),
    "a split's name": lambda voc: voc.split("test", "good"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with(original: Voc, change: str) -> None:
    before = read_voc(original.root).fingerprint
    CHANGES[change](original)
    assert read_voc(original.root).fingerprint != before


def test_fingerprint_depends_only_on_the_content(original: Voc, tmp_path: Path) -> None:
    before = read_voc(original.root)
    original.split("train", "other", "good", "other")
    for file in original.root.rglob("*"):
        os.utime(file, (1, 1))
    original.annotation("good", an_annotation("good.png", an_object(more="<pose>Left</pose>\n")))
    assert read_voc(original.root) == before
    shutil.copytree(original.root, tmp_path / "copy")
    assert read_voc(tmp_path / "copy").fingerprint == before.fingerprint


def test_fingerprint_differs_for_whole_images(original: Voc) -> None:
    assert read_voc(original.root).fingerprint != read_voc(original.root, whole=True).fingerprint


def test_folder_fingerprint_changes_with_pixels_and_names_only(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png", "bee/b.png"])
    before = read_folder(root).fingerprint
    os.utime(root / "ant/a.png", (1, 1))
    assert read_folder(shutil.copytree(root, tmp_path / "copy")).fingerprint == before
    (root / "ant/a.png").rename(root / "bee/a.png")
    moved = read_folder(root).fingerprint
    write_folder(root, ["bee/a.png"], encoded(noise(seed=3)))
    assert len({before, moved, read_folder(root).fingerprint}) == 3
