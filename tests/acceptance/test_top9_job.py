"""Top-9 jobs through the command line: rows, pictures, pages and failures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch
from PIL import Image

from producer.datasets.shapes import generate
from shared.errors import StoreFull
from tests.acceptance.children import children_of
from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze, fresh_database


def submit(analyze: Analyze, weights: Path, *options: object, dataset: str = "shapes", code: int = 0) -> str:
    return analyze(
        "submit", "--dataset", dataset, "--split", "trainval",
        "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, *options, code=code,
    ).stdout.strip()  # fmt: skip


def changed_weights(weights: Path, folder: Path, unit: int, bias: float) -> Path:
    """Change the weights so that one unit of conv5 outputs its bias everywhere."""
    tensors = safetensors.torch.load_file(weights)
    tensors["features.10.weight"][unit] = 0
    tensors["features.10.bias"][unit] = bias
    path = folder / "changed.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path
) -> Iterator[tuple[Analyze, str]]:
    """A home with a finished search of conv1 and conv5, whose unit 3 is dead, and the job's id."""
    folder = tmp_path_factory.mktemp("top9")
    analyze = Analyze(folder / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    dead = changed_weights(weights, folder, unit=3, bias=-1)
    yield analyze, submit(analyze, dead, "--layers", "1,5", "--units", "0-3", "--wait")
    analyze.end()


def picture_of(analyze: Analyze, row: dict[str, Any], name: str) -> np.ndarray:
    """Cut the patch or the projection of a row out of its mosaic."""
    box = [row[f"picture_{side}"] for side in ("left", "top", "right", "bottom")]
    return np.asarray(Image.open(analyze.home / "store" / row[f"{name}_path"]).crop(box))


def test_every_picture_exists_and_has_the_size_of_the_receptive_field(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    rows = analyze.json("results", job)
    assert {row["layer"] for row in rows} == {"conv1", "conv5"}
    for row in rows:
        for name in ("patch", "projection"):
            assert picture_of(analyze, row, name).shape == (
                (7, 7, 3) if row["layer"] == "conv1" else (139, 139, 3)
            )
        assert 0 < row["projection_scale"] <= row["projection_largest"]
    registered = {row["path"] for row in analyze.json("query", "SELECT path FROM artifacts", "--limit", 100_000)}
    assert {row["patch_path"] for row in rows} <= registered


def test_a_patch_shows_the_pixels_under_the_unit(home: tuple[Analyze, str], shapes_root: Path) -> None:
    analyze, job = home
    boxes = {row["id"]: row for row in analyze.json("query", "SELECT * FROM images")}
    compared = 0
    for row in analyze.json("results", job, "--layer", "1"):
        top, left = 2 * row["row"] - 2, 2 * row["col"] - 2  # conv1: 7 pixels, stride 2, padding 2
        if min(top, left) < 0 or max(top, left) + 7 > SIZE:
            continue
        image = boxes[row["image_id"]]
        box = tuple(image[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
        crop = Image.open(shapes_root / image["path"]).convert("RGB").crop(box)
        seen = np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))[top : top + 7, left : left + 7]
        assert np.array_equal(picture_of(analyze, row, "patch"), seen)
        compared += 1
    assert compared > 10


def test_a_conv1_projection_equals_the_scaled_filter(home: tuple[Analyze, str], weights: Path) -> None:
    analyze, job = home
    filters = safetensors.torch.load_file(weights)["features.0.weight"].numpy()
    for row in analyze.json("results", job, "--layer", "conv1"):
        top, left = 2 * row["row"] - 2, 2 * row["col"] - 2
        if min(top, left) < 0 or max(top, left) + 7 > SIZE:
            continue
        picture = picture_of(analyze, row, "projection").astype(float)
        scale, expected = row["projection_scale"], row["activation"] * filters[row["unit"]]
        values = (picture.transpose(2, 0, 1) - 128) / 127 * scale
        assert np.abs(values - expected.clip(-scale, scale)).max() <= 0.51 * scale / 127
        assert row["projection_largest"] == pytest.approx(np.abs(expected).max(), rel=1e-5)


def test_dead_units_are_reported_and_not_listed(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    dead = analyze.json("query", f"SELECT layer, unit FROM units WHERE job_id = {job} AND dead")
    assert {"layer": "conv5", "unit": 3} in dead
    assert analyze.json("results", job, "--layer", "5", "--units", "3") == []
    layers = {layer["layer"]: layer for layer in analyze.json("status", job)["summary"]["layers"]}
    assert layers["conv5"]["dead"] == len([d for d in dead if d["layer"] == "conv5"])


def test_mosaics_and_contact_sheets(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    store = analyze.home / "store"
    for unit in analyze.json("query", f"SELECT * FROM units WHERE job_id = {job} AND NOT dead"):
        side = 3 * 7 + 2 * 1 if unit["layer"] == "conv1" else 3 * 139 + 2 * 2
        for path in (unit["patches_path"], unit["projections_path"]):
            with Image.open(store / path) as mosaic:
                assert mosaic.size == (side, side)
    for layer in analyze.json("query", f"SELECT * FROM searched_layers WHERE job_id = {job}"):
        with Image.open(store / layer["contact_sheet_path"]) as sheet:
            assert sheet.size[0] > 800  # several units beside each other


def test_the_page_is_self_contained(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    page = tmp_path / "deep" / "page.html"
    assert analyze("results", job, "--html", page).stdout.strip() == str(page)
    html = page.read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(links) >= 4
    assert all(link.startswith("data:image/") for link in links)
    assert "fingerprint" in html
    assert "conv5" in html


def test_results_by_layer_unit_and_format(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    csv = analyze(
        "results", job, "--layer", "features.10", "--units", "0,2", "--format", "csv"
    ).stdout.splitlines()
    rows = analyze.json("results", job, "--layer", "5", "--units", "0,2")
    assert len(csv) == len(rows) + 1
    assert csv[0].startswith("job_id,layer,layer_path,unit,rank,activation")
    best = analyze.json("results", job, "--best", "3")
    assert len(best) == 3
    assert "conv1" in analyze("results", job).stdout
    analyze("results", job, "--layer", "conv2", code=4)
    analyze("results", job, "--units", "99", code=4)


def test_submitting_the_same_search_returns_the_existing_job(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    specification = analyze.json("status", job)["specification"]
    weights = analyze.home / "store" / specification["weights_path"]
    options = ("--layers", "1,5", "--units", "0-3")
    assert submit(analyze, weights, *options, "--shards", 2) == job
    forced = submit(analyze, weights, *options, "--force", "--wait")
    assert forced != job
    strip = ("job_id",)
    first, second = (
        [{k: v for k, v in row.items() if k not in strip} for row in analyze.json("results", j)]
        for j in (job, forced)
    )
    assert first == second


def test_a_unit_that_only_outputs_its_bias_is_constant(
    home: tuple[Analyze, str], weights: Path, tmp_path: Path
) -> None:
    """All of its projections are zero, and those of the other units are shown."""
    analyze, _ = home
    blind = changed_weights(weights, tmp_path, unit=1, bias=1)
    done = analyze(
        "submit", "--layer", "5", "--units", "0-2", "--dataset", "shapes", "--weights", blind,
        "--network", "zfnet", "--size", SIZE, "--fc", FC, "--wait",
    )  # fmt: skip
    job = done.stdout.strip()
    constant = analyze.json("query", f"SELECT unit FROM units WHERE job_id = {job} AND constant")
    assert constant == [{"unit": 1}]
    rows = analyze.json("results", job)
    assert [row["projection_scale"] for row in rows if row["unit"] == 1] == [0.0] * 9
    assert all(row["projection_scale"] > 0 for row in rows if row["unit"] != 1)
    without = analyze(
        "submit", "--layer", "5", "--units", "0-2", "--dataset", "shapes", "--weights", blind,
        "--network", "zfnet", "--size", SIZE, "--fc", FC, "--projection", "none", "--wait",
    ).stdout.strip()  # fmt: skip
    states = analyze.json("query", f"SELECT unit, constant FROM units WHERE job_id = {without} ORDER BY unit")
    assert [bool(row["constant"]) for row in states] == [False, True, False]
    assert None not in [row["constant"] for row in states]


def test_a_broken_image_is_left_out_and_reported(home: tuple[Analyze, str], weights: Path, tmp_path: Path) -> None:
    """A file that is another image than the registered one fails the job. The images have not been decoded before,
    since cached pixels would still be used."""
    analyze, _ = home
    root = tmp_path / "shapes"
    generate(root, images=20, seed=1)
    analyze("dataset", "add", "shapes", "--root", root, "--name", "changed")
    files = sorted((root / "VOC2007" / "JPEGImages").glob("*.jpg"))
    files[0].write_bytes(b"no image any more")
    registered = files[1].read_bytes()
    files[1].write_bytes(files[2].read_bytes())
    job = submit(analyze, weights, "--layer", "1", "--units", "0", "--wait", dataset="changed", code=1)
    assert f"Image {files[1]} on " in analyze.json("status", job)["error"]
    files[1].write_bytes(registered)
    analyze("retry", job, "--wait")
    summary = analyze.json("status", job)["summary"]
    assert summary["images_left_out"] == 2  # two objects per file
    assert summary["images"] == 38
    logs = analyze("logs", job).stdout
    assert "has changed since it was registered" in logs
    assert files[0].name in logs


def test_a_job_fails_if_its_images_are_missing(home: tuple[Analyze, str], weights: Path, tmp_path: Path) -> None:
    """The folder may not be mounted: a job without these images would be a wrong result."""
    analyze, _ = home
    root = tmp_path / "shapes"
    generate(root, images=20, seed=2)
    analyze("dataset", "add", "shapes", "--root", root, "--name", "gone")
    root.rename(tmp_path / "elsewhere")
    job = submit(analyze, weights, "--layer", "1", "--units", "0", "--wait", dataset="gone", code=1)
    assert re.match(rf"Image {root}/.*jpg can't be read on .*: No such file", analyze.json("status", job)["error"])
    (tmp_path / "elsewhere").rename(root)
    analyze("retry", job, "--wait")
    assert analyze.json("status", job)["summary"]["images_left_out"] == 0


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="limits of another process: Linux only")
def test_a_full_disk_fails_the_job_and_a_retry_completes_it(
    request: pytest.FixtureRequest, tmp_path: Path, shapes_root: Path, weights: Path
) -> None:
    """A limit on the file size of the computing process simulates the full disk."""
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    request.addfinalizer(analyze.end)
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    (child,) = children_of(analyze)
    free = child.rlimit(psutil.RLIMIT_FSIZE)
    child.rlimit(psutil.RLIMIT_FSIZE, (150_000, free[1]))  # enough for all files except the contact sheet
    job = submit(analyze, weights, "--layer", "5", "--units", "0-15")
    analyze("watch", job, code=1)
    error = analyze.json("status", job)["error"]
    assert error.startswith("No space left in the artifact store")
    assert StoreFull.__doc__
    assert not list((analyze.home / "store" / "incoming").iterdir())
    done = "SELECT count(*) AS n FROM shards WHERE state = 'done'"
    before = analyze.json("query", done)[0]["n"]
    assert before > 0
    child.rlimit(psutil.RLIMIT_FSIZE, free)
    analyze("retry", job, "--wait")
    attempts = "SELECT count(*) AS n FROM events WHERE message LIKE '%: done'"
    shards = analyze.json("query", "SELECT count(*) AS n FROM shards")[0]["n"]
    assert analyze.json("query", attempts)[0]["n"] == shards  # done shards did not run again


def test_a_cancelled_search_stops_and_continues_at_retry(
    analyze: Analyze, shapes_root: Path, weights: Path
) -> None:
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    job = submit(analyze, weights, "--layer", "5", "--units", "0-1")
    analyze("cancel", job)
    assert analyze.json("status", job)["state"] == "cancelled"
    analyze("cancel", job)
    analyze.up()
    analyze("retry", job, "--wait")
    assert analyze.json("status", job)["state"] == "done"
    assert len(analyze.json("results", job)) > 0


def test_a_layer_of_a_residual_network_is_given_by_its_module_path(
    home: tuple[Analyze, str], tmp_path: Path
) -> None:
    import torchvision

    torch.manual_seed(0)
    path = tmp_path / "resnet18.pth"
    torch.save({"state_dict": torchvision.models.resnet18(num_classes=20).state_dict()}, path)
    analyze, _ = home
    network = ("--dataset", "shapes", "--network", "resnet18", "--size", 64, "--weights", path)
    job = analyze("submit", "--layer", "layer2.0.conv1,conv1", "--units", "0-3", *network, "--wait").stdout.strip()
    rows = analyze.json("results", job)
    assert {row["layer"] for row in rows} == {"conv1", "layer2.0.conv1"}
    layers = [json.dumps(layer["layer"]) for layer in analyze.json("status", job)["specification"]["layers"]]
    assert layers == ['"conv1"', '"layer2.0.conv1"']
    said = analyze("submit", "--layer", "layer1.0.relu,conv1", *network, "--dry-run").stderr
    assert "only the first run is searched of modules that run several times: layer1.0.relu (2 times)." in said
