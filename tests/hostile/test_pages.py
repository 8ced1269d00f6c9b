"""HTML pages show all texts of the database as text, and have no links to other sites."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from producer.kinds.occlusion.report import render as render_sweep
from producer.kinds.top9.report import render as render_search
from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.database.schema import open_database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionJob, OcclusionMap
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation  # fmt: skip
from shared.store.store import Store
from unitscope.description import NetworkSpecification

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "javascript:alert(4)",
    "</title></style><svg onload=alert(5)>",
    "{{ 7 * 7 }}{% raw %}&lt;",
]


class ParsedPage(HTMLParser):
    """Parser of a page that collects its elements, their attributes, links, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links |= {value or "" for name, value in attributes if name in ("src", "href")}
        self.words += " ".join(value or "" for name, value in attributes if name == "alt")

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("kind", ["top9", "occlusion"])
def test_texts_of_the_database_add_no_markup_to_pages(kind: str, tmp_path: Path) -> None:
    """All texts that a page shows contain markup: names, classes, paths, layers."""
    database = open_database(f"sqlite:///{tmp_path / 'unitscope.sqlite3'}")
    store = Store(tmp_path / "store")
    picture = store.put(b"no picture, but a file", ".png").path
    job = done_job(database, kind, picture, HOSTILE)
    render = {"top9": render_search, "occlusion": render_sweep}[kind]
    page = render(database, store, job)
    database.close()
    parsed = ParsedPage(page)
    assert parsed.elements <= {
        *("html", "meta", "title", "style", "main", "h1", "h2", "p", "b", "br", "div", "figure", "figcaption"),
        *("img", "a", "table", "tr", "th", "td", "dl", "dt", "dd"),
    }
    assert parsed.attributes <= {"lang", "charset", "name", "content", "class", "src", "alt", "href"}
    assert parsed.links == {f"data:image/png;base64,{b64encode(b'no picture, but a file').decode()}"}
    assert [name for name in HOSTILE if name not in parsed.words] == []


def done_job(database: Database, kind: str, picture: str, names: list[str]) -> int:
    """Create a done job of the kind with an image, a class and a layer of each name."""
    sha256 = "ab" * 32
    with database.write() as session:
        dataset = Dataset(
            name=names[0], kind=names[1], root="/", options={}, fingerprint=names[2], class_names=list(names)
        )
        session.add(dataset)
        session.flush()
        images = [
            Image(
                dataset_id=dataset.id, path=f"{name}/{name}.png", class_index=index, class_name=name, width=9,
                height=9, sha256=sha256, object_number=0,
            )
            for index, name in enumerate(names)
        ]  # fmt: skip
        session.add_all(images)
        session.flush()
        numbers = [image.id for image in images]
    network = NetworkSpecification(name=names[3], classes=20, image_size=64)
    common: dict[str, Any] = {
        "dataset_id": dataset.id, "dataset_fingerprint": dataset.fingerprint, "network": network,
        "weights_sha256": sha256, "weights_path": f"ab/{sha256}.safetensors", "training_job_id": None,
    }  # fmt: skip
    ledger = Ledger(database)
    if kind == "top9":
        layers = [SearchedLayerSpecification(layer=name, path=name, units=[0]) for name in names]
        job, _ = ledger.submit(Top9Specification(**common, split=names[4], image_count=32, layers=layers))
    else:
        of = {"layer": names[4], "path": names[4], "unit": None, "target": None, "patch": 8, "stride": 8}
        job, _ = ledger.submit(
            OcclusionSpecification(**common, **of, split=names[5], images=list(range(len(names))))
        )
    rows = {"top9": search_rows, "occlusion": sweep_rows}[kind](job, picture, names, numbers)
    with database.write() as session:
        for row in rows:
            session.add(row)
            session.flush()
        done = session.get_one(Job, job)
        done.state, done.shards_left, done.finished_at = "done", 0, done.created_at
        done.summary = {
            "images": names[5], "images_left_out": names[0], "positions": names[1], "computed_share": 0.5,
            "largest_measured_error": 0.1, "images_whose_class_changes": names[2], "engine": names[3],
            "layers": [{"layer": name, "units": name, "dead": name} for name in names],
        }  # fmt: skip
    return job


def search_rows(job: int, picture: str, names: list[str], images: list[int]) -> Iterator[Base]:
    for number, name in enumerate(names, 1):
        yield SearchedLayer(id=number, job_id=job, layer=name, layer_path=name, contact_sheet_path=picture)
        yield SearchedUnit(layer_id=number, unit=0, dead=False, patches_path=picture, projections_path=picture)
        yield TopActivation(
            layer_id=number, unit=0, rank=1, activation=1.0, image_id=images[number - 1], row=0, col=0,
            patch_path=picture, projection_path=picture, projection_scale=1.0,
        )  # fmt: skip


def sweep_rows(job: int, picture: str, names: list[str], images: list[int]) -> Iterator[Base]:
    yield OcclusionJob(job_id=job, contact_sheet_path=picture)
    for name, image in zip(names, images, strict=True):
        yield OcclusionMap(
            job_id=job, image_id=image, layer=name, layer_path=name, unit=0, clear_activation=1.0,
            clear_probability=0.5, clear_class=name, positions=4, computed=4, min_activation=0.0,
            min_activation_row=0, min_activation_col=0, min_probability=0.1, min_probability_row=0,
            min_probability_col=0, class_changes=1, engine="full", array_path=picture, picture_path=picture,
        )  # fmt: skip
