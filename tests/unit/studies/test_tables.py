"""Tables of studies: means and deviations, labels and groups, published numbers, and formats."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from producer.studies.expansion import PlannedJob
from producer.studies.figure import draw_study
from producer.studies.file import parse_study
from producer.studies.formats import as_json, csv_rows, latex, markdown, text_rows
from producer.studies.numbers import Number
from producer.studies.table import SEPARATOR, Cell, StudyState, StudyTable, study_table
from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.database.schema import upgrade
from shared.jobs.tables import Job, JobState
from shared.kinds.train.tables import Epoch

FILE = """
name = "s"
title = "50 % of {dataset} | a_b"
[jobs.train]
kind = "train"
[table]
rows = ["network", "rate"]
columns = "where"
notes = "Small."
[table.values.error]
title = "error (%)"
summary = "best_accuracy"
offset = 100
scale = -100
digits = 1
[table.values.loss]
results = "epochs"
column = "loss"
where = { phase = "train" }
pick = "min"
[[table.published]]
title = "published"
beside = "error"
source = "Somebody, 1999"
values = { "A / 0.1" = 3.5, "none / 0.1" = "4 (top-5)" }
"""

# Labels and accuracy of each job; the losses of its two epochs are 1 and 0.5 times the accuracy.
JOBS: list[tuple[dict[str, Any], float | None]] = [
    ({"network": "A", "rate": 0.1, "where": "x", "seed": 1}, 0.9),
    ({"network": "A", "rate": 0.1, "where": "x", "seed": 2}, 0.7),
    ({"network": "A", "rate": 0.1, "where": "y", "seed": 1}, 0.5),
    ({"network": "B_2", "rate": 0.1, "where": "x", "seed": 1}, 0.25),
    ({"network": "B_2", "rate": 0.2, "where": "x", "seed": 1}, None),  # not done
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'unitscope.sqlite3'}")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def state(database: Database) -> StudyState:
    jobs: list[tuple[PlannedJob, Job | None]] = []
    with database.write() as session:
        session.add(
            Dataset(id=1, name="d", kind="folder", root="/", options={}, fingerprint="f", class_names=["a"])
        )
        session.flush()
        for number, (labels, accuracy) in enumerate(JOBS):
            planned = PlannedJob(number, f"train[{number}]", "train", "train", {}, {**labels, "job": "train"})
            if accuracy is None:
                jobs.append((planned, None))
                continue
            summary = {
                "best_epoch": 1, "best_accuracy": accuracy, "epochs": 2, "images_left_out": 0, "first_layer": None,
            }  # fmt: skip
            job = Job(
                id=number + 1, kind="train", key=str(number), specification={}, dataset_id=1, summary=summary,
                state=JobState.DONE, shards_total=1, shards_left=0, cancel_requested=False, stored_bytes=0,
            )  # fmt: skip
            session.add(job)
            session.flush()
            for epoch, phase, loss in ((1, "train", accuracy), (2, "train", accuracy / 2), (2, "val", 0.0)):
                row = Epoch(
                    job_id=job.id, epoch=epoch, phase=phase, loss=loss, accuracy=0, learning_rate=1, images=1,
                    seconds=1,
                )  # fmt: skip
                session.add(row)
            jobs.append((planned, job))
    return StudyState("s", "50 % of d | a_b", {"dataset": "d"}, parse_study(FILE, "s.toml"), jobs)


@pytest.fixture
def table(database: Database, state: StudyState) -> StudyTable:
    made = study_table(database, state)
    assert made is not None
    return made


def test_mean_and_sample_deviation() -> None:
    cell = Cell.of([Number(3, {}, 1.0), Number(1, {}, 2.0), Number(2, {}, 6.0)])
    assert (cell.mean, cell.deviation, cell.count, cell.jobs) == (3.0, pytest.approx(7**0.5), 3, [1, 2, 3])
    assert cell.text(1) == "3.0 ± 2.6"
    assert Cell.of([Number(1, {}, 2.0)]).deviation is None
    assert Cell.of([Number(1, {}, 2.0)]).text(2) == "2.00"


def test_rows_and_columns_are_those_of_the_labels(table: StudyTable) -> None:
    heading, rows = text_rows(table)
    assert heading == ["network", "rate", "error (%), x", "error (%), y", "published", "loss, x", "loss, y"]
    assert rows == [
        ["A", "0.1", "20.0 ± 14.1", "50.0", "3.5", "0.40 ± 0.07", "0.25"],
        ["B_2", "0.1", "75.0", "", "", "0.12", ""],
        ["B_2", "0.2", "", "", "", "", ""],  # its job is not done
        ["none", "0.1", "", "", "4 (top-5)", "", ""],  # published only
    ]
    assert table.notes == [
        "Small.", "Mean ± standard deviation over 1 to 2 jobs.", "1 of 5 jobs is not done.",
    ]  # fmt: skip
    assert table.sources == ["published: Somebody, 1999"]


@pytest.mark.parametrize(
    ("published", "rows"),
    [
        (["A / 0.1", "none / 0.1", "B_2 / 0.1", "B_2 / 0.2"], ["A / 0.1", "none / 0.1", "B_2 / 0.1", "B_2 / 0.2"]),
        (
            ["B_2 / 0.1", "none / 0.1", "A / 0.1"],
            ["A / 0.1", "B_2 / 0.1", "B_2 / 0.2", "none / 0.1"],
        ),  # another order
    ],
)
def test_rows_that_are_only_published_keep_their_place(
    database: Database, state: StudyState, published: list[str], rows: list[str]
) -> None:
    values = ", ".join(f'"{key}" = 1' for key in published)
    text = re.sub(r"values = {.*}", f"values = {{ {values} }}", FILE)
    made = study_table(database, StudyState("s", "t", {"dataset": "d"}, parse_study(text, "s.toml"), state.jobs))
    assert made is not None
    assert [SEPARATOR.join(key) for key in made.rows] == rows


def test_a_label_can_be_a_column_of_the_result_table(database: Database, state: StudyState) -> None:
    text = FILE.replace('rows = ["network", "rate"]', 'rows = "epoch"').replace('columns = "where"', "")
    head, _, tail = text.partition("[table.values.error]")
    text = (
        head + "[table.values.loss]" + tail.partition("[table.values.loss]")[2].partition("[[table.published]]")[0]
    )
    changed = StudyState(state.name, state.title, {}, parse_study(text, "s.toml"), state.jobs)
    made = study_table(database, changed)
    assert made is not None
    assert made.rows == [("1",), ("2",)]
    means = [made.columns[0].cells[row].mean for row in made.rows]
    accuracies = [accuracy for _, accuracy in JOBS if accuracy is not None]
    assert means == pytest.approx([np.mean(accuracies), np.mean(accuracies) / 2])


def test_each_row_of_a_job_can_be_a_number(database: Database, state: StudyState) -> None:
    text = FILE.replace('pick = "min"', 'pick = "each"')
    made = study_table(database, StudyState("s", "s", {}, parse_study(text, "s.toml"), state.jobs))
    assert made is not None
    cell = made.columns[-2].cells[("A", "0.1")]
    losses = [0.9, 0.45, 0.7, 0.35]
    assert (cell.mean, cell.deviation) == pytest.approx((np.mean(losses), np.std(losses, ddof=1)))
    assert (cell.count, cell.jobs) == (4, [1, 2])
    assert "Mean ± standard deviation over 1 to 4 values." in made.notes


def test_markdown(table: StudyTable) -> None:
    lines = markdown("50 % | a_b", table).splitlines()
    assert lines[0] == r"**50 % \| a\_b**"
    assert lines[2].startswith("| network | rate | error (%), x | ")
    assert lines[3] == "| :--- | :--- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[5] == r"| B\_2 | 0.1 | 75.0 |  |  | 0.12 |  |"
    assert all(len(re.split(r"(?<!\\)\|", line)) == 9 for line in lines[2:8])
    assert lines[-1] == "published: Somebody, 1999"


def test_latex(table: StudyTable, tmp_path: Path) -> None:
    text = latex("50 % | a_b", table)
    assert r"B\_2 & 0.1 & 75.0 &  &  & 0.12 &  \\" in text
    assert r"\begin{tabular}{llrrrrr}" in text
    assert r"20.0 $\pm$ 14.1" in text
    assert r"50 \% \textbar{} a\_b." in text
    assert text.count(r"\\") == 5
    if compiler := shutil.which("pdflatex"):
        document = rf"\documentclass{{article}}\begin{{document}}{text}\end{{document}}"
        (tmp_path / "t.tex").write_text(document)
        subprocess.run([compiler, "-interaction=batchmode", "t.tex"], cwd=tmp_path, check=True)


def test_csv_has_numbers(table: StudyTable) -> None:
    heading, rows = csv_rows(table)
    assert heading[:6] == ["network", "rate", "error x", "error x deviation", "error x count", "error y"]
    assert all(len(row) == len(heading) for row in rows)
    file = io.StringIO()
    csv.writer(file).writerows([heading, *rows])
    read = [*csv.DictReader(io.StringIO(file.getvalue()))]
    assert (float(read[0]["error x"]), read[0]["error x count"], read[0]["published"]) == (
        pytest.approx(20),
        "2",
        "3.5",
    )
    assert (read[2]["error x"], read[2]["error x count"]) == ("", "0")


def test_json_names_the_jobs_of_a_cell(state: StudyState, table: StudyTable) -> None:
    value = as_json(state, table)
    assert [job["state"] for job in value["jobs"]] == ["done"] * 4 + [None]
    first = value["table"]["rows"][0]
    assert first["labels"] == {"network": "A", "rate": "0.1"}
    assert first["values"][0]["jobs"] == [1, 2]
    assert first["published"] == [{"title": "published", "value": 3.5, "source": "Somebody, 1999"}]


@pytest.mark.parametrize("form", ["bars", "lines"])
def test_the_figure_has_a_panel_for_each_value(state: StudyState, table: StudyTable, form: str) -> None:
    text = FILE.replace("notes =", f'figure = "{form}"\nnotes =')
    changed = StudyState(state.name, state.title, {}, parse_study(text, "s.toml"), state.jobs)
    drawn = Image.open(io.BytesIO(draw_study(changed, table))).convert("RGB")
    one = StudyTable(table.labels, table.rows, [c for c in table.columns if c.value == "error"], [])
    assert drawn.height > 1.5 * Image.open(io.BytesIO(draw_study(changed, one))).height
    colours = {tuple(colour) for colour in np.asarray(drawn).reshape(-1, 3)}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # the groups x and y


def test_a_study_without_a_table_has_none(database: Database, state: StudyState) -> None:
    study = parse_study(FILE.partition("[table]")[0], "s.toml")
    without = StudyState("s", "s", {}, study, state.jobs)
    assert study_table(database, without) is None
