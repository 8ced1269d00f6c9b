"""Mistakes on the command line: the arguments, the exit code, and words of the error message."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.integration.cli.helpers import DIGITS, SECRET


@dataclass(frozen=True)
class Mistake:
    """Arguments, exit code, and words of the error message; placeholders such as @RUN@ are values of the home."""

    arguments: tuple[str, ...]
    code: int | tuple[int, ...]
    says: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


TOP9 = ("submit", "--dataset", "shapes", "--run", "@RUN@")
OCCLUSION = ("submit", "occlusion", "--run", "@RUN@")
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
    "study": Mistake(("study", "run", "/no/such.toml"), 4, ("/no/such.toml", "table-3")),
    "study with a very long name": Mistake(("study", "run", "x" * 5000), (2, 4), ("xxx",)),
    "study that was not run": Mistake(("study", "show", "table-3"), 4, ("'table-3'", "none")),
    "study to remove": Mistake(("study", "rm", "nosuch"), 4, ("'nosuch'", "none")),
    "data set to show": Mistake(("dataset", "show", "shap"), 4, ("'shap'", "shapes")),
    "data set of two lines": Mistake(("dataset", "show", "no\nsuch"), 4, ("'no such'", "shapes")),
    "data set with a very long name": Mistake(("dataset", "show", "x" * 5000), 4, ("xxx", "shapes")),
    "split": Mistake((*CONV5, "--split", "tests"), 4, ("'tests'", SPLITS)),
    "split in capitals": Mistake((*CONV5, "--split", "Val"), 4, ("'Val'", SPLITS)),
    "class": Mistake(
        (*OCCLUSION, "--class", "Striped-cirle"), 4, ("'Striped-cirle'", "(did you mean striped-circle?)")
    ),
    "class to record": Mistake((*OCCLUSION, "--target", "plainstar"), 4, ("'plainstar'", "mean plain-star?")),
    "split to probe": Mistake(
        ("submit", "probe", "--run", "@RUN@", "--test-split", "test"),
        4,
        ("'test'", SPLITS, "--train-split and --test-split", "--folds 5"),
    ),
    "split to validate on": Mistake((*TRAIN, "--val-split", "test"), 4, ("'test'", SPLITS)),
    "layer": Mistake((*TOP9, "--layer", "conv6"), 4, ("zfnet", "'conv6'", CONVOLUTIONS)),
    "layer by number": Mistake((*TOP9, "--layer", "3-6"), 4, ("zfnet", "'6'", CONVOLUTIONS)),
    "layer zero": Mistake((*TOP9, "--layer", "0"), 4, ("'0'", CONVOLUTIONS)),
    "layer by a digit that is none": Mistake((*TOP9, "--layer", "²"), 4, ("'²'", CONVOLUTIONS)),
    "layer of many digits": Mistake((*TOP9, "--layer", DIGITS), 4, (CONVOLUTIONS,)),
    "layer with a template": Mistake((*TOP9, "--layer", "{layer}"), 4, ("'{layer}'", CONVOLUTIONS)),
    "unit": Mistake((*CONV5, "--units", "3,256"), 4, ("'conv5'", "256", "0 to 255")),
    "unit far beyond": Mistake((*CONV5, "--units", "999999999"), 4, ("999999999", "0 to 255")),
    "run": Mistake((*CONV5, "--run", "99999"), 4, ("run 99999", "ls --kind train")),
    "run that is a search": Mistake((*CONV5, "--run", "@DONE@"), 4, ("run @DONE@", "ls --kind train")),
    "run that is not finished": Mistake(
        (*CONV5, "--run", "@UNFINISHED@"), 4, ("finished training run @UNFINISHED@", "ls --kind train")
    ),
    "run to repeat": Mistake(("submit", "train", "--like", "99999"), 4, ("run 99999", "ls --kind train")),
    "run to repeat that is a search": Mistake(("submit", "train", "--like", "@DONE@"), 4, ("run @DONE@",)),
    "run whose weights are taken": Mistake((*TRAIN, "--weights-of", "99999"), 4, ("run 99999",)),
    "unfinished run whose weights are taken": Mistake(
        (*TRAIN, "--weights-of", "@UNFINISHED@"), 4, ("finished training run @UNFINISHED@",)
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
    "layer that is no convolution": Mistake((*OCCLUSION, "--layer", "fc6"), 2, ("'fc6'", "Linear", CONVOLUTIONS)),
    "layer that is a pooling": Mistake((*OCCLUSION, "--layer", "features.2"), 2, ("'features.2'", "MaxPool2d")),
    "no layer": Mistake(("submit", "--dataset", "shapes"), 2, ("--layer",)),
    "no data set": Mistake(("submit", "--layer", "5"), 2, ("--dataset",)),
    "no data set to train on": Mistake(("submit", "train"), 2, ("--dataset", "--like")),
    "run to extend and to repeat": Mistake(
        ("submit", "train", "--extend", "@RUN@", "--like", "@RUN@"), 2, ("--like", "--extend")
    ),
    "weights of a file and of a run": Mistake(
        (*TRAIN, "--weights", "x.pth", "--weights-of", "@RUN@"), 2, ("--weights and --weights-of",)
    ),
    "weights of a run that are gone": Mistake((*TRAIN, "--weights-of", "@RUN@"), 2, ("run @RUN@", "store")),
    "burst with an idle time": Mistake(
        ("worker", "--devices", "cpu", "--burst", "--max-idle", "5m"), 2, ("--burst", "--max-idle")
    ),
    "no run at all": Mistake(
        ("submit", "--layer", "5", "--dataset", "photos", "--split", "all"),
        2,
        ("'photos'", "analyze submit train --dataset photos", "--weights"),
    ),
    "study that is no TOML": Mistake(("study", "run", "@TEXT@"), 2, ("@TEXT@", "TOML")),
    "study that is a folder": Mistake(("study", "run", "@FOLDER@"), 2, ("@FOLDER@",)),
    "study without a data set": Mistake(("study", "run", "table-3"), 2, ("--set dataset=VALUE",)),
    "study on an unknown data set": Mistake(
        ("study", "run", "cifar-cnn", "--set", "dataset=nosuch"), 4, ("job 'cifar-cnn[seed=0]'", "'nosuch'")
    ),
    "study with an unknown parameter": Mistake(
        ("study", "run", "table-3", "--set", "data=shapes"), 2, ("'data'", "dataset, epochs")
    ),
    "study with a name of two words": Mistake(
        ("study", "run", "cifar-cnn", "--set", "dataset=shapes", "--name", "a b"), 2, ("--name", "a b")
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
            ("--batch-size", "0"), ("--fc", "0"), ("--time-slice", "nan"),
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
    "device that is not there": Mistake(("up", "--devices", "cpu,cuda:63"), 2, ("there is no cuda:63", "isible")),
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
        f"{one[0]} and {other[0]}": Mistake(
            ("results", "@DONE@", *one, *other), 2, (one[0], other[0], "mutually exclusive")
        )
        for one, other in itertools.combinations(
            (("--best", "3"), ("--statistics",), ("--bottom",), ("--per-class",), ("--html", "@FOLDER@/x.html")), 2
        )
    },
    "class of none": Mistake(("results", "@DONE@", "--class", "cat"), 4, ("'cat'", "shapes")),
    "class of statistics": Mistake(
        ("results", "@DONE@", "--statistics", "--class", "cat"), 2, ("--class", "statistics", "--layer, --units")
    ),
    "layer of a training run": Mistake(("results", "@RUN@", "--layer", "5"), 2, ("--layer", "epochs", "none")),
    "layer of a page": Mistake(
        ("results", "@DONE@", "--layer", "1", "--html", "@FOLDER@/x.html"), 4, ("'1'",)
    ),
    "rank of a page": Mistake(
        ("results", "@DONE@", "--ranks", "1", "--html", "@FOLDER@/x.html"), 2, ("--ranks", "page")
    ),
    "class and bottom": Mistake(("results", "@DONE@", "--bottom", "--class", "cat"), 2, ("--bottom",)),
    "page that is a folder": Mistake(("results", "@DONE@", "--html", "@FOLDER@"), 2, ("@FOLDER@",)),
    "page before the job is done": Mistake(
        ("results", "@QUEUED@", "--html", "@FOLDER@/x.html"), 2, ("Job @QUEUED@ is queued",)
    ),
    "page of a training run": Mistake(
        ("results", "@RUN@", "--html", "@FOLDER@/x.html"), 2, ("Job @RUN@", "train")
    ),
    "query that writes": Mistake(("query", "DELETE FROM jobs"), 2, ("query failed",)),
    "query of nothing": Mistake(("query", ""), 2, ("query failed",)),
    "query of two": Mistake(("query", "SELECT 1; DROP TABLE jobs"), 2, ("query failed",)),
    "query of no table": Mistake(("query", "SELECT 1 FROM nowhere"), 2, ("nowhere",)),
    "retry of a job that is done": Mistake(("retry", "@DONE@"), 2, ("Job @DONE@ is done",)),
    "retry of a job that is queued": Mistake(("retry", "@QUEUED@"), 2, ("Job @QUEUED@ is queued",)),
    "cancel of no number": Mistake(("cancel", "abc"), 2, ("'abc' is not a valid job id",)),
    "cancel of a job that is done": Mistake(("cancel", "@DONE@"), 2, ("Job @DONE@ is done",)),
}  # fmt: skip

UNREACHABLE = {
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
    **{f"unreachable: {name}": mistake for name, mistake in UNREACHABLE.items()},
    **{f"settings: {name}": mistake for name, mistake in BAD_SETTINGS.items()},
}


def filled(text: str, places: Mapping[str, str]) -> str:
    for word, meaning in places.items():
        text = text.replace(word, meaning)
    return text
