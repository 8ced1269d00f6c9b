"""Requests for training runs: what a run takes over from an earlier one, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from producer.kinds.train.options import TrainingOptions
from producer.kinds.train.request import note_training_run, training_request
from producer.networks.specification import changed_network, network_specification
from shared.database.catalogue import FoundDataset, FoundImage, register, store_network_description
from shared.database.connection import Database
from shared.errors import NoSuchRun, UsageError
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, JobState
from shared.kinds.filters.specification import ChosenFilters, ChosenLayer, FiltersSpecification
from shared.kinds.train.specification import TrainSpecification
from shared.settings import Settings
from tests.conftest import fresh_database
from unitscope.data.subsets import Fold
from unitscope.description import ZFNET_NAMES, NetworkSpecification
from unitscope.networks.build import ZFNETS
from unitscope.training.recipes import PRESETS
from worker.programs.describe import describe

SMALL = {"size": 64, "fc": 16}
UNUSUAL = TrainingOptions(
    dataset="three",
    recipe="zfnet-paper",
    network="zfnet",
    changes={
        "epochs": 3,
        "init": "he",
        "freeze": ("features.0",),
        "rates": {"classifier.*": 1e-4},
    },
    network_options={**SMALL, "without": ("conv4", "conv3")},
    train_split="val",
    val_split="train",
    train_per_class=2,
    val_per_class=1,
    fold=Fold(1, 2),
    keep_epochs=(2, 1),
    seed=5,
)


def found(name: str, classes: int) -> FoundDataset:
    images = [
        FoundImage(f"{name}/{split}/{c}/{n}.png", 0, c, f"c{c}", 8, 8, None, f"{c}{n}".ljust(64, "0"), (split,))
        for split in ("train", "val")
        for c in range(classes)
        for n in range(3)
    ]
    class_names = [f"c{c}" for c in range(classes)]
    return FoundDataset("folder", "/data", {"splits": ["train", "val"]}, class_names, images, fingerprint=name * 8)


@pytest.fixture(scope="module")
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Database]:
    """Data sets of three and of two classes, and descriptions of networks, which take a process each otherwise."""
    database = Database(fresh_database("sqlite", request, tmp_path_factory.mktemp("home"), sqlite_template))
    for name, classes in (("three", 3), ("two", 2)):
        register(database, name, found(name, classes))
    known: list[tuple[str, int, dict[str, Any]]] = [
        ("zfnet", 3, SMALL),
        ("zfnet", 2, SMALL),
        ("zfnet", 3, {**SMALL, "without": ("conv3", "conv4")}),
        ("zfnet", 2, {**SMALL, "without": ("conv3", "conv4")}),
        ("zfnet-paper", 3, {**SMALL, "without": ("conv3", "conv4")}),
        ("alexnet", 3, {"size": 64}),
    ]
    for network, classes, options in known:
        store_network_description(database, describe(network_specification(network, classes, **options)))
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _no_jobs(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(Job))


def ask(database: Database, options: TrainingOptions, like: int | None = None) -> TrainSpecification:
    return training_request(database, Settings(), options, like)


def submit(database: Database, specification: TrainSpecification, state: JobState = JobState.QUEUED) -> int:
    job, _ = Ledger(database).submit(
        specification, also=lambda session, job_id: note_training_run(specification, session, job_id)
    )
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(state=state))
    return job


def submit_filters(database: Database, run: TrainSpecification) -> int:
    """Submit a job that is no training run."""
    layer = ChosenLayer(layer="conv1", path="features.0")
    chosen = ChosenFilters(network=run.network, weights_sha256="a" * 64, weights_path="x", layers=[layer])
    job, _ = Ledger(database).submit(
        FiltersSpecification(
            dataset_id=run.dataset_id,
            dataset_fingerprint=run.dataset_fingerprint,
            networks=[chosen],
            training_job_id=None,
        )
    )
    return job


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_a_run_like_another_is_the_same_job(database: Database, state: JobState) -> None:
    asked = ask(database, UNUSUAL)
    job = submit(database, asked, state)
    like = ask(database, TrainingOptions(), job)
    assert like == asked
    assert Ledger(database).submit(like) == (job, False)


def test_given_options_replace_those_of_the_run(database: Database) -> None:
    asked = ask(database, UNUSUAL)
    job = submit(database, asked)
    given: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"train_split": "train"}, {}),
        ({"val_split": "val"}, {}),
        ({"train_per_class": 1}, {"train_count": 3}),
        ({"val_per_class": 2}, {"val_count": 6}),
        ({"fold": Fold(2, 2)}, {}),
        ({"seed": 0}, {}),
        ({"keep_epochs": ()}, {}),
        ({"tensorboard": True}, {}),
    ]
    for options, counts in given:
        assert ask(database, TrainingOptions(**options), job) == asked.model_copy(update={**options, **counts})
    for field, value in (("epochs", 4), ("freeze", ("classifier",)), ("rates", {"features.*": 0.1})):
        changed = ask(database, TrainingOptions(changes={field: value}), job)
        recipe = asked.recipe.model_copy(update={field: value})
        assert changed == asked.model_copy(update={"recipe": recipe})
    on_two = ask(database, TrainingOptions(dataset="two"), job)
    assert (on_two.network.classes, on_two.dataset_fingerprint) == (2, "two" * 8)
    assert on_two.network.without == asked.network.without
    assert (on_two.recipe, on_two.fold, on_two.train_count) == (asked.recipe, asked.fold, 4)


def test_a_given_recipe_replaces_all_fields_and_leaves_the_network(database: Database) -> None:
    asked = ask(database, UNUSUAL)
    other = ask(database, TrainingOptions(recipe="alexnet", changes={"epochs": 2}), submit(database, asked))
    assert other.network == asked.network
    assert other.recipe == PRESETS["alexnet"].recipe.model_copy(update={"epochs": 2})
    assert other.recipe_name == "alexnet"
    assert other.seed == asked.seed


def test_a_given_network_leaves_the_recipe(database: Database) -> None:
    asked = ask(database, UNUSUAL)
    job = submit(database, asked)
    other = ask(database, TrainingOptions(network="alexnet"), job)
    assert other.network == network_specification("alexnet", 3, size=64)
    assert (other.recipe, other.fold, other.seed) == (asked.recipe, asked.fold, asked.seed)
    paper = ask(database, TrainingOptions(network="zfnet-paper"), job)
    assert paper.network == network_specification("zfnet-paper", 3, **SMALL, without=("conv3", "conv4"))


def test_a_run_like_one_that_extends_another_is_trained_from_the_start(database: Database) -> None:
    asked = ask(database, UNUSUAL)
    recipe = asked.recipe.model_copy(update={"epochs": 9})
    extension = {
        "extended_sha256": "a" * 64,
        "extended_path": "x",
        "extended_job_id": submit(database, asked, JobState.DONE),
        "extended_epochs": 3,
    }
    job = submit(database, asked.model_copy(update={"recipe": recipe, **extension}))
    assert ask(database, TrainingOptions(), job) == asked.model_copy(update={"recipe": recipe})


def test_initial_weights_are_not_taken_over(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    asked = ask(database, UNUSUAL)
    job = submit(database, asked.model_copy(update={"weights_sha256": "a" * 64, "weights_path": "x"}))
    with caplog.at_level(logging.WARNING):
        like = ask(database, TrainingOptions(), job)
    # Without the weights, what was frozen has to learn.
    assert asked.recipe.freeze
    assert like.recipe == asked.recipe.model_copy(update={"freeze": (), "rates": {}})
    assert like == asked.model_copy(update={"recipe": like.recipe})
    assert f"initial weights of run {job}, and what it froze, are not taken over" in caplog.text


def test_runs_that_cannot_be_taken_over_are_refused(database: Database) -> None:
    asked = ask(database, UNUSUAL)
    job = submit(database, asked)
    for run in (submit_filters(database, asked), 999):
        for options, like in ((TrainingOptions(), run), (TrainingOptions(dataset="three", weights_of=run), None)):
            with pytest.raises(NoSuchRun, match=f"no training run {run}"):
                ask(database, options, like)
    with pytest.raises(NoSuchRun, match=f"no finished training run {job}"):
        ask(database, TrainingOptions(dataset="three", weights_of=job))
    done = submit(database, asked, JobState.DONE)
    with pytest.raises(UsageError, match=f"run {done} has no checkpoint"):
        ask(database, TrainingOptions(dataset="three", weights_of=done))
    with pytest.raises(UsageError, match="--weights and --weights-of"):
        ask(database, TrainingOptions(dataset="three", weights=Path("w.pth"), weights_of=done))
    with pytest.raises(UsageError, match="--dataset"):
        ask(database, TrainingOptions(recipe="zfnet"))


# --- networks ---

RUN = network_specification("zfnet", 20, **SMALL, maps=(8, 8, 8))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (None, {}, RUN),
        ("zfnet", {"size": None, "without": ()}, RUN),
        (None, {"fc": 4096}, network_specification("zfnet", 20, size=64, maps=(8, 8, 8))),
        (None, {"size": 96, "head": 5}, network_specification("zfnet", 20, 96, 16, (8, 8, 8), head=5)),
        ("zfnet-wide", {"fc": 32}, network_specification("zfnet-wide", 20, 64, 32, (8, 8, 8))),
        ("resnet18", {}, network_specification("resnet18", 20, size=64)),
    ],
)
def test_a_changed_network(name: str | None, options: dict[str, Any], expected: NetworkSpecification) -> None:
    assert changed_network(RUN, 20, name, **options) == expected
    assert changed_network(RUN, 3, name, **options) == expected.model_copy(update={"classes": 3})


def test_another_network_keeps_its_own_default_size() -> None:
    default = network_specification("zfnet", 20)
    assert changed_network(default, 20, "resnet18").image_size == 224
    assert changed_network(default, 20, "cifar-cnn", size=64).image_size == 64


def test_the_normalization_of_the_run_is_kept() -> None:
    run = RUN.model_copy(update={"mean": (0.1, 0.2, 0.3)})
    assert changed_network(run, 20, fc=8).mean == (0.1, 0.2, 0.3)


def test_the_default_width_is_not_another_network() -> None:
    assert set(ZFNET_NAMES) == set(ZFNETS)
    for name in ZFNET_NAMES:
        assert network_specification(name, 20, fc=4096) == network_specification(name, 20)
    # AlexNet has no such option, and an error says so.
    assert network_specification("alexnet", 20, fc=4096).fc == 4096
