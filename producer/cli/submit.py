"""``analyze submit``: ask for a job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import NUMBER, App, Numbers, pass_app

if TYPE_CHECKING:
    from shared.specifications import Specification

DEFAULT_KIND = "top9"


class KindGroup(click.Group):
    """A group whose first word may be missing: it is a top-9 search then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT_KIND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=KindGroup)
def submit() -> None:
    """Submit a job and print its id. Without a kind it is a top-9 search:

    \b
    analyze submit --layer 5 --dataset voc
    """


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every kind of job has."""
    for option in (
        click.option("--wait", is_flag=True, help="Wait for the end, showing progress. Ctrl+C detaches."),
        click.option("--force", is_flag=True, help="Compute again what was computed already."),
    ):
        command = option(command)
    return command


network_options = (
    click.option("--fc", type=click.IntRange(1, 65536), help="Width of the fully connected layers of a ZFNet."),
    click.option("--size", type=click.IntRange(16, 4096), help="Height and width of the input, in pixels."),
)


@submit.command(DEFAULT_KIND)
@click.option("--dataset", required=True, help="Name of a registered data set.")
@click.option(
    "--layer",
    "--layers",
    "layers",
    required=True,
    multiple=True,
    help="Layers: 5, 1-5, conv5, or a module path (features.10). Commas separate; may be repeated.",
)
@click.option("--units", type=Numbers(), help="Units: 0-15,40.  [default: all]")
@click.option("--split", help="Split of the data set.  [default: val, or the only one]")
@click.option("--top", default=9, show_default=True, type=click.IntRange(1, 100), help="Images for each unit.")
@click.option("--shards", default=8, show_default=True, type=click.IntRange(1, 100_000), help="Pieces of work.")
@click.option(
    "--run",
    type=click.IntRange(1, 2**31 - 1),
    help="Training run.  [default: the newest finished on the data set]",
)
@click.option("--weights", type=click.Path(path_type=Path), help="File of weights: .safetensors or .pth.")
@click.option("--network", help="Network the weights are for.  [default: zfnet]")
@click.option(
    "--classes", type=click.IntRange(1, 100_000), help="Classes of that network.  [default: the data set's]"
)
@network_options[0]
@network_options[1]
@job_options
@pass_app
def top9(app: App, /, layers: tuple[str, ...], wait: bool, force: bool, **options: Any) -> None:
    """The images that fire each unit most, projected back to pixels."""
    from producer.requests import search_request

    if options["run"] and options["weights"]:
        raise click.UsageError("--run and --weights exclude each other.")
    only_with_weights = [n for n in ("network", "classes", "fc", "size") if options[n] is not None]
    if only_with_weights and not options["weights"]:
        raise click.UsageError(f"--{only_with_weights[0]} goes with --weights: a training run knows its own.")
    names = [name for part in layers for name in _layer_names(part)]
    specification = search_request(app.database, app.settings, layers=names, **options)
    _submit(app, specification, wait=wait, force=force)


def _layer_names(value: str) -> list[str]:
    """``1-3,features.10`` -> ``1``, ``2``, ``3``, ``features.10``."""
    names = []
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        if dash and NUMBER.fullmatch(first) and NUMBER.fullmatch(last):
            names += [str(number) for number in Numbers().convert(part, None, None)]
        elif part.strip():
            names.append(part.strip())
    if not names:
        raise click.BadParameter("names no layer", param_hint="--layer")
    return names


@submit.command("train")
@click.option("--dataset", required=True, help="Name of a registered data set.")
@click.option(
    "--network", default="zfnet", show_default=True, help="zfnet, zfnet-paper, alexnet, or one of torchvision."
)
@click.option("--epochs", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1, 4096))
@click.option("--learning-rate", default=1e-3, show_default=True, type=click.FloatRange(0, 10, min_open=True))
@click.option("--lr-step", default=15, show_default=True, type=click.IntRange(1), help="Epochs between two drops.")
@click.option(
    "--lr-gamma",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Factor of a drop.",
)
@click.option(
    "--flip", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Probability of a horizontal flip."
)
@click.option(
    "--init",
    default="default",
    show_default=True,
    type=click.Choice(["default", "he"]),
    help="Initial weights: PyTorch's, or He et al. 2015's.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1))
@click.option("--train-split", default="train", show_default=True)
@click.option("--val-split", default="val", show_default=True)
@network_options[0]
@network_options[1]
@job_options
@pass_app
def train(app: App, /, wait: bool, force: bool, **options: Any) -> None:
    """Train a network; the defaults are the replications' recipe."""
    from producer.requests import note_training_run, training_request

    specification = training_request(app.database, app.settings, **options)
    _submit(app, specification, wait=wait, force=force, also=partial(note_training_run, specification))


def _submit(
    app: App,
    specification: Specification,
    *,
    wait: bool,
    force: bool,
    also: Callable[[Any, int], None] | None = None,
) -> None:
    """Record the job and send its shards; the id, and nothing else, goes to stdout."""
    from shared.broker import dispatch

    if not app.settings.uses_private_redis:
        app.broker.ping()  # before anything is written; the private one starts with `analyze up`
    job_id, new = app.ledger.submit(specification, force=force, also=also)
    if new:
        if app.broker.answers():
            dispatch(app.ledger, app.broker)
        _say_if_nobody_works(app, specification)
    else:
        _say_what_exists(app, job_id)
    click.echo(job_id)
    if wait:
        from producer.cli.watching import wait_for

        wait_for(app, job_id)


def _say_if_nobody_works(app: App, specification: Specification) -> None:
    needed = {shard.queue for shard in specification.plan()}
    served = {queue for worker in app.ledger.live_workers() for queue in worker.queues}
    if not needed <= served:
        queues = ", ".join(sorted(needed - served))
        app.talk.print(
            f"No worker is running for: {queues}. The job waits; `analyze up` or `analyze worker` starts one."
        )


def _say_what_exists(app: App, job_id: int) -> None:
    from shared.models import Job, JobState

    with app.database.read() as session:
        state = session.get_one(Job, job_id).state
    hint = f"; `analyze retry {job_id}` tries again" if state in (JobState.FAILED, JobState.CANCELLED) else ""
    app.talk.print(f"The same was submitted before: job {job_id} is {state}{hint}. --force computes it anew.")
