"""Pages of a layer and of a unit, and the same pages as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from producer.gallery.site.writer import Site
from producer.kinds.top9.best import best_units
from producer.kinds.top9.gallery import unit
from producer.kinds.top9.gallery.site import write_site
from producer.kinds.top9.gallery.units import Selection, read_cards
from producer.kinds.top9.layers import searched_layers
from shared.database.datasets import Image
from shared.errors import ArtifactDamaged, FileNotWritable, UsageError
from shared.jobs.tables import Job
from shared.kinds.top9.tables import SearchedUnit, TopActivation, UnitLabel, UnitSelectivity
from tests.unit.gallery.databases import CLASSES, SEARCH, UNITS, Parsed, unsafe_parts
from unitscope.description import LayerDescription
from unitscope.layers.forms import LayerForm

LAYER = f"/jobs/{SEARCH}/layers/square"


@pytest.fixture
def known(small: Gallery) -> Gallery:
    """Units have states, labels, and classes."""
    with small.database.write() as session:
        layer = searched_layers(session, SEARCH)[0]
        of_layer = update(SearchedUnit).where(SearchedUnit.layer_id == layer.id)
        session.execute(of_layer.where(SearchedUnit.unit == 1).values(dead=True))
        session.execute(of_layer.where(SearchedUnit.unit == 2).values(constant=True))
        for unit, auc, of in ((0, 0.6, 0), (2, 0.9, 1), (3, 0.9, 1)):
            session.add(
                UnitSelectivity(
                    layer_id=layer.id, unit=unit, class_rank=1, class_index=of, class_name=CLASSES[of], auc=auc,
                    precision_at_k=0.5, k=10,
                )
            )  # fmt: skip
        session.add(
            UnitLabel(layer_id=layer.id, unit=3, rank=1, label="50 % grey", score=1, similarities_sha256="d" * 64)
        )
    return small


def units(gallery: Gallery, limit: int = 60, **selection: object) -> list[int]:
    """Return the selected units in their order, read in pages of ``limit``."""
    found: list[int] = []
    chosen = Selection(**selection)  # type: ignore[arg-type]
    while True:
        with gallery.database.read() as session:
            layer = searched_layers(session, SEARCH)[0]
            cards, end, count = read_cards(session, layer, chosen, limit)
        found += [card.unit for card in cards]
        if end is None:
            assert len(found) == count
            return found
        chosen = Selection(**{**selection, "after": end})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1, 2, 60])
def test_units_in_each_order_whatever_the_size_of_a_page(known: Gallery, limit: int) -> None:
    assert units(known, limit) == [0, 1, 2, 3]
    assert units(known, limit, order="selectivity") == [2, 3, 0, 1]  # equal ones by number, those without last
    with known.database.read() as session:
        cards, _, _ = read_cards(session, searched_layers(session, SEARCH)[0], Selection(order="maximum"), 60)
    maxima = [card.maximum for card in cards]
    assert maxima == sorted(maxima, reverse=True)
    assert units(known, limit, order="maximum") == [card.unit for card in cards]
    with known.database.read() as session:
        cards, _, _ = read_cards(session, searched_layers(session, SEARCH)[0], Selection(order="agreement"), 60)
    agreed = [(-(card.agreement or 0), card.unit) for card in cards]
    assert agreed == sorted(agreed)
    assert units(known, limit, order="agreement") == [card.unit for card in cards]
    assert (cards[-1].unit, cards[-1].state, cards[-1].agreement) == (2, "constant", None)
    assert units(known, limit, order="fired") == [0, 1, 2, 3]  # all alike


def test_units_agree_in_the_order_of_the_results(known: Gallery) -> None:
    with known.database.write() as session:
        layer = searched_layers(session, SEARCH)[0]
        for unit, images in ((0, (1, 2, 3)), (1, (1, 4, 2)), (3, (1, 4))):  # classes in turn
            of_unit = (TopActivation.layer_id == layer.id, TopActivation.unit == unit)
            session.execute(delete(TopActivation).where(*of_unit, TopActivation.rank > len(images)))
            for rank, image in enumerate(images, 1):
                session.execute(
                    update(TopActivation).where(*of_unit, TopActivation.rank == rank).values(image_id=image)
                )
        classes = dict(session.execute(select(Image.id, Image.class_name)).all())
    assert classes[1] == classes[4]
    assert len({classes[image] for image in (1, 2, 3)}) == 3
    best = [unit.unit for unit in best_units(known.database, SEARCH) if unit.layer == "square"]
    assert best == [1, 0, 3]  # two of three; one of three; two of two, but fewer
    assert units(known, order="agreement") == [*best, 2]


def test_units_by_state_class_and_label(known: Gallery) -> None:
    assert units(known, state="dead") == [1]
    assert units(known, state="constant") == [2]
    assert units(known, state="live") == [0, 3]
    assert units(known, state="not finite") == []
    assert units(known, class_name="square") == [2, 3]
    assert units(known, label="GREY") == [3]
    assert units(known, label="0 % g") == [3]  # not a pattern
    assert units(known, label="_") == []
    assert units(known, text="square") == [2, 3]
    assert units(known, text="GREY") == [3]
    assert units(known, text="1") == [1]
    assert units(known, text="9" * 30) == []
    assert units(known, text="square", state="live") == [3]


def test_the_box_in_an_image_is_named_for_what_it_is(
    known: Gallery, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = LayerForm(kind="maps", units=UNITS, rows=2, columns=2)
    conv = LayerDescription(
        path="square", name=None, kind="Conv2d", output_shape=(UNITS, 2, 2), parameters=1,
        receptive_field=8, stride=4, start=0, form=form,
    )  # fmt: skip
    tokens = conv.model_copy(update={"receptive_field": None, "form": form.model_copy(update={"kind": "tokens"})})
    for layer, name in ((conv, "the receptive field"), (tokens, "the token's square of the grid")):
        monkeypatch.setattr(unit, "_described", lambda *_, layer=layer: layer)
        assert f"The box in the whole image is {name}." in client.get(f"{LAYER}/units/3").text


def test_the_same_unit_of_another_network_is_not_among_the_others(known: Gallery, client: TestClient) -> None:
    address = f"{LAYER}/units/3.json"
    before = [other["job_id"] for other in client.get(address).json()["others"]]
    assert before
    with known.database.write() as session:
        job = session.get_one(Job, before[0])
        network = {**job.specification["network"], "name": "another"}
        job.specification, job.key = {**job.specification, "network": network}, "e" * 64
    assert [other["job_id"] for other in client.get(address).json()["others"]] == before[1:]


def test_the_layer_page(known: Gallery, client: TestClient) -> None:
    page = Parsed(client.get(f"{LAYER}?order=selectivity&class=square").text)
    assert unsafe_parts(page) == []
    assert "2 units" in page.words
    assert next(link for link in page.links if link.startswith(f"{LAYER}/units/")) == f"{LAYER}/units/2"
    answer = client.get(f"{LAYER}.json?state=dead").json()
    assert [unit["unit"] for unit in answer["units"]] == [1]
    assert client.get(f"{LAYER}?order=size").status_code == 400
    assert client.get(f"{LAYER}?after=x").status_code == 400
    assert client.get(f"/jobs/{SEARCH}/layers/conv9").status_code == 404
    assert client.get("/jobs/1/layers/square").status_code == 400  # a training run


def test_the_unit_page(known: Gallery, client: TestClient) -> None:
    page = Parsed(client.get(f"{LAYER}/units/3").text)
    assert unsafe_parts(page) == []
    assert [link["href"] for link in page.of("a") if "prev" in link.get("rel", "")] == [f"{LAYER}/units/2"]
    assert not [link for link in page.of("a") if "next" in link.get("rel", "")]
    assert "50 % grey" in page.words
    pictures = [image["src"] for image in page.of("img")]
    assert len(pictures) == 6  # projections and patches of three images
    for address in (*pictures, *(image["href"] for image in page.of("image"))):
        assert client.get(address).headers["content-type"].startswith("image/"), address
    values = client.get(f"{LAYER}/units/3.json").json()
    assert [row["rank"] for row in values["top"]] == [1, 2, 3]
    assert "/jobs/6/layers/square/units/3" in [other["address"] for other in values["others"]]
    assert client.get(f"{LAYER}/units/{UNITS}").status_code == 404


def test_pages_as_files(known: Gallery, tmp_path: Path) -> None:
    """Every link leads to a file, also to a place in it, and nothing is loaded from elsewhere."""
    site = Site(known, tmp_path / "site")
    write_site(known, SEARCH, site)
    site.close()
    files = {str(file.relative_to(site.folder)) for file in site.folder.rglob("*") if file.is_file()}
    assert "index.html" in files
    places: dict[str, set[str]] = {}
    for name in sorted(file for file in files if file.endswith(".html")):
        page = Parsed((site.folder / name).read_text())
        places[name] = {values["id"] for _, values in page.elements if "id" in values}
    for name in places:
        page = Parsed((site.folder / name).read_text())
        sources = [*page.links, *(image["href"] for image in page.of("image"))]
        assert not [tag for tag, values in page.elements if tag == "form" or "style" in values]
        for link in sources:
            file, _, place = link.partition("#")
            assert (file or name) in files, (name, link)
            assert not place or place in places[file or name], (name, link)
    overview = Parsed((site.folder / "index.html").read_text()).of("img")
    assert [("width" in image, "height" in image) for image in overview] == [(True, True)] * 2  # no layout jumps
    assert len([file for file in files if file.startswith("sheets/")]) == 2  # of mosaics, and of images
    assert site.left_out == 0


def test_a_site_needs_an_empty_folder(known: Gallery, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        Site(known, tmp_path)
    with pytest.raises(FileNotWritable):
        Site(known, tmp_path / "file" / "site")


def test_a_damaged_picture_is_named_and_the_folder_can_be_used_again(known: Gallery, tmp_path: Path) -> None:
    with known.database.read() as session:
        path = session.scalars(select(SearchedUnit.patches_path)).first()
    assert path
    file = known.store.locate(path)
    content = file.read_bytes()
    file.write_bytes(b"no picture")
    for folder, existed in ((tmp_path / "new", False), (tmp_path / "there", True)):
        if existed:
            folder.mkdir()
        site = Site(known, folder)
        with pytest.raises(ArtifactDamaged, match=path):
            write_site(known, SEARCH, site)
        site.discard()
        assert folder.exists() == existed
        assert not existed or not [*folder.iterdir()]
    file.write_bytes(content)
    write_site(known, SEARCH, Site(known, tmp_path / "there"))


def test_images_that_are_gone_are_grey_and_counted(known: Gallery, tmp_path: Path) -> None:
    (known.settings.home / "data" / "0.png").write_bytes(b"other")
    site = Site(known, tmp_path / "site")
    write_site(known, SEARCH, site)
    assert site.left_out == 1


def test_data_of_a_name_that_is_not_there(client: TestClient) -> None:
    answer = client.get(f"/jobs/{SEARCH}/layers/conv9.json")
    assert answer.status_code == 404
    assert "conv9" in answer.text
    assert "conv9.json" not in answer.text
