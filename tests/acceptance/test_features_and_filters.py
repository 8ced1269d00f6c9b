"""Jobs of feature maps and of filters, through the command line, with a real worker."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image

from tests import reference
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.acceptance.test_occlusion_job import note_run
from tests.conftest import Analyze
from tests.integration.cli.helpers import Home

SHARDS = (1, 3, 8)
RUN = 1
OF_RUN = ("--run", RUN)  # unlike a weights file, it is not read and described each time
DRAWN = ("conv1", "features.11")
ADDRESSES = ("picture_path", "channels_path", "array_path")

Row = dict[str, Any]


def network_words(weights: Path) -> tuple[object, ...]:
    return "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC


@pytest.fixture(scope="module")
def broken_root(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Path:
    """A copy of the data set, of which a test breaks an image."""
    root = tmp_path_factory.mktemp("data") / "broken"
    shutil.copytree(shapes_root, root)
    return root


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image file that belongs to no data set, and that EXIF says to turn."""
    path = tmp_path_factory.mktemp("photos") / "a photo.JPG"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, quality=95, exif=exif)
    return path


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Weights of the same network with a dead and a dominating filter in the first layer."""
    tensors = safetensors.torch.load_file(weights)
    tensors["features.0.weight"][2] = 0
    tensors["features.0.weight"][5] *= 20
    path = tmp_path_factory.mktemp("weights") / "other.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, broken_root: Path, weights: Path
) -> Iterator[Home]:
    """A home with two data sets, training run 1 on the first of them, and a worker."""
    home = Home(tmp_path_factory.mktemp("features") / "home")
    home("dataset", "add", "shapes", "--root", shapes_root)
    home("dataset", "add", "shapes", "--name", "broken", "--root", broken_root)
    assert note_run(home, weights) == RUN
    home.up()
    yield home
    home.end()


def finished(home: Analyze, *words: object) -> str:
    return home("submit", *words, "--wait").stdout.strip()


def rows_of(home: Analyze, job: str, *words: object) -> list[Row]:
    rows: list[Row] = home.json("results", job, *words)
    return [row | {"job_id": 0} for row in rows]


# --- feature maps ---


@pytest.fixture(scope="module")
def features(home: Home, photo: Path) -> list[str]:
    """Jobs of the same request in 1, 3 and 8 shards."""
    request = ("features", "--dataset", "shapes", *OF_RUN, "--images", 4, "--file", photo,
               "--layer", ",".join(DRAWN), "--arrays", "--force")  # fmt: skip
    return [finished(home, *request, "--shards", shards) for shards in SHARDS]


def expected_outputs(weights: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the outputs of the layers with maps, one module after the other; no ReLU works in place."""
    model: Any = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    maps = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    outputs: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for number, module in enumerate(model.features):
            maps = module(maps)
            outputs[f"features.{number}"] = maps[0].numpy()
        outputs["avgpool"] = F.adaptive_avg_pool2d(maps, (6, 6))[0].numpy()
    return outputs


def test_feature_maps_of_a_file_equal_a_plain_computation(
    home: Home, features: list[str], weights: Path, photo: Path
) -> None:
    with Image.open(photo) as image:
        turned = image.transpose(Image.Transpose.ROTATE_270)
        pixels = np.asarray(turned.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    outputs = expected_outputs(weights, pixels)
    rows = [row for row in rows_of(home, features[0]) if row["image_number"] == 5]
    assert {row["image_path"] for row in rows} == {str(photo)}
    assert [row["layer_path"] for row in rows] == [*outputs]
    for row in rows:
        maps = outputs[row["layer_path"]]
        assert (row["channels"], row["rows"], row["cols"]) == maps.shape
        assert (row["mean"], row["minimum"], row["maximum"]) == pytest.approx(
            (maps.mean(), maps.min(), maps.max()), abs=1e-4
        )
        assert (row["channels_path"] is not None) == (row["layer"] in DRAWN)
    with np.load(home.home / "store" / rows[0]["array_path"], allow_pickle=False) as arrays:
        assert set(arrays) == {"layers", "features.0", "features.11"}
        assert np.allclose(arrays["features.0"], outputs["features.0"], atol=1e-4)
        assert arrays["features.0"].min() < 0  # the ReLU that follows works in place
        assert np.allclose(arrays["features.11"], outputs["features.11"], atol=1e-4)


def test_feature_maps_do_not_depend_on_the_shards(home: Home, features: list[str]) -> None:
    first, *others = (rows_of(home, job) for job in features)
    assert len(first) == 5 * 14
    assert all(other == first for other in others)
    sheets = home.json("query", "SELECT DISTINCT sheet_path FROM features_jobs")
    assert len(sheets) == 1


def test_feature_maps_are_verified_filtered_and_shown(home: Home, features: list[str], tmp_path: Path) -> None:
    job = features[0]
    assert "unchanged" in home("verify", job).stdout
    listed = rows_of(home, job, "--layer", "features.11")
    assert [row["image_number"] for row in listed] == [1, 2, 3, 4, 5]
    written = home("results", job, "--layer", "1", "--format", "csv").stdout
    assert [row["layer"] for row in csv.DictReader(io.StringIO(written))] == ["conv1"] * 5
    of_image = rows_of(home, job, "--image", listed[2]["image_id"])
    assert {row["image_number"] for row in of_image} == {3}
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    text = page.read_text()
    assert text.count("data:image/png") == 2 * (1 + 5 + 5 * len(DRAWN))
    for name in ADDRESSES:
        path = listed[0][name]
        assert (home.home / "store" / path).is_file()


def test_an_exported_job_has_its_files(
    home: Home, features: list[str], shapes_root: Path, photo: Path, tmp_path: Path
) -> None:
    target = tmp_path / "job.tar"
    home("export", features[0], target)
    other = Analyze(tmp_path / "other")
    job = other("import", target, "--root", shapes_root).stdout.strip()
    assert [row | {"image_id": 0} for row in rows_of(other, job)] == [
        row | {"image_id": 0} for row in rows_of(home, features[0])
    ]
    specification = other.json("query", f"SELECT specification FROM jobs WHERE id = {job}")[0]["specification"]
    read = json.loads(specification) if isinstance(specification, str) else specification
    assert (other.home / "store" / read["files"][0]["path"]).read_bytes() == photo.read_bytes()


def test_a_broken_image_is_left_out_and_recorded(home: Home, broken_root: Path) -> None:
    images = home.json("query", "SELECT i.id, i.path FROM images i JOIN datasets d ON d.id = i.dataset_id "
                                "WHERE d.name = 'broken' ORDER BY i.id")  # fmt: skip
    chosen, damaged = images[0], images[-1]
    file = broken_root / damaged["path"]
    file.write_bytes(file.read_bytes()[:100])
    job = finished(home, "features", "--dataset", "broken", *OF_RUN, "--whole",
                   "--image-id", chosen["id"], "--image-id", damaged["id"])  # fmt: skip
    rows = rows_of(home, job)
    assert {(row["image_number"], row["image_id"]) for row in rows} == {(1, chosen["id"])}
    assert home.json("status", job)["summary"]["images_left_out"] == 1
    left_out = home.json("query", f"SELECT image_id FROM left_out_images WHERE job_id = {job}")
    assert left_out == [{"image_id": damaged["id"]}]


def test_the_cost_of_feature_maps_is_estimated(home: Home) -> None:
    cost = home.json("submit", "features", "--dataset", "shapes", *OF_RUN, "--images", 2,
                     "--layer", "conv2", "--dry-run")  # fmt: skip
    assert cost["images"] == 2
    assert cost["files"] >= 2 * 2 + 2


def test_wrong_requests_for_features_make_no_job(home: Home, weights: Path, tmp_path: Path) -> None:
    before = home.json("ls")
    words = ("submit", "features", *OF_RUN)
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    assert "no feature maps" in home.refused(*words, "--layer", "fc6", code=2)
    assert "--layer" in home.refused(*words, "--arrays", code=2)
    assert "can't be read" in home.refused(*words, "--file", text, code=1)
    assert "does not exist" in home.refused(*words, "--file", tmp_path / "none.png", code=4)
    assert "--dataset" in home.refused("submit", "features", *network_words(weights), "--file", text, code=2)
    assert home.json("ls") == before


# --- filters ---


@pytest.fixture(scope="module")
def filters(home: Home, other_weights: Path) -> list[str]:
    """Jobs of two networks in 1, 3 and 8 shards."""
    other = [
        f"--other-{word[2:]}" if str(word).startswith("--") else word for word in network_words(other_weights)
    ]
    request = ("filters", *OF_RUN, *other, "--layer", "conv1,conv5", "--force")
    return [finished(home, *request, "--shards", shards) for shards in SHARDS]


def test_filters_equal_the_weights(home: Home, filters: list[str], weights: Path, other_weights: Path) -> None:
    rows = rows_of(home, filters[0])
    assert len(rows) == 2 * (64 + 256)
    for number, file in ((1, weights), (2, other_weights)):
        tensors = safetensors.torch.load_file(file)
        for path in ("features.0", "features.10"):
            of_layer = [row for row in rows if (row["network_number"], row["layer_path"]) == (number, path)]
            rms = tensors[f"{path}.weight"].double().square().mean((1, 2, 3)).sqrt()
            assert [row["rms"] for row in of_layer] == pytest.approx(rms.tolist())
    first = [row for row in rows if (row["network_number"], row["layer"]) == (2, "conv1")]
    assert [row["unit"] for row in first if row["dead"]] == [2]
    assert [row["unit"] for row in first if row["dominating"]] == [5]


def test_filters_do_not_depend_on_the_shards(home: Home, filters: list[str]) -> None:
    first, *others = (rows_of(home, job) + rows_of(home, job, "--filter-layers") for job in filters)
    assert all(other == first for other in others)
    assert len(home.json("query", "SELECT DISTINCT figure_path FROM filters_jobs")) == 1


def test_filters_that_are_drawn_again_replace_their_rows(home: Home, filters: list[str]) -> None:
    before = rows_of(home, filters[1]) + rows_of(home, filters[1], "--filter-layers")
    of_job = f"WHERE job_id = {filters[1]}"
    home.change(f"UPDATE shards SET state = 'waiting', attempt = 0, sent_at = NULL {of_job}")
    home.change(f"UPDATE jobs SET state = 'queued', stage = 0, shards_left = shards_total WHERE id = {filters[1]}")
    home.change(f"UPDATE shards SET state = 'queued' {of_job} AND stage = 0")
    home.wait(lambda: dict(home.jobs())[int(filters[1])] in ("done", "failed"))
    assert dict(home.jobs())[int(filters[1])] == "done", home("logs", filters[1]).stdout
    assert rows_of(home, filters[1]) + rows_of(home, filters[1], "--filter-layers") == before


def test_filters_are_verified_filtered_and_shown(home: Home, filters: list[str], tmp_path: Path) -> None:
    job = filters[0]
    assert "unchanged" in home("verify", job).stdout
    assert [row["unit"] for row in rows_of(home, job, "--layer", "5", "--units", "3-4")] == [3, 4, 3, 4]
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    assert page.read_text().count("data:image/png") == 2 * (1 + 4)
    assert "no layer 'conv9'" in home.refused("results", job, "--layer", "conv9", code=4)


def test_a_job_of_filters_does_not_depend_on_its_data_set(home: Home, filters: list[str]) -> None:
    one = finished(home, "filters", *OF_RUN, "--layer", "conv1")
    same = home("submit", "filters", "--dataset", "broken", *OF_RUN, "--layer", "conv1")
    assert same.stdout.strip() == one


def test_network_filters_prints_the_same_numbers_without_a_job(
    home: Home, filters: list[str], other_weights: Path, tmp_path: Path
) -> None:
    before = home.json("ls")
    picture = tmp_path / "filters.png"
    words = ("network", "filters", "zfnet", *network_words(other_weights)[:2], "--classes", CLASSES,
             "--size", SIZE, "--fc", FC, "--layer", "conv1")  # fmt: skip
    each = home.json(*words, "--each", "--picture", picture)
    with Image.open(picture) as drawn:
        assert drawn.width > 400
    recorded = [row for row in rows_of(home, filters[0], "--layer", "conv1") if row["network_number"] == 2]
    assert [row["rms"] for row in each] == [row["rms"] for row in recorded]
    assert home.json("ls") == before


def test_wrong_requests_for_filters_make_no_job(home: Home, weights: Path) -> None:
    before = home.json("ls")
    words = ("submit", "filters", *OF_RUN)
    assert "conv1" in home.refused(*words, "--layer", "conv9", code=4)
    assert "no unit 900" in home.refused(*words, "--units", "900", code=4)
    assert "--other-run" in home.refused(*words, "--other-network", "alexnet", code=2)
    assert "--dataset" in home.refused("submit", "filters", *network_words(weights), code=2)
    assert home.json("ls") == before
