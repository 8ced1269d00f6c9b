"""Questions about kept maxima, as ``analyze find`` answers them, as a form."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from producer.gallery.descriptions import descriptions
from producer.gallery.page import Gallery, Parameters
from producer.kinds.top9.find.answers import find_images, find_like, find_similar, find_units
from producer.kinds.top9.find.kept import KeptMaxima, kept_maxima
from producer.kinds.top9.find.query_image import kept_image
from producer.kinds.top9.find.units_text import chosen_units
from producer.kinds.top9.gallery.shown import shown_images, shown_units
from producer.kinds.top9.gallery.similar import MEMORY
from shared.errors import ArtifactMissing, SpecificationNotReadable, UsageError, exit_code, message
from shared.jobs.tables import Job, JobState
from shared.kinds.top9.tables import SearchedLayer
from unitscope.errors import MaximaNotReadable, NotFinite, UnitscopeError
from unitscope.vocabulary import METRICS

QUESTIONS = ("images", "units", "like", "similar")
COMBINATIONS = ("all", "any", "sum")
SEARCHES = 100  # in the list, the newest ones
MOST_ROWS, ROWS = 200, 24
UNANSWERED = (2, 4)  # exit codes of errors that another text in the form mends


def read_find(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/find``: without a question that is filled in, only the form.

    Raises
    ------
    NoSuchJob, JobNotOfKind, JobStateConflict, MaximaNotReadable, ArtifactMissing, UsageError
    """
    question = parameters.choice("question", QUESTIONS)
    asked = _asked(parameters)
    with gallery.database.read() as session:
        searches = _searches(session)
    chosen = parameters.optional_whole("job")
    job_id = chosen or (searches[0]["job_id"] if searches else None)
    images: list[dict[str, Any]] | None = None
    units: list[dict[str, Any]] | None = None
    kept = problem = None
    try:
        kept = kept_maxima(gallery.database, gallery.store, job_id) if job_id is not None else None
    except (ArtifactMissing, MaximaNotReadable, SpecificationNotReadable) as error:
        if chosen is not None or _is_filled_in(question, asked):
            raise
        why = "is of another version" if isinstance(error, SpecificationNotReadable) else "has lost its maxima"
        problem = f"Job {job_id} {why}: choose another search."
    if kept and _is_filled_in(question, asked):
        try:
            if question in ("images", "like"):
                images = _images(gallery, kept, question, asked)
            else:
                units = _units(gallery, kept, question, asked)
        except UnitscopeError as error:
            if exit_code(error) not in UNANSWERED and not isinstance(error, NotFinite):  # of the unit
                raise
            problem = message(error)
    return {
        "title": "Find",
        "question": question,
        "questions": QUESTIONS,
        "job_id": job_id,
        "searches": searches,
        "layers": [layer.name for layer in kept.layers] if kept else [],
        "classes": kept.dataset.class_names if kept else [],
        "precision": kept.precision if kept else None,
        "asked": asked,
        "combinations": COMBINATIONS,
        "metrics": list(METRICS),
        "most_rows": MOST_ROWS,
        "problem": problem,
        "images": images,
        "units": units,
    }


def _asked(parameters: Parameters) -> dict[str, Any]:
    return {
        **{name: parameters.text(name) for name in ("units", "absent", "class", "layer", "unit")},
        "combination": parameters.choice("combination", COMBINATIONS),
        "metric": parameters.choice("metric", tuple(METRICS)),
        "image": parameters.optional_whole("image"),
        "other": parameters.optional_whole("other"),
        "distinct": bool(parameters.text("distinct")),
        "ranks": bool(parameters.text("ranks")),
        "top": parameters.whole("top", ROWS, 1, MOST_ROWS),
    }


def _is_filled_in(question: str, asked: dict[str, Any]) -> bool:
    needed = {"images": "units", "units": "image", "like": "image", "similar": "unit"}
    return asked[needed[question]] not in ("", None)


def _searches(session: Session) -> list[dict[str, Any]]:
    """Return the newest searches that are done and kept their maxima."""
    kept = exists().where(SearchedLayer.job_id == Job.id, SearchedLayer.maxima_path.is_not(None))
    query = select(Job.id).where(Job.kind == "top9", Job.state == JobState.DONE, kept)
    jobs = session.scalars(query.order_by(Job.id.desc()).limit(SEARCHES)).all()
    texts = descriptions(session, jobs)
    return [{"job_id": job, "what": texts[job]} for job in jobs if job in texts]


def _images(gallery: Gallery, kept: KeptMaxima, question: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    class_name, distinct = asked["class"] or None, asked["distinct"]
    if question == "images":
        units = chosen_units(kept, asked["units"])
        absent = chosen_units(kept, asked["absent"]) if asked["absent"] else []
        found = find_images(
            gallery.database, kept, units, asked["combination"], absent, class_name, asked["top"], MEMORY, distinct
        )
    else:
        units = chosen_units(kept, asked["units"] or kept.layers[-1].path)
        image = kept_image(gallery.database, kept, asked["image"])
        found = find_like(
            gallery.database, kept, image, units, asked["metric"], class_name, asked["top"], MEMORY, distinct
        )
    return shown_images(gallery, found)


def _units(gallery: Gallery, kept: KeptMaxima, question: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    if question == "units":
        layers = kept.named(asked["layer"]) if asked["layer"] else kept.layers
        image = kept_image(gallery.database, kept, asked["image"])
        return shown_units(gallery, kept.job_id, find_units(kept, image, layers, asked["top"], MEMORY))
    chosen = chosen_units(kept, asked["unit"])
    if len(chosen) > 1:
        raise UsageError(reason=f"'{asked['unit']}' names {len(chosen)} units. Give one, such as conv5:17.")
    other = kept
    if asked["other"] not in (None, kept.job_id):
        other = kept_maxima(gallery.database, gallery.store, asked["other"])
    layers = other.named(asked["layer"]) if asked["layer"] else other.layers
    found = find_similar(kept, chosen[0], other, layers, asked["ranks"], asked["top"], MEMORY)
    return shown_units(gallery, other.job_id, found)
