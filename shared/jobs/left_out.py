"""Images that jobs left out because their content can't be decoded. They are part of a job's result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, func, select
from sqlalchemy.orm import Session

from shared.database.datasets import Image
from shared.jobs.hosts import host_of
from shared.jobs.tables import Job, LeftOutImage, Shard, ShardState

# Key of a job's summary, and of the payload of a done shard that left images out: their number.
LEFT_OUT = "images_left_out"
LEFT_OUT_SHA256 = "images_left_out_sha256"  # key of a job's summary

# A machine is suspected if it left out at least this share of its images, and the others at most that of theirs.
NEARLY_ALL, FEW = 0.9, 0.1
FEWEST_SUSPICIOUS = 3  # images: a single broken image can be all of a small shard


def left_out_summary(session: Session, job_id: int) -> dict[str, Any]:
    """Return the entries of a job's summary: the number of its ``left_out_images`` and, if there are any, the
    SHA-256 of their list, which is the same for any number of shards and in every database.

    The list has the image's SHA-256, path and object number, and the reason, sorted.
    """
    rows = session.execute(
        select(Image.sha256, Image.path, Image.object_number, LeftOutImage.reason)
        .join(LeftOutImage, LeftOutImage.image_id == Image.id)
        .where(LeftOutImage.job_id == job_id)
    ).all()
    if not rows:
        return {LEFT_OUT: 0}
    lines = sorted(json.dumps(list(row)) for row in rows)
    return {LEFT_OUT: len(rows), LEFT_OUT_SHA256: hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def count_left_out(session: Session, job_ids: Collection[int]) -> dict[int, int]:
    """Return the number of ``left_out_images`` of each of these jobs that has any."""
    counted = select(LeftOutImage.job_id, func.count()).where(LeftOutImage.job_id.in_(job_ids))
    return dict(session.execute(counted.group_by(LeftOutImage.job_id)).all())


def recorded_number(job: Job) -> int:
    """Return the number of images that a job left out according to its summary."""
    number = job.summary.get(LEFT_OUT, 0) if isinstance(job.summary, dict) else 0  # the row may be damaged
    return number if isinstance(number, int) else 0


def incomplete_shards(session: Session, job: Job) -> tuple[int, ColumnElement[bool]] | None:
    """Return which done shards a retry of the job runs again because they left out images: their number, and the
    condition of these and of all shards of later stages. None if there are none.

    Of a job whose images were left out before they were recorded, all shards are run again.
    """
    of_job = Shard.job_id == job.id
    marked = of_job & (Shard.state == ShardState.DONE) & Shard.payload.cast(String).contains(f'"{LEFT_OUT}"')
    if recorded_number(job) > count_left_out(session, [job.id]).get(job.id, 0):
        first, again = select(func.min(Shard.stage)).where(of_job), of_job
    else:
        first, again = select(func.min(Shard.stage)).where(marked), marked
    stage = session.scalar(first)
    if stage is None:
        return None
    of_stage = again & (Shard.stage == stage)
    number = session.scalar(select(func.count()).select_from(Shard).where(of_stage)) or 0
    return number, of_stage | (of_job & (Shard.stage > stage))


def forget_left_out(session: Session, shards: ColumnElement[bool]) -> None:
    """Forget that these shards left out images. Their next attempt replaces their ``left_out_images``."""
    for shard in session.scalars(
        select(Shard).where(shards, Shard.payload.cast(String).contains(f'"{LEFT_OUT}"'))
    ):
        shard.payload = {key: value for key, value in shard.payload.items() if key != LEFT_OUT}


@dataclass(frozen=True)
class SuspectedHost:
    """A machine that left out nearly all of its images of a job, while the others left out few of theirs."""

    job_id: int
    host: str
    left_out: int
    images: int
    others_left_out: int
    others_images: int

    def __str__(self) -> str:
        return (
            f"{self.host} left out {self.left_out} of its {self.images} images, the other machines "
            f"{self.others_left_out} of their {self.others_images}: the data set's files on {self.host} are "
            f"probably not those that were registered. Correct them, then `analyze retry {self.job_id}`."
        )


def suspected_hosts(session: Session, job_id: int) -> Sequence[SuspectedHost]:
    """Return the machines whose files probably differ from those of the other machines, by the images that their
    workers left out in a stage of the job."""
    rows = session.execute(
        select(LeftOutImage.stage, LeftOutImage.worker, func.count())
        .where(LeftOutImage.job_id == job_id, LeftOutImage.worker.is_not(None))
        .group_by(LeftOutImage.stage, LeftOutImage.worker)
    ).all()
    found: list[SuspectedHost] = []
    for stage in sorted({row.stage for row in rows}):
        left_out: Counter[str] = Counter()
        for of_stage, worker, count in rows:
            if of_stage == stage:
                left_out[host_of(worker or "")] += count
        images = _images_of_hosts(session, job_id, stage)
        for host in sorted(left_out):
            suspect = SuspectedHost(
                job_id,
                host,
                left_out[host],
                images[host],
                left_out.total() - left_out[host],
                images.total() - images[host],
            )
            if _is_suspicious(suspect):
                found.append(suspect)
    return found


def _images_of_hosts(session: Session, job_id: int, stage: str) -> Counter[str]:
    """Return the number of images in the done shards of a stage, by the machine that ran the shard."""
    done = (Shard.job_id == job_id, Shard.stage_name == stage, Shard.state == ShardState.DONE)
    query = select(Shard.worker, func.sum(Shard.work_total)).where(*done).group_by(Shard.worker)
    images: Counter[str] = Counter()
    for worker, total in session.execute(query):
        images[host_of(worker or "")] += int(total)
    return images


def _is_suspicious(found: SuspectedHost) -> bool:
    return (
        found.left_out >= FEWEST_SUSPICIOUS
        and found.left_out >= NEARLY_ALL * found.images
        and found.others_images > 0
        and found.others_left_out <= FEW * found.others_images
    )
