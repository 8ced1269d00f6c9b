"""Job specifications: which parameters their keys depend on, and into which shards they are split."""

from __future__ import annotations

import pytest

from producer.networks.specification import network_specification
from shared.errors import SpecificationNotReadable
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.probe.specification import ProbeSpecification, Sampling
from shared.kinds.registry import describe, parse
from shared.kinds.specification import Specification, batch_ranges, image_ranges
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.train.specification import TrainSpecification
from unitscope.data.subsets import Fold
from unitscope.layers.forms import LayerForm
from unitscope.probing.layers import ProbedLayer
from unitscope.training.recipes import Recipe

PLAIN = Top9Specification(
    dataset_id=1,
    dataset_fingerprint="f" * 64,
    split="val",
    image_count=100,
    network=network_specification("zfnet", 20),
    weights_sha256="a" * 64,
    weights_path="weights.safetensors",
    training_job_id=None,
    layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=[0, 1])],
)


@pytest.mark.parametrize(
    "change",
    [
        {"bottom": True},
        {"per_class": True},
        {"projection": "guided"},
        {"projection": "gradient"},
        {"screen": "bfloat16"},
        {"screen": "tf32"},
    ],
)
def test_the_key_of_a_search_depends_on_its_options(change: dict[str, object]) -> None:
    assert PLAIN.model_copy(update=change).key() != PLAIN.key()


def test_the_key_of_a_search_does_not_depend_on_shards_or_paths() -> None:
    assert PLAIN.model_copy(update={"shards": 2, "weights_path": "elsewhere"}).key() == PLAIN.key()


def test_a_search_stored_without_these_options_can_be_read() -> None:
    stored = PLAIN.model_dump(mode="json")
    for name in ("bottom", "per_class", "projection"):
        del stored[name]
    assert parse("top9", stored) == PLAIN


def test_a_search_without_screening_is_stored_as_by_earlier_versions() -> None:
    """So that its key is the same."""
    assert "screen" not in PLAIN.model_dump(mode="json")
    screened = PLAIN.model_copy(update={"screen": "tf32"})
    assert parse("top9", screened.model_dump(mode="json")) == screened


def test_the_key_of_a_search_of_convolutions_is_that_of_earlier_versions() -> None:
    """It must not change with fields that were added later: the form of a layer, and its own method."""
    assert PLAIN.key() == "37266c0daaf8e28126b19eb1c32bbfee07713665204d450c43253fec87d04650"


def test_a_search_of_layers_of_other_forms_is_read_back_unchanged() -> None:
    form = LayerForm(kind="tokens", units=5, channels_last=True, rows=7, columns=7, before=1)
    layer = SearchedLayerSpecification(layer="mlp", path="mlp", units=[0], form=form, projection="gradient")
    search = PLAIN.model_copy(update={"layers": [*PLAIN.layers, layer]})
    read = parse("top9", search.model_dump(mode="json"))
    assert read == search
    assert isinstance(read, Top9Specification)
    assert [read.method_of(layer) for layer in read.layers] == ["deconvnet", "gradient"]
    assert read.forms == {"mlp": form}
    assert read.key() != PLAIN.key()


def test_a_search_without_projections_has_no_such_stage() -> None:
    rows_only = PLAIN.model_copy(update={"projection": None})
    assert {shard.stage for shard in rows_only.plan()} == {"search", "select", "finish"}
    assert parse("top9", rows_only.model_dump(mode="json")) == rows_only
    assert rows_only.key() != PLAIN.key()
    assert describe("top9", rows_only.model_dump(mode="json")).endswith(", no pictures")


def test_an_unknown_projection_is_refused() -> None:
    with pytest.raises(SpecificationNotReadable, match="projection"):
        parse("top9", PLAIN.model_dump(mode="json") | {"projection": "lrp"})


# --- occlusion sweeps ---

SWEEP = OcclusionSpecification(
    dataset_id=1,
    dataset_fingerprint="f" * 64,
    split="val",
    images=[3, 5, 8, 13, 21, 34, 55],
    network=network_specification("zfnet", 20),
    weights_sha256="a" * 64,
    weights_path="weights.safetensors",
    training_job_id=None,
    layer="conv5",
    path="features.10",
    unit=None,
    target=None,
    patch=32,
    stride=8,
)


@pytest.mark.parametrize(
    "change",
    [
        {"images": [3, 5, 8, 13, 21, 34]},
        {"whole_files": True},
        {"network": network_specification("zfnet", 20, size=64)},
        {"weights_sha256": "b" * 64},
        {"dataset_fingerprint": "e" * 64},
        {"path": "features.8"},
        {"unit": 0},
        {"target": 0},
        {"patch": 31},
        {"stride": 4},
        {"fill": "blur"},
        {"seed": 1},
        {"engine": "full"},
        {"memory_mb": 512},
        {"positions": True},
        {"top9_key": "c" * 64},
    ],
    ids=str,
)
def test_the_key_of_a_sweep_depends_on_its_options(change: dict[str, object]) -> None:
    assert SWEEP.model_copy(update=change).key() != SWEEP.key()


@pytest.mark.parametrize(
    "change",
    [
        {"shards": 3},
        {"split": None},  # the images determine it
        {"weights_path": "elsewhere"},
        {"training_job_id": 7},
        {"top9_job_id": 7},
    ],
    ids=str,
)
def test_the_key_of_a_sweep_does_not_depend_on_where_its_inputs_came_from(change: dict[str, object]) -> None:
    assert SWEEP.model_copy(update=change).key() == SWEEP.key()


@pytest.mark.parametrize("shards", [1, 3, 7, 100])
def test_the_stages_sweep_and_draw_have_the_same_shards(shards: int) -> None:
    plan = SWEEP.model_copy(update={"shards": shards}).plan()
    stages = {name: [shard for shard in plan if shard.stage == name] for name in ("sweep", "draw", "finish")}
    assert [shard.stage for shard in plan] == [
        *["sweep"] * len(stages["sweep"]), *["draw"] * len(stages["draw"]), "finish",
    ]  # fmt: skip
    assert len(stages["sweep"]) == min(shards, len(SWEEP.images))
    assert [shard.payload for shard in stages["sweep"]] == [shard.payload for shard in stages["draw"]]
    covered = [
        number for shard in stages["sweep"] for number in range(shard.payload["start"], shard.payload["stop"])
    ]
    assert covered == list(range(len(SWEEP.images)))
    for name in ("sweep", "draw"):
        for shard in stages[name]:
            assert shard.work == shard.payload["stop"] - shard.payload["start"] > 0
    assert {shard.queue for shard in stages["sweep"]} == {"analysis"}
    assert {shard.queue for shard in stages["draw"] + stages["finish"]} == {"cpu"}
    assert (stages["finish"][0].payload, stages["finish"][0].work) == ({}, len(SWEEP.images))


def test_a_stored_sweep_is_read_back_unchanged() -> None:
    changes = {"unit": 3, "fill": "noise", "seed": 2**63 - 1, "positions": True, "approximate": 0.02}
    sweep = SWEEP.model_copy(update=changes)
    read: Specification = parse("occlusion", sweep.model_dump(mode="json"))
    assert read == sweep
    assert read.key() == sweep.key()


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},
        {"patch": 0},
        {"stride": 0},
        {"fill": "white"},
        {"seed": -1},
        {"seed": 2**63},
        {"engine": "fast"},
        {"approximate": 1.0},
        {"approximate": -0.1},
        {"approximate": float("nan")},
        {"memory_mb": 0},
        {"shards": 0},
    ],
    ids=str,
)
def test_an_invalid_sweep_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SpecificationNotReadable, match=next(iter(change))):
        parse("occlusion", SWEEP.model_dump(mode="json") | change)


def test_a_training_run_of_version_1_is_converted_to_a_recipe() -> None:
    fields = {"epochs": 3, "batch_size": 8, "learning_rate": 5e-4, "lr_step": 7, "lr_gamma": 0.5, "flip": 0.25}
    old = {
        "dataset_id": 1,
        "dataset_fingerprint": "f",
        "network": {"name": "zfnet", "classes": 20, "image_size": 64},
        "train_count": 20,
        "val_count": 10,
        "seed": 4,
        "init": "he",
        **fields,
    }
    read = parse("train", old)
    assert isinstance(read, TrainSpecification)
    assert read.recipe == Recipe.model_validate({**fields, "init": "he"})
    assert (read.recipe_name, read.seed) == ("zfnet", 4)
    assert TrainSpecification.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(("kind", "reason"), [("train", "network: Field required"), ("later", "unknown kind")])
def test_a_specification_of_another_version_is_refused_but_described(kind: str, reason: str) -> None:
    with pytest.raises(SpecificationNotReadable, match=reason):
        parse(kind, {"dataset_id": 1, "dataset_fingerprint": "f", "surprise": 2})
    assert describe(kind, {"surprise": 2}) == f"{kind} (made by another version)"


# --- training runs ---

RUN = TrainSpecification(
    dataset_id=1,
    dataset_fingerprint="f" * 64,
    network=network_specification("zfnet", 20),
    recipe_name="zfnet",
    recipe=Recipe(),
    train_count=10,
    val_count=5,
)


@pytest.mark.parametrize("change", [{"fold": Fold(1, 5)}, {"val_per_class": 50}, {"train_per_class": 15}], ids=str)
def test_the_key_of_a_run_depends_on_its_images(change: dict[str, object]) -> None:
    changed = RUN.model_copy(update=change)
    assert changed.key() != RUN.key()
    assert parse("train", changed.model_dump(mode="json")) == changed


def test_the_key_of_a_run_without_folds_is_that_of_earlier_versions() -> None:
    assert not {"fold", "val_per_class"} & RUN.model_dump(mode="json").keys()


# --- probes ---

PROBE = ProbeSpecification(
    dataset_id=1,
    dataset_fingerprint="f" * 64,
    sampling=Sampling(train_split="train", test_split="val", repeats=3, seed=7),
    image_count=100,
    network=network_specification("zfnet", 20),
    weights_sha256="a" * 64,
    weights_path="weights.safetensors",
    training_job_id=None,
    layers=[
        ProbedLayer(layer="conv1", path="features.0", read_path="features.1", shape=(64, 55, 55), grid=(8, 8)),
        ProbedLayer(layer="fc7", path="classifier.4", read_path="classifier.5", shape=(4096,), grid=None),
    ],
    classifiers=("svm", "softmax"),
)


def test_probes_have_a_fit_for_each_layer_classifier_and_trial() -> None:
    plan = PROBE.model_copy(update={"shards": 3}).plan()
    features = [shard.payload for shard in plan if shard.stage == "features"]
    assert features == [{"start": 0, "stop": 32}, {"start": 32, "stop": 64}, {"start": 64, "stop": 100}]
    fits = {tuple(shard.payload.values()) for shard in plan if shard.stage == "fit"}
    assert fits == {(layer, name, trial) for layer in (0, 1) for name in ("svm", "softmax") for trial in (1, 2, 3)}
    assert [(trial.number, trial.seed, trial.fold) for trial in PROBE.sampling.trials] == [
        (1, 7, None), (2, 8, None), (3, 9, None),
    ]  # fmt: skip
    folds = Sampling(train_split="train", test_split="val", folds=2, seed=7).trials
    assert [(trial.number, trial.seed, trial.fold) for trial in folds] == [(1, 7, (1, 2)), (2, 7, (2, 2))]


@pytest.mark.parametrize(
    "change",
    [{"pooling": "max"}, {"shuffle_labels": True}, {"max_features": 100}, {"classifiers": ("svm",)}],
    ids=str,
)
def test_the_key_of_probes_depends_on_their_options(change: dict[str, object]) -> None:
    assert PROBE.model_copy(update=change).key() != PROBE.key()
    assert PROBE.model_copy(update={"shards": 5, "weights_path": "elsewhere"}).key() == PROBE.key()
    assert describe("probe", PROBE.model_dump(mode="json")) == "probe 2 layers of zfnet, 3 seeds"


@pytest.mark.parametrize(("images", "shards"), [(1, 3), (31, 2), (32, 2), (65, 2), (65, 9), (1000, 7)])
def test_ranges_of_batches_start_at_multiples_and_cover_all_images(images: int, shards: int) -> None:
    ranges = batch_ranges(images, 32, shards)
    assert [number for start, stop in ranges for number in range(start, stop)] == list(range(images))
    assert all(start % 32 == 0 for start, _ in ranges)
    assert len(ranges) == min(shards, -(-images // 32))


def test_without_a_number_of_shards_there_is_one_for_every_8_images() -> None:
    assert image_ranges(17, None) == [(0, 5), (5, 11), (11, 17)]
    assert image_ranges(17, 2) == [(0, 8), (8, 17)]
