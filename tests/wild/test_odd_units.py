"""Odd units are states: pruned, inhibited, without input, or overflowing. The other units are kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sqlalchemy import select

import unitscope as us
from producer.cli.main import cli
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard, ShardState
from shared.settings import load_settings
from tests import programs
from tests.conftest import DATABASES, Analyze, fresh_database
from tests.wild.generators.odd_units import (
    DEAD,
    INHIBITED,
    NORMAL,
    OPTIONS,
    OVERFLOWN,
    PRUNED,
    Branched,
    Chain,
    write_network,
)
from unitscope.drawing import pictures
from unitscope.drawing.pictures import GREY, SHEET_BLOCK
from unitscope.errors import NotFinite, UnitNotFiring
from unitscope.projection.choice import projector_for
from unitscope.projection.empty import CONSTANT, OVERFLOW, ZERO
from unitscope.projection.requests import Projection, Projector
from worker.kinds.top9 import project
from worker.runner import run

SIZE = 32


# --- the library ---


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for _ in range(5)]


@pytest.mark.parametrize("network", [Chain, Branched])
@pytest.mark.parametrize("method", ["deconvnet", "guided", "gradient"])
def test_every_unit_has_a_state_and_the_others_are_kept(
    network: Callable[[], Chain], method: Any, images: list[np.ndarray]
) -> None:
    result = us.top9(us.Network(network(), size=SIZE), "second", images, projection=method)
    assert (result.constant, result.not_finite) == ([PRUNED], [OVERFLOWN])
    assert DEAD in result.dead
    assert OVERFLOWN not in result.dead
    rows = [row for row in result.rows() if row["unit"] == PRUNED]
    assert len(rows) == len(images)  # the first images, in their order, at the first position
    assert {(row["activation"], row["row"], row["col"]) for row in rows} == {(np.float32(0.05).item(), 0, 0)}
    assert [row["unit"] for row in result.statistics()] == [unit for unit in result.units if unit != OVERFLOWN]
    assert "1 constant, 1 not finite" in repr(result)
    for unit in (PRUNED, INHIBITED, NORMAL):
        assert result.figure(unit).axes
    assert result.sheet().size[0] > 0
    with pytest.raises(NotFinite, match=f"Unit {OVERFLOWN}"):
        result.picture(OVERFLOWN)
    with pytest.raises(UnitNotFiring):
        result.picture(DEAD)


@pytest.mark.parametrize("network", [Chain, Branched])
@pytest.mark.parametrize(
    ("unit", "method", "reason"),
    [
        (PRUNED, "deconvnet", CONSTANT),
        (PRUNED, "guided", CONSTANT),
        (PRUNED, "gradient", CONSTANT),
        (INHIBITED, "deconvnet", ZERO["deconvnet"]),  # nothing positive is passed back
        (INHIBITED, "guided", ZERO["guided"]),
        (INHIBITED, "gradient", None),
        (NORMAL, "deconvnet", None),
    ],
)
def test_a_projection_says_why_it_is_empty(
    network: Callable[[], Chain], unit: int, method: Any, reason: str | None, images: list[np.ndarray]
) -> None:
    place = None if unit == PRUNED else (8, 8)
    made = us.Network(network(), size=SIZE)
    projected = us.project(made, "second", unit=unit, image=images[0], place=place, method=method)
    assert projected.empty == reason
    assert projected.values.any() == (reason is None)
    assert projected.figure().axes


@pytest.mark.parametrize(("method", "empty"), [("deconvnet", False), ("guided", True), ("gradient", True)])
def test_a_layer_whose_inputs_are_all_dead(method: Any, empty: bool, images: list[np.ndarray]) -> None:
    """Only the deconvnet passes back through a ReLU that is off."""
    made = us.Network(Chain(without_input=True), size=SIZE)
    projected = us.project(made, "second", unit=NORMAL, image=images[0], method=method)
    assert projected.empty == (ZERO[method] if empty else None)


def test_a_projection_that_is_too_large_for_float32_is_a_state(images: list[np.ndarray]) -> None:
    model = Chain()
    model.second.weight.data[NORMAL] = 1e25
    model.first.weight.data *= 1e10
    projected = us.project(us.Network(model, size=SIZE), "second", unit=NORMAL, image=images[0], method="gradient")
    assert projected.empty == OVERFLOW


def test_a_search_without_any_finite_unit_is_an_error(images: list[np.ndarray]) -> None:
    with pytest.raises(NotFinite, match="Every unit of layer 'second'"):
        us.top9(us.Network(Chain(), size=SIZE), "second", images, units=OVERFLOWN)


def test_the_reason_is_written_where_it_fits() -> None:
    assert len(np.unique(pictures.note((96, 96), CONSTANT))) > 1
    assert np.unique(pictures.note((7, 7), CONSTANT)).tolist() == [pictures.GREY]


# --- a job, on both databases ---


class Home:
    """A home whose commands and shards are run in this process, since there are many."""

    def __init__(self, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
        self.analyze = analyze
        for name, value in analyze.environment.items():
            if name.startswith("ANALYZE_"):
                monkeypatch.setenv(name, value)
        programs.fork_programs(monkeypatch)

    def submit(self, weights: Path, *options: object) -> str:
        command = ("submit", "--dataset", "shapes", "--weights", weights, *OPTIONS, "--shards", 2, *options)
        return self(*command).stdout.strip()

    def __call__(self, *arguments: object) -> Result:
        done = CliRunner().invoke(
            cli, [*map(str, arguments)], env=self.analyze.environment, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def work(self, *stages: str) -> None:
        """Run the shards of these stages, or of all."""
        settings = load_settings()
        while (shard := self._due(stages)) is not None:
            run(shard, settings, "cpu")

    def _due(self, stages: tuple[str, ...]) -> int | None:
        query = select(Shard.id).where(Shard.state == ShardState.QUEUED).order_by(Shard.id).limit(1)
        database = self.opened()
        with database.read() as session:
            found = session.scalar(query.where(Shard.stage_name.in_(stages)) if stages else query)
        database.close()
        return found

    def opened(self) -> Database:
        return Database(self.analyze.database_url)


@pytest.fixture(scope="module", params=DATABASES)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shapes_root: Path
) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("odd")
    analyze = Analyze(folder / "home", fresh_database(request.param, request, folder))
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    with pytest.MonkeyPatch.context() as patch:
        yield Home(analyze, patch)
    analyze.stop()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("weights") / "odd.safetensors")


@pytest.mark.parametrize("projection", ["deconvnet", "guided"])
def test_a_search_with_odd_units_is_done(home: Home, odd: Path, projection: str, tmp_path: Path) -> None:
    job = home.submit(
        odd, "--layers", "1-3", "--units", "0-5", "--bottom", "--per-class", "--projection", projection
    )
    home.work()
    found = home.json("status", job)
    assert found["state"] == "done", found["error"]
    layers = {layer["layer"]: layer for layer in found["summary"]["layers"]}
    assert {name: layer["not_finite"] for name, layer in layers.items()} == {"conv1": 0, "conv2": 1, "conv3": 6}
    assert layers["conv2"]["constant"] == 1
    units = {
        unit["unit"]: unit
        for unit in home.json("query", f"SELECT * FROM units WHERE job_id = {job} AND layer = 'conv2'")
    }
    states = {unit: [bool(row[s]) for s in ("dead", "constant", "not_finite")] for unit, row in units.items()}
    assert states[PRUNED] == [False, True, False]
    assert states[DEAD] == [True, False, False]
    assert states[OVERFLOWN] == [False, False, True]
    assert states[INHIBITED] == states[NORMAL] == [False, False, False]

    rows = home.json("results", job, "--layer", "2", "--units", PRUNED)
    first = sorted(row["id"] for row in home.json("query", "SELECT image_id AS id FROM image_splits "
                   "WHERE split = 'val'", "--limit", 1000))[:9]  # fmt: skip
    assert [row["image_id"] for row in rows] == first
    assert {(row["row"], row["col"], row["tied"], row["projection_scale"]) for row in rows} == {(0, 0, True, 0.0)}
    reasons = home.json(
        "query",
        f"SELECT unit, projection_empty AS reason, count(*) AS n FROM top_activations WHERE job_id = {job} "
        "AND layer = 'conv2' AND projection_empty IS NOT NULL GROUP BY unit, projection_empty ORDER BY unit",
    )
    empty = [{"unit": PRUNED, "reason": CONSTANT, "n": 9}, {"unit": INHIBITED, "reason": ZERO[projection], "n": 9}]  # type: ignore[index]
    assert [row for row in reasons if row["unit"] in (PRUNED, INHIBITED)] == empty
    (sheet,) = home.json("query", f"SELECT * FROM searched_layers WHERE job_id = {job} AND layer = 'conv2'")
    with Image.open(home.analyze.home / "store" / sheet["contact_sheet_path"]) as picture:
        number = [unit for unit in units if states[unit][0] is states[unit][2] is False].index(PRUNED)
        left, top = 24 + number * (2 * SHEET_BLOCK + 18), 48 + 18
        of_projections = np.asarray(picture)[top : top + SHEET_BLOCK, left : left + SHEET_BLOCK]
        assert of_projections.max() > 240  # words on grey
        assert np.median(of_projections) == GREY
    assert home.json("results", job, "--layer", "2", "--units", OVERFLOWN) == []
    best = home.json("results", job, "--layer", "2", "--best", 10)
    assert {row["unit"] for row in best} == {unit for unit in units if unit not in (PRUNED, DEAD, OVERFLOWN)}
    assert "have NaN or infinite values and no rows: 3" in home("logs", job).stdout
    assert home.json("verify", job)["wrong"] == []
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    assert "1 constant (weights of zero" in page.read_text()
    assert "is incomplete" not in page.read_text()


def fail(home: Home, job: str) -> None:
    """Fail the job's next shard."""
    database = home.opened()
    ledger = Ledger(database)
    with database.read() as session:
        query = select(Shard.id).where(Shard.job_id == int(job), Shard.state == ShardState.QUEUED)
        shard = session.scalars(query.order_by(Shard.id)).first()
    assert shard is not None
    claim = ledger.claim(shard, "worker")
    assert claim is not None
    ledger.fail(claim, "no space left", again=False)
    database.close()


@pytest.mark.parametrize("outcome", ["queued", "failed", "cancelled"])
def test_rows_of_a_job_that_is_not_done_are_shown_and_marked(
    home: Home, odd: Path, outcome: str, tmp_path: Path
) -> None:
    """The search is merged, but nothing is projected."""
    options = ("--layer", "2", "--units", "0-5", "--top", {"queued": 3, "failed": 4, "cancelled": 5}[outcome])
    job = home.submit(odd, *options)
    page = tmp_path / "page.html"
    if outcome == "queued":
        assert "before it has results" in home.analyze("results", job, "--html", page, code=2).stderr
    assert home.json("results", job) == []
    assert home("results", job).output == "No rows yet.\n"
    home.work("search", "select")
    if outcome == "failed":
        fail(home, job)
    if outcome == "cancelled":
        home("cancel", job)
    state = home.json("status", job)["state"]
    assert state == ("running" if outcome == "queued" else outcome)

    shown = home("results", job, "--json")
    assert f"Job {job} is incomplete ({state})" in shown.stderr
    assert "stage project" in shown.stderr
    rows = home.json("results", job)
    assert {row["unit"] for row in rows} >= {PRUNED, INHIBITED, NORMAL}
    assert all(row["incomplete"] is True and row["patch_path"] is None for row in rows)
    assert all(row["incomplete"] for row in home.json("results", job, "--statistics"))
    assert all(row["incomplete"] for row in home.json("results", job, "--best", 3))
    header, *lines = csv.reader(io.StringIO(home("results", job, "--format", "csv").stdout))
    assert header == list(rows[0])
    assert len(lines) == len(rows)
    assert "incomplete" not in home("results", job).stdout  # the line on stderr says it
    in_view = home.json("query", f"SELECT count(*) AS n FROM top_activations WHERE job_id = {job}")
    assert in_view == [{"n": len(rows)}]
    home("results", job, "--html", page)
    assert f"Job {job} is incomplete ({state})" in page.read_text()
    assert 'src=""' not in page.read_text()
    verified = home("verify", job)
    assert "incomplete" in verified.stderr
    assert "but incomplete" in verified.stdout
    assert home.json("verify", job)["incomplete"] is True  # no worker's program: only files are checked

    if state != "running":
        home("retry", job)
    home.work()
    done = home.json("results", job)
    ranked = ("unit", "rank", "activation", "image_id", "row", "col", "tied")
    assert [[row[name] for name in ranked] for row in done] == [[row[name] for name in ranked] for row in rows]
    assert all("incomplete" not in row and row["patch_path"] for row in done)


class Zeros:
    """A projector with a fault: all of its projections are zero."""

    def __init__(self, projector: Projector) -> None:
        self.projector = projector

    def project(self, *arguments: Any) -> Iterator[tuple[int, Projection]]:
        for number, projection in self.projector.project(*arguments):
            yield number, replace(projection, values=projection.values * 0)


def test_a_projection_that_is_wrong_fails_the_job_and_its_rows_are_readable(
    home: Home, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projection that is rightly zero is no error; this one is not zero by the other implementation."""
    monkeypatch.setattr(project, "projector_for", lambda *given: Zeros(projector_for(*given)))
    job = home.submit(odd, "--layer", "2", "--units", f"{PRUNED},{INHIBITED},{NORMAL}", "--top", 2)
    home.work()
    found = home.json("status", job)
    assert found["state"] == "failed"
    assert f"unit {NORMAL} of conv2" in found["error"]
    assert ".jpg" in found["error"]
    assert "all zero" in found["error"]
    attempts = home.json("query", f"SELECT max(attempt) AS n FROM shards WHERE job_id = {job}")
    assert attempts == [{"n": 1}]
    assert {row["unit"] for row in home.json("results", job)} == {PRUNED, INHIBITED, NORMAL}


def test_a_search_without_any_finite_unit_fails_with_the_reason(home: Home, odd: Path) -> None:
    job = home.submit(odd, "--layer", "3", "--units", "0-1")
    home.work()
    database = home.opened()
    with database.read() as session:
        error = session.get_one(Job, int(job)).error
    database.close()
    assert error is not None
    assert "Every searched unit produced a value that is not a finite number" in error
