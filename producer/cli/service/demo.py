"""``analyze demo``: a complete example on one machine, from generated data to an HTML page."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from producer.cli.context import App, pass_app
from shared.children import safe_environment
from shared.settings import environment

DATASET = "shapes"
STUDY = "demo"
EPOCHS = 8  # enough for a ZFNet of this size to classify the shapes: about 80 s on two cores
# A small network, and those figures of the paper that take a few seconds each.
PARAMETERS = {
    "size": 112, "fc": 512, "init": "he-quiet", "learning-rate": 3e-4, "batch-size": 16, "schedule": "constant",
    "keep-epochs": "1,2,4,8", "layers": "conv1,conv5", "stride": 16,
}  # fmt: skip
LEFT_OUT = "alexnet,invariance,parts,ablation-base,probe"
UP_SECONDS = 60.0


@click.command()
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the HTML page.  [default: demo.html in the home folder]",
)
@pass_app
def demo(app: App, page: Path | None) -> None:
    """Generate the data set `shapes`, train a small ZFNet, and write a page with figures of the paper.

    The page is that of `analyze paper`, with Figures 2, 4, 6, and 7.

    The demo starts a private Redis and a worker process, and stops them at the end. It takes two to three minutes
    on two CPU cores.
    """
    began = time.monotonic()
    page = page or app.settings.home / "demo.html"
    settings = [word for name, value in PARAMETERS.items() for word in ("--set", f"{name}={value}")]
    with _up(app):
        _run(app, "dataset", "add", DATASET)
        _run(
            app, "paper", "--dataset", DATASET, "--epochs", str(EPOCHS), "--leave-out", LEFT_OUT,
            "--page", str(page), "--name", STUDY, *settings,
        )  # fmt: skip
    _print_summary(app, page, time.monotonic() - began)


@contextmanager
def _up(app: App) -> Iterator[None]:
    """Run `analyze up` in a subprocess, with its output in ``demo.log``."""
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
                raise click.ClickException(f"`analyze up` did not start. See {log}.")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


# Settings are passed in the environment: every user can see options, and a URL may hold a password (ps).
_ANALYZE = [sys.executable, "-m", "producer"]


def _variables(app: App) -> dict[str, str]:
    return {**safe_environment(), **environment(app.settings)}


def _run(app: App, *arguments: str) -> str:
    """Print and run an `analyze` command, and return its output on stdout."""
    app.err.print(f"$ analyze {' '.join(arguments)}", soft_wrap=True, style="bold")
    command = [*_ANALYZE, *arguments]
    done = subprocess.run(command, env=_variables(app), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


def _print_summary(app: App, page: Path, seconds: float) -> None:
    listed = json.loads(_run(app, "study", "show", STUDY, "--jobs", "--json"))
    jobs = {job["name"]: str(job["job_id"]) for job in listed}
    training, search = jobs["network"], jobs["search"]
    (run,) = json.loads(_run(app, "compare", training, "--json"))["runs"]
    app.out.print(_run(app, "results", search, "--best", "10"), soft_wrap=True)
    analyze = f"{_program()} --home {shlex.quote(str(app.settings.home))}"
    for name, value in (
        ("validation accuracy", f"{run['best_accuracy'] or 0:.1%}"),
        ("seconds", f"{seconds:.0f}"),
        ("rows", f"{analyze} results {search}"),
        ("database", str(app.database)),
        ("pictures", str(app.settings.resolved_store)),
        ("page", page.absolute().as_uri()),
        ("gallery", f"{analyze} serve --open"),
    ):
        app.out.print(f"{name:20} {value}", soft_wrap=True)


def _program() -> str:
    """Return how to call `analyze` here; `make demo` installs it in a folder that is not on the PATH."""
    program = Path(sys.argv[0])
    is_known = shutil.which(program.name) is not None or program.name != "analyze" or not program.is_file()
    return "analyze" if is_known else shlex.quote(str(program))
