"""Pages of a job: request, progress, results and origin; its log; its shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from producer.gallery.page import Gallery, Page, Parameters
from producer.gallery.report import job_links, report_command
from producer.gallery.templates import job_link
from producer.kinds.registry import producer_kinds
from producer.results.jobs import find_job, left_out_images
from producer.results.progress import JobProgress, StageProgress, job_progress, last_events
from producer.results.progress import job_events as first_events
from producer.results.provenance import provenance
from producer.results.running import running_shards, shard_rows
from producer.results.waiting import waiting_text
from shared.errors import SummaryNotReadable
from shared.jobs.priority import PRIORITIES, priority_label
from shared.jobs.tables import ACTIVE_JOBS, JobState, ShardState
from shared.kinds.registry import describe, read_summary, specification_values, work_unit

EVENTS = 200
SHARDS_OF_PAGE = 200
SHOWN_SHARDS = 20  # running ones, on the job's page
SHOWN_LEFT_OUT = 30
LONGEST_JSON = 20_000  # characters of a specification on the page; its JSON has all
LONGEST_LIST = 12  # values of a list in the table of the request

JOB = "/jobs/{job_id:int}"


def read(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID``.

    Raises
    ------
    NoSuchJob, SpecificationNotReadable
    """
    job_id = parameters.path["job_id"]
    progress = job_progress(gallery.database, job_id)
    job = progress.job
    with gallery.database.read() as session:
        made_by = provenance(session, job)
    values = specification_values(job.kind, job.specification)
    text = json.dumps(values, indent=1, ensure_ascii=False)
    events = last_events(gallery.database, job_id, None, EVENTS)
    return {
        "title": f"Job {job_id}: {describe(job.kind, job.specification)}",
        **_live(gallery, progress),
        "request": _request(values),
        "specification": values,
        "specification_text": text if len(text) <= LONGEST_JSON else None,
        "made_by": made_by,
        "created_at": job.created_at,
        "key": job.key,
        "events": events,
        "more_events": f"{job_link(job_id, 'log')}?before={events[0]['id']}" if len(events) == EVENTS else None,
        "last_event": events[-1]["id"] if events else 0,
        "left_out_images": left_out_images(gallery.database, job_id, SHOWN_LEFT_OUT) if progress.left_out else [],
    }


def read_live(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the part of a job's page that is read again every two seconds while the job is active.

    Raises
    ------
    NoSuchJob
    """
    return _live(gallery, job_progress(gallery.database, parameters.path["job_id"]))


def read_events(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the events that follow the last one that a page shows.

    Raises
    ------
    NoSuchJob, UsageError
    """
    job_id, after = parameters.path["job_id"], parameters.whole("after", 0)
    with gallery.database.read() as session:
        active = find_job(session, job_id).state in ACTIVE_JOBS  # read first: then no event is missed at the end
    events = first_events(gallery.database, job_id, after, EVENTS)
    last = events[-1]["id"] if events else after
    return {
        "job_id": job_id,
        "active": active or len(events) == EVENTS,
        "events": events,
        "last_event": last,
    }


def read_log(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/log``.

    Raises
    ------
    NoSuchJob, UsageError
    """
    job_id, before = parameters.path["job_id"], parameters.optional_whole("before")
    with gallery.database.read() as session:
        find_job(session, job_id)
    events = last_events(gallery.database, job_id, before, EVENTS)
    return {
        "title": f"Log of job {job_id}",
        "job_id": job_id,
        "events": events,
        "earlier": parameters.link(before=events[0]["id"]) if len(events) == EVENTS else None,
        "latest": parameters.link(before=None) if before is not None else None,
    }


def read_shards(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/jobs/ID/shards``.

    Raises
    ------
    NoSuchJob, UsageError
    """
    job_id = parameters.path["job_id"]
    state, after = parameters.choice("state", ("", *ShardState)), parameters.whole("after", 0)
    shards, more = shard_rows(gallery.database, job_id, state or None, after, SHARDS_OF_PAGE)
    return {
        "title": f"Shards of job {job_id}",
        "job_id": job_id,
        "shards": shards,
        "state": state,
        "states": list(ShardState),
        "next": parameters.link(after=shards[-1].id) if more else None,
        "first": parameters.link(after=None) if after else None,
    }


def _live(gallery: Gallery, progress: JobProgress) -> dict[str, Any]:
    job = progress.job
    active = job.state in ACTIVE_JOBS
    return {
        "job_id": job.id,
        "kind": job.kind,
        "what": describe(job.kind, job.specification),
        "dataset": progress.dataset,
        "state": job.state,
        "active": active,
        "cancel_requested": job.cancel_requested and active,
        "priority": priority_label(job.priority),
        "priorities": list(PRIORITIES),
        "share": progress.share,
        "shards_total": job.shards_total,
        "stages": [_stage(job.kind, stage) for stage in progress.stages],
        "running": running_shards(gallery.database, job.id, SHOWN_SHARDS) if active else [],
        "waits": waiting_text(progress.waiting) if progress.waiting else None,
        "hosts_without_images": progress.hosts_without_images,
        "warnings": progress.suspected,
        "left_out": progress.left_out,
        "error": job.error,
        "first_error": progress.first_error,
        "retry": _retry(progress),
        "summary": _summary(progress),
        "bytes": job.stored_bytes,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "links": job_links(gallery, job),
        "report": _report(progress),
    }


def _stage(kind: str, stage: StageProgress) -> dict[str, Any]:
    return {
        **vars(stage),
        "unit": work_unit(kind, stage.name),
        "share": stage.done / stage.total if stage.total else 0.0,
    }


def _retry(progress: JobProgress) -> str | None:
    """Return the command that runs the unfinished shards again, if there are any."""
    job = progress.job
    ended = job.state in (JobState.FAILED, JobState.CANCELLED)
    return f"analyze retry {job.id}" if ended or (progress.left_out and job.state == JobState.DONE) else None


def _report(progress: JobProgress) -> str | None:
    """Return the command that writes the job's static page, if its kind has one."""
    kind = producer_kinds().get(progress.job.kind)
    has_page = kind is not None and kind.page is not None and progress.job.state == JobState.DONE
    return report_command(progress.job.id) if has_page else None


def _summary(progress: JobProgress) -> dict[str, Any]:
    """Return the key figures; those that a damaged row or another version has can't be read, and are left out."""
    try:
        return read_summary(progress.job.kind, progress.job.summary)
    except SummaryNotReadable as error:
        return {"summary": str(error)}


def _request(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a specification as texts, by name; hashes and paths are among what made the job."""
    shown = {}
    for name, value in values.items():
        if value in (None, [], {}) or name.endswith(("sha256", "_path", "_id", "fingerprint", "_key")):
            continue
        shown[name.replace("_", " ")] = _in_words(value)
    return shown


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        parts = [(name, inner) for name, inner in value.items() if inner not in (None, [], {})]
        return ", ".join(f"{name.replace('_', ' ')} {_in_words(inner)}" for name, inner in parts)
    if isinstance(value, list):
        if any(isinstance(inner, (Mapping, list)) for inner in value):
            names = [_name_of(inner) for inner in value]
            return _in_words(names) if all(names) else f"{len(value)}, see the JSON"
        shown = ", ".join(map(_in_words, value[:LONGEST_LIST]))
        return shown + (f", ... ({len(value):,})" if len(value) > LONGEST_LIST else "")
    return str(value)


def _name_of(value: Any) -> str | None:
    """Return the name of a part of a specification, such as a layer or a network."""
    if not isinstance(value, Mapping):
        return None
    units = value.get("units")
    name = value.get("layer") or value.get("name")
    if not (name and isinstance(units, list)):
        return name
    return f"{name} ({len(units)} unit{'' if len(units) == 1 else 's'})"


JOB_PAGES = (
    Page(JOB, "gallery/templates/job.html.j2", read, has_forms=True),
    Page(f"{JOB}/live", "gallery/templates/job_live.html.j2", read_live, has_forms=True),
    Page(f"{JOB}/events", "gallery/templates/events.html.j2", read_events),
    Page(f"{JOB}/log", "gallery/templates/log.html.j2", read_log),
    Page(f"{JOB}/shards", "gallery/templates/shards.html.j2", read_shards),
)
