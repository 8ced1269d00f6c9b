"""Searches of maps, vectors and tokens through the command line: rows, places, pictures, and projections."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from tests import reference
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.conftest import Analyze, fresh_database
from tests.own_networks import write_code

PATCH, VIT_SIZE = 8, 56
LAYERS = ("conv5", "features.11", "fc7", "scores")
UNITS = 4
MLP = "encoder.layers.encoder_layer_1.mlp"
# torchvision's vision transformers are of a size at which each image takes a tenth of a second.
VIT = f"""
from torchvision.models import VisionTransformer


def make(classes={CLASSES}):
    return VisionTransformer(
        image_size={VIT_SIZE}, patch_size={PATCH}, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=96,
        num_classes=classes,
    )
"""


SPLIT = ("--dataset", "shapes", "--split", "trainval")
TOKEN_UNITS = 2
TOKEN_SPLIT = ("--dataset", "few", "--split", "val")


def submit(analyze: Analyze, options: list[str], *more: object) -> str:
    units = f"0-{UNITS - 1}"
    return analyze("submit", *SPLIT, *options, "--units", units, *more, "--wait").stdout.strip()


def add_vit(analyze: Analyze, code: Path) -> None:
    analyze("network", "add", "small-vit", "--code", code, "--factory", "vit:make", "--size", VIT_SIZE)


def submit_tokens(analyze: Analyze, vit: Path, shards: int) -> subprocess.CompletedProcess[str]:
    layers = ("--layer", f"conv_proj,{MLP},scores", "--units", f"0-{TOKEN_UNITS - 1}")
    more = ("--bottom", "--per-class", "--shards", shards, "--wait")
    network = ("--network", "small-vit", "--weights", vit / "vit.safetensors")
    return analyze("submit", *TOKEN_SPLIT, *network, *layers, *more)


def rows_of(analyze: Analyze, job: str) -> dict[str, Any]:
    """Return all rows of a job; pictures are named by their content."""
    options = ("--statistics", "--bottom", "--per-class")
    layers = f"SELECT layer, layer_path, projection, contact_sheet_path FROM searched_layers WHERE job_id = {job}"
    return {option: analyze.json("results", job, option) for option in options} | {
        "top": analyze.json("results", job),
        "layers": analyze.json("query", f"{layers} ORDER BY id"),
    }


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of a vision transformer, and its weights in ``vit.safetensors``."""
    folder = tmp_path_factory.mktemp("vit")
    write_code(folder / "code", {"vit.py": VIT})
    namespace: dict[str, Any] = {}
    exec(VIT, namespace)  # noqa: S102 - the code above
    torch.manual_seed(2)
    model = namespace["make"]()
    nn.init.normal_(model.heads.head.weight, std=0.05)
    safetensors.torch.save_file(model.state_dict(), folder / "vit.safetensors")
    return folder


@pytest.fixture(scope="module")
def options(weights: Path) -> list[str]:
    return ["--weights", str(weights), "--network", "zfnet", "--size", str(SIZE), "--fc", str(FC)]


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, options: list[str]
) -> Iterator[tuple[Analyze, str]]:
    """A home with a finished search of maps and vectors in one shard, and the job's id."""
    analyze = Analyze(tmp_path_factory.mktemp("layers") / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze("dataset", "add", "shapes", "--name", "few", "--images", 20)
    analyze.up()
    yield analyze, submit(analyze, options, "--layer", ",".join(LAYERS), "--bottom", "--per-class", "--shards", 1)
    analyze.end()


@pytest.fixture(scope="module")
def tokens(home: tuple[Analyze, str], vit: Path) -> subprocess.CompletedProcess[str]:
    """What the submission of a search of a vision transformer in one shard printed, when it was done."""
    add_vit(home[0], vit / "code")
    return submit_tokens(home[0], vit, 1)


@pytest.fixture(scope="module")
def plain_loop(shapes_root: Path, weights: Path) -> tuple[list[reference.Crop], dict[str, np.ndarray]]:
    """Outputs of the first units for all crops, by the reference: [images, units, ...]."""
    model = reference.zfnet(CLASSES, FC).eval()
    model.load_state_dict(safetensors.torch.load_file(weights))
    crops = reference.voc_crops(shapes_root, "trainval", SIZE)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("conv5", "features.11", "fc7", "fc8")}
    modules = {
        "conv5": model.features[10], "features.11": model.features[11],
        "fc7": model.classifier[4], "fc8": model.classifier[6],
    }  # fmt: skip
    for name, module in modules.items():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: found[name].append(output[0, :UNITS].numpy().copy())
        )
    for crop in crops:
        with torch.no_grad():
            maps = model.features(crop.pixels[None])
            model.classifier(nn.functional.adaptive_avg_pool2d(maps, 6).flatten(1))
    return crops, {name: np.stack(arrays) for name, arrays in found.items()}


def test_rows_equal_a_plain_loop(
    home: tuple[Analyze, str], plain_loop: tuple[list[reference.Crop], dict[str, np.ndarray]]
) -> None:
    analyze, job = home
    crops, outputs = plain_loop
    rows = analyze.json("results", job)
    assert [*dict.fromkeys(row["layer"] for row in rows)] == ["conv5", "features.11", "fc7", "fc8"]
    listed = {(row["layer"], row["unit"], row["rank"]): row for row in rows}
    for name, values in outputs.items():
        for unit in range(UNITS):
            of_unit = values[:, unit].reshape(len(values), -1)
            maxima = of_unit.max(1)
            order = [n for n in np.argsort(-maxima, kind="stable").tolist() if maxima[n] > 0][:9]
            for rank, number in enumerate(order, start=1):
                row = listed[name, unit, rank]
                assert row["activation"] == pytest.approx(float(maxima[number]), rel=1e-4, abs=1e-5)
                assert row["image_path"] == crops[number].path or row["activation"] == pytest.approx(
                    float(maxima[order[rank - 2]]), rel=1e-4
                )
                if name.startswith("fc"):
                    assert row["row"] is None
                    assert row["col"] is None
                else:
                    place = row["row"] * values.shape[3] + row["col"]
                    assert of_unit[number, place] == pytest.approx(maxima[number], rel=1e-4)
            assert (name, unit, len(order) + 1) not in listed


def test_an_in_place_relu_leaves_the_convolution_before_it(
    home: tuple[Analyze, str], plain_loop: tuple[list[reference.Crop], dict[str, np.ndarray]]
) -> None:
    analyze, job = home
    rows = analyze.json("results", job, "--bottom")
    assert {"conv5", "fc7", "fc8"} <= {row["layer"] for row in rows}
    assert "features.11" not in {row["layer"] for row in rows}  # a ReLU's output is never negative


def test_several_shards_on_postgresql_give_the_rows_of_one_on_sqlite(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shapes_root: Path,
    options: list[str],
    vit: Path,
    home: tuple[Analyze, str],
    tokens: subprocess.CompletedProcess[str],
) -> None:
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze("dataset", "add", "shapes", "--name", "few", "--images", 20)
    analyze.up()
    request.addfinalizer(analyze.end)
    named = ("--layer", ",".join(LAYERS), "--bottom", "--per-class", "--shards", 3)
    job = submit(analyze, options, *named)
    assert rows_of(analyze, job) == rows_of(*home)
    assert analyze("verify", job).stdout
    add_vit(analyze, vit / "code")
    three = submit_tokens(analyze, vit, 3).stdout.strip()
    found = rows_of(home[0], tokens.stdout.strip())
    other = rows_of(analyze, three)
    for rows in (*found.values(), *other.values()):
        for row in rows:
            row.pop("job_id", None)
    assert found == other
    check_tokens(home[0], found)
    assert analyze("verify", three, "--sample", 12).stdout


def check_tokens(analyze: Analyze, found: dict[str, Any]) -> None:
    """Check places, methods and pictures of a search of a vision transformer with 7 x 7 patches."""
    methods = {layer["layer"]: layer["projection"] for layer in found["layers"]}
    assert methods == {"conv_proj": "deconvnet", MLP: "gradient", "heads.head": "gradient"}
    places = {(row["row"], row["col"]) for row in found["top"] if row["layer"] == MLP}
    assert places <= {(None, None), *((row, col) for row in range(7) for col in range(7))}
    assert len(places) > 1
    for row in found["top"]:
        assert row["projection_method"] == methods[row["layer"]]
        if row["layer"] == "heads.head":
            assert row["row"] is None
        sides = [row[f"picture_{side}"] for side in ("left", "top", "right", "bottom")]
        assert sides[2] - sides[0] == sides[3] - sides[1]
        with Image.open(analyze.home / "store" / row["patch_path"]) as mosaic:
            patch = np.asarray(mosaic.crop(sides))
        assert patch.shape[0] in ((PATCH,) if row["layer"] == "conv_proj" else (PATCH, VIT_SIZE))
    for unit in range(TOKEN_UNITS):
        rows = _of(found, MLP, unit)
        if len({row["row"] is None for row in rows}) == 2:  # squares among whole images are magnified
            assert {row["picture_right"] - row["picture_left"] for row in rows} == {VIT_SIZE}


def _of(found: dict[str, Any], layer: str, unit: int) -> list[dict[str, Any]]:
    return [row for row in found["top"] if row["layer"] == layer and row["unit"] == unit]


def test_rows_without_places_are_verified_and_exported(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    checked = analyze.json("verify", job, "--sample", 60)
    assert checked
    csv = analyze("results", job, "--layer", "fc7", "--units", "0", "--format", "csv").stdout.splitlines()
    heading, first = csv[0].split(","), csv[1].split(",")
    assert first[heading.index("row")] == ""
    exported = tmp_path / "job.tar"
    analyze("export", job, exported)
    other = Analyze(tmp_path / "other")
    other("dataset", "add", "shapes", "--root", analyze.json("dataset", "show", "shapes")["root"])
    imported = other("import", exported).stdout.strip()
    columns = (
        "SELECT unit, rank, activation, \"row\", col FROM top_activations WHERE job_id = {} AND layer = 'fc7'"
    )
    ordered = f"{columns} ORDER BY unit, rank"
    assert other.json("query", ordered.format(imported)) == analyze.json("query", ordered.format(job))


def test_rows_only(home: tuple[Analyze, str], options: list[str], tmp_path: Path) -> None:
    analyze, with_pictures = home
    job = submit(analyze, options, "--layer", "fc7", "--projection", "none")
    stages = analyze.json("query", f"SELECT DISTINCT stage_name AS stage FROM shards WHERE job_id = {job}")
    assert {row["stage"] for row in stages} == {"search", "select", "finish"}
    rows = analyze.json("results", job)
    same = [row for row in analyze.json("results", with_pictures) if row["layer"] == "fc7"]
    keys = ("unit", "rank", "activation", "image_id", "tied")
    assert [[row[key] for key in keys] for row in rows] == [[row[key] for key in keys] for row in same]
    assert {row["patch_path"] for row in rows} == {None}
    page = tmp_path / "page.html"
    analyze("results", job, "--html", page)
    assert "--projection none" in page.read_text()
    assert analyze.json("status", job)["summary"]["layers"][0]["projection"] is None


def test_the_page_names_the_method_of_each_layer(
    home: tuple[Analyze, str], tokens: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    analyze, _ = home
    assert "by the gradient" in tokens.stderr
    assert "GELU" in tokens.stderr or "softmax" in tokens.stderr or "attention" in tokens.stderr
    page = tmp_path / "page.html"
    analyze("results", tokens.stdout.strip(), "--html", page)
    html = " ".join(page.read_text().split())
    deconvnet = "conv_proj: deconvnet (Zeiler &amp; Fergus 2013), times the activation"
    methods = f"{deconvnet}; {MLP}, heads.head: the plain gradient"
    assert f"<dd>{methods}, times the activation</dd>" in html


@pytest.mark.parametrize(
    ("layer", "more", "says", "code"),
    [
        ("fc9", (), "did you mean fc", 4),
        ("features.9*9", (), "no layer 'features.9\\*9'", 4),
        ("scores", ("--units", 20), "no unit 20", 4),
    ],
)
def test_wrong_layers_are_reported(
    home: tuple[Analyze, str], options: list[str], layer: str, more: tuple[object, ...], says: str, code: int
) -> None:
    analyze, _ = home
    result = analyze("submit", *SPLIT, *options, "--layer", layer, *more, code=code)
    assert re.search(says, result.stderr)
