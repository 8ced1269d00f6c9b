"""Pages of data sets and images."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from shared.database.datasets import ImageSplit
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, JobState
from shared.kinds.features.tables import FeatureImage
from shared.kinds.occlusion.tables import OcclusionMap
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation
from tests.integration.ledger.helpers import SHA256, top9
from tests.unit.gallery.jobs.conftest import IMAGES, add_dataset

Read = Callable[[str], str]
PICTURE = f"ab/{SHA256}.png"


def test_all_images_are_shown_once_page_by_page(client: TestClient) -> None:
    places, address = [], "/datasets/voc.2007.json"
    while address:
        answer = client.get(address).json()
        places += [(image["path"], image["object_number"]) for image in answer["shown"]]
        address = answer["next"]
    assert places == sorted(places)
    assert len(set(places)) == IMAGES


def test_images_are_filtered(client: TestClient) -> None:
    shown = client.get("/datasets/voc.2007.json?class=dog").json()["shown"]
    assert {image["class_name"] for image in shown} == {"dog"}
    shown = client.get("/datasets/voc.2007.json?split=val").json()["shown"]
    assert len(shown) == 48
    assert all(image["id"] % 2 == 0 for image in shown)


def test_a_data_set_shows_its_classes_and_problems(page: Read) -> None:
    shown = page("/datasets/voc.2007")
    for text in ("voc.2007", "cat", "dog", "val", "not readable", "broken.jpg", SHA256):
        assert text in shown


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/datasets/nothing", 404),
        ("/datasets/voc.2007?class=cow", 404),
        ("/datasets/voc.2007?split=odd", 404),
        ("/datasets/voc.2007?after=5", 404),
        ("/datasets/voc.2007?after=x", 400),
        ("/images/5", 404),
        ("/images/x", 404),
    ],
)
def test_what_is_not_there(client: TestClient, address: str, status: int) -> None:
    path, mark, query = address.partition("?")
    for asked in (address, f"{path}.json{mark}{query}"):
        assert client.get(asked).status_code == status, asked


@pytest.mark.parametrize("name", ["a/b", "x?y#z", "voc 2007%", "r.json", "ünï", "a.json.json", "..", "a//b"])
def test_names_of_any_form_have_pages(gallery: Gallery, client: TestClient, name: str) -> None:
    add_dataset(gallery.database, name, ["cat"])
    link = f'href="/datasets/{quote(name)}"'
    assert link in client.get("/").text
    # The client itself would resolve "..".
    encoded = quote(name).replace("..", "%2E%2E") if name == ".." else quote(name)
    shown = client.get(f"/datasets/{encoded}")
    assert shown.status_code == 200
    assert client.get(f"/datasets/{encoded}.json").json()["name"] == name


def test_an_image_and_its_neighbours(client: TestClient) -> None:
    first = client.get("/datasets/voc.2007.json").json()["shown"][0]["id"]
    walked, address = [], f"/images/{first}"
    while address:
        answer = client.get(f"{address}.json").json()
        walked.append(answer["image_id"])
        if len(walked) > 1:
            assert answer["previous"] == f"/images/{walked[-2]}"
        address = answer["next"]
    assert len(set(walked)) == IMAGES


def test_the_page_of_an_image(page: Read) -> None:
    shown = page("/images/1002")
    assert '<rect class="field" x="5" y="6" width="20" height="30"/>' in shown
    assert "JPEGImages/0059.jpg" in shown
    assert "50 × 40 pixels" in shown
    assert 'rel="next"' in shown
    assert "No job has found anything" in shown
    assert 'href="/images/1001"' in shown  # of the same file


def test_what_jobs_have_found_about_an_image(gallery: Gallery, ledger: Ledger, client: TestClient) -> None:
    job, _ = ledger.submit(top9(1))
    swept = {
        "clear_activation": 1.0, "clear_probability": 0.9, "clear_class": "cat", "positions": 1, "computed": 1,
        "min_activation": 0.0, "min_activation_row": 0, "min_activation_col": 0, "min_probability": 0.25,
        "min_probability_row": 0, "min_probability_col": 0, "class_changes": 0, "engine": "naive",
        "array_path": PICTURE, "picture_path": PICTURE,
    }  # fmt: skip
    with gallery.database.write() as session:
        session.add(
            SearchedLayer(id=1, job_id=job, layer="conv5", layer_path="features.10", maxima_path="aa/maxima.npy")
        )
        session.get_one(Job, job).state = JobState.DONE
        session.flush()
        for unit in range(40):
            session.add(SearchedUnit(layer_id=1, unit=unit, dead=False, projections_path=PICTURE))
            rank = 9 - unit % 9
            session.add(TopActivation(layer_id=1, unit=unit, rank=rank, activation=float(unit), image_id=1001))
        session.add(
            OcclusionMap(job_id=job, image_id=1001, layer="conv5", layer_path="features.10", unit=3, **swept)
        )
        session.add(FeatureImage(job_id=job, image_number=1, image_id=1001, picture_path=PICTURE))
    assert "/find?" not in client.get("/images/1001.json").text  # the search is of another split
    with gallery.database.write() as session:
        session.add_all(ImageSplit(split="val", image_id=image, dataset_id=1) for image in (1001, 1003))
    found = client.get("/images/1001.json").json()["found"]
    units, sweeps, maps = sorted(found, key=lambda group: -len(group["links"]))
    if sweeps["title"] == "Feature maps":
        sweeps, maps = maps, sweeps
    assert len(units["links"]) == 31
    assert units["links"][30]["address"] == f"/find?question=units&job={job}&image=1001"
    assert units["links"][0] == {
        "title": "conv5, unit 35", "address": f"/jobs/{job}/layers/conv5/units/35",
        "remark": f"rank 1, activation 35, job {job}", "picture": PICTURE,
    }  # fmt: skip
    assert sweeps["links"][0]["address"] == f"/jobs/{job}/occlusion/1001"
    assert "from 90.0\u00a0% down to 25.0\u00a0%" in sweeps["links"][0]["remark"]
    assert maps["links"][0]["picture"] == PICTURE
    assert f"/pictures/{SHA256}.png/720.webp" in client.get("/images/1001").text
    [group] = client.get("/images/1003.json").json()["found"]  # it is in no top images
    assert [link["address"] for link in group["links"]] == [f"/find?question=units&job={job}&image=1003"]
