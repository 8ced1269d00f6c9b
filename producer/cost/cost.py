"""The estimated cost of a job: images, shards, files, bytes, and the time of each stage."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from producer.cost.history import MeasuredSpeed, device_of, earlier_jobs, measured_speeds
from producer.cost.storage import NeededSpace, estimate_of, needed_space
from producer.networks.description import ask_worker
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Worker
from shared.kinds.registry import describe, work_unit
from shared.kinds.specification import Specification
from shared.settings import Settings, environment


@dataclass(frozen=True)
class StageCost:
    """A stage of a job: its work, and the estimated time on ``workers`` workers. ``measured`` says where the speed
    of a worker was measured; without it, the time is not known."""

    name: str
    shards: int
    work: int
    unit: str | None  # of the work; None if it is internal
    workers: int
    per_second: float | None  # of one worker
    seconds: float | None
    measured: str | None


@dataclass(frozen=True)
class Cost:
    """The estimated cost of a job. ``details`` are lines about the kind's computation, if it was measured here."""

    kind: str
    what: str
    images: int | None
    shards: int
    space: NeededSpace | None
    stages: list[StageCost]
    details: dict[str, str]

    @property
    def seconds(self) -> float | None:
        """Time of all stages whose time is known, or None if it is not known of a stage that counts its work."""
        if any(stage.seconds is None and stage.unit for stage in self.stages):
            return None
        return sum(stage.seconds or 0.0 for stage in self.stages)


@dataclass(frozen=True)
class _Here:
    """What was measured on this machine: seconds for each unit of work by stage, and before the first one."""

    device: str
    seconds: dict[str, float]
    before: dict[str, float]
    details: dict[str, str]


def estimate_cost(database: Database, settings: Settings, specification: Specification) -> Cost:
    """Estimate the cost of a job.

    The speed of a stage is that of earlier shards of such jobs, on the workers that are alive if they ran any,
    else on others. If there are none, some batches are measured on this machine, by a child process.

    Raises
    ------
    UnitscopeError
    """
    estimate = estimate_of(specification.kind)
    planned = specification.plan()
    alive = Ledger(database, settings.lease_seconds).live_workers()
    work: Counter[str] = Counter()
    shards: Counter[str] = Counter()
    queues: dict[str, str] = {}
    for shard in planned:
        work[shard.stage] += shard.work
        shards[shard.stage] += 1
        queues[shard.stage] = shard.queue
    speeds: dict[str, list[MeasuredSpeed]] = {}
    if estimate:
        with database.read() as session:
            earlier = [job.id for job, _ in earlier_jobs(session, specification, estimate.same_speed)]
            speeds = measured_speeds(session, earlier, queues)
    unknown = [stage for stage in queues if stage not in speeds and work_unit(specification.kind, stage)]
    here = _measure(settings, specification) if unknown else None
    stages = []
    for stage, queue in queues.items():
        serving = [worker for worker in alive if queue in worker.queues]
        workers = max(1, min(len(serving), shards[stage]))
        per_second, before, measured = _speed(speeds.get(stage, []), serving, stage, here)
        stages.append(
            StageCost(
                name=stage,
                shards=shards[stage],
                work=work[stage],
                unit=work_unit(specification.kind, stage),
                workers=workers,
                per_second=per_second,
                seconds=before + work[stage] / per_second / workers if per_second else None,
                measured=measured,
            )
        )
    return Cost(
        kind=specification.kind,
        what=describe(specification.kind, specification.model_dump(mode="json")),
        images=estimate.images(specification) if estimate else None,
        shards=len(planned),
        space=needed_space(database, settings, specification),
        stages=stages,
        details=here.details if here else {},
    )


def _speed(
    earlier: Sequence[MeasuredSpeed], serving: Sequence[Worker], stage: str, here: _Here | None
) -> tuple[float | None, float, str | None]:
    """Return a worker's work per second, the seconds before its first unit of work, and where they are from."""
    devices = {device_of(worker.name) for worker in serving}
    chosen = [speed for speed in earlier if speed.device in devices]
    if not chosen and earlier:
        chosen = [max(earlier, key=lambda speed: speed.job_id)]
    if chosen:
        names = ", ".join(f"worker {speed.device} in job {speed.job_id}" for speed in chosen)
        return sum(speed.per_second for speed in chosen) / len(chosen), 0.0, names
    if here and here.seconds.get(stage):
        return 1 / here.seconds[stage], here.before.get(stage, 0.0), f"this machine ({here.device})"
    return None, 0.0, None


def _measure(settings: Settings, specification: Specification) -> _Here | None:
    """Measure the stages on this machine; None if the kind can't be measured."""
    request = {"kind": specification.kind, "specification": specification.model_dump(mode="json")}
    # By stdin, because it can hold the numbers of all images and the length of arguments is limited.
    command = [sys.executable, "-m", "worker.programs.measure"]
    answer: dict[str, Any] = ask_worker(command, stdin=json.dumps(request), variables=environment(settings))
    return _Here(**answer["measured"]) if answer["measured"] else None
