"""Checks of the job and the shards of an export, beyond the types of their columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from producer.transfer.format import Manifest
from producer.transfer.row_types import Row
from producer.transfer.staging import StagedRows
from shared.errors import SpecificationNotReadable, SummaryNotReadable
from shared.jobs.hosts import HOSTS_WITHOUT_DATA
from shared.jobs.ledger import RESUMED, SECONDS_BEFORE
from shared.jobs.tables import Event, Job, JobState, Shard, ShardState
from shared.kinds.registry import kinds, parse, read_summary
from shared.kinds.specification import QUEUES, Specification
from shared.store.references import paths_in
from shared.store.store import sha256_of

LEVELS = ("info", "warning", "error")


@dataclass(frozen=True)
class CheckedJob:
    """The job of an export: ``row`` has the values of ``jobs``, without those that depend on the database."""

    exported_id: int
    row: Row
    specification: Specification


def check_job(staged: StagedRows, manifest: Manifest, fingerprint: str, files: set[str]) -> CheckedJob:
    """Check the job, its shards and its events, and return the job.

    Parameters
    ----------
    fingerprint
        That of the export's data set.
    files
        Paths of the files in the export.

    Raises
    ------
    ValueError
    """
    row = staged.only_row(Job.__tablename__)
    specification = _parsed(row, manifest)
    if specification.dataset_fingerprint != fingerprint:
        raise ValueError("its job was run on another data set")
    _check_paths(row["specification"], files)
    ended = (row["state"], row["shards_left"], row["cancel_requested"], row["error"])
    if ended != (JobState.DONE, 0, False, None) or row["finished_at"] is None:
        raise ValueError("its job is not done")
    if not row["shards_total"] == staged.count(Shard.__tablename__) > 0:
        raise ValueError("its job has another number of shards")
    try:
        read_summary(row["kind"], row["summary"])
    except SummaryNotReadable as error:
        raise ValueError(str(error)) from None
    last_stage = -1
    for shard in staged.rows(Shard.__tablename__):
        _check_shard(shard, list(kinds()[row["kind"]].stages))
        last_stage = max(last_stage, shard["stage"])
    if not 0 <= row["stage"] <= last_stage:
        raise ValueError("its job has no such stage")
    if any(event["level"] not in LEVELS for event in staged.rows(Event.__tablename__)):
        raise ValueError("an event has an unknown level")
    own = ("id", "generation", "stored_bytes", "priority")
    kept = {name: value for name, value in row.items() if name not in own}
    return CheckedJob(row["id"], in_order(kept, row["created_at"]), specification)


def done_shard(row: Row) -> Row:
    """Return a done shard as it is stored: without a lease, and without a message of the exporting database."""
    payload = {name: value for name, value in row["payload"].items() if name != HOSTS_WITHOUT_DATA}
    unset = dict.fromkeys(("token", "lease_until", "sent_at", "paused_until"))
    return in_order({**row, **unset, "payload": payload, "work_done": row["work_total"]}, None)


def in_order(row: Row, created: Any) -> Row:
    """Return a row whose times are in order, although the clocks of the machines that set them may differ."""
    finished = max(row["finished_at"], created) if created else row["finished_at"]
    started = row["started_at"] and min(row["started_at"], finished)
    return {**row, "started_at": started, "finished_at": finished}


def _parsed(row: Row, manifest: Manifest) -> Specification:
    others = kinds()[manifest.kind].other_jobs  # ids of jobs that are not in this database
    own = {name: None for name in others if name in row["specification"]}
    row["specification"] = {**row["specification"], **own}
    try:
        specification = parse(manifest.kind, row["specification"])
    except SpecificationNotReadable as error:
        raise ValueError(str(error)) from None
    if specification.key() != manifest.key or (row["key"], row["kind"]) != (manifest.key, specification.kind):
        raise ValueError("its key doesn't match its specification: another version may have written it")
    return specification


def _check_paths(specification: Row, files: set[str]) -> None:
    """Check that the files that a specification names are in the export, and have the hashes beside them."""
    named = {name: value for name, value in specification.items() if name.endswith("_path") and value is not None}
    if not {*named.values(), *paths_in(specification)} <= files:
        raise ValueError("its specification names a file that is not in the export")
    for name, path in named.items():
        sha256 = specification.get(f"{name.removesuffix('_path')}_sha256")
        if sha256 not in (None, sha256_of(path)):
            raise ValueError("its specification names a file with another SHA-256")


def _check_shard(row: Row, stages: list[str]) -> None:
    """Check a shard. A retry can run it again: its queue is then a key in Redis, its stage names a module."""
    if row["state"] != ShardState.DONE or row["finished_at"] is None:
        raise ValueError("a shard of its job is not done")
    if min(row["stage"], row["number"], row["work_total"]) < 0:
        raise ValueError("a shard has a negative number")
    if row["stage"] >= len(stages) or row["stage_name"] not in stages:
        raise ValueError("a shard is of a stage that its kind does not have")
    if row["queue"] not in QUEUES:
        raise ValueError("a shard has an unknown queue")
    resumed = row["payload"].get(RESUMED, 0)
    if type(resumed) is not int or not 0 <= resumed <= row["work_total"]:
        raise ValueError("a shard resumed from work that it does not have")
    seconds = row["payload"].get(SECONDS_BEFORE, 0.0)
    if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
        raise ValueError("a shard paused after a time that is none")
