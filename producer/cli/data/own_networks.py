"""``analyze network add``, ``ls`` and ``rm``: networks of the user's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from producer.cli.context import App, pass_app
from producer.cli.jobs.removing import print_removed
from producer.cli.options import JobId
from producer.cli.printing import json_option, print_json, print_text
from unitscope.description import IMAGENET

if TYPE_CHECKING:
    from producer.networks.registration import AddedNetwork

SECONDS = 60.0


class Channels(click.ParamType[tuple[float, float, float]]):
    """Parameter type for three numbers such as ``0.485,0.456,0.406``."""

    name = "r,g,b"

    def __init__(self, *, positive: bool) -> None:
        self.positive = positive

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Return the numbers.

        Raises
        ------
        click.BadParameter
        """
        if isinstance(value, tuple):
            return value
        try:
            red, green, blue = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not of the form 0.485,0.456,0.406 (pixels are from 0 to 1)", param, ctx)
        if not all(math.isfinite(number) and (number > 0 or not self.positive) for number in (red, green, blue)):
            wrong = "not positive" if self.positive else "not finite"
            self.fail(f"'{value}' has a number that is {wrong}", param, ctx)
        return red, green, blue


@click.command()
@click.argument("name")
@click.option(
    "--factory",
    metavar="MODULE:FUNCTION",
    help="A function that returns an nn.Module, such as my_models.net:make.",
)
@click.option(
    "--code",
    type=click.Path(path_type=Path),
    help="Folder that MODULE is imported from.  [default: MODULE belongs to an installed package]",
)
@click.option(
    "--argument",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Argument of the function, such as width=64 or name=abc; may be repeated. A value is TOML or JSON; "
    "anything else is a string.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=IMAGENET.size,
    show_default=True,
    help="Height and width of the input, in pixels.",
)
@click.option(
    "--mean",
    type=Channels(positive=False),
    default=IMAGENET.mean,
    help="Mean of the pixels by channel, for pixels from 0 to 1.  [default: ImageNet's, 0.485,0.456,0.406]",
)
@click.option(
    "--std",
    type=Channels(positive=True),
    default=IMAGENET.std,
    help="Standard deviation of the pixels by channel.  [default: ImageNet's, 0.229,0.224,0.225]",
)
@click.option(
    "--classes", type=click.IntRange(1, 100_000), help="Number of classes.  [default: as many as it has]"
)
@click.option(
    "--classes-argument",
    metavar="NAME",
    help="Argument of the function that is the number of classes.  [default: classes, num_classes, or n_classes "
    "if the function names it]",
)
@click.option(
    "--from-job",
    "job_id",
    type=JobId(),
    metavar="JOB",
    help="Add the network of this name that an imported job brought along, instead of --factory. Its size, "
    "normalization and classes are those of the job.",
)
@click.option(
    "--extract",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="With --from-job: write the source files to a new folder, to read them, and add and run nothing.",
)
@click.option("--yes", is_flag=True, help="With --from-job: you trust the code. Without it, you are asked.")
@click.option("--replace", is_flag=True, help="Replace the network of this name; earlier jobs keep its code.")
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86_400),
    default=SECONDS,
    show_default=True,
    help="Seconds after which making the network is given up.",
)
@json_option
@pass_app
def add(
    app: App,
    /,
    name: str,
    arguments: tuple[str, ...],
    job_id: int | None,
    extract: Path | None,
    yes: bool,
    replace: bool,
    time_limit: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a network of your own: a function that returns an nn.Module.

    The function runs in processes of its own, once from --code, and once from what was stored of it: the Python
    files that were imported from --code. Workers take them from the artifact store. They are your code, and run
    with the rights of the workers.

    \b
    analyze network add mynet --factory my_models.net:make --code ./src --argument width=64 --size 224
    analyze network add rn18d --factory timm:create_model --argument model_name=resnet18d

    The network then has a name like any other: `analyze submit train --network mynet --dataset photos`.

    The code of a job that was imported is somebody else's. It is never run unless you add it; read it first:

    \b
    analyze network add mynet --from-job 7 --extract ./to-read
    analyze network add mynet --from-job 7
    """
    from producer.networks.arguments import parse_arguments
    from producer.networks.registration import NetworkRequest, add_network

    if job_id is not None:
        _refuse_with_job()
        _add_of_job(app, name, job_id, extract, yes=yes, replace=replace, time_limit=time_limit, as_json=as_json)
        return
    if extract or yes:
        raise click.UsageError(f"{'--extract' if extract else '--yes'} goes with --from-job.")
    if options["factory"] is None:
        raise click.UsageError("Give --factory, or --from-job.")
    request = NetworkRequest(name=name, arguments=parse_arguments(arguments), **options)
    added = add_network(app.database, app.settings, request, replace=replace, seconds=time_limit)
    _print_added(app, added, as_json=as_json)


def _refuse_with_job() -> None:
    """Refuse options for what the job says.

    Raises
    ------
    click.UsageError
    """
    context = click.get_current_context()
    for option in ("factory", "code", "arguments", "size", "mean", "std", "classes", "classes_argument"):
        if context.get_parameter_source(option) == ParameterSource.COMMANDLINE:
            flag = "--argument" if option == "arguments" else f"--{option.replace('_', '-')}"
            raise click.UsageError(f"{flag} does not go with --from-job: the job says it.")


def _add_of_job(
    app: App,
    name: str,
    job_id: int,
    extract: Path | None,
    *,
    yes: bool,
    replace: bool,
    time_limit: float,
    as_json: bool,
) -> None:
    from producer.cli.asking import confirm
    from producer.networks.from_job import add_network_of_job, network_of_job, write_files
    from shared.database.registered import require_allowed

    network = network_of_job(app.database, app.store, name, job_id)
    if extract:
        write_files(network, extract)
        app.err.print(f"Wrote {len(network.files)} source files to {extract}; nothing was added.")
        return
    require_allowed(name, allowed=app.settings.user_networks)
    reason = (
        f"Network '{name}' of job {job_id} is {network.origin}. This code will run with the rights of the workers"
    )
    confirm(f"{reason}: add it only if you trust it.", "Add it?", yes=yes)
    added = add_network_of_job(app.database, app.settings, network, replace=replace, seconds=time_limit)
    _print_added(app, added, as_json=as_json)


def _print_added(app: App, added: AddedNetwork, *, as_json: bool) -> None:
    for note in added.notes:
        app.err.print(f"Note: {note}")
    name = added.description.specification.name
    states = {"added": "Added", "replaced": "Replaced", "the same": "Nothing new:"}
    description = added.description
    app.err.print(
        f"{states[added.state]} {name}: source files: {len(added.files)}, classes: "
        f"{description.specification.classes}, {description.totals} (`analyze network show {name}`).",
    )
    if as_json:
        specification = description.specification.model_dump(mode="json")
        print_json({"state": added.state, "network": specification, "files": added.files, "notes": added.notes})
        return
    print_text(name)


@click.command()
@json_option
@pass_app
def ls(app: App, as_json: bool) -> None:
    """List the networks of your own."""
    from rich.table import Table

    from producer.networks.registration import list_networks

    rows = list_networks(app.database)
    if as_json:
        print_json([vars(row) for row in rows])
        return
    table = Table("name", "factory", "arguments", "from", "files", "size", "classes", "jobs", box=None)
    for row in rows:
        arguments = ", ".join(f"{name}={value}" for name, value in row.arguments.items())
        origin = row.folder or (f"{row.package} {row.version}" if row.package else "a job")
        numbers = (len(row.files), row.size, row.classes, len(row.jobs))
        table.add_row(row.name, row.factory, arguments, origin, *map(str, numbers))
    app.out.print(table)


@click.command()
@click.argument("name")
@click.option(
    "--with-jobs", is_flag=True, help="Also remove the jobs that use it, and the jobs that use their results."
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@json_option
@pass_app
def rm(app: App, name: str, with_jobs: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a network of your own, with its earlier versions.

    Your code folder stays. A network that jobs use can't be removed unless --with-jobs removes those jobs as well.
    `analyze gc` then removes the stored code.
    """
    from producer.networks.registration import removable_network, remove_network

    found = removable_network(app.database, name, with_jobs=with_jobs)
    if not dry_run:
        remove_network(app.database, found)
    if as_json:
        print_json({"removed": not dry_run, "name": name, "jobs": [vars(job) for job in found.jobs]})
        return
    if found.jobs:
        print_removed(app, found.jobs, dry_run)
    app.out.print(f"{name}: {'would be' if dry_run else 'was'} removed; your code stays.")
