"""The HTML page of a study: its sections, each beside what was published, in one file without links to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from producer.results.pages import data_url, page_template
from producer.results.sections import Finding, Picture
from producer.results.sections import Section as JobSection
from producer.studies.expansion import PlannedJob
from producer.studies.figure import draw_study
from producer.studies.file import TEXTS, Section
from producer.studies.formats import text_rows
from producer.studies.numbers import has_jobs, is_of_table
from producer.studies.parameters import as_text, filled
from producer.studies.table import SEPARATOR, StudyState, StudyTable, study_table
from shared.database.connection import Database
from shared.errors import ArtifactMissing, SpecificationNotReadable, SummaryNotReadable, message
from shared.jobs.tables import Job, JobState
from shared.store.store import Store


@dataclass(frozen=True)
class JobBlock:
    """A job of a section: its results, or why there are none."""

    name: str
    job_id: int | None
    results: JobSection | None
    missing: str = ""


@dataclass(frozen=True)
class PageSection:
    """A section with its texts filled in, and the results of its jobs, or the study's table."""

    text: Section
    blocks: list[JobBlock]
    measures: list[tuple[str, str, list[str]]]  # name, published, and ours for each block with results
    finding: Finding | None
    table: tuple[list[str], list[list[str]]] | None = None
    notes: list[str] = field(default_factory=list)
    figure: str = ""

    @property
    def has_results(self) -> bool:
        return self.table is not None or any(block.results for block in self.blocks)

    @property
    def pictures(self) -> list[tuple[int, list[Picture]]]:
        """The pictures of all jobs by the number of columns in which they are shown, the most columns first."""
        shown = [picture for block in self.blocks if block.results for picture in block.results.pictures]
        columns = sorted({picture.columns for picture in shown}, reverse=True)
        return [(number, [picture for picture in shown if picture.columns == number]) for number in columns]

    @property
    def verdict(self) -> str:
        """Whether the claim holds here, in a word or two."""
        if self.finding is None:
            return "not decided" if self.has_results else "no results"
        return "holds" if self.finding.holds else "does not hold"


def study_sections(
    database: Database, store: Store, state: StudyState, reasons: Mapping[str, str]
) -> list[PageSection]:
    """Return the sections of a study's page, without those whose jobs are left out on request.

    A study without sections has one with its table.

    Parameters
    ----------
    reasons
        Why jobs are left out, by their names, as far as that is known.

    Raises
    ------
    ArtifactMissing
    """
    sections = state.study.sections or [Section(title="Results", protocol=state.study.about)]
    return [_section(database, store, state, part, reasons) for part in sections if _is_part(state, part)]


def _is_part(state: StudyState, section: Section) -> bool:
    """Return whether a section has jobs that are not left out on request."""
    planned = [planned for planned, _ in state.jobs]
    if not section.jobs and state.study.table is not None:
        return has_jobs(state.study.table, planned)
    return not section.jobs or any(job.entry in section.jobs for job in planned)


def render_study(state: StudyState, sections: Sequence[PageSection]) -> str:
    """Render the page of a study, as far as it has come."""
    jobs = [(planned.name, planned.kind, job) for planned, job in state.jobs]
    return page_template("studies/page.html.j2").render(
        title=state.title,
        about=state.study.about if state.study.sections else "",
        sections=sections,
        warnings=[
            block.results.warning
            for section in sections
            for block in section.blocks
            if block.results and block.results.warning
        ],
        left_out=[section.title for section in state.study.sections if not _is_part(state, section)],
        claims=[section for section in sections if section.text.claim],
        jobs=jobs,
        parameters={name: as_text(value) for name, value in state.parameters.items() if value != []},
        missing=len(jobs) - state.count().get(JobState.DONE, 0),
    )


def _section(
    database: Database, store: Store, state: StudyState, section: Section, reasons: Mapping[str, str]
) -> PageSection:
    texts = {name: str(filled(getattr(section, name), state.parameters)) for name in TEXTS}
    text = section.model_copy(update=texts)
    if not section.jobs:
        table = state.study.table
        missing = [
            _block(database, store, planned, job, reasons)
            for planned, job in state.jobs
            if table and is_of_table(table, planned) and (job is None or job.state != JobState.DONE)
        ]
        return _table_section(database, state, text, missing)
    jobs = [(planned, job) for planned, job in state.jobs if planned.entry in section.jobs]
    blocks = [_block(database, store, planned, job, reasons) for planned, job in jobs]
    found = [block.results for block in blocks if block.results]
    finding = next((results.finding for results in found if results.finding), None)
    return PageSection(text, blocks, _measures(section, found), finding)


def _block(
    database: Database, store: Store, planned: PlannedJob, job: Job | None, reasons: Mapping[str, str]
) -> JobBlock:
    if job is None:
        unknown = "It is not submitted." + " Running the study again says why." * planned.optional
        return JobBlock(planned.name, None, None, reasons.get(planned.name, unknown))
    if job.state != JobState.DONE:
        error = f": {job.error}" if job.error else ""
        return JobBlock(planned.name, job.id, None, f"Job {job.id}: {job.state}{error}.")
    path = producer_kinds()[job.kind].section
    if path is None:
        return JobBlock(planned.name, job.id, None, f"Jobs of kind {job.kind} have no section on this page.")
    try:
        return JobBlock(planned.name, job.id, load(path)(database, store, job.id))
    except (ArtifactMissing, SpecificationNotReadable, SummaryNotReadable) as error:
        return JobBlock(planned.name, job.id, None, message(error))


def _measures(section: Section, found: Sequence[JobSection]) -> list[tuple[str, str, list[str]]]:
    """Return the rows of the comparison: images first, then measures with ours, then those only published."""
    ours = [
        {**({} if results.images is None else {"images": f"{results.images:,}"}), **results.measures}
        for results in found
    ]
    names = dict.fromkeys([*(name for measures in ours for name in measures), *section.published])
    return [
        (name, as_text(section.published.get(name, "")), [measures.get(name, "") for measures in ours])
        for name in names
    ]


def _table_section(
    database: Database, state: StudyState, section: Section, missing: list[JobBlock]
) -> PageSection:
    results = study_table(database, state)
    if results is None or not any(column.cells for column in results.columns):
        return PageSection(section, missing, [], None)
    return PageSection(
        section,
        missing,
        [],
        _order(section, results),
        table=text_rows(results),
        notes=[*results.notes, *results.sources],
        figure=data_url(draw_study(state, results)),
    )


def _order(section: Section, results: StudyTable) -> Finding | None:
    """Decide a claim about the order of rows by the first value of the table."""
    cells = next(column.cells for column in results.columns if column.cells)
    means = {SEPARATOR.join(row): cell.mean for row, cell in cells.items()}
    if not section.orders or any(name not in means for names in section.orders for name in names):
        return None
    holds = all(means[earlier] < means[later] for names in section.orders for earlier, later in pairwise(names))
    rows = dict.fromkeys(name for names in section.orders for name in names)
    return Finding(holds, ", ".join(f"{name} {means[name]:.1f}" for name in rows))
