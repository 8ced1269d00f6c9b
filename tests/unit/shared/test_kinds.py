"""Kinds of job: each is a folder on both sides, generic code does not name one, and kinds don't import each
other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from shared.kinds import kind_names
from shared.kinds.registry import kinds, work_unit
from worker.kinds import check_function, stage_function

ROOT = Path(__file__).parents[3]
SIDES = ("shared", "worker", "producer", "migrations/env.py")
# The default kind of `analyze submit`, and the commands of `analyze demo`.
ALLOWED = {"producer/cli/jobs/submit.py": {"top9"}, "producer/cli/service/demo.py": {"train"}}
# Names of kinds that are words of generic code, too: as variables, they are the conditions on the rows of a result
# table, and a part of torchvision's networks. As texts and in imports they are not allowed.
VARIABLES = {"filters", "features"}


def modules(of_kinds: bool) -> Iterator[Path]:
    """Yield the modules in the folders of kinds, or all other modules."""
    for side in SIDES:
        files = [ROOT / side] if side.endswith(".py") else sorted((ROOT / side).rglob("*.py"))
        for file in files:
            parts = file.relative_to(ROOT).parts
            if (len(parts) > 3 and parts[1] == "kinds") == of_kinds:
                yield file


def names_in(file: Path) -> Iterator[str]:
    """Yield imported modules, identifiers, and string constants other than docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name not in VARIABLES:
                yield name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def kinds_named(text: str) -> set[str]:
    """Return the kinds that a name or string refers to: as a folder of kinds, as the whole string, or, for names
    that are not everyday words, as a part of it."""
    folder = {name for name in kind_names() if re.search(rf"\bkinds\.{name}\b", text)}
    whole = {name for name in kind_names() if text == name}
    part = {name for name in ("top9", "occlusion") if name in text.lower()}
    return folder | whole | part


@pytest.mark.parametrize("file", list(modules(of_kinds=False)), ids=lambda file: str(file.relative_to(ROOT)))
def test_generic_code_names_no_kind(file: Path) -> None:
    name = str(file.relative_to(ROOT))
    found = {kind for text in names_in(file) for kind in kinds_named(text)}
    split = {"train"} if name.startswith("producer/datasets/") else set()  # what a split is called there
    assert found <= ALLOWED.get(name, split)


def test_names_of_kinds_are_found_in_their_folders() -> None:
    """Check the check above where kinds are named."""
    found = {kind for file in modules(of_kinds=True) for text in names_in(file) for kind in kinds_named(text)}
    assert found == set(kind_names())


@pytest.mark.parametrize("file", list(modules(of_kinds=True)), ids=lambda file: str(file.relative_to(ROOT)))
def test_kinds_do_not_import_each_other(file: Path) -> None:
    own = file.relative_to(ROOT).parts[2]
    imported = {
        text for text in names_in(file) if text.startswith(("shared.kinds.", "worker.kinds.", "producer."))
    }
    others = {kind for text in imported for kind in kind_names() if f".kinds.{kind}" in text} - {own}
    assert others == set()


@pytest.mark.parametrize("kind", kind_names())
def test_a_kind_is_complete_on_both_sides(kind: str) -> None:
    here, there = kinds()[kind], producer_kinds()[kind]
    assert (here.name, there.name, here.specification.kind) == (kind, kind, kind)
    assert {path.name for path in (ROOT / "worker" / "kinds" / kind).glob("*.py")} >= {"__init__.py", "check.py"}
    for stage in here.stages:
        assert callable(stage_function(kind, stage))
        assert work_unit(kind, stage) == here.stages[stage]
    assert callable(check_function(kind))
    assert load(there.command).name == kind
    for result in there.results:
        assert load(result.table).kind == kind
    if there.page:
        assert callable(load(there.page))
    assert set(here.other_jobs) <= here.specification.model_fields.keys()


def test_no_folder_has_more_than_fifteen_modules() -> None:
    crowded = {}
    for package in ("unitscope", "shared", "producer", "worker"):  # migrations are a sequence that only grows
        for folder in [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]:
            count = len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
            if count > 15:
                crowded[str(folder.relative_to(ROOT))] = count
    assert crowded == {}
