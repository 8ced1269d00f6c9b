"""Pictures that jobs of kinds without pages of their own lead to, from a job's page and from an image's."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from producer.gallery.page import Gallery, Link
from producer.gallery.report import job_links
from shared.database.base import Base
from shared.jobs.tables import Job, JobState
from shared.kinds.correspondence.tables import CorrespondenceImage, CorrespondenceJob
from shared.kinds.evolution.tables import EvolutionJob, EvolvedLayer
from shared.kinds.features.tables import FeatureImage, FeaturesJob
from shared.kinds.invariance.tables import InvarianceImage, InvarianceJob
from shared.kinds.probe.tables import ProbeJob
from tests.unit.gallery.databases import CLASSES, IMAGES, NOW, picture

KINDS = ("evolution", "invariance", "correspondence", "probe", "features")
JOB = 30


def add_job(gallery: Gallery, kind: str, *rows: Base, job_id: int = JOB, state: JobState = JobState.DONE) -> None:
    """Add a job with rows of its results; its specification is one of another version."""
    with gallery.database.write() as session:
        session.add(
            Job(
                id=job_id, kind=kind, key=f"{job_id:064}", dataset_id=1, state=state, specification={},
                shards_total=1, shards_left=0, started_at=NOW, finished_at=NOW,
            )
        )  # fmt: skip
        session.flush()
        session.add_all(rows)


def links_of(gallery: Gallery, job_id: int = JOB) -> list[Link]:
    with gallery.database.read() as session:
        job = session.get_one(Job, job_id)
    return job_links(gallery, job)


def titles(links: list[Link]) -> list[str]:
    return [link.title for link in links]


def assert_pictures_are_there(client: TestClient, links: list[Link]) -> None:
    """Each link but that of the report is a picture, and shows it."""
    shown = [link for link in links if link.title != "Report"]
    assert shown
    for link in shown:
        answer = client.get(link.address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert link.picture
        assert link.address == f"/pictures/{link.picture[3:]}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_without_results_leads_nowhere(small: Gallery, kind: str) -> None:
    add_job(small, kind, state=JobState.RUNNING)
    assert links_of(small) == []
    with small.database.write() as session:
        session.execute(update(Job).where(Job.id == JOB).values(state=JobState.DONE))
    assert titles(links_of(small)) == ["Report"]


def test_an_evolution_leads_to_what_was_drawn(small: Gallery, client: TestClient) -> None:
    def layer(name: str, block: str | None) -> EvolvedLayer:
        return EvolvedLayer(job_id=JOB, layer=name, layer_path=name, block_path=block)

    curve, block, figure = (picture(small, seed) for seed in range(200, 203))
    rows = [EvolutionJob(job_id=JOB, figure_path=figure, curve_path=curve), layer("conv5", block)]
    add_job(small, "evolution", *rows, layer("conv1", None))
    links = links_of(small)
    assert titles(links) == ["Units by epoch", "Settled units by epoch", "Units of conv5", "Report"]
    assert [link.picture for link in links] == [figure, curve, block, None]
    assert_pictures_are_there(client, links)
    with small.database.write() as session:
        session.execute(update(EvolutionJob).values(figure_path=None))  # no unit was drawn
    assert titles(links_of(small)) == ["Settled units by epoch", "Units of conv5", "Report"]


def test_an_invariance_job_leads_to_its_images(small: Gallery, client: TestClient) -> None:
    def image(number: int, path: str | None) -> InvarianceImage:
        return InvarianceImage(
            job_id=JOB, image_id=number, clear_probability=0.5, clear_class="square", picture_path=path
        )

    of_images = {number: picture(small, 300 + number) for number in (5, 2)}
    figure = picture(small, 299)
    images = [image(number, path) for number, path in of_images.items()]
    add_job(small, "invariance", InvarianceJob(job_id=JOB, figure_path=figure), *images, image(3, None))
    links = links_of(small)
    names = [f"Image {number}, {CLASSES[(number - 1) % len(CLASSES)]}" for number in (2, 5)]
    assert titles(links) == ["All images", *names, "Report"]
    assert [link.picture for link in links] == [figure, of_images[2], of_images[5], None]
    assert links[1].remark == "answered as square"
    assert_pictures_are_there(client, links)


def test_a_correspondence_job_leads_to_each_image_once(small: Gallery, client: TestClient) -> None:
    figure, masks = picture(small, 400), {number: picture(small, 400 + number) for number in (7, 4)}
    rows = [
        CorrespondenceImage(
            job_id=JOB, image_id=number, part=part, boxes=1, masked_share=0.1, array_path=path, picture_path=path
        )
        for number, path in masks.items()
        for part in ("left eye", "nose")
    ]
    add_job(small, "correspondence", CorrespondenceJob(job_id=JOB, figure_path=figure), *rows)
    links = links_of(small)
    assert titles(links) == ["Distances by layer", "Masks of image 4", "Masks of image 7", "Report"]
    assert [link.picture for link in links] == [figure, masks[4], masks[7], None]
    assert_pictures_are_there(client, links)


def test_a_probe_job_leads_to_its_curve(small: Gallery, client: TestClient) -> None:
    curve = picture(small, 500)
    add_job(small, "probe", ProbeJob(job_id=JOB, curve_path=curve))
    links = links_of(small)
    assert [(link.title, link.picture) for link in links] == [("Accuracy by depth", curve), ("Report", None)]
    assert_pictures_are_there(client, links)


def feature_image(job_id: int, number: int, path: str, image_id: int | None, file: str | None = None) -> Any:
    return FeatureImage(job_id=job_id, image_number=number, image_id=image_id, file=file, picture_path=path)


def test_feature_maps_lead_to_images_of_the_data_set_and_to_files(small: Gallery, client: TestClient) -> None:
    sheet, one, other = (picture(small, seed) for seed in range(600, 603))
    rows = [feature_image(JOB, 2, other, None, "a <b>.png"), feature_image(JOB, 1, one, 9)]
    add_job(small, "features", FeaturesJob(job_id=JOB, sheet_path=sheet), *rows)
    links = links_of(small)
    assert titles(links) == ["Images by layers", "Image 9", "a <b>.png", "Report"]
    assert [link.picture for link in links] == [sheet, one, other, None]
    assert_pictures_are_there(client, links)


def test_the_feature_maps_of_an_image_are_on_its_page(small: Gallery, client: TestClient) -> None:
    path = picture(small, 700)
    for job_id in (JOB, JOB + 1):
        rows = [feature_image(job_id, 1, path, 9), feature_image(job_id, 2, path, 10)]
        add_job(small, "features", FeaturesJob(job_id=job_id, sheet_path=path), *rows, job_id=job_id)
    groups = {group["title"]: group["links"] for group in client.get("/images/9.json").json()["found"]}
    shown = groups["Feature maps"]
    assert [link["remark"] for link in shown] == [
        f"job {job_id}: a picture of every layer" for job_id in (JOB + 1, JOB)  # the newest first
    ]  # fmt: skip
    assert {link["picture"] for link in shown} == {path}
    assert client.get(shown[0]["address"]).status_code == 200
    assert "Feature maps" in client.get("/images/9").text
    assert "Feature maps" not in client.get(f"/images/{IMAGES}").text


def test_lists_of_pictures_have_an_end(small: Gallery) -> None:
    path = picture(small, 800)
    files = [feature_image(JOB, number, path, None, f"{number}.png") for number in range(1, 101)]
    add_job(small, "features", FeaturesJob(job_id=JOB, sheet_path=path), *files)
    assert titles(links_of(small)) == ["Images by layers", *(f"{n}.png" for n in range(1, 25)), "Report"]
