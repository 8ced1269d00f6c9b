"""Sections of a study's page: mistakes in a file, published figures beside ours, claims about an order."""

from __future__ import annotations

import pytest

from producer.kinds.registry import producer_kinds
from producer.kinds.train.section import _warning
from producer.results.sections import Finding, Section
from producer.studies.file import Section as SectionOfFile
from producer.studies.file import parse_study
from producer.studies.numbers import check_sections
from producer.studies.page import PageSection, _measures, _order
from producer.studies.table import Cell, Column, StudyTable
from shared.database.networks import TrainingRun
from shared.errors import BadStudy
from shared.jobs.tables import Job

FILE = """
name = "s"
parameters = { dataset = "shapes" }
[jobs.train]
kind = "train"
[jobs.maps]
kind = "features"
[[sections]]
title = "Figure 1"
jobs = "train"
protocol = "Trained on {dataset}."
"""


def check(text: str) -> None:
    check_sections(parse_study(text, "s.toml"), {"dataset": "shapes"}, "s.toml")


def test_sections_of_a_file_are_checked() -> None:
    check(FILE)
    for old, new, words in (
        (
            'jobs = "train"',
            'jobs = "trian"',
            r"s.toml can't be used: sections.0 \(Figure 1\): there is no job",
        ),
        ('jobs = "train"', 'jobs = "maps"', "jobs of kind features have no section"),
        ('jobs = "train"', "", "give 'jobs', or a table"),
        ("{dataset}", "{datset}", "'{datset}' is neither a parameter"),
    ):
        with pytest.raises(BadStudy, match=words):
            check(FILE.replace(old, new))


def test_experiments_of_the_paper_have_sections() -> None:
    assert {name for name, kind in producer_kinds().items() if kind.section is None} == {"features"}


def test_published_figures_stand_beside_those_of_each_job() -> None:
    section = SectionOfFile(title="t", protocol="p", published={"images": 5, "nose": 0.079, "error": "3 %"})
    jobs = [Section(1200, {"error": "4 %"}), Section(None, {"error": "5 %", "loss": "0.1"})]
    assert _measures(section, jobs) == [
        ("images", "5", ["1,200", ""]),
        ("error", "3 %", ["4 %", "5 %"]),
        ("loss", "", ["", "0.1"]),
        ("nose", "0.079", ["", ""]),
    ]


def table(errors: dict[str, float]) -> StudyTable:
    cells = {(name,): Cell(error, None, 1, [1]) for name, error in errors.items()}
    return StudyTable(["network"], list(cells), [Column("error", "error", None, 1, cells)], [])


def test_a_claim_about_an_order_is_decided_by_the_table() -> None:
    section = SectionOfFile(title="t", protocol="p", orders=[["two", "four"], ["two others", "four"]])
    assert _order(section, table({"two": 20, "two others": 21, "four": 50})) == Finding(
        True, "two 20.0, four 50.0, two others 21.0"
    )
    for errors in ({"two": 20, "two others": 50, "four": 50}, {"two": 60, "two others": 21, "four": 50}):
        found = _order(section, table(errors))
        assert found
        assert not found.holds
    assert _order(section, table({"two": 20, "four": 50})) is None  # a job is missing


def test_verdicts() -> None:
    text = SectionOfFile(title="t", protocol="p", claim="c")
    assert PageSection(text, [], [], None).verdict == "no results"
    assert PageSection(text, [], [], None, table=([], [])).verdict == "not decided"
    assert PageSection(text, [], [], Finding(True, "r"), table=([], [])).verdict == "holds"
    assert PageSection(text, [], [], Finding(False, "r"), table=([], [])).verdict == "does not hold"


@pytest.mark.parametrize(
    ("classes", "accuracy", "learnt"), [(20, 0.09, False), (20, 0.11, True), (2, 0.6, False), (2, 0.95, True)]
)
def test_a_network_at_chance_is_named(classes: int, accuracy: float, learnt: bool) -> None:
    summary = {"best_epoch": 1, "best_accuracy": 0.5, "epochs": 1, "images_left_out": 0, "first_layer": None}
    job = Job(id=3, kind="train", summary={**summary, "class_accuracy": accuracy})
    warning = _warning(job, TrainingRun(job_id=3, network="zfnet"), classes)
    assert bool(warning) is not learnt
