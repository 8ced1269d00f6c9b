"""Jobs that name code which was never added here: it is not imported, whatever the job says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from producer.networks.description import describe, describe_with_weights
from producer.networks.from_job import add_network_of_job, network_of_job
from producer.networks.own import named_network
from producer.networks.registration import list_networks
from shared.database.catalogue import insert_dataset
from shared.database.networks import RegisteredNetwork
from shared.database.registered import unregistered_networks
from shared.errors import (
    ArtifactDamaged,
    NetworkNotBuilt,
    NetworkNotReadable,
    NetworkNotRegistered,
    UsageError,
    UserNetworksOff,
)
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.settings import Settings
from shared.store.code import store_code
from tests.hostile.exports import found_dataset, new_home
from tests.hostile.test_fuzz_specifications import VALID
from unitscope.description import NetworkSpecification
from unitscope.factories import FactorySpecification
from worker.context import JobContext
from worker.networks.build import build

MODULE = """
from pathlib import Path
from torch import nn
Path({mark!r}).write_text("imported")
def make(**arguments):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
"""


class Scene:
    """A home whose store has code that leaves a mark when it is imported, and a job that names it."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "mark"
        self.database, self.store = new_home(folder / "home")
        self.settings = Settings(home=folder / "home")
        self.path = store_code(self.store, {"net.py": MODULE.format(mark=str(self.mark))}).path
        self.factory = FactorySpecification(factory="net:make", code=self.path)
        self.network = NetworkSpecification(name="mynet", classes=4, image_size=32, factory=self.factory)

    def context(self, *, user_networks: bool = True) -> JobContext:
        specification = parse("top9", VALID["top9"])
        return JobContext(1, specification, self.database, self.store, "cpu", user_networks=user_networks)

    def register(self, **values: Any) -> None:
        row = {"name": "mynet", "factory_key": self.factory.key(), "factory": self.factory.model_dump(mode="json")}
        row |= {"files": {}, "image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "classes": 4}
        with self.database.write() as session:
            session.execute(insert(RegisteredNetwork).values({**row, **values}))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


OTHERS: dict[str, dict[str, Any]] = {
    "other arguments": {"arguments": {"width": 3}},
    "another function": {"factory": "net:other"},
    "an installed function": {
        "factory": "os:system",
        "arguments": {"command": "true"},
        "package": "x",
        "version": "1",
    },
    "an argument for classes": {"classes_argument": "command"},
}


def test_code_that_was_not_added_is_not_run(scene: Scene) -> None:
    scene.register(name="another", factory_key="0" * 64)
    with pytest.raises(NetworkNotRegistered, match=r"\(net:make\) is not run here"):
        build(scene.context(), scene.network)
    with pytest.raises(NetworkNotRegistered):
        describe(scene.database, scene.network, scene.settings)
    with pytest.raises(NetworkNotRegistered):
        describe_with_weights(scene.database, scene.network, scene.mark, scene.settings)
    assert not scene.mark.exists()
    scene.register()
    build(scene.context(), scene.network)
    assert scene.mark.exists()


@pytest.mark.parametrize("case", OTHERS)
def test_what_was_added_says_nothing_about_other_code(case: str, scene: Scene) -> None:
    scene.register()
    change = {"code": None} if "package" in OTHERS[case] else {}
    other = FactorySpecification.model_validate({**scene.factory.model_dump(), **change, **OTHERS[case]})
    with pytest.raises(NetworkNotRegistered):
        build(scene.context(), scene.network.model_copy(update={"factory": other}))
    assert not scene.mark.exists()


def test_the_setting_of_a_worker_goes_before_what_was_added(scene: Scene) -> None:
    scene.register()
    with pytest.raises(UserNetworksOff, match="user_networks = false"):
        build(scene.context(user_networks=False), scene.network)
    with pytest.raises(UserNetworksOff):
        describe(scene.database, scene.network, scene.settings.model_copy(update={"user_networks": False}))
    assert not scene.mark.exists()


def test_a_changed_file_is_not_run(scene: Scene) -> None:
    scene.register()
    file = scene.store.root / scene.path
    file.write_bytes(file.read_bytes().replace(b"net.py", b"nnn.py"))
    with pytest.raises(ArtifactDamaged):
        build(scene.context(), scene.network)
    assert not scene.mark.exists()


def test_a_registered_file_of_other_content_is_not_run(scene: Scene) -> None:
    path = scene.store.put(json.dumps({"files": {"../net.py": "x"}}).encode(), ".code").path
    factory = FactorySpecification(factory="net:make", code=path)
    scene.register(factory_key=factory.key())
    with pytest.raises(Exception, match="something else than source files"):
        build(scene.context(), scene.network.model_copy(update={"factory": factory}))


def test_a_worker_without_the_module_says_so(scene: Scene) -> None:
    factory = FactorySpecification(factory="other:make", code=scene.path)
    scene.register(factory_key=factory.key())
    with pytest.raises(NetworkNotBuilt, match=r"neither other\.py nor a folder other"):
        build(scene.context(), scene.network.model_copy(update={"factory": factory}))


def test_networks_of_a_job_that_were_not_added_are_named(scene: Scene) -> None:
    with scene.database.write() as session:
        found = found_dataset()
        dataset = insert_dataset(session, "pictures", found)
    values = {"dataset_id": dataset, "dataset_fingerprint": found.fingerprint, "training_job_id": None}
    values |= {"network": scene.network.model_dump(mode="json")}
    job, _ = Ledger(scene.database).submit(parse("top9", {**VALID["top9"], **values}))
    with scene.database.read() as session:
        assert unregistered_networks(session, job) == ["mynet"]
    scene.register()
    with scene.database.read() as session:
        assert unregistered_networks(session, job) == []


@pytest.mark.parametrize(
    ("name", "error"), [("densenet121", NetworkNotBuilt), ("zfnet", UsageError), ("../x", UsageError)]
)
def test_an_imported_job_does_not_replace_a_network_of_ours(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    """A job can give its network the name of another one; adding it by this name is refused before it is run."""
    network = scene.network.model_copy(update={"name": name})
    job = Job(specification={"network": network.model_dump(mode="json")})
    monkeypatch.setattr("producer.networks.from_job.find_job", lambda session, job_id: job)
    with pytest.raises(error, match="the name of"):
        add_network_of_job(
            scene.database, scene.settings, network_of_job(scene.database, scene.store, name, 1), seconds=200
        )
    assert not scene.mark.exists()
    assert list_networks(scene.database) == []


@pytest.mark.parametrize(
    "row",
    [
        {"factory": {}},
        {"factory": {"factory": "net:make()", "code": "x"}},
        {"image_size": 3},
        {"mean": [0.5]},
        {"std": [0.5, 0.5, 0.5, 0.5]},
        {"classes": 0},
    ],
)
def test_a_damaged_row_is_named(row: dict[str, Any], scene: Scene) -> None:
    scene.register(**row)
    with pytest.raises(NetworkNotReadable, match="'mynet' in the table registered_networks"):
        named_network(scene.database, scene.settings, "mynet")
    if "factory" in row:
        with pytest.raises(NetworkNotReadable):
            list_networks(scene.database)
