"""Addresses of every kind of page, with ids that vary from request to request."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import func, select

from benchmarks.gallery.models import STUDY
from producer.gallery.application import all_pages
from producer.gallery.pages import DOCUMENT_ROUTES
from producer.gallery.pictures import image_link
from producer.gallery.templates import cell, picture, thumbnail
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.jobs.tables import Job
from shared.kinds.occlusion.tables import OcclusionMap
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation

Make = Callable[[random.Random], str]

SIDE = 720  # pixels of an image's picture
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
NEED_A_QUERY = ("/compare", "/sql.csv")
REPORT = "/jobs/{job_id:int}/report"
SQL = "SELECT unit, rank, class_name FROM top_activations WHERE job_id = {job} AND layer = '{layer}' LIMIT 50"
QUERIES = ("/sql?q", "/sql.csv?q")
# Pages that are one document with everything of a job or study, or start a process: asked for less often.
SLOW = ("/jobs/JOB_ID/report", "/paper/NAME", "/paper/NAME.json", *QUERIES)


@dataclass(frozen=True)
class Contents:
    """What a database has.

    Attributes
    ----------
    jobs
        numbers of the jobs by kind; ``full`` is the search that ran, with bottom and per-class activations.
    layers
        numbers of units of a search by layer.
    images
        SHA-256 of the images by id.
    swept
        ids of the images of a sweep.
    dataset
        name of the data set.
    own
        searches whose units have mosaics with addresses of their own.
    mosaics
        paths of these mosaics, each with one of its boxes.
    """

    jobs: dict[str, list[int]]
    layers: dict[str, int]
    images: dict[int, str]
    swept: list[int]
    dataset: str
    own: list[int]
    mosaics: list[tuple[str, tuple[int, int, int, int]]]

    @classmethod
    def read(cls, database: Database, models: Mapping[str, int], own_units: int) -> Contents:
        """Read the contents; the last searches with ``own_units`` have mosaics of their own."""
        search = models["top9"]
        top, units = TopActivation, SearchedUnit
        box = (top.picture_left, top.picture_top, top.picture_right, top.picture_bottom)
        with database.read() as session:
            jobs: dict[str, list[int]] = {}
            for number, kind in session.execute(select(Job.id, Job.kind).order_by(Job.id)):
                jobs.setdefault(kind, []).append(number)
            count = select(SearchedLayer.layer, func.count()).join(units, units.layer_id == SearchedLayer.id)
            layers = count.where(SearchedLayer.job_id == search).group_by(SearchedLayer.layer)
            by_layer = dict(session.execute(layers).all())
            own = jobs["top9"][1:][-max(1, own_units // sum(by_layer.values())) :]
            newest = select(SearchedLayer.id).where(SearchedLayer.job_id.in_(own))
            rows = session.execute(
                select(units.patches_path, units.projections_path, *box)
                .join(top, (top.layer_id == units.layer_id) & (top.unit == units.unit) & (top.rank == 1))
                .where(units.layer_id.in_(newest), units.patches_path.is_not(None), box[0].is_not(None))
            ).all()
            swept = select(OcclusionMap.image_id).where(OcclusionMap.job_id == models["occlusion"])
            return cls(
                {**jobs, "full": [search]},
                by_layer,
                dict(session.execute(select(Image.id, Image.sha256)).all()),
                list(session.scalars(swept)),
                session.scalars(select(Dataset.name)).one(),
                own,
                [
                    (path, (left, top, right, bottom))
                    for *paths, left, top, right, bottom in rows
                    for path in paths
                ],
            )

    def values(self, path: str, random: random.Random) -> dict[str, Any]:
        """Return values of the parameters of a page's path."""
        if "/layers/" in path:
            jobs = self.jobs["top9"]
        elif path == REPORT:  # training runs have none
            jobs = [*self.jobs["top9"], *self.jobs["occlusion"]]
        elif "/occlusion" in path:
            jobs = self.jobs["occlusion"]
        elif path.startswith("/runs"):
            jobs = self.jobs["train"]
        else:
            jobs = [job for name, of_kind in self.jobs.items() if name != "full" for job in of_kind]
        layer = random.choice(list(self.layers))
        return {
            "job_id": random.choice(jobs),
            "layer": layer,
            "unit": random.randrange(self.layers[layer]),
            "number": random.randrange(2),
            "image_id": random.choice(self.swept if "/occlusion" in path else list(self.images)),
            "name": self.dataset if path.startswith("/datasets") else STUDY,
        }


def pages(contents: Contents) -> dict[str, Make]:
    """Return a function that makes an address for each kind of page, by a name such as ``/jobs/JOB_ID``.

    Raises
    ------
    RuntimeError
        A page's path has a parameter that ``Contents.values`` has no value for.
    """
    paths = [page.path if page.template else f"{page.path}.json" for page in all_pages()]
    paths += [*(path for path, _ in DOCUMENT_ROUTES), REPORT]
    found: dict[str, Make] = {}
    for path in dict.fromkeys(paths):
        if path not in NEED_A_QUERY:
            missing = set(PARAMETER.findall(path)) - contents.values(path, random.Random(0)).keys()  # noqa: S311
            if missing:
                raise RuntimeError(f"{path}: benchmarks/gallery/addresses.py has no values for {missing}")
            found[_name(path)] = partial(_fill, contents, path)
    return found | _queries(contents)


def pictures(contents: Contents) -> dict[str, Make]:
    """Return the same for pictures of units and images."""

    def of_image(random: random.Random) -> str:
        image = random.choice(list(contents.images))
        return image_link(image, contents.images[image], SIDE)

    return {
        "thumbnail of a mosaic": lambda random: thumbnail(random.choice(contents.mosaics)[0]),
        "cell of a mosaic": lambda random: cell(*random.choice(contents.mosaics)),
        "mosaic": lambda random: picture(random.choice(contents.mosaics)[0]),
        "image of a data set": of_image,
    }


def own_layer(contents: Contents) -> Make:
    """Return a function that makes the address of a layer whose mosaics have addresses of their own."""
    return lambda random: f"/jobs/{random.choice(contents.own)}/layers/{random.choice(list(contents.layers))}"


def _name(path: str) -> str:
    return PARAMETER.sub(lambda match: match[1].upper(), path)


def _fill(contents: Contents, path: str, random: random.Random) -> str:
    values = contents.values(path, random)
    return PARAMETER.sub(lambda match: str(values[match[1]]), path)


def _queries(contents: Contents) -> dict[str, Make]:
    """Return pages with queries."""
    jobs = contents.jobs

    def layer(order: str) -> Make:
        path = "/jobs/{job_id:int}/layers/{layer}"
        return lambda random: f"{_fill(contents, path, random)}?order={order}"

    def of_full_search(random: random.Random) -> str:
        values = contents.values("/layers/", random)
        return f"/jobs/{jobs['full'][0]}/layers/{values['layer']}/units/{values['unit']}"

    def place(random: random.Random) -> str:
        values = contents.values("/layers/", random)
        return f"{values['job_id']}/{values['layer']}/{values['unit']}"

    def question(name: str, random: random.Random) -> str:
        values = contents.values("/layers/", random)
        unit = f"{values['layer']}:{values['unit']}"
        asked = {"images": {"units": unit}, "similar": {"unit": unit}}.get(name, {"image": values["image_id"]})
        return f"/find?{urlencode({'question': name, 'job': values['job_id'], **asked})}"

    def sql(path: str, random: random.Random) -> str:
        values = contents.values("/layers/", random)
        query = SQL.format(job=values["job_id"], layer=values["layer"])
        return f"{path}?{urlencode({'q': query})}"

    def before(random: random.Random) -> str:
        return f"/jobs?before={random.choice(jobs['top9'])}"

    return {
        "/jobs?before": before,
        "/jobs?state&kind": lambda random: "/jobs?state=done&kind=occlusion",
        "/jobs?text": lambda random: "/jobs?text=zfnet+occlusion",
        "/jobs/JOB_ID/layers/LAYER?order=maximum": layer("maximum"),
        "/jobs/JOB_ID/layers/LAYER?order=selectivity": layer("selectivity"),
        "/jobs/JOB_ID/layers/LAYER?order=agreement": layer("agreement"),
        "/jobs/JOB_ID/layers/LAYER/units/UNIT with --bottom and --per-class": of_full_search,
        "/compare?a&b": lambda random: f"/compare?a={place(random)}&b={place(random)}",
        "/compare?runs": lambda random: f"/compare?runs={','.join(map(str, _some(jobs['train'], random)))}",
        **{f"/find?question={name}": partial(question, name) for name in ("images", "units", "like", "similar")},
        "/sql?q": partial(sql, "/sql"),
        "/sql.csv?q": partial(sql, "/sql.csv"),
    }


def _some(values: list[int], random: random.Random) -> list[int]:
    return random.sample(values, min(3, len(values)))
