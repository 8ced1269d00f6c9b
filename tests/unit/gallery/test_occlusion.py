"""Pages of occlusion sweeps: the list of images, the maps over an image, and their pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from producer.kinds.occlusion.gallery.maps import (
    LARGEST_INPUT,
    LARGEST_PICTURE,
    LARGEST_SIDE,
    Maps,
    MapsNotReadable,
    draw_classes,
    draw_values,
    probability_span,
    read_maps,
)
from shared.kinds.occlusion.tables import OcclusionMap
from tests.hostile.test_pages import HOSTILE
from tests.unit.gallery.databases import DONE_RUN, STARTS, SWEEP, Parsed, maps, unsafe_parts
from unitscope.occlusion import arrays

PAGE = f"/jobs/{SWEEP}/occlusion/2"


def test_the_maps_lie_over_the_image(client: TestClient) -> None:
    page = Parsed(client.get(PAGE).text)
    pictures = page.of("image")
    names = [None, "activation", "probability", "shared", "classes"]
    assert [picture.get("data-map") for picture in pictures] == names
    assert [picture.get("visibility") for picture in pictures[1:]] == ["hidden", "visible", "hidden", "hidden"]
    for picture in pictures:
        answer = client.get(picture["href"])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    # Centres of the first and last square, and half a step: 8 - 4, and 48 + 8 + 4.
    assert (pictures[1]["x"], pictures[1]["width"]) == ("4.0", "56.0")
    [square] = [rect for rect in page.of("rect") if "data-square" in rect]
    assert (square["x"], square["y"], square["width"]) == ("24", "16", "16")
    sliders = [box for box in page.of("input") if box["type"] == "range"]
    assert [slider["value"] for slider in sliders] == ["60", "2", "3"]
    assert {"/jobs/4/occlusion/1", "/jobs/4/occlusion/3"} <= set(page.links)
    assert "probability of square, clear image" in page.words
    assert unsafe_parts(page) == []


def test_the_script_reads_the_values_of_the_archive(client: TestClient) -> None:
    text = client.get(PAGE).text
    values = json.loads(text.partition('id="occlusion-values">')[2].partition("</script>")[0])
    stored = maps(3, 2)
    assert values["starts"] == STARTS
    assert np.allclose(values["probability"], stored["probability"], rtol=1e-3)
    assert values["classes"] == stored["classes"].tolist()
    assert values["names"] == {"0": "circle", "1": "square", "2": "star"}
    shares = {entry["name"]: entry["share"] for entry in client.get(f"{PAGE}.json").json()["maps"]["legend"]}
    assert shares["star"] == pytest.approx((stored["classes"] == 2).mean())


def test_maps_are_drawn_from_least_to_largest() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(draw_values(np.array([[0.0, 1.0], [0.5, np.nan]])))))
    assert pixels[0, 0].tolist() == [68, 1, 84]
    assert pixels[0, 1].tolist() == [253, 231, 37]
    assert pixels[1, 1].tolist() == [128, 128, 128]
    constant = np.asarray(Image.open(io.BytesIO(draw_values(np.full((2, 2), 3.0)))))
    assert constant.reshape(-1, 3).tolist() == [[68, 1, 84]] * 4


def of_starts(starts: list[int], patch: int = 4) -> Maps:
    values = np.arange(len(starts) ** 2, dtype=np.float64).reshape(len(starts), -1)
    return Maps(starts, patch, values, values / values.size, values.astype(np.int64))


@pytest.mark.parametrize("starts", [[0, 8, 16], [0, 8, 16, 17], [0, 8, 11], [3], [*range(0, 900, 100), 901]])
def test_cells_are_around_the_centres_of_the_square(starts: list[int]) -> None:
    maps = of_starts(starts)
    drawn = maps.as_cells(maps.activation)
    assert drawn.shape == np.asarray(Image.open(io.BytesIO(draw_classes(maps)))).shape[:2]
    area, scale = maps.edges[-1] - maps.edges[0], len(drawn) / (maps.edges[-1] - maps.edges[0])
    for row, start in enumerate(starts):
        for column, other in enumerate(starts):
            y, x = (int((place + maps.patch / 2 - maps.edges[0]) * scale) for place in (start, other))
            assert drawn[y, x] == maps.activation[row, column], (starts, area)
    regular = len(set(np.diff(starts))) <= 1
    assert (len(drawn) == len(starts)) == regular
    assert len(drawn) <= LARGEST_PICTURE


def test_rounding_of_probabilities_is_not_magnified() -> None:
    assert probability_span(np.array([0.2, 0.7])) == (0.2, 0.7)
    for value in (0.0, 0.5, 0.999_999, 1.0):
        low, high = probability_span(np.array([value, value - 1e-7 if value else 1e-7]))
        assert 0 <= low <= value <= high <= 1
        assert high - low == pytest.approx(0.01)


def test_maps_of_the_library_can_be_read(small: Gallery) -> None:
    stored = maps(3)
    side = len(STARTS)
    whole = arrays.OcclusionMaps(
        starts=stored["starts"], patch=16, unit=2, clear_activation=1.0, clear_probability=0.5, clear_class=0,
        clear_target_probability=None, activation=stored["activation"], probability=stored["probability"],
        target_probability=None, classes=stored["classes"], computed=np.ones((side, side), bool), error=None,
    )  # fmt: skip
    path = small.store.write(".npz", lambda file: arrays.write_maps(file, whole)).path
    read = read_maps(small.store, path)
    assert (read.starts, read.patch) == (STARTS, 16)
    assert np.array_equal(read.probability, stored["probability"].astype(np.float64))


@pytest.mark.parametrize(
    "changes",
    [
        {"starts": np.arange(3)},
        {"probability": np.zeros((7, 8))},
        {"classes": np.full((7, 7), "x")},
        {"patch": np.arange(2)},
        {"activation": np.array([{}], object)},
        {"starts": np.zeros((2, 2))},
        {"starts": np.array(STARTS[::-1])},
        {"starts": np.array(STARTS) - 1},
        {"starts": np.array(STARTS) + LARGEST_INPUT},
        {"starts": np.zeros(len(STARTS), np.int64)},
        {"starts": np.array(STARTS) + 0.5},
        {"patch": np.array(0)},
        {"activation": np.zeros((3 * LARGEST_SIDE, LARGEST_SIDE))},
    ],
)
def test_other_arrays_are_refused(small: Gallery, changes: dict[str, Any]) -> None:
    path = small.store.write(".npz", lambda file: np.savez_compressed(file, **{**maps(3), **changes})).path
    with pytest.raises(MapsNotReadable):
        read_maps(small.store, path)


def test_missing_and_damaged_maps_are_named(client: TestClient, small: Gallery) -> None:
    damaged = small.store.put(b"no archive", ".npz").path
    missing = small.store.put(b"gone", ".npz").path
    small.store.locate(missing).unlink()
    for image, path in ((1, damaged), (2, missing)):
        with small.database.write() as session:
            session.execute(update(OcclusionMap).where(OcclusionMap.image_id == image).values(array_path=path))
        page = Parsed(client.get(f"/jobs/{SWEEP}/occlusion/{image}").raise_for_status().text)
        assert "The maps can't be shown" in page.words
        assert path[3:] in page.words
        assert page.of("script")[-1].get("src") != "/static/occlusion.js"
        sha256 = path[3:19]
        assert client.get(f"/jobs/{SWEEP}/occlusion/{image}/{sha256}/probability.png").status_code == 404


def test_a_missing_image_file_is_named(client: TestClient, small: Gallery) -> None:
    (Path(small.settings.home) / "data" / "1.png").unlink()
    assert "The file of the image is not on this machine" in client.get(PAGE).text


def test_images_are_listed_by_the_fall_of_probability(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.kinds.occlusion.gallery.images.IMAGES", 2)
    first = client.get(f"/jobs/{SWEEP}/occlusion.json").json()
    second = client.get(first["next"]).json()
    assert [image["image_id"] for page in (first, second) for image in page["images"]] == [3, 2, 1]
    chosen = client.get(f"/jobs/{SWEEP}/occlusion.json?order=image&class=star").json()
    assert [image["image_id"] for image in chosen["images"]] == [3]
    assert "No image has this class" in client.get(f"/jobs/{SWEEP}/occlusion?class=dog").text
    assert client.get(f"/jobs/{SWEEP}/occlusion?after=x").status_code == 400


def test_probability_on_the_scale_of_all_images(client: TestClient) -> None:
    answer = client.get(f"{PAGE}.json").json()["maps"]
    addresses = {picture["name"]: picture["address"] for picture in answer["pictures"]}
    assert list(addresses) == ["activation", "probability", "shared", "classes"]
    own, shared = (
        np.asarray(Image.open(io.BytesIO(client.get(addresses[name]).content)), np.int64)
        for name in ("probability", "shared")
    )
    values = np.array(answer["probability"], np.float64)
    for drawn, limits in ((own, None), (shared, (0.0, 1.0))):
        expected = np.asarray(Image.open(io.BytesIO(draw_values(values, limits))), np.int64)
        assert np.abs(drawn - expected).max() <= 3  # the values have four digits
    assert np.abs(own - shared).max() > 3


def test_unknown_images_are_not_found(client: TestClient) -> None:
    for address in (
        f"{SWEEP}/occlusion/9",
        "99/occlusion/1",
        "99/occlusion",
        f"{SWEEP}/occlusion/2/{'0' * 16}/classes.png",
    ):
        assert client.get(f"/jobs/{address}").status_code == 404
    sha256 = client.get(f"{PAGE}.json").json()["maps"]["pictures"][0]["address"].split("/")[5]
    assert client.get(f"{PAGE}/{sha256}/starts.png").status_code == 404
    assert client.get(f"/jobs/{DONE_RUN}/occlusion/1").status_code == 400


def test_names_add_no_markup(hostile: TestClient) -> None:
    for address in ("occlusion", "occlusion/1", "occlusion/2"):
        page = Parsed(hostile.get(f"/jobs/{SWEEP}/{address}").raise_for_status().text)
        assert unsafe_parts(page) == []
        assert HOSTILE[0] in page.words
        assert page.of("svg") == [values for values in page.of("svg") if "onload" not in values]
