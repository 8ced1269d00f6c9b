"""MkDocs hook: writes the reference of the commands and of the settings from the code.

Every command of ``analyze`` gets a page ``reference/cli/COMMAND.md``. Other pages can contain
``{{ global options }}`` (a table of the options of ``analyze`` itself) and ``{{ settings }}`` (a table of all
settings).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import TYPE_CHECKING

import click

from producer.cli.main import all_verbs, cli
from shared.settings import Settings

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

SPECIAL = re.compile(r"[\\*_\[\]|#]")  # they would format text, or end the cell of a table


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the commands to the navigation, below ``Commands``."""
    (reference,) = (part["Reference"] for part in config.nav or [] if "Reference" in part)
    (commands,) = (part["Commands"] for part in reference if "Commands" in part)
    commands.extend({verb: f"reference/cli/{verb}.md"} for verb in all_verbs())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each command."""
    from mkdocs.structure.files import File

    root = _root_context()
    for verb in all_verbs():
        page = "\n".join(_command_lines(cli, verb, root, heading="#"))
        files.append(File.generated(config, f"reference/cli/{verb}.md", content=page))
    return files


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Fill in the tables that pages ask for."""
    markdown = markdown.replace("{{ global options }}", "\n".join(_option_lines(_root_context())))
    return markdown.replace("{{ settings }}", "\n".join(_setting_lines()))


def _root_context() -> click.Context:
    return click.Context(cli, info_name="analyze", **cli.context_settings)


def _command_lines(group: click.Group, name: str, parent: click.Context, heading: str) -> Iterator[str]:
    """Yield the Markdown lines that document a command of ``group`` and its subcommands."""
    command = group.get_command(parent, name)
    if command is None:
        raise LookupError(f"{parent.command_path} has no command {name}")
    context = click.Context(command, info_name=name, parent=parent)
    yield from (f"{heading} analyze {context.command_path.removeprefix('analyze ')}", "")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("```text", usage, "```", "")
    yield from _description_lines(command.help or "")
    yield from _option_lines(context)
    if isinstance(command, click.Group):
        for subcommand in command.list_commands(context):
            yield from _command_lines(command, subcommand, context, heading="##")


def _description_lines(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; those that click does not wrap (after ``\\b``) become code blocks."""
    for paragraph in cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield from ("```text", *paragraph.splitlines()[1:], "```", "")
        else:
            yield from (_escaped(paragraph), "")


def _option_lines(context: click.Context) -> Iterator[str]:
    """Yield a table with the options of a command, in the words of its ``--help``."""
    yield from ("| | |", "|---|---|")
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Argument):  # the usage line has it
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            names = html.escape(record[0]).replace("|", "&#124;")
            yield f"| <code>{names}</code> | {_escaped(' '.join(record[1].split()))} |"
    yield ""


def _setting_lines() -> Iterator[str]:
    """Yield a table with all settings."""
    yield from ("| setting | environment variable | default | |", "|---|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None or field.default_factory else f"`{field.default}`"
        yield f"| `{name}` | `ANALYZE_{name.upper()}` | {default} | {_escaped(field.description or '')} |"


def _escaped(text: str) -> str:
    """Return Markdown that shows ``text`` as it is, apart from `code` in backticks."""
    parts = text.replace("<", "&lt;").split("`")
    parts[::2] = [SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2]]
    parts[1::2] = [part.replace("&lt;", "<").replace("|", "&#124;") for part in parts[1::2]]
    return "`".join(parts)
