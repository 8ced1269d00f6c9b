"""What identifies a network of the user's own, its code in the store, and what a worker checks."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from producer.networks.specification import changed_network, network_specification
from shared.errors import ArtifactDamaged, ArtifactMissing, CodeNotReadable, NetworkNotBuilt, UsageError
from shared.store.code import LARGEST, read_code, store_code
from shared.store.references import paths_in
from shared.store.store import Store
from tests.own_networks import FACTORY, FILES, SIZE
from unitscope.description import NetworkSpecification
from unitscope.factories import FactorySpecification
from worker.networks.build import build_network
from worker.networks.factory import check_version

CODE = f"ab/ab{'0' * 62}.code"
CHANGES: list[dict[str, Any]] = [
    {"factory": "my_models.net:other"},
    {"arguments": {"width": 5}},
    {"arguments": {"width": 4.0}},
    {"classes_argument": "classes"},
    {"code": f"ab/ab{'1' * 62}.code"},
    {"code": None, "package": "timm", "version": "1.0"},
]


def factory(**values: Any) -> FactorySpecification:
    return FactorySpecification(**{"factory": FACTORY, "arguments": {"width": 4}, "code": CODE, **values})


def network(**values: Any) -> NetworkSpecification:
    return NetworkSpecification(
        **{"name": "mynet", "classes": 20, "image_size": SIZE, "factory": factory(), **values}
    )


def test_everything_that_determines_the_network_is_in_the_key() -> None:
    networks = [network(), *(network(factory=factory(**change)) for change in CHANGES)]
    assert len({found.key() for found in networks}) == len(networks)
    assert len({found.factory.key() for found in networks if found.factory}) == len(networks)
    assert len({*networks, network()}) == len(networks)  # as keys of dictionaries


def test_the_order_of_arguments_is_not_in_the_key() -> None:
    first, second = (
        factory(arguments={"a": 1, "b": {"x": 1, "y": 2}}),
        factory(arguments={"b": {"y": 2, "x": 1}, "a": 1}),
    )
    assert first.key() == second.key()


def test_other_networks_keep_their_keys() -> None:
    specification = network_specification("zfnet", 20)
    assert "factory" not in json.loads(specification.model_dump_json())
    # Computed before networks had factories.
    assert specification.key() == "02f6ec6a1d906cc8a8933770a946a20ed5528a8f161bfb4e97fbbe12b2cef4e3"


def test_jobs_refer_to_the_code() -> None:
    assert [*paths_in({"network": network().model_dump(mode="json")})] == [CODE]


@pytest.mark.parametrize(
    "wrong",
    [
        {"factory": "net"},
        {"factory": "net:make()"},
        {"factory": "../net:make"},
        {"code": None},
        {"code": "../../etc/passwd"},
        {"code": f"ab/ab{'0' * 62}.pth"},
        {"package": "timm", "version": "1"},
        {"code": None, "package": "timm"},
        {"arguments": {"a b": 1}},
        {"arguments": {"a": float("inf")}},
        {"arguments": {"a": "x" * 20_000}},
        {"more": 1},
    ],
)
def test_wrong_factories_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        factory(**wrong)


@pytest.mark.parametrize("option", [{"fc": 16}, {"maps": (4, 4, 4)}, {"without": ("conv3",)}])
def test_options_of_zfnets_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="no options fc, maps and without"):
        network(**option)
    with pytest.raises(UsageError, match="does not apply to mynet"):
        changed_network(network(), 20, **option)


def test_a_trained_network_with_other_classes() -> None:
    flexible = network(factory=factory(classes_argument="classes"))
    assert changed_network(flexible, 3).classes == 3
    assert changed_network(flexible, 3, size=64).factory == flexible.factory
    with pytest.raises(UsageError, match=r"has 20 classes, not 3.*--head 20.*--classes-argument"):
        changed_network(network(), 3)
    assert changed_network(network(), 3, head=20).head == 20
    with_head = network(classes=5, head=20)
    assert changed_network(with_head, 3).head == 20


# --- the code in the store ---


def test_the_same_files_are_the_same_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    files = {"b.py": "é\r\n", "a/c.py": "", "models/my-net.py": "x"}
    stored = store_code(store, files)
    assert stored == store_code(store, dict(reversed(files.items())))
    assert read_code(store, stored.path) == files


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"files": []}',
        b'{"files": {"a.py": 3}}',
        b'{"files": {"../a.py": ""}}',
        b'{"files": {"/a.py": ""}}',
        b'{"files": {"a/./b.py": ""}}',
        b'{"files": {"a.pth": ""}}',
        b'{"files": ' + b"[" * 100_000,
        b'"' + b"x" * (2 * LARGEST) + b'"',
    ],
    ids=range(10),
)
def test_other_content_is_refused(content: bytes, tmp_path: Path) -> None:
    stored = Store(tmp_path).put(content, ".code")
    with pytest.raises(CodeNotReadable):
        read_code(Store(tmp_path), stored.path)


def test_changed_and_missing_artifacts_are_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store_code(store, FILES).path
    (tmp_path / path).write_text("{}")
    with pytest.raises(ArtifactDamaged):
        read_code(store, path)
    with pytest.raises(ArtifactMissing):
        read_code(store, CODE)


# --- building ---


def test_networks_are_built_from_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store_code(store, FILES).path
    specification = network(classes=7, factory=factory(code=path, classes_argument="classes"))
    model = build_network(specification, store)
    assert model(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 7)
    topped = build_network(specification.model_copy(update={"head": 9}), store)
    assert topped(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 7)
    assert topped.get_submodule("top").in_features == 9


def test_weights_are_drawn_from_the_seed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    specification = network(factory=factory(code=store_code(store, FILES).path))
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(build_network(specification, store))
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_the_version_of_a_package_must_be_the_registered_one() -> None:
    installed = factory(code=None, package="torchvision", version=metadata.version("torchvision"))
    check_version("mynet", installed)
    with pytest.raises(
        NetworkNotBuilt, match=r"added with version 0\.1 of the package torchvision, which is version"
    ):
        check_version("mynet", installed.model_copy(update={"version": "0.1"}))
    with pytest.raises(NetworkNotBuilt, match="which is not installed on"):
        check_version("mynet", installed.model_copy(update={"package": "no-such-package"}))
