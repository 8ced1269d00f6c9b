"""What people get wrong, through the command line as they run it: one line that helps, an exit code, no job.

A process for every mistake would take minutes, so most of them are made one after another in a few processes.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import pytest
import safetensors.torch
import torch
from PIL import Image

from producer.cli.main import VERBS
from shared.errors import UnitscopeError
from shared.networks import NetworkSpecification
from shared.schema import NEWEST_REVISION
from shared.store import Store
from tests import reference
from tests.conftest import Analyze, fresh_database
from worker.describe import describe, take_weights

SECRET = "hunter2"
NETWORK = ("--network", "zfnet", "--size", "64", "--fc", "16")
NOT_TEXT = os.fsdecode(b"\xff")
DIGITS = "9" * 5000

Done = subprocess.CompletedProcess[str]
Call = tuple[Sequence[object], Mapping[str, str]]  # arguments, and settings: redis_url for ANALYZE_REDIS_URL

MANY = """
import contextlib, io, json, os, sys, traceback
from producer.cli.main import main

given, answers = dict(os.environ), []
for arguments, variables in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(given | variables)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
            code = None
        except SystemExit as end:
            code = end.code
        except BaseException:
            code = 1
            traceback.print_exc()
    answers.append([code, out.getvalue(), err.getvalue()])
json.dump(answers, sys.stdout)
"""


class Home(Analyze):
    """A command line whose home is looked at from beside."""

    def jobs(self) -> list[tuple[int, str]]:
        """Ids and states."""
        with sqlite3.connect(f"file:{self.home / 'unitscope.sqlite3'}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT id, state FROM jobs ORDER BY id").fetchall()

    def change(self, sql: str) -> None:
        with sqlite3.connect(self.home / "unitscope.sqlite3") as connection:
            connection.execute(sql)

    def many(self, calls: Sequence[Call]) -> list[Done]:
        """The outcomes of many commands, in one process."""
        asked = [
            (list(map(str, words)), {f"ANALYZE_{name.upper()}": value for name, value in settings.items()})
            for words, settings in calls
        ]
        process = subprocess.run(
            [sys.executable, "-c", MANY],
            env=self.environment, input=json.dumps(asked), capture_output=True, text=True, timeout=240, check=True,
        )  # fmt: skip
        answers = json.loads(process.stdout)
        return [Done(words, *answer) for (words, _), answer in zip(asked, answers, strict=True)]

    def refused(self, *arguments: object, code: int, says: Sequence[str] = ()) -> str:
        """The one line of a refusal, in a process of its own; no job was made and none changed."""
        before = self.jobs()
        line = refusal(self(*arguments, code=code), code, says)
        assert self.jobs() == before
        return line


def refusal(done: Done, code: int | tuple[int, ...], says: Sequence[str] = ()) -> str:
    """The one line on stderr that says what was wrong."""
    assert "Traceback" not in done.stderr, done.stderr[-1500:]
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    if lines[0].startswith("Usage: "):
        lines = lines[lines.index("") + 1 :]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(("analyze: ", "Error: "))
    for word in says:
        assert word in lines[0]
    assert SECRET not in done.stderr
    return lines[0]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[Home]:
    """One home for all: the data set ``shapes``, no worker."""
    command = Home(tmp_path_factory.mktemp("bad_input") / "home")
    command("dataset", "add", "shapes", "--root", shapes_root)
    yield command
    command.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Home:
    """A home where nothing has happened yet."""
    return Home(tmp_path / "home")


@pytest.fixture(scope="module")
def unfinished(home: Home) -> int:
    """A training run that waits for a worker."""
    return int(home("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "2").stdout)


@pytest.fixture(scope="module")
def trained(home: Home, tensors: dict[str, torch.Tensor], weights: Path) -> int:
    """A training run whose rows say that it is done."""
    job = int(home("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", "1").stdout)
    home.change(f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at WHERE id = {job}")
    home.change(f"UPDATE shards SET state = 'done' WHERE job_id = {job}")
    home.change(f"UPDATE training_runs SET best_epoch = 1, best_accuracy = 0.5 WHERE job_id = {job}")
    home.change(
        "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
        f"VALUES ({job}, 'best', 1, 'aa/{'a' * 64}.safetensors', '{'a' * 64}', 1)"
    )
    return job


@pytest.fixture(scope="module")
def queued(home: Home, trained: int) -> int:
    """A search that waits for a worker."""
    return int(home("submit", "--layer", "5", "--units", "0-3", "--dataset", "shapes", "--run", trained).stdout)


@pytest.fixture(scope="module")
def finished(home: Home, trained: int) -> int:
    """A search whose rows say that it is done."""
    job = int(home("submit", "--layer", "5", "--units", "7", "--dataset", "shapes", "--run", trained).stdout)
    home.change(f"UPDATE jobs SET state = 'done', shards_left = 0 WHERE id = {job}")
    home.change(f"UPDATE shards SET state = 'done' WHERE job_id = {job}")
    return job


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return reference.zfnet(20, 16).state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "zfnet.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


# --- the table of mistakes ---


@dataclass(frozen=True)
class Mistake:
    """What is typed, the exit code, and what the line must name. Words like @RUN@ stand for what the home has."""

    arguments: tuple[str, ...]
    code: int | tuple[int, ...]
    says: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


TOP9 = ("submit", "--dataset", "shapes", "--run", "@RUN@")
CONV5 = (*TOP9, "--layer", "5")
TRAIN = ("submit", "train", "--dataset", "shapes")
SPLITS = "train, trainval, val"
CONVOLUTIONS = "conv4 (features.8), conv5 (features.10)"
JOB_VERBS = ("status", "watch", "logs", "cancel", "retry", "results")


def redis(url: str, code: int | tuple[int, ...]) -> Mistake:
    return Mistake(("retry", "@DONE@"), code, (), {"redis_url": url})


def sql(url: str, code: int) -> Mistake:
    return Mistake(("ls",), code, (), {"database_url": url})


UNKNOWN = {
    "data set": Mistake((*CONV5, "--dataset", "shap"), 4, ("'shap'", "shapes", "dataset add")),
    "data set to train on": Mistake(("submit", "train", "--dataset", "shap"), 4, ("'shap'", "shapes")),
    "data set to show": Mistake(("dataset", "show", "shap"), 4, ("'shap'", "shapes")),
    "data set of two lines": Mistake(("dataset", "show", "no\nsuch"), 4, ("'no such'", "shapes")),
    "data set with a very long name": Mistake(("dataset", "show", "x" * 5000), 4, ("xxx", "shapes")),
    "split": Mistake((*CONV5, "--split", "tests"), 4, ("'tests'", SPLITS)),
    "split in capitals": Mistake((*CONV5, "--split", "Val"), 4, ("'Val'", SPLITS)),
    "split to validate on": Mistake((*TRAIN, "--val-split", "test"), 4, ("'test'", SPLITS)),
    "layer": Mistake((*TOP9, "--layer", "conv6"), 4, ("zfnet", "'conv6'", CONVOLUTIONS)),
    "layer by number": Mistake((*TOP9, "--layer", "3-6"), 4, ("zfnet", "'6'", CONVOLUTIONS)),
    "layer zero": Mistake((*TOP9, "--layer", "0"), 4, ("'0'", CONVOLUTIONS)),
    "layer by a digit that is none": Mistake((*TOP9, "--layer", "²"), 4, ("'²'", CONVOLUTIONS)),
    "layer of many digits": Mistake((*TOP9, "--layer", DIGITS), 4, (CONVOLUTIONS,)),
    "layer with a template": Mistake((*TOP9, "--layer", "{layer}"), 4, ("'{layer}'", CONVOLUTIONS)),
    "unit": Mistake((*CONV5, "--units", "3,256"), 4, ("'5'", "256", "0 to 255")),
    "unit far beyond": Mistake((*CONV5, "--units", "999999999"), 4, ("999999999", "0 to 255")),
    "run": Mistake((*CONV5, "--run", "99999"), 4, ("run 99999", "ls --kind train")),
    "run that is a search": Mistake((*CONV5, "--run", "@DONE@"), 4, ("run @DONE@", "ls --kind train")),
    "run that is not finished": Mistake(
        (*CONV5, "--run", "@UNFINISHED@"), 4, ("finished training run @UNFINISHED@", "ls --kind train")
    ),
    **{f"job to {verb}": Mistake((verb, "99999"), 4, ("job 99999", "analyze ls")) for verb in JOB_VERBS},
    "job to follow": Mistake(("logs", "99999", "--follow"), 4, ("job 99999",)),
    "job for a page": Mistake(("results", "99999", "--html", "@FOLDER@/x.html"), 4, ("job 99999",)),
    "layer of a result": Mistake(("results", "@DONE@", "--layer", "4"), 4, ("'4'",)),
    **{
        f"{option} of no job": Mistake(("results", "99999", option), 4, ("job 99999",))
        for option in ("--statistics", "--bottom", "--per-class")
    },
}

USAGE = {
    "layer that is no convolution": Mistake((*TOP9, "--layer", "fc6"), 2, ("'fc6'", "Linear", CONVOLUTIONS)),
    "layer that is a pooling": Mistake((*TOP9, "--layer", "features.2"), 2, ("'features.2'", "MaxPool2d")),
    "no layer": Mistake(("submit", "--dataset", "shapes"), 2, ("--layer",)),
    "no data set": Mistake(("submit", "--layer", "5"), 2, ("--dataset",)),
    "no data set to train on": Mistake(("submit", "train"), 2, ("--dataset",)),
    "no run at all": Mistake(
        ("submit", "--layer", "5", "--dataset", "photos", "--split", "all"),
        2,
        ("'photos'", "analyze submit train --dataset photos", "--weights"),
    ),
    "unknown verb": Mistake(("nosuch",), 2, ("nosuch",)),
    "network with a very long name": Mistake(("network", "show", "x" * 200), (2, 4), ("xxx",)),
    "mistyped kind": Mistake(("submit", "trian", "--layer", "5", "--dataset", "shapes"), 2, ("trian",)),
    "mistyped option": Mistake(("ls", "--stat", "done"), 2, ("--stat",)),
    "unknown state": Mistake(("ls", "--state", "finished"), 2, ("finished", "cancelled")),
    "limit of zero": Mistake(("ls", "--limit", "0"), 2, ("--limit",)),
    "run and weights": Mistake((*CONV5, "--weights", "x.pth"), 2, ("--run", "--weights")),
    **{
        f"{option} without weights": Mistake((*CONV5, option, value), 2, (option, "--weights"))
        for option, value in (("--fc", "16"), ("--network", "zfnet"), ("--size", "64"), ("--classes", "20"))
    },
    **{
        f"{option} {value}": Mistake((*CONV5, option, value), 2, (option,))
        for option, value in (("--top", "0"), ("--top", "101"), ("--shards", "0"), ("--run", "0"), ("--run", "x"))
    },
    **{
        f"units {units!r}": Mistake((*CONV5, "--units", units), 2, ("--units",))
        for units in ("", "a", "1-", "-1", "1,,2", "3-1", "1.5", "0-999999999", "²")
    },
    "unit beyond all": Mistake((*CONV5, "--units", "9" * 20), (2, 4), ("9" * 20,)),
    "units of many digits": Mistake((*CONV5, "--units", DIGITS), 2, ("--units",)),
    **{f"layer {layer!r}": Mistake((*TOP9, "--layer", layer), 2, ("--layer",)) for layer in ("", ",", " , ")},
    "layers backwards": Mistake((*TOP9, "--layer", "5-1"), 2, ("5-1",)),
    **{
        f"{option} {value}": Mistake((*TRAIN, option, value), 2, (option,))
        for option, value in (
            ("--epochs", "0"), ("--epochs", "many"), ("--learning-rate", "0"), ("--learning-rate", "nan"),
            ("--learning-rate", "inf"), ("--lr-gamma", "nan"), ("--lr-step", "0"), ("--flip", "nan"),
            ("--flip", "1.5"), ("--size", "3"), ("--size", "99999"), ("--seed", "-1"), ("--init", "zero"),
            ("--batch-size", "0"), ("--fc", "0"),
        )
    },
    "unknown kind of data set": Mistake(("dataset", "add", "imagenet"), 2, ("imagenet", "folder")),
    "voc without a root": Mistake(("dataset", "add", "voc"), 2, ("--root", "--download")),
    "folder without a root": Mistake(("dataset", "add", "folder"), 2, ("--root",)),
    **{
        f"{option[0]} for {kind}": Mistake(("dataset", "add", kind, "--root", "x", *option), 2, (option[0], kind))
        for kind, option in (
            ("folder", ("--whole",)), ("folder", ("--difficult",)), ("folder", ("--year", "2007")),
            ("folder", ("--seed", "1")), ("voc", ("--images", "5")), ("shapes", ("--split", "train")),
            ("shapes", ("--download",)),
        )
    },
    "unknown year": Mistake(("dataset", "add", "voc", "--root", "x", "--year", "2008"), 2, ("2008",)),
    "voc that is not there": Mistake(("dataset", "add", "voc", "--root", "/no/such"), 2, ("/no/such", "VOC2007")),
    "folder that is not there": Mistake(("dataset", "add", "folder", "--root", "/no/such"), 2, ("/no/such",)),
    "split list that is not there": Mistake(
        ("dataset", "add", "voc", "--root", "@SHAPES@", "--name", "v", "--split", "nosuch"), 2, ("nosuch",)
    ),
    "shapes of another seed": Mistake(
        ("dataset", "add", "shapes", "--root", "@SHAPES@", "--seed", "5"), 2, ("--seed", "@SHAPES@")
    ),
    "name of another data set": Mistake(
        ("dataset", "add", "shapes", "--root", "@SHAPES@", "--whole"), 2, ("'shapes'", "--name")
    ),
    "shapes in a folder with something else": Mistake(
        ("dataset", "add", "shapes", "--images", "2", "--root", "@FULL@", "--name", "n"), 2, ("@FULL@",)
    ),
    "shapes in a file": Mistake(
        ("dataset", "add", "shapes", "--images", "2", "--root", "@TEXT@", "--name", "n"), 2, ("@TEXT@",)
    ),
    "unknown device": Mistake(("worker", "--devices", "gpu"), 2, ("gpu", "cuda:N")),
    "device twice": Mistake(("up", "--devices", "cpu,cpu"), 2, ("cpu,cpu",)),
    "unknown queue": Mistake(("up", "--queues", "fast"), 2, ("fast", "training")),
    **{f"job {job}": Mistake(("status", "--", job), 2, (job,)) for job in ("0", "-1", "x", "1.5", "2147483648")},
    "unknown projection": Mistake((*CONV5, "--projection", "lrp"), 2, ("lrp", "guided", "gradient")),
    **{
        f"{option} of a search without it": Mistake(("results", "@DONE@", option), 2, ("Job @DONE@", option))
        for option in ("--bottom", "--per-class")
    },
    **{
        f"{option} of a training run": Mistake(("results", "@RUN@", option), 2, ("Job @RUN@", "train"))
        for option in ("--statistics", "--bottom", "--per-class")
    },
    **{
        f"{one[0]} and {other[0]}": Mistake(("results", "@DONE@", *one, *other), 2, (one[0], other[0], "exclude"))
        for one, other in itertools.combinations(
            (("--best", "3"), ("--statistics",), ("--bottom",), ("--per-class",), ("--html", "@FOLDER@/x.html")), 2
        )
    },
    "class alone": Mistake(("results", "@DONE@", "--class", "cat"), 2, ("--class", "--per-class")),
    "class and bottom": Mistake(("results", "@DONE@", "--bottom", "--class", "cat"), 2, ("--class",)),
    "page that is a folder": Mistake(("results", "@DONE@", "--html", "@FOLDER@"), 2, ("@FOLDER@",)),
    "page before the job is done": Mistake(
        ("results", "@QUEUED@", "--html", "@FOLDER@/x.html"), 2, ("Job @QUEUED@ is queued",)
    ),
    "page of a training run": Mistake(
        ("results", "@RUN@", "--html", "@FOLDER@/x.html"), 2, ("Job @RUN@", "train")
    ),
    "query that writes": Mistake(("query", "DELETE FROM jobs"), 2, ("refused",)),
    "query of nothing": Mistake(("query", ""), 2, ("refused",)),
    "query of two": Mistake(("query", "SELECT 1; DROP TABLE jobs"), 2, ("refused",)),
    "query of no table": Mistake(("query", "SELECT 1 FROM nowhere"), 2, ("nowhere",)),
    "retry of a job that is done": Mistake(("retry", "@DONE@"), 2, ("Job @DONE@ is done",)),
    "retry of a job that is queued": Mistake(("retry", "@QUEUED@"), 2, ("Job @QUEUED@ is queued",)),
    "cancel of a job that is done": Mistake(("cancel", "@DONE@"), 2, ("Job @DONE@ is done",)),
}  # fmt: skip

OUT_OF_REACH = {
    "redis": redis(f"redis://:{SECRET}@127.0.0.1:@PORT@/0", 3),
    "redis with a query": redis(f"redis://127.0.0.1:@PORT@/0?password={SECRET}", 3),
    "redis with TLS": redis(f"rediss://user:{SECRET}@127.0.0.1:@PORT@/0", 3),
    "redis with a mark in the password": redis(f"redis://:x@{SECRET}@127.0.0.1:@PORT@/0", 3),
    "redis on no socket": redis("unix:///no/such/redis.sock", 3),
    "redis without a scheme": redis("localhost:6379", (2, 3)),
    "redis of another scheme": redis(f"http://:{SECRET}@localhost", (2, 3)),
    "redis on a port that is no number": redis(f"redis://:{SECRET}@localhost:port/0", (2, 3)),
    "redis on a port out of range": redis(f"redis://:{SECRET}@localhost:99999/0", (2, 3)),
    "redis with a slash in the password": redis(f"redis://:x/{SECRET}@localhost:6379/0", (2, 3)),
    "redis with an unknown option": redis(f"redis://:{SECRET}@localhost:6379/0?nonsense=1", (2, 3)),
    "redis for a submit": Mistake((*CONV5, "--units", "9"), 3, (), {"redis_url": "redis://127.0.0.1:@PORT@/0"}),
    "redis for a worker": Mistake(("worker",), 3, (), {"redis_url": "redis://127.0.0.1:@PORT@/0"}),
    "the private redis": Mistake(("worker", "--devices", "cpu"), 3, ("analyze up",)),
    "postgresql": sql(f"postgresql://user:{SECRET}@127.0.0.1:@PORT@/db", 3),
    "postgresql with a query": sql(f"postgresql+psycopg://user@127.0.0.1:@PORT@/db?password={SECRET}", 3),
    "postgresql on no socket": sql(f"postgresql://user:{SECRET}@/db?host=/no/such/folder", 3),
    "sqlite in a folder": sql("sqlite:///@FOLDER@", 3),
    "sqlite in a text": sql("sqlite:///@TEXT@", 3),
    "sqlite below a file": sql("sqlite:///@TEXT@/below/x.sqlite3", 3),
    "database without a URL": sql(f"user:{SECRET}@localhost/db", 2),
    "another database": sql(f"mysql://user:{SECRET}@localhost/db", 2),
    "unknown database": sql(f"nonsense://user:{SECRET}@localhost/db", 2),
    "another driver": sql(f"postgresql+asyncpg://user:{SECRET}@localhost/db", 3),
    "database on a port that is no number": sql(f"postgresql://user:{SECRET}@localhost:port/db", 2),
    "home that is a file": Mistake(("ls",), 3, ("@TEXT@",), {"home": "@TEXT@"}),
    "home below a file": Mistake(("ls",), 3, ("@TEXT@",), {"home": "@TEXT@/below"}),
}

SETTINGS = {
    "no TOML": "home = [",
    "an unknown name": "lease_second = 3",
    "no number": 'resend_seconds = "soon"',
    "a number out of range": "resend_seconds = 0",
    "no text": "database_url = 5",
    "a table": "[database]\nurl = 'x'",
    "no UTF-8": b"\xff\xfe\x00",
}
BAD_SETTINGS = {
    **{
        f"file with {name}": Mistake(("ls",), 2, (f"@FOLDER@/{name}/config.toml",), {"home": f"@FOLDER@/{name}"})
        for name in SETTINGS
    },
    "file that is not there": Mistake(("ls",), 2, ("/no/such/config.toml",), {"config": "/no/such/config.toml"}),
    **{
        f"lease_seconds {value}": Mistake(("ls",), 2, ("lease_seconds",), {"lease_seconds": value})
        for value in ("soon", "-1", "0", "nan")
    },
}

MISTAKES = {
    **{f"unknown: {name}": mistake for name, mistake in UNKNOWN.items()},
    **{f"usage: {name}": mistake for name, mistake in USAGE.items()},
    **{f"out of reach: {name}": mistake for name, mistake in OUT_OF_REACH.items()},
    **{f"settings: {name}": mistake for name, mistake in BAD_SETTINGS.items()},
}


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory,
    shapes_root: Path,
    photos: Path,
    trained: int,
    unfinished: int,
    queued: int,
    finished: int,
) -> dict[str, str]:
    """What the words in the table of mistakes stand for."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "text").write_text("no database at all\n" * 100)
    (folder / "full").mkdir()
    (folder / "full" / "thesis.tex").write_text("mine")
    for name, content in SETTINGS.items():
        (folder / name).mkdir()
        (folder / name / "config.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return {
        "@RUN@": str(trained),
        "@UNFINISHED@": str(unfinished),
        "@QUEUED@": str(queued),
        "@DONE@": str(finished),
        "@PORT@": str(closed_port()),
        "@FOLDER@": str(folder),
        "@FULL@": str(folder / "full"),
        "@TEXT@": str(folder / "text"),
        "@SHAPES@": str(shapes_root),
        "@PHOTOS@": str(photos),
    }


def filled(text: str, places: Mapping[str, str]) -> str:
    for word, meaning in places.items():
        text = text.replace(word, meaning)
    return text


@pytest.fixture(scope="module")
def outcomes(home: Home, photos: Path, places: dict[str, str]) -> dict[str, Done]:
    """All mistakes, made."""
    home("dataset", "add", "folder", "--root", photos, "--name", "photos")
    before = home.jobs()
    calls = [
        (
            [filled(word, places) for word in mistake.arguments],
            {name: filled(value, places) for name, value in mistake.settings.items()},
        )
        for mistake in MISTAKES.values()
    ]
    done = home.many(calls)
    assert home.jobs() == before
    assert Path(places["@TEXT@"]).read_text() == "no database at all\n" * 100
    assert [file.name for file in Path(places["@FULL@"]).iterdir()] == ["thesis.tex"]
    return dict(zip(MISTAKES, done, strict=True))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_refused_in_one_line_that_helps(
    outcomes: dict[str, Done], places: dict[str, str], name: str
) -> None:
    mistake, done = MISTAKES[name], outcomes[name]
    line = refusal(done, mistake.code, [filled(word, places) for word in mistake.says])
    for setting in mistake.settings:
        if setting.endswith("_url"):
            assert setting in line.lower()


@pytest.mark.parametrize("name", ["unknown: split", "usage: run and weights", "out of reach: postgresql"])
def test_process_of_its_own_ends_in_the_same_way(
    home: Home, places: dict[str, str], outcomes: dict[str, Done], name: str
) -> None:
    mistake = MISTAKES[name]
    one = Home(home.home)
    one.environment |= {f"ANALYZE_{k.upper()}": filled(v, places) for k, v in mistake.settings.items()}
    done = one(*(filled(word, places) for word in mistake.arguments), code=outcomes[name].returncode)
    assert (done.stdout, done.stderr) == ("", outcomes[name].stderr)


def test_mistakes_on_postgresql_are_refused_too(
    home: Home, request: pytest.FixtureRequest, tmp_path: Path, shapes_root: Path
) -> None:
    url = {"database_url": fresh_database("postgresql", request, tmp_path)}
    run = ("submit", "--layer", "5", "--dataset", "shapes", "--run")
    too_old, _, _, *done = home.many(
        [
            (("ls",), url),
            (("db", "upgrade"), url),
            (("dataset", "add", "shapes", "--root", shapes_root), url),
            *(((*run, number), url) for number in ("7", "2147483648", "9" * 19, "9" * 30)),
            (("dataset", "show", NOT_TEXT), url),
            (("query", f"SELECT '{NOT_TEXT}'"), url),
            (("query", "DELETE FROM jobs"), url),
            (("status", "7"), url),
        ]
    )
    refusal(too_old, 5, ("none", "analyze db upgrade"))
    for answer, codes in zip(done, [4, (2, 4), (2, 4), (2, 4), (2, 4), 2, 2, 4], strict=True):
        refusal(answer, codes)


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775807", "9223372036854775808", "9" * 30])
def test_run_beyond_all_ids_is_unknown(home: Home, number: str) -> None:
    done = home("submit", "--layer", "5", "--dataset", "shapes", "--run", number, code=None)
    assert done.returncode in (2, 4)
    assert number in done.stderr


def test_argument_that_is_no_text_is_refused(home: Home, trained: int, photos: Path) -> None:
    search = ("submit", "--dataset", "shapes", "--run", trained, "--layer")
    calls = [
        ("dataset", "show", NOT_TEXT),
        ("submit", "--layer", "5", "--dataset", NOT_TEXT),
        (*search, NOT_TEXT),
        (*search, "5", "--split", NOT_TEXT),
        ("query", f"SELECT '{NOT_TEXT}'"),
    ]
    before = home.jobs()
    for done in home.many([(call, {}) for call in calls]):
        refusal(done, (2, 4))
    assert home.jobs() == before
    home.refused("dataset", "add", "folder", "--root", photos, "--name", NOT_TEXT, code=2)


def test_split_without_images_is_refused(home: Home, shapes_root: Path, trained: int, tmp_path: Path) -> None:
    root = shutil.copytree(shapes_root, tmp_path / "shapes")
    (root / "VOC2007/ImageSets/Main/nobody.txt").write_text("")
    (root / "VOC2007/ImageSets/Main/lost.txt").write_text("nosuchimage\n")
    home("dataset", "add", "shapes", "--root", root, "--name", "holes")
    asked = ("submit", "--layer", "5", "--dataset", "holes", "--run", trained, "--split")
    for done, split in zip(
        home.many([((*asked, s), {}) for s in ("lost", "nobody")]), ("lost", "nobody"), strict=True
    ):
        refusal(done, 2, (f"'{split}'", "dataset show holes"))


def test_nothing_is_drawn_or_read_for_a_database_out_of_reach(home: Home, tmp_path: Path) -> None:
    url = {"database_url": f"postgresql://user@127.0.0.1:{closed_port()}/db"}
    (done,) = home.many([(("dataset", "add", "shapes", "--images", "2", "--root", tmp_path / "new"), url)])
    refusal(done, 3, ("127.0.0.1",))
    assert not (tmp_path / "new").exists()


def test_folder_where_shapes_can_not_be_drawn_is_named(home: Home) -> None:
    done = home("dataset", "add", "shapes", "--images", "2", "--root", "/proc/x", "--name", "n", code=None)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") <= 2
    assert "/proc" in done.stderr


def test_schema_too_new_is_refused_and_left_alone(fresh: Home, photos: Path) -> None:
    fresh("db", "upgrade")
    fresh.change("UPDATE alembic_version SET version_num = '9999'")
    calls: list[Call] = [((*words,), {}) for words in (("ls",), ("db", "upgrade"), ("doctor", "--quiet"))]
    calls.append((("dataset", "add", "folder", "--root", photos), {}))
    first, second, doctor, last = fresh.many(calls)
    for done in (first, second, last):
        refusal(done, 5, ("9999", "Update unitscope"))
    assert doctor.returncode == 5
    assert fresh.json("db", "version") == {
        "database": f"sqlite:///{fresh.home}/unitscope.sqlite3", "found": "9999", "needed": NEWEST_REVISION
    }  # fmt: skip


def test_schema_too_new_on_postgresql_is_refused(fresh: Home, request: Any, tmp_path: Path) -> None:
    url = fresh_database("postgresql", request, tmp_path)
    fresh.environment["ANALYZE_DATABASE_URL"] = url
    fresh("db", "upgrade")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refusal(fresh("ls", code=5), 5, ("9999", "Update unitscope"))


def test_empty_variables_count_as_not_set(fresh: Home) -> None:
    """As Compose gives them: ANALYZE_REDIS_URL=${REDIS_URL:-}."""
    names = ("database_url", "redis_url", "store", "lease_seconds", "threads")
    fresh.environment |= {f"ANALYZE_{name.upper()}": "" for name in names}
    assert fresh.json("ls") == []
    assert fresh("doctor", "--quiet", code=None).returncode == 1  # all is well, only nobody works here


def test_doctor_of_a_home_that_is_a_file_is_quiet_about_it(home: Home, places: dict[str, str]) -> None:
    (done,) = home.many([(("doctor", "--quiet"), {"home": places["@TEXT@"]})])
    assert done.returncode in (2, 3)
    assert (done.stdout, done.stderr) == ("", "")


def test_settings_file_of_a_home_with_a_tilde_is_read(fresh: Home, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text("resend_seconds = 0")
    fresh.environment |= {"HOME": str(tmp_path), "ANALYZE_HOME": "~/mine"}
    refusal(fresh("ls", code=2), 2, ("resend_seconds",))


# --- weights ---


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def refused_weights(path: Path, code: int, says: Sequence[str], fc: int = 16, classes: int = 20) -> str:
    """What is said of weights, by the code that the command line starts for them; nothing is kept of them."""
    store = path.parent / "store"
    specification = NetworkSpecification(name="zfnet", classes=classes, image_size=64, fc=fc)
    with pytest.raises(UnitscopeError) as error:
        take_weights(specification, path, Store(store))
    assert error.value.exit_code == code
    for word in (str(path), *says):
        assert word in str(error.value)
    assert not store.exists()
    return str(error.value)


@pytest.mark.parametrize("how", ["pickle", "torch.save", "inside a state_dict"])
def test_weights_that_run_code_are_refused_and_run_none(tmp_path: Path, tensors: Any, how: str) -> None:
    trap, file = Trap(tmp_path / "sprung"), tmp_path / "weights.pth"
    if how == "pickle":
        file.write_bytes(pickle.dumps(trap))
    else:
        saved(file, {**tensors, "trap": trap} if how == "inside a state_dict" else trap)
    line = refused_weights(file, 2, ("state_dict",))
    assert not (tmp_path / "sprung").exists()
    assert "weights_only` set to `False" not in line  # no advice to run it


def test_weights_that_run_code_run_none_through_the_command_line(home: Home, tmp_path: Path) -> None:
    file = saved(tmp_path / "weights.pth", Trap(tmp_path / "sprung"))
    asked = ("submit", "--dataset", "shapes", "--layer", "5", *NETWORK, "--weights", file)
    home.refused(*asked, code=2, says=(str(file), ".safetensors"))
    assert not (tmp_path / "sprung").exists()


NO_TENSORS: dict[str, object] = {
    "a list": [1, 2],
    "nothing": {},
    "numbers": {"features.0.weight": [1.0, 2.0]},
    "an empty state_dict": {"state_dict": {}},
    "one tensor": torch.zeros(3),
    "numbers for names": {0: torch.zeros(3)},
}


@pytest.mark.parametrize("name", NO_TENSORS)
def test_weights_that_hold_no_named_tensors_are_refused(tmp_path: Path, name: str) -> None:
    refused_weights(saved(tmp_path / "x.pth", NO_TENSORS[name]), 2, ("no dictionary of tensors", ".safetensors"))


NO_WEIGHTS = {
    "empty.pth": b"",
    "empty.safetensors": b"",
    "text.pth": b"hello\nworld\n",
    "text.safetensors": b"hello\nworld\n",
    "header.safetensors": struct.pack("<Q", 2**62) + b"{}",
    "offsets.safetensors": struct.pack("<Q", 61)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}',
    "zip.pth": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_weights_that_are_something_else_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(NO_WEIGHTS[name])
    refused_weights(tmp_path / name, 2, (".safetensors file",))


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.pth", Path("/dev/zero"), Path("/proc")):
        with pytest.raises(UnitscopeError, match=str(path)) as error:
            take_weights(
                NetworkSpecification(name="zfnet", classes=2, image_size=64, fc=16), path, Store(tmp_path)
            )
        assert error.value.exit_code == 4


def test_weights_of_another_shape_are_refused(tmp_path: Path, tensors: Any) -> None:
    file = saved(tmp_path / "x.pth", tensors)
    refused_weights(file, 2, ("zfnet", "classifier.1.weight is [16, 9216], not [32, 9216]", "--fc"), fc=32)
    refused_weights(file, 2, ("classifier.6.weight is [20, 16], not [7, 16]", "--classes"), classes=7)
    saved(file, {name: tensor for name, tensor in tensors.items() if "classifier" not in name})
    refused_weights(file, 2, ("6 tensors are missing", "classifier.1.weight"))
    saved(file, {**tensors, "more": torch.zeros(1)})
    refused_weights(file, 2, ("1 tensors are foreign", "more"))


def test_weights_that_do_not_fit_are_refused_through_the_command_line(home: Home, weights: Path) -> None:
    asked = ("submit", "--dataset", "shapes", "--layer", "5", "--weights", weights, "--size", "64", "--fc", "32")
    home.refused(*asked, code=2, says=(str(weights), "zfnet", "[32, 9216]", "--fc"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, tensors: Any, value: float) -> None:
    broken = tensors["features.10.bias"].clone()
    broken[3] = value
    file = saved(tmp_path / "x.pth", {**tensors, "features.10.bias": broken})
    assert "finite" in refused_weights(file, 2, ("features.10.bias", str(value)))


def test_weights_that_overflow_single_precision_are_refused(tmp_path: Path, tensors: Any) -> None:
    large = {**tensors, "features.0.bias": torch.full((64,), 1e300, dtype=torch.float64)}
    refused_weights(saved(tmp_path / "x.pth", large), 2, ("features.0.bias",))


ODD_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": torch.Tensor.to_sparse,
    "without data": lambda tensor: tensor.to("meta"),
    "complex": lambda tensor: tensor.to(torch.complex64),
}


@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_weights_of_odd_tensors_are_refused(tmp_path: Path, tensors: Any, kind: str) -> None:
    odd = {**tensors, "classifier.6.bias": ODD_TENSORS[kind](tensors["classifier.6.bias"])}
    refused_weights(saved(tmp_path / "x.pth", odd), 2, ("classifier.6.bias",))


def test_weights_that_swell_when_they_are_read_are_refused(tmp_path: Path, tensors: Any) -> None:
    """torch.save compresses nothing, but torch.load unpacks what is compressed: 10 MB may be 10 GB."""
    plain, packed = saved(tmp_path / "plain.pth", tensors), tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    refused_weights(packed, 2, (".safetensors file",))


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_usual_ways_to_save_weights_give_the_same_artifact(
    tmp_path: Path, tensors: Any, weights: Path, wrapped: str, prefix: str
) -> None:
    content: Any = {prefix + name: tensor for name, tensor in tensors.items()}
    if wrapped:
        content = {"epoch": 3, wrapped: content}
    specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    taken = take_weights(specification, saved(tmp_path / "x.pth", content), Store(tmp_path / "store"))
    assert taken == take_weights(specification, weights, Store(tmp_path / "store"))


# --- networks ---


def test_unknown_network_is_named_with_those_like_it(home: Home) -> None:
    home.refused("network", "show", "resnet81", code=4, says=("'resnet81'", "resnet18"))


def test_size_too_small_for_the_network_is_refused(home: Home) -> None:
    options = ("--network", "zfnet-paper", "--size", "16", "--fc", "16")
    home.refused("submit", "train", "--dataset", "shapes", *options, code=2, says=("zfnet-paper", "16 pixels"))


WRONG_NETWORKS: dict[str, tuple[dict[str, Any], int, str]] = {
    "zfnet, too small": ({"name": "zfnet", "image_size": 16, "fc": 16}, 2, "zfnet can't take images of 16 pixels"),
    "zfnet-paper, too small": ({"name": "zfnet-paper", "image_size": 33, "fc": 16}, 2, "zfnet-paper can't take"),
    "alexnet, too small": ({"name": "alexnet", "image_size": 32}, 2, "alexnet can't take images of 32 pixels"),
    "a transformer of another size": ({"name": "vit_b_16", "image_size": 64}, 2, "vit_b_16 can't take"),
    "an option of another": ({"name": "resnet18", "image_size": 64, "fc": 16}, 2, "--fc is for zfnet"),
    "a long name": ({"name": "x" * 99, "image_size": 64}, 4, "no network 'xxx"),
    "a detector": ({"name": "fasterrcnn_resnet50_fpn", "image_size": 64}, 4, "fasterrcnn"),
    "a module": ({"name": "__init__", "image_size": 64}, 4, "'__init__'"),
    "capitals": ({"name": "ResNet18", "image_size": 64}, 4, "resnet18"),
}


@pytest.mark.parametrize("case", WRONG_NETWORKS)
def test_network_that_can_not_be_built_is_refused(case: str) -> None:
    """By the code that the command line starts for it."""
    specification, code, says = WRONG_NETWORKS[case]
    with pytest.raises(UnitscopeError) as error:
        describe(NetworkSpecification(classes=2, **specification))
    assert error.value.exit_code == code
    assert says in str(error.value)


def test_store_that_can_not_be_written_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    with pytest.raises(UnitscopeError, match="ANALYZE_STORE") as error:
        take_weights(specification, weights, Store(tmp_path / "file"))
    assert str(tmp_path / "file") in str(error.value)


# --- odd but right ---

ODD_NAMES = ["two words", "quo'te\"", "new\nline", "🐈", "[/x]", "[red]x", "{0}", "%s", "-x", "a/../b", "x" * 300]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, with names that mean something to the library that prints tables."""
    root = tmp_path_factory.mktemp("photos") / "[red]album"
    for name in ("[bold]", "[", "🐈", "a b"):
        (root / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(root / name / "[x].png")
    (root / "[" / "[y].png").write_text("no image")
    return root


@pytest.fixture(scope="module")
def named(home: Home, photos: Path, trained: int) -> dict[str, list[Done]]:
    """What is said of a data set of each odd name: when it is added, shown, submitted, and what its job says."""
    calls: list[Call] = []
    for unit, name in enumerate(ODD_NAMES):
        search = ("submit", "--layer", "4", "--dataset", name, "--split", "all", "--run", trained)
        calls += [
            (("dataset", "add", "folder", "--root", photos, "--name", name), {}),
            (("dataset", "show", "--json", "--", name), {}),
            (("dataset", "show", "--", name), {}),
            ((*search, "--units", unit), {}),
            (("ls", "--limit", "1"), {}),
            (("dataset", "ls"), {}),
        ]
    answers = iter(home.many(calls))
    return {name: [next(answers) for _ in range(6)] for name in ODD_NAMES}


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:20])
def test_odd_name_comes_back_as_it_was_given(named: dict[str, list[Done]], photos: Path, name: str) -> None:
    added, as_json, shown, submitted, jobs, datasets = named[name]
    for done in named[name]:
        assert done.returncode == 0, done.stderr[-1500:]
    assert added.stdout == f"{name}\n"
    assert json.loads(as_json.stdout)["name"] == name
    assert submitted.stdout.strip().isdecimal()
    assert "".join(name.split()) in "".join(shown.stdout.split())  # long lines are broken
    if "\n" not in name and len(name) < 100:  # a table has such a name on several lines
        assert name in jobs.stdout
        assert name in datasets.stdout
    assert str(photos) in "".join(shown.stdout.split())
    assert "[bold]" in shown.stdout


def test_small_data_set_is_searched_without_naming_a_split(home: Home, photos: Path, trained: int) -> None:
    home("dataset", "add", "folder", "--root", photos, "--name", "few")
    job = home("submit", "--layer", "5", "--dataset", "few", "--run", trained).stdout.strip()
    splits = home.json("dataset", "show", "few")["splits"]
    chosen = home.json("status", job)["specification"]["split"]
    assert chosen == "val" if splits["val"] else splits[chosen]


def test_same_data_set_again_is_fine(home: Home, shapes_root: Path) -> None:
    again = home("dataset", "add", "shapes", "--root", shapes_root)
    assert again.stdout == "shapes\n"
    assert "before" in again.stderr


def test_what_a_query_gives_is_shown_as_it_is(home: Home) -> None:
    table, as_json = home.many(
        [(("query", "SELECT '[/x] [red]y' AS \"[b]\"", *form), {}) for form in ((), ("--json",))]
    )
    assert "[/x] [red]y" in table.stdout
    assert "[b]" in table.stdout
    assert json.loads(as_json.stdout) == [{"[b]": "[/x] [red]y"}]


def test_error_of_a_job_is_shown_as_it_is(home: Home, trained: int) -> None:
    job = home("submit", "--layer", "5", "--units", "9", "--dataset", "shapes", "--run", trained).stdout.strip()
    home.change(f"UPDATE jobs SET state = 'failed', error = 'broken: [/tmp/x] [red]y' WHERE id = {job}")
    status, watch = home.many([(("status", job), {}), (("watch", job), {})])
    assert "broken: [/tmp/x] [red]y" in status.stdout
    assert "broken: [/tmp/x] [red]y" in watch.stderr
    assert watch.returncode == 1


def test_submit_without_a_worker_prints_the_id_and_waits(home: Home, trained: int) -> None:
    asked = ("submit", "--dataset", "shapes", "--run", trained, "--units", "0")
    done = home(*asked, "--layer", "1,conv2")
    assert done.stdout == f"{int(done.stdout)}\n"
    assert "No worker is running" in done.stderr
    assert "analyze up" in done.stderr
    assert (int(done.stdout), "queued") in home.jobs()
    again = home(*asked, "--layer", "1-2")
    assert again.stdout == done.stdout
    assert "--force" in again.stderr


def test_same_content_under_another_name_has_the_run_that_was_trained_on_it(
    home: Home, shapes_root: Path, trained: int, tmp_path: Path
) -> None:
    """Training again gives the run that exists, so a search must find it."""
    root = shutil.copytree(shapes_root, tmp_path / "moved")
    added, train, search = home.many(
        [
            (("dataset", "add", "shapes", "--root", root, "--name", "moved"), {}),
            (("submit", "train", "--dataset", "moved", *NETWORK, "--epochs", "1"), {}),
            (("submit", "--layer", "5", "--units", "30", "--dataset", "moved"), {}),
        ]
    )
    assert added.returncode == 0, added.stderr
    assert train.stdout == f"{trained}\n"
    assert search.returncode == 0, search.stderr


# --- doctor ---


def test_doctor_is_well_with_nothing_set(fresh: Home) -> None:
    answer = json.loads(fresh("doctor", "--json").stdout)
    assert [check["name"] for check in answer["checks"]] == [
        "home", "database", "redis", "workers", "store", "torch", "access"
    ]  # fmt: skip
    assert answer["settings"]["home"] == {"value": str(fresh.home), "from": "environment"}
    assert answer["settings"]["store"]["from"] == "default"


def test_doctor_says_what_is_out_of_reach_and_shows_no_password(fresh: Home) -> None:
    for name, scheme in (("redis", "redis"), ("database", "postgresql")):
        fresh.environment[f"ANALYZE_{name.upper()}_URL"] = f"{scheme}://user:{SECRET}@127.0.0.1:{closed_port()}/0"
    done = fresh("doctor", "--json", code=3)
    assert SECRET not in done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("redis", "database"):
        assert not checks[name]["well"]
        assert "out of reach" in checks[name]["found"]


def test_doctor_in_words_shows_what_is_not_well_and_no_password(fresh: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    fresh.environment["ANALYZE_STORE"] = str(tmp_path / "file")
    fresh.environment["ANALYZE_REDIS_URL"] = f"redis://127.0.0.1:{closed_port()}/0?password={SECRET}"
    done = fresh("doctor", code=None)
    assert done.returncode in (2, 3)
    assert SECRET not in done.stdout + done.stderr
    assert "not well redis: Redis at redis://127.0.0.1" in done.stdout
    assert "not well store: " in done.stdout


# --- help, and what starts at once ---

WALK = """
import contextlib, io, json, sys
import click
from producer.cli.main import cli, main

def paths(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), [*path, name])

answers = []
calls = [[*path, "--help"] for path in paths(cli, [])]
calls += [["ls"], ["dataset", "show", "shapes"], *([verb, sys.argv[1]] for verb in ("status", "logs", "results"))]
for call in calls:
    words = io.StringIO()
    with contextlib.redirect_stdout(words):
        try:
            main(call)
        except SystemExit as end:
            answers.append([call, end.code, words.getvalue()])
heavy = {name.split(".")[0] for name in sys.modules} & {"torch", "torchvision", "worker", "celery", "alembic"}
json.dump([answers, sorted(heavy)], sys.stdout)
"""


def test_every_command_has_help_and_neither_that_nor_looking_at_jobs_needs_torch(home: Home, queued: int) -> None:
    command = [sys.executable, "-c", WALK, str(queued)]
    done = subprocess.run(command, env=home.environment, capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert {call[0] for call, _, _ in answers} == {*VERBS, "--help"}
    for call, code, words in answers:
        assert code == 0, call
        assert words
        if call[-1] == "--help":
            assert words.startswith(f"Usage: analyze {' '.join(call[:-1])}".rstrip()), call
    assert heavy == []


def test_help_and_version_need_no_home(fresh: Home) -> None:
    assert "submit" in fresh("--help").stdout
    assert fresh("--version").stdout.startswith("analyze")
    assert "--layer" in fresh("submit", "--layer", "5", "--help").stdout
    assert not fresh.home.exists()


# --- data for programs ---


def test_json_parses_wherever_there_is_data(home: Home, queued: int, trained: int) -> None:
    calls: list[Sequence[object]] = [
        ("ls",), ("status", queued), ("results", queued), ("results", trained), ("dataset", "ls"),
        ("dataset", "show", "shapes"), ("query", "SELECT 1 AS one"), ("db", "version"),
        ("network", "show", "zfnet", "--fc", "16", "--classes", "20", "--size", "64"),
    ]  # fmt: skip
    for done in home.many([((*call, "--json"), {}) for call in calls]):
        assert (done.returncode, done.stderr) == (0, "")
        json.loads(done.stdout)
    for line in home("logs", queued, "--json").stdout.splitlines():
        assert "message" in json.loads(line)


def test_json_of_a_query_is_json_whatever_the_values(home: Home) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    words = home("query", "SELECT 9e999 AS a, -9e999 AS b, NULL AS c, x'00ff' AS d", "--json").stdout
    assert json.loads(words, parse_constant=refuse)


def test_columns_of_one_name_are_all_there_in_json(home: Home) -> None:
    words = home("query", "SELECT 1 AS n, 2 AS n, 3 AS n", "--json").stdout
    assert json.loads(words) == [{"n": 1, "n_2": 2, "n_3": 3}]


def test_csv_parses_whatever_is_in_it(home: Home) -> None:
    text = "SELECT 1 AS number, 'a,\"b\"' || char(10) || 'c' AS text, NULL AS missing"
    rows = list(csv.DictReader(io.StringIO(home("query", text, "--format", "csv").stdout)))
    assert rows == [{"number": "1", "text": 'a,"b"\nc', "missing": ""}]


def test_results_of_a_queued_job_are_empty_and_parse(home: Home, queued: int) -> None:
    as_json, as_csv, table = home.many(
        [(("results", queued, *f), {}) for f in (("--json",), ("--format", "csv"), ())]
    )
    assert json.loads(as_json.stdout) == []
    assert list(csv.reader(io.StringIO(as_csv.stdout))) in ([], [[]])
    assert "No rows" in table.stdout


def test_results_parse_and_what_they_do_not_have_is_refused(home: Home, finished: int) -> None:
    image, layer = "(SELECT min(id) FROM images)", f"(77, {finished}, 'conv5', 'features.10')"
    for statement in (
        f"INSERT INTO searched_layers (id, job_id, layer, layer_path) VALUES {layer}",
        "INSERT INTO searched_units (layer_id, unit, dead) VALUES (77, 7, 0), (77, 8, 1)",
        'INSERT INTO top_activation_rows (layer_id, unit, rank, activation, image_id, "row", col, patch_path, '
        f"projection_path, projection_scale) VALUES (77, 7, 1, 0.125, {image}, 2, 3, 'a.png', 'b.png', 0.5)",
    ):
        home.change(statement)
    asked = [("--format", "csv"), ("--json", "--layer", "5", "--units", "7-8")]
    wrong = [("--units", "9"), ("--units", "9" * 20), ("--layer", "4")]
    as_csv, as_json, *refused = home.many([(("results", finished, *options), {}) for options in asked + wrong])
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [(row["unit"], row["rank"], float(row["activation"])) for row in rows] == [("7", "1", 0.125)]
    assert [row["unit"] for row in json.loads(as_json.stdout)] == [7]
    for done, codes, says in zip(refused, ((4,), (2, 4), (4,)), ("9", "9" * 20, "'4'"), strict=True):
        refusal(done, codes, (says,))


def test_page_shows_names_as_text_whatever_they_are(home: Home, trained: int, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    (tmp_path / "data" / hostile).mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "data" / hostile / "a.png")
    name = "<script>alert(2)</script>"
    home("dataset", "add", "folder", "--root", tmp_path / "data", "--name", name)
    search = ("submit", "--layer", "5", "--units", "7", "--dataset", name, "--split", "all", "--run", trained)
    job = int(home(*search).stdout)
    summary = json.dumps({"images": 1, "images_left_out": 0, "layers": []})
    for statement in (
        f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at, summary = '{summary}' "
        f"WHERE id = {job}",
        f"INSERT INTO searched_layers (id, job_id, layer, layer_path) VALUES (88, {job}, 'conv5', 'features.10')",
        "INSERT INTO searched_units (layer_id, unit, dead) VALUES (88, 7, 0)",
        'INSERT INTO top_activation_rows (layer_id, unit, rank, activation, image_id, "row", col, patch_path, '
        "projection_path, projection_scale) "
        "VALUES (88, 7, 1, 0.125, (SELECT max(id) FROM images), 2, 3, 'a.png', 'b.png', 0.5)",
    ):
        home.change(statement)
    assert hostile in home("results", job).stdout
    home("results", job, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)" in page
    assert "alert(2)" in page
    assert hostile not in page
    assert "<script>alert" not in page


def test_reader_that_has_seen_enough_is_no_error(home: Home) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n"
    writer = started(home, "query", numbers, "--limit", "20000", "--json")
    assert writer.stdout is not None
    writer.stdout.read(10)
    writer.stdout.close()
    assert writer.stderr is not None
    assert writer.stderr.read() == ""
    writer.stderr.close()
    assert writer.wait(100) == 0


def test_full_disk_under_the_output_is_said_in_one_line(home: Home) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "producer", "ls", "--json"],
            env=home.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("analyze: ")
    assert len(done.stderr.splitlines()) == 1


# --- Ctrl+C ---


def started(home: Home, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "producer", *map(str, arguments)],
        env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def interrupted(process: subprocess.Popen[str]) -> None:
    """Ctrl+C: one line, and 130."""
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "interrupted" in words
    assert "Traceback" not in words


@pytest.mark.parametrize("verb", [("watch",), ("logs", "--follow")])
def test_interrupted_watching_leaves_the_job_as_it_is(home: Home, queued: int, verb: tuple[str, ...]) -> None:
    before = home.jobs()
    process = started(home, *verb, queued)
    seen = psutil.Process(process.pid)
    home.wait(lambda: any("unitscope.sqlite3" in file.path for file in seen.open_files()))
    interrupted(process)
    assert home.jobs() == before


def test_interrupted_submit_wait_leaves_the_job_queued(home: Home, trained: int) -> None:
    asked = ("submit", "--layer", "5", "--units", "20", "--dataset", "shapes", "--run", trained, "--wait")
    process = started(home, *asked)
    assert process.stdout is not None
    job = int(process.stdout.readline())
    interrupted(process)
    assert (job, "queued") in home.jobs()
