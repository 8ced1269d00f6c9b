"""``analyze demo``: the whole road on one machine, from no data to a page of pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from producer.cli.context import App, pass_app
from shared.settings import environment

# Enough for a ZFNet of this size to know the shapes: about 80 s on two cores.
DATASET = "shapes"
EPOCHS = 8
UP_SECONDS = 60.0


@click.command()
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page.  [default: demo.html in the home folder]",
)
@pass_app
def demo(app: App, page: Path | None) -> None:
    """Draw the data set `shapes`, train a small ZFNet on it, search its layer 5, and write a page.

    It uses a real Redis and a real worker process, which it starts and stops.
    """
    began = time.monotonic()
    page = page or app.settings.home / "demo.html"
    with _up(app):
        _run(app, "dataset", "add", DATASET)
        training = _run(
            app, "submit", "train", "--dataset", DATASET, "--network", "zfnet", "--size", "112", "--fc", "512",
            "--init", "he-quiet", "--learning-rate", "3e-4", "--batch-size", "16", "--schedule", "constant",
            "--epochs", str(EPOCHS), "--wait",
        )  # fmt: skip
        search = _run(app, "submit", "--layer", "5", "--dataset", DATASET, "--run", training, "--wait")
    _run(app, "results", search, "--html", str(page))
    _tell(app, training, search, page, time.monotonic() - began)


@contextmanager
def _up(app: App) -> Iterator[None]:
    """`analyze up` in a process of its own, its words in a file."""
    app.settings.home.mkdir(parents=True, exist_ok=True)
    log = app.settings.home / "demo.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*_ANALYZE, "up"], env=_variables(app), stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + UP_SECONDS
        while not (app.ledger.live_workers() and app.broker.answers()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"`analyze up` did not start: see {log}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


# The settings go by the environment: options, with a URL's password, would be seen by every user (ps).
_ANALYZE = [sys.executable, "-m", "producer"]


def _variables(app: App) -> dict[str, str]:
    return {**os.environ, **environment(app.settings)}


def _run(app: App, *arguments: str) -> str:
    """One `analyze` command, shown as a user would type it; returns what it printed on stdout."""
    app.talk.print(f"$ analyze {' '.join(arguments)}", soft_wrap=True, style="bold")
    command = [*_ANALYZE, *arguments]
    done = subprocess.run(command, env=_variables(app), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


def _tell(app: App, training: str, search: str, page: Path, seconds: float) -> None:
    (run,) = json.loads(_run(app, "compare", training, "--json"))["runs"]
    app.out.print(_run(app, "results", search, "--best", "10"), soft_wrap=True)
    for name, value in (
        ("validation accuracy", f"{run['best_accuracy'] or 0:.1%}"),
        ("seconds", f"{seconds:.0f}"),
        ("rows", f"analyze results {search}"),
        ("database", str(app.database)),
        ("pictures", str(app.settings.resolved_store)),
        ("page", page.absolute().as_uri()),
    ):
        app.out.print(f"{name:20} {value}", soft_wrap=True)
