"""Expansion of a study into jobs: grids, references, parameters, and what is wrong in a file."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from producer.cli.studies.running import study_title
from producer.studies.expansion import EntryError, JobReference, PlannedJob, planned_jobs
from producer.studies.file import parse_study, read_study, shipped_studies
from producer.studies.numbers import check_table
from producer.studies.options import check_jobs, takes_job
from producer.studies.parameters import parameter_values
from producer.studies.table import SEPARATOR
from shared.errors import BadStudy, NoSuchStudy, UsageError, exit_code

TRAIN = """
[jobs.train]
kind = "train"
grid = { fc = [16, 64], seed = [1, 2] }
labels = { size = "fc {fc}" }
options = { dataset = "{dataset}", epochs = "{epochs}" }
"""
SEARCH = """
[jobs.search]
kind = "top9"
options = { dataset = "{dataset}", run = "train", layer = 5 }
"""
HEAD = 'name = "s"\nparameters = { dataset = "shapes", epochs = 3 }\n'


@pytest.fixture(autouse=True)
def command() -> Iterator[None]:
    """The context of a command that is running."""
    with click.Context(click.Command("analyze")):
        yield


def expanded(text: str, *settings: str) -> list[PlannedJob]:
    study = parse_study(text, "s.toml")
    return planned_jobs(study, parameter_values(study, settings), takes_job, "s.toml")


def checked(text: str, *settings: str) -> None:
    """Do all checks that need no database."""
    jobs = expanded(text, *settings)
    check_jobs(jobs, "s.toml")
    check_table(parse_study(text, "s.toml"), jobs, "s.toml")


# --- grids and references ---


def test_a_grid_multiplies_in_the_order_of_the_file() -> None:
    jobs = expanded(HEAD + TRAIN)
    assert [job.name for job in jobs] == [
        "train[fc=16, seed=1]", "train[fc=16, seed=2]", "train[fc=64, seed=1]", "train[fc=64, seed=2]",
    ]  # fmt: skip
    assert [job.number for job in jobs] == [0, 1, 2, 3]
    assert jobs[1].options == {"dataset": "shapes", "epochs": 3, "fc": 16, "seed": 2}
    assert jobs[2].labels == {"fc": 64, "seed": 1, "size": "fc 64", "job": "train"}


def test_a_job_rests_on_each_job_of_an_entry_and_has_its_labels() -> None:
    jobs = expanded(HEAD + SEARCH + TRAIN)  # before the entry that it refers to
    assert [job.entry for job in jobs] == ["search"] * 4 + ["train"] * 4
    assert [job.references for job in jobs[:4]] == [[job.name] for job in jobs[4:]]
    assert jobs[3].options["run"] == JobReference("train[fc=64, seed=2]")
    assert "seed" not in jobs[3].options  # the option of the training run
    assert jobs[3].labels == {"fc": 64, "seed": 2, "size": "fc 64", "job": "search"}
    assert jobs[3].options_with({"train[fc=64, seed=2]": 7})["run"] == 7


def test_an_own_grid_multiplies_an_inherited_one() -> None:
    jobs = [job for job in expanded(HEAD + TRAIN + SEARCH + "grid = { top = [1, 9] }\n") if job.entry == "search"]
    assert len(jobs) == 8
    assert [job.options["top"] for job in jobs] == [1, 9] * 4
    assert jobs[1].name == "search[fc=16, seed=1, top=9]"


def test_two_entries_with_the_same_grid_are_joined() -> None:
    other = "\n".join(
        [
            "[jobs.other]",
            'kind = "train"',
            "grid = { seed = [1, 2] }",
            'options = { dataset = "x", extend = "train" }',
        ]
    )
    jobs = expanded(HEAD + TRAIN + other)
    # `other` has two seeds of its own, and inherits the widths.
    assert [job.references for job in jobs if job.entry == "other"] == [
        ["train[fc=16, seed=1]"], ["train[fc=16, seed=2]"], ["train[fc=64, seed=1]"], ["train[fc=64, seed=2]"],
    ]  # fmt: skip
    with pytest.raises(EntryError, match=r"s.toml, job 'other': it rests on train\[fc=16, seed=3\]"):
        expanded(HEAD + TRAIN + other.replace("[1, 2]", "[3]"))


def test_a_name_of_the_grid_in_a_text_is_no_option() -> None:
    text = '[jobs.t]\nkind = "train"\ngrid = { drop = [0.1] }\noptions = { dataset = "d", set = "lr={drop}" }'
    (job,) = expanded(HEAD + text)
    assert job.options == {"dataset": "d", "set": "lr=0.1"}
    assert job.labels["drop"] == 0.1


def test_defaults_of_a_kind_are_those_of_its_entries_only() -> None:
    defaults = '[defaults.train]\noptions = { dataset = "d", epochs = 9, init = "he" }\ngrid = { seed = [4] }\n'
    jobs = expanded(HEAD + defaults + TRAIN + SEARCH)
    assert [jobs[0].options[name] for name in ("dataset", "epochs", "init")] == ["shapes", 3, "he"]
    assert len([job for job in jobs if job.entry == "train"]) == 4
    assert "init" not in jobs[-1].options


@pytest.mark.parametrize(
    ("entries", "circle"),
    [
        ({"a": "a"}, ("a", "a")),
        ({"a": "b", "b": "c", "c": "a"}, ("a", "b", "c")),
    ],
)
def test_a_circle_is_an_error_that_names_it(entries: dict[str, str], circle: tuple[str, ...]) -> None:
    text = "".join(
        f'[jobs.{name}]\nkind = "train"\noptions = {{ extend = "{on}" }}\n' for name, on in entries.items()
    )
    with pytest.raises(EntryError, match="rests on itself") as error:
        expanded(HEAD + text)
    assert all(name in str(error.value).split("(")[1] for name in circle)


# --- parameters ---


def test_parameters_have_the_type_of_their_defaults() -> None:
    text = HEAD.replace("epochs = 3", "epochs = 3, seeds = [1], rate = 0.5, flag = true, names = ['a']") + TRAIN
    study = parse_study(text, "s.toml")
    given = parameter_values(
        study, ["dataset=7", "epochs=5", "seeds=[4, 5]", "rate=2", "flag=false", "names=b, c"]
    )
    assert given == {
        "dataset": "7", "epochs": 5, "seeds": [4, 5], "rate": 2.0, "flag": False, "names": ["b", "c"],
        "leave-out": [],
    }  # fmt: skip
    assert parameter_values(study, ["seeds=6,7"])["seeds"] == [6, 7]
    for wrong, kind in (("epochs=x", "an integer"), ("epochs=1.5", "an integer"), ("flag=1", "true or false")):
        with pytest.raises(UsageError, match=kind):
            parameter_values(study, [wrong])


def test_a_parameter_without_a_default_must_be_given() -> None:
    text = 'name = "s"\n[parameters.dataset]\nabout = "data to train on"\n[jobs.t]\nkind = "train"\n'
    study = parse_study(text, "s.toml")
    with pytest.raises(UsageError, match=r"needs a value for dataset \(data to train on\): --set dataset=VALUE"):
        parameter_values(study, [])
    assert parameter_values(study, ["dataset=voc"]) == {"dataset": "voc", "leave-out": []}


# --- what is wrong in a file ---


ENTRY = '[jobs.t]\nkind = "train"\noptions = {{ dataset = "d", {} }}\n'
TABLE = HEAD + TRAIN + '[table]\nrows = "fc"\n[table.values.v]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", ("not valid TOML",)),
        ('name = "a b"\n[jobs.t]\nkind = "train"', ("name:",)),
        ('name = "s"', ("jobs",)),
        (HEAD + '[jobs.t]\nkind = "train"\nseeds = [1]', ("jobs.t.seeds",)),
        (HEAD + '[jobs.t]\nkind = "trian"', ("no kind of job 'trian'", "train")),
        (HEAD + ENTRY.format("epoch = 3"), ("job 't'", "no option 'epoch'", "'epochs'")),
        (HEAD + ENTRY.format("epochs = 0"), ("job 't'", "--epochs")),
        (HEAD + ENTRY.format("epochs = 1.5"), ("job 't'", "--epochs")),
        (HEAD + ENTRY.format("epochs = [1, 2]"), ("job 't'", "--epochs")),
        (HEAD + ENTRY.format('size = "big"'), ("job 't'", "option 'size' is a number, not 'big'")),
        (HEAD + ENTRY.format('init = "zero"'), ("job 't'", "--init", "zero")),
        (HEAD + ENTRY.format('tensorboard = "yes"'), ("job 't'", "'tensorboard' is true or false")),
        (HEAD + ENTRY.format("epochs = true"), ("job 't'", "'epochs' needs a value")),
        (HEAD + ENTRY.format("wait = true"), ("job 't'", "no option 'wait'")),
        (HEAD + ENTRY.format("force = true"), ("job 't'", "no option 'force'")),
        (HEAD + ENTRY.format('extend = "other"'), ("job 't'", "'extend'", "not 'other'", "Jobs: t")),
        (HEAD + ENTRY.format('init = "{inti}"'), ("job 't'", "'{inti}'")),
        (HEAD + ENTRY.format("seed = 1") + "grid = { seed = [1] }", ("job 't'", "'seed'")),
        (HEAD + ENTRY.format("seed = 1") + "grid = { epochs = [1] }", ("job 't'", "'epochs' is a parameter")),
        (HEAD + ENTRY.format("epochs = 1") + "grid = { seed = [] }", ("job 't'", "'seed'")),
        (HEAD + ENTRY.format("epochs = 1") + "grid = { seed = [1, 1] }", ("job 't'", "twice")),
        (HEAD + ENTRY.format("epochs = 1") + "grid = { sead = [1] }", ("job 't", "'sead'", "'seed'")),
        (
            HEAD + ENTRY.format("epochs = 1") + f"grid = {{ seed = {[*range(200)]}, fc = {[*range(1, 200)]} }}",
            ("job 't'", "39800"),
        ),
        (f"name = {'[' * 100_000}", ("nested",)),
        (HEAD + ENTRY.format("epochs = 1") + 'labels = { job = "x" }', ("job 't'", "label 'job'")),
        (TABLE, ("table.values.v", "'summary' or 'results'")),
        (TABLE + 'summary = "accuracy"', ("table.values.v", "'accuracy'", "best_accuracy")),
        (TABLE + 'summary = "best_accuracy"\njob = "other"', ("table.values.v", "'other'")),
        (TABLE + 'results = "epoch"\ncolumn = "loss"', ("table.values.v", "'epoch'", "epochs")),
        (TABLE + 'results = "epochs"', ("table.values.v", "give 'column'", "loss")),
        (TABLE + 'results = "epochs"\ncolumn = "los"', ("table.values.v", "'los'", "loss")),
        (TABLE + 'results = "epochs"\ncolumn = "loss"\nwhere = { fase = "val" }', ("'fase'", "phase")),
        (TABLE.replace('"fc"', '"width"') + 'summary = "best_accuracy"', ("label 'width'", "fc", "seed")),
    ],
)  # fmt: skip
def test_an_error_names_the_place_in_the_file(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises((BadStudy, EntryError)) as error:
        checked(text)
    for word in ("s.toml", *words):
        assert word in str(error.value)
    assert exit_code(error.value) == 2


# Parameters with which every published row is in the table.
ALL_PUBLISHED = {"transfer": ["images=15,30,45,60"]}


@pytest.mark.parametrize("name", shipped_studies())
def test_a_shipped_study_is_correct(name: str) -> None:
    text, study = read_study(name)
    assert study.name == name
    assert study.about
    assert study.table
    assert all(published.source for published in study.table.published)
    needed = [f"{name}=x" for name, parameter in study.parameters.items() if parameter.default is None]
    needed += ALL_PUBLISHED.get(name, [])
    checked(text, *needed)
    labels = [job.labels for job in expanded(text, *needed)]
    names = study.table.rows
    rows = {SEPARATOR.join(str(part[name]) for name in names) for part in labels if set(names) <= set(part)}
    for published in study.table.published:
        assert not rows or set(published.values) <= rows  # without: rows are those of a result table


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NoSuchStudy, match="table-3"):
        read_study("nosuch.toml")


def test_an_error_in_the_title_names_the_file() -> None:
    study = parse_study(HEAD.replace('"s"', '"s"\ntitle = "On {datset}"') + TRAIN, "mine.toml")
    with pytest.raises(BadStudy, match=r"mine\.toml can't be used: title: '\{datset\}' .* Names: dataset"):
        study_title(study, {"dataset": "voc"}, "mine.toml")


# --- existing jobs, and entries that are left out ---

NETWORK = """
[jobs.network]
kind = "train"
existing = "{run}"
options = { dataset = "{dataset}", epochs = "{epochs}" }
[jobs.other]
kind = "train"
options = { dataset = "{dataset}" }
[jobs.search]
kind = "top9"
options = { dataset = "{dataset}", run = "network", layer = 5, units = "{units}" }
[jobs.both]
kind = "filters"
optional = true
options = { run = "network", other-run = "other" }
"""
WITH_RUN = 'name = "s"\nparameters = { dataset = "shapes", epochs = 3, run = 0, units = "" }\n' + NETWORK


def test_an_existing_job_takes_the_place_of_an_entry() -> None:
    network, other, search, both = expanded(WITH_RUN, "run=7")
    assert (network.existing, other.existing) == (7, 0)
    assert search.references == ["network"]
    assert (both.optional, network.optional) == (True, False)
    assert expanded(WITH_RUN)[0].existing == 0
    with pytest.raises(EntryError, match="'existing' is the number of a job, or 0, not '-1'"):
        expanded(WITH_RUN, "run=-1")
    with pytest.raises(EntryError, match="can't have a grid"):
        expanded(WITH_RUN.replace('"{run}"', '"{run}"\ngrid = { seed = [1, 2] }', 1), "run=7")


def test_entries_are_left_out_with_those_that_rest_on_them() -> None:
    assert [job.entry for job in expanded(WITH_RUN, "leave-out=other")] == ["network", "search"]
    assert [job.entry for job in expanded(WITH_RUN, "leave-out=search, both")] == ["network", "other"]
    assert [job.number for job in expanded(WITH_RUN, "leave-out=network")] == [0]
    with pytest.raises(UsageError, match=r"There is no job 'sarch' to leave out\. Jobs: network, other"):
        expanded(WITH_RUN, "leave-out=sarch")


def test_an_option_without_a_value_is_not_given() -> None:
    assert "units" not in expanded(WITH_RUN)[2].options
    assert expanded(WITH_RUN, "units=0-3")[2].options["units"] == "0-3"


def test_a_table_whose_jobs_are_left_out_is_not_checked() -> None:
    text = (
        WITH_RUN
        + """
[table]
rows = "width"
[table.values.accuracy]
job = "other"
summary = "best_accuracy"
"""
    )
    with pytest.raises(BadStudy, match="no job has the label 'width'"):
        checked(text)
    checked(text, "leave-out=other")
