"""Options of a job in a study: those of ``analyze submit KIND``, by their long names.

They are turned into the arguments of that command, so that it checks them as it does on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import click

from producer.cli.jobs.submitting import JobRequest, Submission, collected_requests
from producer.cli.options import JobId
from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from producer.studies.expansion import EntryError, PlannedJob
from producer.studies.file import OptionValue
from producer.studies.parameters import as_text
from shared.errors import UsageError, exit_code, message
from unitscope.errors import UnitscopeError

NUMBERS = (click.types.IntParamType, click.types.FloatParamType)
ANY_JOB = 1  # stands for the id of a job that is not submitted yet


def submit_command(kind: str) -> click.Command:
    """Return the command of ``analyze submit KIND``.

    Raises
    ------
    UsageError
    """
    if kind not in producer_kinds():
        raise UsageError(reason=f"there is no kind of job '{kind}'. Kinds: {', '.join(producer_kinds())}.")
    command: click.Command = load(producer_kinds()[kind].command)
    return command


def find_option(kind: str, name: str) -> click.Option:
    """Return an option of a job by its long name, without the dashes.

    Raises
    ------
    UsageError
    """
    options = {
        flag.removeprefix("--"): option
        for option in submit_command(kind).params
        if isinstance(option, click.Option) and option.name not in Submission.__dataclass_fields__
        for flag in (*option.opts, *option.secondary_opts)
        if flag.startswith("--")
    }
    if name not in options:
        close = get_close_matches(name, options, 1)
        hint = f" Did you mean '{close[0]}'?" if close else f" `analyze submit {kind} --help` lists them."
        raise UsageError(reason=f"a {kind} job has no option '{name}'.{hint}")
    return options[name]


def takes_job(kind: str, name: str) -> bool:
    """Return whether an option is the id of a job, so that a text can only be the name of another entry."""
    return isinstance(find_option(kind, name).type, JobId)


def arguments(kind: str, options: Mapping[str, OptionValue]) -> list[str]:
    """Return the arguments of ``analyze submit KIND`` for options of a study.

    A flag is true or false. A list is a repeated option, or a text with commas where it can't be repeated.

    Raises
    ------
    UsageError
    """
    words: list[str] = []
    for name, value in options.items():
        option = find_option(kind, name)
        if option.is_flag:
            if not isinstance(value, bool):
                raise UsageError(reason=f"option '{name}' is true or false, not {as_text(value)!r}.")
            words += [f"--{name}"] * value
        elif isinstance(value, bool):
            raise UsageError(reason=f"option '{name}' needs a value, not {as_text(value)}.")
        else:
            parts = value if isinstance(value, list) and option.multiple else [value]
            texts = [part for part in parts if isinstance(part, str) and not _is_number(part)]
            if texts and isinstance(option.type, NUMBERS):
                raise UsageError(reason=f"option '{name}' is a number, not {texts[0]!r}.")
            words += [f"--{name}={as_text(part)}" for part in parts]
    return words


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_jobs(jobs: Iterable[PlannedJob], path: object) -> None:
    """Parse the options of jobs as ``analyze submit`` would, without looking anything up.

    Raises
    ------
    EntryError
    """
    for job in jobs:
        with named_entry(path, job):
            _context(
                job.kind, arguments(job.kind, job.options_with(dict.fromkeys(job.references, ANY_JOB)))
            ).close()


@contextmanager
def named_entry(path: object, job: PlannedJob) -> Iterator[None]:
    """Name the study's file and the job in an error of its request; an unreachable database is not one of them."""
    try:
        yield
    except UnitscopeError as error:
        if exit_code(error) not in (1, 2, 4):
            raise
        raise EntryError(path, job.name, message(error), exit_code(error)) from error


def job_request(kind: str, words: Sequence[str]) -> JobRequest:
    """Return the validated request that ``analyze submit KIND`` would make; nothing is submitted.

    Raises
    ------
    UsageError
        Something is wrong with an option. The command can raise other errors.
    """
    context = _context(kind, words)
    with context, collected_requests(context) as requests:
        try:
            context.command.invoke(context)
        except click.UsageError as error:
            raise UsageError(reason=error.format_message()) from error
    (request,) = requests
    return request


def _context(kind: str, words: Sequence[str]) -> click.Context:
    command = submit_command(kind)
    try:
        return command.make_context(f"submit {kind}", list(words), parent=click.get_current_context())
    except click.UsageError as error:
        raise UsageError(reason=error.format_message()) from error
