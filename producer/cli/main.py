"""``analyze``: the root of the command line. A command's module is imported only when the command runs."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App
from producer.cli.lazy import LazyGroup
from producer.cli.signals import Ended, end_by, raise_on_signals
from producer.cli.streams import drop_output, prepare_streams, unescaped
from producer.kinds.registry import producer_kinds
from shared import logs
from shared.errors import exit_code, message
from shared.text import one_line
from unitscope.errors import UnitscopeError

LONGEST_MESSAGE = 10_000  # characters

# verb -> module:attribute, in the order of the help text; the verbs of kinds of job follow `results`.
VERBS = {
    "submit": "producer.cli.jobs.submit:submit",
    "ls": "producer.cli.jobs.jobs:ls",
    "status": "producer.cli.jobs.jobs:status",
    "watch": "producer.cli.jobs.jobs:watch",
    "logs": "producer.cli.jobs.jobs:logs",
    "cancel": "producer.cli.jobs.jobs:cancel",
    "retry": "producer.cli.jobs.jobs:retry",
    "priority": "producer.cli.jobs.jobs:priority",
    "rm": "producer.cli.jobs.removing:rm",
    "prune": "producer.cli.jobs.pruning:prune",
    "results": "producer.cli.results.results:results",
    "study": "producer.cli.studies.study:study",
    "paper": "producer.cli.studies.paper:paper",
    "query": "producer.cli.results.query:query",
    "dataset": "producer.cli.data.dataset:dataset",
    "network": "producer.cli.data.network:network",
    "cache": "producer.cli.data.cache:cache",
    "worker": "producer.cli.service.services:worker",
    "up": "producer.cli.service.services:up",
    "serve": "producer.cli.service.serve:serve",
    "demo": "producer.cli.service.demo:demo",
    "du": "producer.cli.service.disk_usage:du",
    "gc": "producer.cli.service.store:gc",
    "verify": "producer.cli.service.store:verify",
    "export": "producer.cli.results.transfer:export",
    "import": "producer.cli.results.transfer:import_",
    "db": "producer.cli.service.db:db",
    "metrics": "producer.cli.service.metrics:metrics",
    "doctor": "producer.cli.service.doctor:doctor",
}
KINDS_VERBS_FOLLOW = "results"

OPTIONS_ARE_PUBLIC = "Don't give a password here: every user of this machine can see options (ps)."


@cache
def all_verbs() -> dict[str, str]:
    """Return all verbs, including those of single kinds of job."""
    verbs: dict[str, str] = {}
    for name, import_path in VERBS.items():
        verbs[name] = import_path
        if name == KINDS_VERBS_FOLLOW:
            for kind in producer_kinds().values():
                verbs |= kind.verbs
    return verbs


class VerbGroup(LazyGroup):
    """The group of all verbs."""

    def import_paths(self) -> dict[str, str]:
        return all_verbs()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. An error of Python may be due to a value that another program wrote into the database.

        Raises
        ------
        DatabaseDamaged
        """
        try:
            return super().invoke(ctx)
        except (UnitscopeError, click.ClickException, click.exceptions.Exit, click.Abort, OSError):
            raise
        except Exception as error:
            if isinstance(ctx.obj, App):
                ctx.obj.refuse_damage(error)
            raise


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from shared.version import program_version

        click.echo(f"analyze, version {program_version()}")
        ctx.exit()


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 success, 1 failure of the job or command, 2 wrong usage or settings, 3 database or "
    "Redis unreachable, 4 not found, 5 database schema out of date, 130 interrupted.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home folder.  [env var: ANALYZE_HOME; default: the platform's data folder]",
)
@click.option(
    "--database-url",
    help=f"SQLAlchemy URL of the database. {OPTIONS_ARE_PUBLIC}  [env var: ANALYZE_DATABASE_URL; default: a "
    "SQLite file in the home folder]",
)
@click.option(
    "--redis-url",
    help=f"URL of the Redis server. {OPTIONS_ARE_PUBLIC}  [env var: ANALYZE_REDIS_URL; default: a private server, "
    "which `analyze up` starts]",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Root folder of the artifact store.  [env var: ANALYZE_STORE; default: store in the home folder]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """Find the images of a data set that activate each unit of a network most.

    \b
    analyze up                                   start Redis and the workers; keep it running, and use another
                                                 terminal for the rest
    analyze dataset add voc --root VOCdevkit     register a data set
    analyze submit train --dataset voc           train a network on the data set
    analyze submit --layer 5 --dataset voc       find the images that activate the units of layer 5
    """
    ctx.obj = App(options)


def _refuse_undecodable(arguments: Sequence[str]) -> None:
    """Raise ``UsageError`` for arguments that are not UTF-8: they can be neither stored nor printed."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"The argument {argument!a} is not valid UTF-8.") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. An error is printed in one line and sets the exit code; there are no tracebacks."""
    prepare_streams()
    raise_on_signals()
    stdout = sys.stdout
    os.umask(0o077)  # only the user can read the files that this process and its children create
    try:
        _refuse_undecodable(sys.argv[1:] if arguments is None else arguments)
        code = cli.main(arguments, prog_name="analyze", standalone_mode=False)
        sys.stdout.flush()
    except UnitscopeError as error:
        _print_error(one_line(message(error), LONGEST_MESSAGE))
        code = exit_code(error)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(shown.getvalue(), err=True, nl=False)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("analyze: interrupted", err=True)
        code = 130
    except Ended as signal:
        end_by(signal.number)
    except (BrokenPipeError, SystemExit) as stop:
        # The reader closed the pipe, as in `analyze results 3 | head`. Where click notices it first, it wraps
        # stdout and exits.
        if isinstance(stop, SystemExit) and sys.stdout is stdout:
            raise
        drop_output(stdout.fileno())
        code = 0
    except OSError as error:  # a full disk, missing permissions
        where = error.filename or ("input or output" if _flushed(0) == 0 else "standard output")
        _print_error(one_line(f"{where}: {error.strerror or error}"))
        code = 1
    sys.exit(_flushed(code or 0))


def _print_error(text: str) -> None:
    """Print an error of the command, or log it if the command's messages are a log in JSON."""
    if logs.is_json():
        logging.getLogger("analyze").error("%s", text)
    else:
        click.secho(f"analyze: {text}", fg="red", file=unescaped(sys.stderr))


def _flushed(code: int) -> int:
    """Write what is left of the output, and return the exit code: 1 in place of 0 if that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output(sys.stdout.fileno())
    except OSError:
        drop_output(sys.stdout.fileno())
        return code or 1
    return code


if __name__ == "__main__":
    main()
