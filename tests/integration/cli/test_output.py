"""Output for programs and people: it parses, and is printed unchanged."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.integration.cli.helpers import NETWORK, Home, refusal, started


def test_small_data_set_is_searched_without_naming_a_split(home: Home, photos: Path, trained: int) -> None:
    home("dataset", "add", "folder", "--root", photos, "--name", "few")
    job = home("submit", "--layer", "5", "--dataset", "few", "--run", trained).stdout.strip()
    splits = home.json("dataset", "show", "few")["splits"]
    chosen = home.json("status", job)["specification"]["split"]
    assert chosen == "val" if splits["val"] else splits[chosen]


def test_the_data_set_of_a_job_is_by_default_that_of_its_training_run(home: Home, trained: int) -> None:
    asked = {
        "top9": ("--layer", "5", "--units", "7"),
        "occlusion": ("--split", "trainval"),
        "invariance": ("--images", 2),
        "probe": ("--folds", 2),
        "features": (),
    }
    expected = home.json("query", "SELECT id FROM datasets WHERE name = 'shapes'")[0]["id"]
    submitted = home.many([(("submit", kind, "--run", trained, *more), {}) for kind, more in asked.items()])
    for kind, done in zip(asked, submitted, strict=True):
        assert done.returncode == 0, done.stderr
        specification = home.json("status", done.stdout.strip())["specification"]
        assert specification["dataset_id"] == expected
        if kind in ("occlusion", "features"):  # all images of a split
            count = len(specification["images"])
            assert f"{count} images of split '{specification['split']}' are used. --images 5" in done.stderr
        else:
            assert "are used" not in done.stderr


def test_same_data_set_can_be_added_again(home: Home, shapes_root: Path) -> None:
    again = home("dataset", "add", "shapes", "--root", shapes_root)
    assert again.stdout == "shapes\n"
    assert "shapes is already registered" in again.stderr


def test_result_of_a_query_is_printed_unchanged(home: Home) -> None:
    table, as_json = home.many(
        [(("query", "SELECT '[/x] [red]y' AS \"[b]\", NULL AS n", *form), {}) for form in ((), ("--json",))]
    )
    assert "None" not in table.stdout
    assert "[/x] [red]y" in table.stdout
    assert "[b]" in table.stdout
    assert json.loads(as_json.stdout) == [{"[b]": "[/x] [red]y", "n": None}]


def test_error_of_a_job_is_printed_unchanged(home: Home, trained: int) -> None:
    job = home("submit", "--layer", "5", "--units", "9", "--dataset", "shapes", "--run", trained).stdout.strip()
    home.change(f"UPDATE jobs SET state = 'failed', error = 'broken: [/tmp/x] [red]y' WHERE id = {job}")
    status, watch = home.many([(("status", job), {}), (("watch", job), {})])
    assert "broken: [/tmp/x] [red]y" in status.stdout
    assert "broken: [/tmp/x] [red]y" in watch.stderr
    assert watch.returncode == 1


def test_submit_without_a_worker_prints_the_id_and_waits(home: Home, trained: int) -> None:
    asked = ("submit", "--dataset", "shapes", "--run", trained, "--units", "0")
    done = home(*asked, "--layer", "1,conv2")
    assert done.stdout == f"{int(done.stdout)}\n"
    assert "No worker is running" in done.stderr
    assert "analyze up" in done.stderr
    assert (int(done.stdout), "queued") in home.jobs()
    again = home(*asked, "--layer", "1-2")
    assert again.stdout == done.stdout
    assert "--force" in again.stderr


def test_same_content_under_another_name_has_the_run_that_was_trained_on_it(
    home: Home, shapes_root: Path, trained: int, tmp_path: Path
) -> None:
    """Submitting the training again returns the existing run, so a search must find it, too."""
    root = shutil.copytree(shapes_root, tmp_path / "moved")
    added, train, search = home.many(
        [
            (("dataset", "add", "shapes", "--root", root, "--name", "moved"), {}),
            (("submit", "train", "--dataset", "moved", *NETWORK, "--epochs", "1"), {}),
            (("submit", "--layer", "5", "--units", "30", "--dataset", "moved"), {}),
        ]
    )
    assert added.returncode == 0, added.stderr
    assert train.stdout == f"{trained}\n"
    assert search.returncode == 0, search.stderr


def test_json_parses_wherever_there_is_data(home: Home, queued: int, trained: int) -> None:
    calls: list[Sequence[object]] = [
        ("ls",), ("status", queued), ("results", queued), ("results", trained), ("dataset", "ls"),
        ("dataset", "show", "shapes"), ("query", "SELECT 1 AS one"), ("db", "version"),
        ("network", "show", "zfnet", "--fc", "16", "--classes", "20", "--size", "64"),
    ]  # fmt: skip
    for done in home.many([((*call, "--json"), {}) for call in calls]):
        assert (done.returncode, done.stderr) == (0, "")
        json.loads(done.stdout)
    for line in home("logs", queued, "--json").stdout.splitlines():
        assert "message" in json.loads(line)


def test_json_of_a_query_is_json_whatever_the_values(home: Home) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    words = home("query", "SELECT 9e999 AS a, -9e999 AS b, NULL AS c, x'00ff' AS d", "--json").stdout
    assert json.loads(words, parse_constant=refuse)


def test_columns_of_the_same_name_are_all_in_json(home: Home) -> None:
    words = home("query", "SELECT 1 AS n, 2 AS n, 3 AS n", "--json").stdout
    assert json.loads(words) == [{"n": 1, "n_2": 2, "n_3": 3}]


def test_csv_parses_whatever_is_in_it(home: Home) -> None:
    text = "SELECT 1 AS number, 'a,\"b\"' || char(10) || 'c' AS text, NULL AS missing"
    rows = list(csv.DictReader(io.StringIO(home("query", text, "--format", "csv").stdout)))
    assert rows == [{"number": "1", "text": 'a,"b"\nc', "missing": ""}]


def test_results_of_a_queued_job_are_empty_and_parse(home: Home, queued: int) -> None:
    as_json, as_csv, table = home.many(
        [(("results", queued, *f), {}) for f in (("--json",), ("--format", "csv"), ())]
    )
    assert json.loads(as_json.stdout) == []
    (columns,) = csv.reader(io.StringIO(as_csv.stdout))
    assert columns[:6] == ["job_id", "layer", "layer_path", "unit", "rank", "activation"]
    assert "No rows" in table.stdout


def test_results_parse_and_unknown_layers_and_units_are_refused(home: Home, finished: int) -> None:
    image, layer = "(SELECT min(id) FROM images)", f"(77, {finished}, 'conv5', 'features.10')"
    for statement in (
        f"INSERT INTO searched_layers (id, job_id, layer, layer_path) VALUES {layer}",
        "INSERT INTO searched_units (layer_id, unit, dead) VALUES (77, 7, 0), (77, 8, 1)",
        'INSERT INTO top_activation_rows (layer_id, unit, rank, activation, image_id, "row", col, patch_path, '
        f"projection_path, projection_scale) VALUES (77, 7, 1, 0.125, {image}, 2, 3, 'a.png', 'b.png', 0.5)",
    ):
        home.change(statement)
    asked = [("--format", "csv"), ("--json", "--layer", "5", "--units", "7-8")]
    wrong = [("--units", "9"), ("--units", "9" * 20), ("--layer", "4")]
    as_csv, as_json, *refused = home.many([(("results", finished, *options), {}) for options in asked + wrong])
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [(row["unit"], row["rank"], float(row["activation"])) for row in rows] == [("7", "1", 0.125)]
    assert [row["unit"] for row in json.loads(as_json.stdout)] == [7]
    for done, codes, says in zip(refused, ((4,), (2, 4), (4,)), ("9", "9" * 20, "'4'"), strict=True):
        refusal(done, codes, (says,))


def test_reader_that_closes_the_pipe_is_no_error(home: Home) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n"
    writer = started(home, "query", numbers, "--limit", "20000", "--json")
    assert writer.stdout is not None
    writer.stdout.read(10)
    writer.stdout.close()
    assert writer.stderr is not None
    assert writer.stderr.read() == ""
    writer.stderr.close()
    assert writer.wait(100) == 0


def test_full_disk_under_the_output_is_reported_in_one_line(home: Home) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "producer", "ls", "--json"],
            env=home.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("analyze: ")
    assert len(done.stderr.splitlines()) == 1
