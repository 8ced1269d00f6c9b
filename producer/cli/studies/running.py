"""Running a study: its jobs are submitted as soon as those that they rest on are done."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence, Sized

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from sqlalchemy import select

from producer.cli.bars import Bars
from producer.cli.context import App
from producer.cli.jobs.submitting import JobRequest, record_job, warn_without_workers
from producer.cli.jobs.watching import speed
from producer.results.jobs import find_job
from producer.results.progress import job_progress
from producer.studies.expansion import EntryError, PlannedJob, planned_jobs
from producer.studies.file import OptionValue, StudyFile, read_study
from producer.studies.numbers import check_sections, check_table
from producer.studies.options import arguments, check_jobs, job_request, named_entry, takes_job
from producer.studies.parameters import filled, parameter_values
from producer.studies.records import store_job, store_study
from shared.errors import BadStudy, StoreTooSmall, StudyIncomplete, UsageError
from shared.jobs.broker import dispatch
from shared.jobs.tables import ACTIVE_JOBS, Job, JobState
from shared.text import printable

POLL_SECONDS = 0.5
SHOWN = 5  # reasons in a message
LARGEST_DISPLAY = 8  # bars of running jobs
ENDED_BADLY = (JobState.FAILED, JobState.CANCELLED)


def prepare_study(
    app: App, path: str, settings: Sequence[str], name: str | None, *, ignore_space: bool, retry: bool
) -> StudyRun:
    """Read a study and check all that can be checked before its first job is submitted.

    Raises
    ------
    NoSuchStudy, BadStudy, EntryError, UsageError
    """
    source, study = read_study(path)
    parameters = parameter_values(study, settings)
    chosen = name or study.name
    if name:
        try:
            StudyFile.model_validate({**study.model_dump(), "name": name})
        except ValueError as error:
            raise UsageError(reason=f"--name '{name}': use letters, digits, dots, dashes, underscores.") from error
    planned = planned_jobs(study, parameters, takes_job, path)
    check_jobs(planned, path)
    check_table(study, planned, path)
    check_sections(study, parameters, path)
    title = study_title(study, parameters, path) or chosen
    prepared = StudyRun(app, path, chosen, title, source, parameters, planned, ignore_space, retry)
    prepared.check_requests()
    return prepared


def study_title(study: StudyFile, parameters: Mapping[str, OptionValue], path: object) -> str:
    """Return the title of a study with its parameters.

    Raises
    ------
    BadStudy
        There is no such parameter.
    """
    try:
        return str(filled(study.title or "", parameters))
    except UsageError as error:
        raise BadStudy(path=path, reason=f"title: {error}") from error


class StudyRun:
    """A study that is being run."""

    def __init__(
        self,
        app: App,
        path: str,
        name: str,
        title: str,
        source: str,
        parameters: dict[str, OptionValue],
        planned: list[PlannedJob],
        ignore_space: bool,
        retry: bool,
    ) -> None:
        self.app, self.path, self.name, self.title, self.source = app, path, name, title, source
        self.parameters, self.planned = parameters, planned
        self.ignore_space, self.retry = ignore_space, retry
        self.study_id = 0
        self.job_ids: dict[str, int] = {}  # of submitted jobs, by their names in the study
        self.problems: dict[str, str] = {}  # why a job could not be submitted
        self.left_out: dict[str, str] = {}  # why an optional job is left out
        self.new: list[JobRequest] = []  # requests that made new jobs
        self._requests: dict[str, JobRequest] = {}

    # --- before the first job is submitted ---

    def check_requests(self) -> None:
        """Make the requests of all jobs that rest on no other one, or on jobs that exist and are done, so that an
        error prevents all jobs.

        Raises
        ------
        EntryError
        """
        for job in self.planned:
            if job.existing:
                self._use_existing(job)
        ready = [job for job in self.planned if all(self._is_done(name) for name in job.references)]
        first = [job for job in ready if not job.existing]
        with Bars(self.app) as (_, show):
            step = show("checking jobs")
            for number, job in enumerate(first):
                step(number, len(first))
                try:
                    with named_entry(self.path, job):
                        self._requests[job.name] = self._request(job)
                except EntryError as error:
                    self._leave_out(job, error)

    def _leave_out(self, job: PlannedJob, error: EntryError) -> None:
        """Leave out an optional job, and those that rest on it; for another job, raise the error."""
        if not job.optional:
            raise error
        reason = str(error.details["reason"])
        self.app.err.print(f"{job.name}: left out: {reason}", markup=False, highlight=False)
        self.left_out[job.name] = f"Left out: {reason}"
        waiting = [job.name]
        while waiting:
            name = waiting.pop()
            for other in self.planned:
                if name in other.references and other.name not in self.left_out:
                    self.left_out[other.name] = f"It rests on {name}, which is left out."
                    waiting.append(other.name)

    def _use_existing(self, job: PlannedJob) -> None:
        with named_entry(self.path, job), self.app.database.read() as session:
            found = find_job(session, job.existing)
            if found.kind != job.kind:
                raise UsageError(reason=f"job {job.existing} is of kind {found.kind}, not {job.kind}.")
        self.job_ids[job.name] = job.existing

    def _request(self, job: PlannedJob) -> JobRequest:
        return job_request(job.kind, arguments(job.kind, job.options_with(self.job_ids)))

    def find_existing(self, job: PlannedJob) -> int | None:
        """Return the id of the job that exists already for a planned one, as far as that is known."""
        if job.existing or job.name in self.left_out:
            return job.existing or None
        request = self._requests.get(job.name)
        if request is None and all(self._is_done(name) for name in job.references):
            try:
                with named_entry(self.path, job):
                    request = self._request(job)
            except EntryError as error:
                self._leave_out(job, error)
        job_id = self.app.ledger.find(request.specification) if request else None
        if job_id:
            self.job_ids[job.name] = job_id
        return job_id

    def _is_done(self, name: str) -> bool:
        job_id = self.job_ids.get(name)
        return job_id is not None and self.states([job_id]).get(job_id) == JobState.DONE

    def states(self, job_ids: Collection[int]) -> dict[int, str]:
        """Return the states of jobs; a job that was removed has none."""
        with self.app.database.read() as session:
            rows = session.execute(select(Job.id, Job.state).where(Job.id.in_(job_ids)))
            return dict(rows.all())

    # --- running ---

    def run(self, *, replace: bool, wait: bool = True) -> None:
        """Submit the jobs, and wait for them; without ``wait``, say which ones remain. Ctrl+C detaches.

        Raises
        ------
        StudyChanged, EntryError, BrokerUnreachable, StudyIncomplete
        """
        try:
            self.start(replace=replace)
            if wait:
                self.wait()
            else:
                self.report_remaining()
        except KeyboardInterrupt:
            self.report_detached()
            raise

    def start(self, *, replace: bool) -> None:
        """Store the study, and submit the jobs that can be submitted now.

        Raises
        ------
        StudyChanged, EntryError, BrokerUnreachable
        """
        names = {job.name for job in self.planned}
        self.study_id = store_study(
            self.app.database, self.name, self.title, self.source, self.parameters, names, replace=replace
        )
        for job in self.planned:
            if job.existing:
                store_job(self.app.database, self.study_id, job, job.existing)
                self._retry(job.name, job.existing)
        while self._submit_ready():  # a job that was done before lets others be submitted
            pass
        if self.new:
            warn_without_workers(self.app, [request.specification for request in self.new])

    def _submit_ready(self) -> int:
        """Submit the jobs that rest on jobs that are done; return the number of jobs."""
        states = self.states(self.job_ids.values())
        submitted = 0
        for job in self.unsubmitted():
            if any(states.get(self.job_ids.get(name, 0)) != JobState.DONE for name in job.references):
                continue
            try:
                with named_entry(self.path, job):
                    request = self._requests.pop(job.name, None) or self._request(job)
                    job_id, is_new = record_job(self.app, request, ignore_space=self.ignore_space)
            except EntryError as error:
                if job.optional and not isinstance(error.__cause__, StoreTooSmall):
                    self._leave_out(job, error)
                else:
                    self.problems[job.name] = str(error)
                continue
            store_job(self.app.database, self.study_id, job, job_id)
            self.job_ids[job.name] = job_id
            submitted += 1
            if is_new:
                self.new.append(request)
                self.app.err.print(f"{job.name}: submitted, job {job_id}")
            else:
                self._retry(job.name, job_id)
        return submitted

    def _retry(self, name: str, job_id: int) -> None:
        """Run the unfinished shards of a job again if that is requested and it failed or was cancelled."""
        if self.retry and self.states([job_id]).get(job_id) in ENDED_BADLY:
            self.app.ledger.retry(job_id)
            if self.app.broker.answers():
                dispatch(self.app.ledger, self.app.broker)
            self.app.err.print(f"{name}: queued again, job {job_id}")

    def unsubmitted(self) -> list[PlannedJob]:
        """Return the jobs that are not submitted, and whose submission did not fail."""
        ended = {*self.job_ids, *self.problems, *self.left_out}
        return [job for job in self.planned if job.name not in ended]

    def wait(self) -> None:
        """Show the progress of the study on stderr until all its jobs have ended, and submit jobs meanwhile.

        Raises
        ------
        StudyIncomplete
            Jobs failed, were cancelled, or could not be submitted.
        """
        with _display(self.app) as bars:
            shown = _Bars(bars, self.title, len(self.planned))
            while True:
                states = self.states(self.job_ids.values())
                shown.update(self.app, self._by_name(states))
                if not self._submit_ready() and not any(state in ACTIVE_JOBS for state in states.values()):
                    break
                time.sleep(POLL_SECONDS)
        self._raise_unless_done(self._by_name(states))

    def _by_name(self, states: Mapping[int, str]) -> dict[str, tuple[int, str]]:
        """Return id and state of each submitted job, by its name; those that were removed are left out."""
        return {name: (job_id, states[job_id]) for name, job_id in self.job_ids.items() if job_id in states}

    def _raise_unless_done(self, jobs: Mapping[str, tuple[int, str]]) -> None:
        reasons = []
        for name, job_id in self.job_ids.items():
            _, state = jobs.get(name, (job_id, "removed"))
            if state != JobState.DONE:
                reasons.append(f"{name} {_ended(state)} (job {job_id})")
        reasons += list(self.problems.values())
        left = self.unsubmitted()
        if not reasons and not left:
            return
        if left:
            reasons.append(f"{_count(left)} that rest on others were not submitted")
        hint = (
            " `analyze logs JOB` has the reasons; the same command with --retry runs the unfinished shards again."
            if any(state in ENDED_BADLY for _, state in jobs.values())
            else ""
        )
        raise StudyIncomplete(name=self.name, reason=_listed(reasons) + hint)

    def report_remaining(self) -> None:
        """Say on stderr which jobs are not submitted, and why.

        Raises
        ------
        StudyIncomplete
            Jobs could not be submitted.
        """
        self.app.err.print(f"Study {self.name}: {_count(self.job_ids)} submitted or there before.")
        for job in self.unsubmitted():
            self.app.err.print(f"{job.name} remains: it rests on {', '.join(job.references)}")
        if left := self.unsubmitted():
            remain = "1 job remains" if len(left) == 1 else f"{len(left)} jobs remain"
            self.app.err.print(f"{remain}. The same command continues when the others are done.")
        if self.problems:
            raise StudyIncomplete(name=self.name, reason=_listed([*self.problems.values()]))

    def report_detached(self) -> None:
        """Say on stderr what the interrupted command leaves behind."""
        left = len(self.unsubmitted())
        waiting = f", {left} are not submitted yet" if left else ""
        self.app.err.print(f"Detached: submitted jobs continue{waiting}. The same command continues the study.")


def _count(jobs: Sized) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _listed(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return "; ".join(reason.rstrip(".") for reason in reasons[:SHOWN]) + f"{more}."


def _ended(state: str) -> str:
    return f"was {state}" if state in (JobState.CANCELLED, "removed") else str(state)


def _display(app: App) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),  # names have brackets
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=app.err,
    )


class _Bars:
    """A bar for the study and one for each running job. The end of a job is a line."""

    def __init__(self, bars: Progress, title: str, total: int) -> None:
        self.bars = bars
        self.study = bars.add_task(printable(title), total=total, note="")
        self.running: dict[str, TaskID] = {}
        self.ended: set[str] | None = None  # unknown before the first update: those ended before this command

    def update(self, app: App, jobs: Mapping[str, tuple[int, str]]) -> None:
        active = {name: job_id for name, (job_id, state) in jobs.items() if state in ACTIVE_JOBS}
        ended = set(jobs) - set(active)
        for name in sorted(ended - (ended if self.ended is None else self.ended)):
            app.err.print(f"{name}: {_ended(jobs[name][1])}, job {jobs[name][0]}")
        self.ended = ended
        for name in set(self.running) - set(active):
            self.bars.remove_task(self.running.pop(name))
        for name in [name for name in active if jobs[name][1] == JobState.RUNNING][:LARGEST_DISPLAY]:
            self._update_job(app, name, active[name])
        running = sum(state == JobState.RUNNING for _, state in jobs.values())
        note = f"{running} running, {len(active) - running} queued"
        self.bars.update(self.study, completed=sum(s == JobState.DONE for _, s in jobs.values()), note=note)

    def _update_job(self, app: App, name: str, job_id: int) -> None:
        progress = job_progress(app.database, job_id)
        stage = progress.current
        if stage is None:
            return
        if name not in self.running:
            self.running[name] = self.bars.add_task("", total=stage.total, note="")
        self.bars.update(
            self.running[name],
            description=f"  {name}, {stage.name}",
            completed=stage.done,
            total=stage.total,
            note=speed(stage, progress.job.kind),
        )
