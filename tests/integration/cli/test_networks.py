"""Networks that do not exist, or that can not be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.errors import exit_code
from shared.store.store import Store
from tests.integration.cli.helpers import Home
from unitscope.description import NetworkSpecification
from unitscope.errors import UnitscopeError
from worker.programs.describe import describe, take_weights


def test_unknown_network_is_named_with_those_like_it(home: Home) -> None:
    home.refused("network", "show", "resnet81", code=4, says=("'resnet81'", "resnet18"))


def test_size_too_small_for_the_network_is_refused(home: Home) -> None:
    options = ("--network", "zfnet-paper", "--size", "16", "--fc", "16")
    home.refused("submit", "train", "--dataset", "shapes", *options, code=2, says=("zfnet-paper", "16 pixels"))


WRONG_NETWORKS: dict[str, tuple[dict[str, Any], int, str]] = {
    "zfnet, too small": (
        {"name": "zfnet", "image_size": 16, "fc": 16},
        2,
        "zfnet can't process images of 16 pixels",
    ),
    "zfnet-paper, too small": (
        {"name": "zfnet-paper", "image_size": 33, "fc": 16},
        2,
        "zfnet-paper can't process",
    ),
    "alexnet, too small": ({"name": "alexnet", "image_size": 32}, 2, "alexnet can't process images of 32 pixels"),
    "a transformer of another size": ({"name": "vit_b_16", "image_size": 64}, 2, "vit_b_16 can't process"),
    "an option of another": ({"name": "resnet18", "image_size": 64, "fc": 16}, 2, "resnet18 has no option fc"),
    "a long name": ({"name": "x" * 99, "image_size": 64}, 4, "Network 'xxx"),
    "a detector": ({"name": "fasterrcnn_resnet50_fpn", "image_size": 64}, 4, "fasterrcnn"),
    "a module": ({"name": "__init__", "image_size": 64}, 4, "'__init__'"),
    "capitals": ({"name": "ResNet18", "image_size": 64}, 4, "resnet18"),
}


@pytest.mark.parametrize("case", WRONG_NETWORKS)
def test_network_that_can_not_be_built_is_refused(case: str) -> None:
    """The code is that of the program which the command line starts."""
    specification, code, says = WRONG_NETWORKS[case]
    with pytest.raises(UnitscopeError) as error:
        describe(NetworkSpecification(classes=2, **specification))
    assert exit_code(error.value) == code
    assert says in str(error.value)


def test_store_that_can_not_be_written_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    with pytest.raises(UnitscopeError, match="ANALYZE_STORE") as error:
        take_weights(specification, weights, Store(tmp_path / "file"))
    assert str(tmp_path / "file") in str(error.value)
