"""``analyze``: the root of the command line. Each verb's module is imported only when it is used."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App
from producer.cli.lazy import LazyGroup
from producer.kinds.registry import producer_kinds
from shared.errors import exit_code, message
from shared.text import one_line, printable
from unitscope.errors import UnitscopeError

LONGEST_MESSAGE = 10_000  # characters

# verb -> module:attribute, in the order of the help text; those of kinds of job come behind `results`.
VERBS = {
    "submit": "producer.cli.jobs.submit:submit",
    "ls": "producer.cli.jobs.jobs:ls",
    "status": "producer.cli.jobs.jobs:status",
    "watch": "producer.cli.jobs.jobs:watch",
    "logs": "producer.cli.jobs.jobs:logs",
    "cancel": "producer.cli.jobs.jobs:cancel",
    "retry": "producer.cli.jobs.jobs:retry",
    "rm": "producer.cli.jobs.removing:rm",
    "results": "producer.cli.results.results:results",
    "query": "producer.cli.results.query:query",
    "dataset": "producer.cli.data.dataset:dataset",
    "network": "producer.cli.data.network:network",
    "cache": "producer.cli.data.cache:cache",
    "worker": "producer.cli.service.services:worker",
    "up": "producer.cli.service.services:up",
    "demo": "producer.cli.service.demo:demo",
    "gc": "producer.cli.service.store:gc",
    "verify": "producer.cli.service.store:verify",
    "export": "producer.cli.results.transfer:export",
    "import": "producer.cli.results.transfer:import_",
    "db": "producer.cli.service.db:db",
    "metrics": "producer.cli.service.metrics:metrics",
    "doctor": "producer.cli.service.doctor:doctor",
}
KINDS_VERBS_BEHIND = "results"

SEEN_BY_ALL = "Not with a password in it: options are seen by every user of this machine (ps)."


@cache
def all_verbs() -> dict[str, str]:
    """All verbs, with those that only one kind of job has."""
    verbs: dict[str, str] = {}
    for name, place in VERBS.items():
        verbs[name] = place
        if name == KINDS_VERBS_BEHIND:
            for kind in producer_kinds().values():
                verbs |= kind.verbs
    return verbs


class VerbGroup(LazyGroup):
    """All verbs."""

    def places(self) -> dict[str, str]:
        return all_verbs()


def _show_version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from shared.version import program_version

        click.echo(f"analyze, version {program_version()}")
        ctx.exit()


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 the job failed, 2 usage, 3 database or broker out of reach, "
    "4 no such thing, 5 schema out of date, 130 interrupted.",
)
@click.option("--home", type=click.Path(path_type=Path), help="Home folder.  [ANALYZE_HOME]")
@click.option("--database-url", help=f"SQLAlchemy URL of the database. {SEEN_BY_ALL}  [ANALYZE_DATABASE_URL]")
@click.option("--redis-url", help=f"URL of the Redis server. {SEEN_BY_ALL}  [ANALYZE_REDIS_URL]")
@click.option("--store", type=click.Path(path_type=Path), help="Root of the artifact store.  [ANALYZE_STORE]")
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
    """Show, for every unit of a convolutional network and a whole data set, what makes it fire.

    \b
    analyze dataset add voc --root VOCdevkit     register a data set
    analyze up                                   run what computes, in another terminal
    analyze submit train --dataset voc           train a network on it
    analyze submit --layer 5 --dataset voc       what fires the units of layer 5?
    """
    ctx.obj = App(options)


def _refuse_what_is_no_text(arguments: Sequence[str]) -> None:
    """Bytes that are no UTF-8 can be neither stored nor printed."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{argument!a} is no text in UTF-8.") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: errors become one line and an exit code, never a traceback."""
    stdout = sys.stdout
    os.umask(0o077)  # what we and the programs we start make is for the user alone
    if isinstance(stdout, io.TextIOWrapper) and stdout.errors == "strict":
        stdout.reconfigure(errors="backslashreplace")  # where the locale's encoding lacks a letter
    try:
        _refuse_what_is_no_text(sys.argv[1:] if arguments is None else arguments)
        code = cli.main(arguments, prog_name="analyze", standalone_mode=False)
        sys.stdout.flush()
    except UnitscopeError as error:
        click.secho(f"analyze: {one_line(message(error), LONGEST_MESSAGE)}", fg="red", err=True)
        code = exit_code(error)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(printable(shown.getvalue()), err=True, nl=False)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("analyze: interrupted", err=True)
        code = 130
    except (BrokenPipeError, SystemExit) as stop:
        # The reader of our output has seen enough: analyze results 3 | head. Where click sees it first it wraps
        # stdout, and exits.
        if isinstance(stop, SystemExit) and sys.stdout is stdout:
            raise
        _drop_output()
        code = 0
    except OSError as error:  # a full disk, a folder without rights
        words = one_line(f"{error.filename or 'input or output'}: {error.strerror or error}")
        click.secho(f"analyze: {words}", fg="red", err=True)
        code = 1
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
    sys.exit(code or 0)


def _drop_output() -> None:
    """Python tries once more to write what it still holds when it ends, and would make the exit code 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
