"""The study of the guide: run, stopped in the middle, run again, and its table in every format."""

from __future__ import annotations

import csv
import io
import re
import shlex
import signal
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Analyze
from tests.programs import start_service

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "studies.md"
TRAINED = [f"train[learning-rate={rate}, seed={seed}]" for rate in ("0.0002", "0.002") for seed in (1, 2)]
SEARCHED = [name.replace("train", "search") for name in TRAINED]


def commands_of_the_page() -> list[list[str]]:
    """Return the arguments of the page's commands ``analyze``."""
    return [shlex.split(line, comments=True) for line in re.findall(r"(?m)^\$ analyze (.+)$", PAGE.read_text())]


def study_of_the_page() -> str:
    (text,) = re.findall(r'```toml title="rates.toml"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    return str(text)


def write_study(folder: Path) -> Path:
    """Write the study of the page to a file, with a smaller network and fewer units."""
    text = study_of_the_page()
    for old, new in (("fc = 16,", 'fc = 16, maps = "8,8,8",'), ('units = "0-15"', 'units = "0-3"')):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "rates.toml").write_text(text)
    return folder / "rates.toml"


def submitted(analyze: Analyze) -> list[dict[str, Any]]:
    return analyze.json("query", "SELECT id, kind, state FROM jobs ORDER BY id")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Analyze, Path]]:
    """A home in which the study was stopped while its first run was trained, and then run to its end."""
    folder = tmp_path_factory.mktemp("study")
    analyze, file = Analyze(folder / "home"), write_study(folder)
    analyze(*commands_of_the_page()[0])  # registers the data set
    try:
        _run_with_interruption(analyze, file)
        yield analyze, file
    finally:
        analyze.end()


def _run_with_interruption(analyze: Analyze, file: Path) -> None:
    analyze.up()
    command = ["study", "run", str(file)]
    first = start_service(command, analyze.environment, subprocess.PIPE, subprocess.PIPE)
    try:
        # It first describes two networks, each in a process of its own.
        analyze.wait(lambda: len(submitted(analyze)) == len(TRAINED), first, seconds=240)
        analyze.wait(lambda: any(job["state"] == "running" for job in submitted(analyze)), seconds=60)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
    finally:
        first.kill()
    assert (first.returncode, out) == (130, b"")
    assert "Detached: submitted jobs continue, 4 are not submitted yet." in err.decode()
    assert [job["kind"] for job in submitted(analyze)] == ["train"] * len(TRAINED)
    remaining = analyze("study", "run", file, "--no-wait").stderr
    if f"{SEARCHED[3]}: submitted" not in remaining:  # on a busy machine, the training runs can be done already
        assert f"{SEARCHED[3]} remains: it rests on {TRAINED[3]}" in remaining
    done = analyze("study", "run", file)
    assert "accuracy" in done.stdout
    assert f"{SEARCHED[3]}: submitted" in remaining + done.stderr


def test_the_study_of_the_page_is_valid(home: tuple[Analyze, Path], tmp_path: Path) -> None:
    """Unchanged, but for its name: that is the one of the smaller study."""
    file = tmp_path / "page.toml"
    file.write_text(study_of_the_page().replace('name = "rates"', 'name = "page"'))
    plan = home[0]("study", "run", file, "--dry-run").stdout.splitlines()[1:]
    assert len(plan) == len(TRAINED + SEARCHED)


def test_nothing_is_computed_twice(home: tuple[Analyze, Path]) -> None:
    analyze, file = home
    before = submitted(analyze)
    plan = analyze("study", "run", file, "--dry-run").stdout.splitlines()[1:]
    assert [line.split()[-2:] for line in plan] == [[str(job["id"]), "done"] for job in before]
    assert [job["kind"] for job in before] == ["train"] * 4 + ["top9"] * 4
    assert {job["state"] for job in before} == {"done"}
    again = analyze("study", "run", file)
    assert "submitted" not in again.stderr
    assert again.stdout == analyze("study", "show", "rates").stdout
    assert submitted(analyze) == before
    assert {row["attempt"] for row in analyze.json("query", "SELECT attempt FROM shards")} == {1}


def test_a_search_uses_the_weights_of_its_run(home: tuple[Analyze, Path]) -> None:
    analyze, _ = home
    rows = analyze.json("study", "show", "rates", "--jobs")
    jobs = {row["name"]: row["job_id"] for row in rows}
    assert list(jobs) == TRAINED + SEARCHED
    for run, search in zip(TRAINED, SEARCHED, strict=True):
        assert analyze.json("status", jobs[search])["specification"]["training_job_id"] == jobs[run]


def test_the_table_has_mean_and_deviation_in_every_format(home: tuple[Analyze, Path], tmp_path: Path) -> None:
    analyze, _ = home
    runs = analyze.json(
        "query",
        "SELECT s.name, s.job_id, r.best_accuracy, e.loss FROM study_jobs AS s JOIN training_runs AS r "
        "ON r.job_id = s.job_id JOIN epochs AS e ON e.job_id = s.job_id "
        "WHERE e.phase = 'train' AND e.epoch = 2 ORDER BY s.number",
    )
    assert [run["name"] for run in runs] == TRAINED
    expected = {}
    for rate, part in (("0.0002", runs[:2]), ("0.002", runs[2:])):
        accuracies, losses = [100 * run["best_accuracy"] for run in part], [run["loss"] for run in part]
        expected[rate] = [(statistics.mean(x), statistics.stdev(x)) for x in (accuracies, losses)]
    table = analyze.json("study", "show", "rates")["table"]
    assert [row["labels"] for row in table["rows"]] == [{"learning-rate": "0.0002"}, {"learning-rate": "0.002"}]
    for row in table["rows"]:
        values = {value["value"]: value for value in row["values"]}
        for name, (mean, deviation) in zip(
            ("accuracy", "loss"), expected[row["labels"]["learning-rate"]], strict=True
        ):
            assert (values[name]["mean"], values[name]["deviation"]) == pytest.approx((mean, deviation))
        assert len(values["dead"]["jobs"]) == 2
        assert set(values["dead"]["jobs"]).isdisjoint(values["loss"]["jobs"])
    cell = f"{expected['0.002'][0][0]:.1f} ± {expected['0.002'][0][1]:.1f}"
    assert cell in analyze("study", "show", "rates").stdout
    assert re.search(
        rf"(?m)^\| 0.002 \| {cell} \| ", analyze("study", "show", "rates", "--format", "markdown").stdout
    )
    latex = analyze("study", "show", "rates", "--format", "latex").stdout
    assert f"0.002 & {cell.replace('±', chr(36) + chr(92) + 'pm' + chr(36))} & " in latex
    rows = list(csv.DictReader(io.StringIO(analyze("study", "show", "rates", "--format", "csv").stdout)))
    deviations = [float(row["accuracy deviation"]) for row in rows]
    assert deviations == pytest.approx([expected[rate][0][1] for rate in expected])
    analyze("study", "show", "rates", "--picture", tmp_path / "rates.png")
    with Image.open(tmp_path / "rates.png") as picture:
        assert picture.height > 900  # three panels


def test_the_commands_of_the_page(
    home: tuple[Analyze, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All commands of the page but the first, in order; the last removes the study, and leaves its jobs."""
    analyze, file = home
    monkeypatch.chdir(file.parent)
    (_, *commands) = commands_of_the_page()
    assert len(commands) > 10
    for words in commands:
        if words[:2] == ["study", "run"] and "table-3" in words:
            continue  # eight networks would be described; a unit test checks the shipped studies
        done = analyze(*words[: words.index(">")] if ">" in words else words)
        if words == ["study", "file", "table-3"]:
            assert 'name = "table-3"' in done.stdout
        if words == ["study", "ls"]:
            assert re.search(r"rates .* 8 +8 ", done.stdout)
    assert len(submitted(analyze)) == 8
    assert "rates" in analyze("study", "show", "rates", code=4).stderr
    assert (file.parent / "rates.png").is_file()


def test_other_parameters_are_refused_and_jobs_are_shared_and_removed(home: tuple[Analyze, Path]) -> None:
    """Runs after the removal of the study: running it again finds its jobs."""
    analyze, file = home
    analyze("study", "run", file)
    refused = analyze("study", "run", file, "--set", "epochs=3", "--no-wait", code=2).stderr
    assert "epochs=2 instead of 3" in refused
    assert "--replace" in refused
    analyze("study", "run", file, "--name", "same")
    assert len(submitted(analyze)) == 8
    assert analyze.json("study", "rm", "same", "--with-jobs")["jobs"] == []  # they belong to `rates`, too
    removed = analyze.json("study", "rm", "rates", "--with-jobs", "--dry-run")
    assert len(removed["jobs"]) == 8
    analyze("study", "rm", "rates", "--with-jobs")
    assert submitted(analyze) == []


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        (("epochs}", "epoch}"), ("'{epoch}'",), 2),
        (("batch-size", "batch-sise"), ("'batch-sise'", "'batch-size'"), 2),
        (('run = "train"', 'run = "trian"'), ("'run'", "'trian'"), 2),
        (('dataset = "shapes"', 'dataset = "shape"'), ("'shape'", "shapes"), 4),
        (("size = 64", "size = 3"), ("--size",), 2),
    ],
)
def test_an_error_names_file_job_and_option_and_nothing_is_submitted(
    home: tuple[Analyze, Path], tmp_path: Path, change: tuple[str, str], words: tuple[str, ...], code: int
) -> None:
    analyze, file = home
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(file.read_text().replace(*change).replace('name = "rates"', 'name = "wrong"'))
    before = submitted(analyze)
    (line,) = analyze("study", "run", wrong, code=code).stderr.strip().splitlines()
    assert line.startswith("analyze: ")
    for word in (str(wrong), "job '", *words):
        assert word in line
    assert submitted(analyze) == before
    assert analyze.json("query", "SELECT name FROM studies WHERE name = 'wrong'") == []


def test_a_failed_job_is_named_and_retried(home: tuple[Analyze, Path], tmp_path: Path) -> None:
    """One job of the study was cancelled: the others go on, and those that rest on it are not submitted."""
    analyze, file = home
    text = file.read_text().replace('name = "rates"', 'name = "cancelled"').replace("[2e-4, 2e-3]", "[2e-4]")
    study = tmp_path / "cancelled.toml"
    study.write_text(text)
    command = ("study", "run", study, "--set", "epochs=1")
    before = submitted(analyze)
    plan = analyze(*command, "--dry-run").stdout
    assert [line.split()[-1] for line in plan.splitlines()[1:3]] == ["new", "new"]
    assert "after train[learning-rate=0.0002, seed=2]" in plan
    assert submitted(analyze) == before
    analyze(*command, "--no-wait")
    jobs = analyze.json("study", "show", "cancelled", "--jobs")
    second = next(row["job_id"] for row in jobs if row["name"] == "train[learning-rate=0.0002, seed=2]")
    analyze("cancel", second)
    failed = analyze(*command, code=1).stderr
    assert f"train[learning-rate=0.0002, seed=2] was cancelled (job {second})" in failed
    assert "1 job that rest" in failed
    # It is the search of the first study if the best weights of both training runs are those of the first epoch.
    assert re.search(r"search\[learning-rate=0\.0002, seed=1\]: (submitted|done)", failed)
    assert "2 of 4 jobs are not done" in analyze("study", "show", "cancelled").stdout
    retried = analyze(*command, "--retry", "--no-wait")
    assert f"train[learning-rate=0.0002, seed=2]: queued again, job {second}" in retried.stderr
    states = [row["state"] for row in analyze.json("study", "show", "cancelled", "--jobs")]
    assert (states[0], states[2], states[3]) == ("done", "done", None)
    assert states[1] in ("queued", "running", "done")


def test_an_existing_job_that_was_cancelled_is_retried(home: tuple[Analyze, Path], tmp_path: Path) -> None:
    analyze, _ = home
    options = ("--recipe", "zfnet", "--fc", 16, "--size", 64, "--epochs", 1, "--seed", 77)
    job = analyze("submit", "train", "--dataset", "shapes", *options).stdout.strip()
    analyze("cancel", job)
    study = tmp_path / "existing.toml"
    study.write_text(f'name = "existing"\n[jobs.network]\nkind = "train"\nexisting = {job}\n')
    command = ("study", "run", study)
    assert f"network was cancelled (job {job})" in analyze(*command, code=1).stderr
    assert f"network: queued again, job {job}" in analyze(*command, "--retry").stderr
    assert [row["state"] for row in analyze.json("study", "show", "existing", "--jobs")] == ["done"]
