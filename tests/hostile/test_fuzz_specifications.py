"""Fuzz tests: invalid job specifications and command line options give the documented errors, and no job."""

from __future__ import annotations

import copy
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.cli.main import main
from shared.errors import SpecificationNotReadable
from shared.kinds import kind_names
from shared.kinds.registry import parse
from shared.kinds.specification import Specification
from tests.hostile.fuzzing import examples
from tests.integration.cli.helpers import Home
from unitscope.training.recipes import Recipe

SHA256 = "a" * 64
NETWORK = {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16}
COMMON = {"dataset_id": 1, "dataset_fingerprint": SHA256, "network": NETWORK}
ANALYSIS = {"weights_sha256": SHA256, "weights_path": "x", "training_job_id": None, "split": "val"}
VALID: dict[str, dict[str, Any]] = {
    "top9": {
        **COMMON,
        **ANALYSIS,
        "image_count": 100,
        "layers": [{"layer": "conv5", "path": "features.10", "units": [0, 1, 2]}],
    },
    "train": {
        **COMMON,
        "recipe_name": "zfnet",
        "recipe": Recipe().model_dump(mode="json"),
        "train_count": 10,
        "val_count": 10,
    },
    "occlusion": {
        **COMMON,
        **ANALYSIS,
        "images": [0, 1],
        "layer": "conv5",
        "path": "features.10",
        "unit": None,
        "target": None,
        "patch": 32,
        "stride": 8,
    },
    "evolution": {
        **COMMON,
        "split": "train",
        "image_count": 100,
        "checkpoints": [
            {"epoch": epoch, "weights_sha256": SHA256, "weights_path": f"aa/{SHA256}.safetensors"}
            for epoch in (1, 5)
        ],
        "training_job_id": 3,
        "layers": [{"layer": "conv5", "path": "features.10", "units": 256, "drawn": [0, 1]}],
    },
    "probe": {
        **COMMON,
        **{name: value for name, value in ANALYSIS.items() if name != "split"},
        "sampling": {"train_split": "train", "test_split": "val", "folds": 5, "per_class": 15},
        "image_count": 100,
        "layers": [
            {
                "layer": "conv1",
                "path": "features.0",
                "read_path": "features.1",
                "shape": [64, 31, 31],
                "grid": [8, 8],
            }
        ],
        "classifiers": ["svm", "softmax"],
    },
    "features": {
        **COMMON,
        **ANALYSIS,
        "images": [0, 1],
        "files": [{"name": "cat.jpg", "path": "x", "sha256": SHA256}],
        "layers": [{"layer": "conv5", "path": "features.10", "call": 1, "kind": "Conv2d", "channels": True}],
    },
    "filters": {
        "dataset_id": 1,
        "dataset_fingerprint": SHA256,
        "networks": [
            {
                "network": NETWORK,
                "weights_sha256": SHA256,
                "weights_path": "x",
                "layers": [{"layer": "conv5", "path": "features.10"}],
            }
        ],
        "training_job_id": None,
        "units": [0],
    },
    "invariance": {
        **COMMON,
        **ANALYSIS,
        "images": [0, 1],
        "layers": [{"layer": "conv1", "path": "features.1"}],
        "shifts": [-5.0, 0.0, 5.0],
        "scales": [1.0, 1.05],
        "rotations": [],
    },
    "correspondence": {
        **COMMON,
        **ANALYSIS,
        "boxes_from": "annotations",
        "images": [0, 1],
        "layers": [{"layer": "conv5", "path": "features.11"}],
        "parts": ["nose"],
        "masks": [{"image": image, "part": "nose", "boxes": [[10, 10, 20, 30]]} for image in (0, 1)],
        "skipped": [{"path": "a.jpg", "object_number": 1, "part": "ear", "reason": "outside"}],
        "draws": 3,
    },
}
NUMBERS = st.integers(-3, 300) | st.integers() | st.sampled_from([2**31, 2**63, 2**64, 10**4000]) | st.floats()
TEXTS = st.sampled_from(["", "../x", "\x00", "\x1b[2J", "\udcff", "🐈", "x" * 10_000]) | st.text(max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def specifications(draw: st.DrawFn) -> tuple[str, Any]:
    """Generate a valid specification with up to three changes at any depth, or arbitrary data."""
    kind = draw(st.sampled_from(kind_names()))
    if draw(st.integers(0, 9)) == 0:
        return kind, draw(VALUES)
    changed = copy.deepcopy(VALID[kind])
    for _ in range(draw(st.integers(0, 3))):
        place: Any = changed
        while True:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.integers(0, 3)):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.integers(0, 4)) == 0:
                place[draw(TEXTS)] = draw(VALUES)
            elif isinstance(place, dict) and len(place) > 1 and draw(st.integers(0, 3)) == 0:
                del place[key]
            else:
                place[key] = draw(VALUES)
            break
    return kind, changed


@pytest.mark.parametrize("kind", VALID)
def test_the_unchanged_specifications_are_valid(kind: str) -> None:
    assert parse(kind, VALID[kind]).plan()


@examples(500)
@given(asked=specifications())
def test_a_specification_is_valid_or_refused(asked: tuple[str, Any]) -> None:
    kind, specification = asked
    try:
        result = parse(kind, specification)
    except SpecificationNotReadable:
        return
    assert isinstance(result, Specification)
    assert parse(kind, json.loads(json.dumps(result.model_dump(mode="json")))) == result
    assert len(result.key()) == 64


# --- the command line ---

OPTIONS = {
    "probe": [
        "--layer",
        "--folds",
        "--seeds",
        "--per-class",
        "--test-per-class",
        "--seed",
        "--features",
        "--pool",
        "--classifier",
    ],
    "top9": [
        "--layer",
        "--layers",
        "--units",
        "--split",
        "--top",
        "--shards",
        "--projection",
        "--run",
        "--weights",
    ],
    "train": [
        "--network",
        "--epochs",
        "--fc",
        "--maps",
        "--without",
        "--size",
        "--seed",
        "--set",
        "--rate",
        "--freeze",
    ],
    "evolution": ["--run", "--layer", "--units", "--draw", "--seed", "--epochs", "--split", "--shards"],
    "occlusion": [
        "--images",
        "--patch",
        "--stride",
        "--fill",
        "--unit",
        "--target",
        "--class",
        "--memory",
        "--image",
    ],
    "features": ["--layer", "--images", "--class", "--file", "--scale", "--split", "--shards"],
    "filters": ["--layer", "--units", "--inputs", "--scale", "--other-run", "--other-weights"],
    "invariance": ["--layer", "--images", "--shifts", "--scales", "--rotations", "--outside", "--interpolation"],
    "correspondence": ["--layer", "--images", "--part", "--boxes", "--draws", "--fill", "--seed"],
}
NUMBERS_TYPED = ["", "0", "-1", "1-", "0-9", "9" * 5000, "nan", "inf", "1e999", "²", "٣", "a=b", "=", "lr_step=x"]
NAMES_TYPED = ["../x", "\x1b[2J", "\x9b2J", "new\nline", "\u202egnp.exe", "🐈", "\udcff", "x" * 10_000, "%s{0}"]
ARGUMENTS = st.one_of(
    st.sampled_from(NUMBERS_TYPED),
    st.sampled_from(NAMES_TYPED),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
).filter(lambda words: "\x00" not in words and words != "--help")


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    kind = draw(st.sampled_from(sorted(OPTIONS)))
    named = "--run" if kind == "evolution" else "--dataset"  # what the job is computed from
    words = ["submit", kind, named, draw(st.just("nosuch") | ARGUMENTS)]
    for option in draw(st.lists(st.sampled_from(OPTIONS[kind]), max_size=5)):
        words += [option, draw(ARGUMENTS)]
    return words


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """The environment of this process with an empty home."""
    home = Home(tmp_path_factory.mktemp("commands") / "home")
    home("db", "upgrade")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYZE_HOME", str(home.home))
        yield patch


@contextmanager
def captured_streams() -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Replace the streams of this process, which a command takes over."""
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, buffer in (("stdout", out), ("stderr", err)):
            stream = io.TextIOWrapper(buffer, "utf-8", "backslashreplace", write_through=True)
            patch.setattr(sys, name, stream)
            patch.setattr(sys, f"__{name}__", stream)
        yield out, err
        sys.stdout.flush()


@examples(150)
@given(words=commands())
def test_random_options_give_an_error_in_one_line(environment: pytest.MonkeyPatch, words: list[str]) -> None:
    """No data set is registered, so that no command can succeed."""
    with captured_streams() as (out, err):
        with pytest.raises(SystemExit) as end:
            main(words)
        printed, message = out.getvalue().decode(), err.getvalue().decode()
    assert end.value.code in (2, 4)
    assert printed == ""
    assert message
    assert not any(letter in message for letter in "\x1b\x9b\u202e")
