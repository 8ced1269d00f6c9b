"""Enumerations that the library, specifications and the command line share are defined once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest

from producer.kinds.occlusion.command import occlusion
from producer.kinds.top9.command import top9
from producer.kinds.train.command import train
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.top9.specification import Top9Specification
from unitscope import vocabulary
from unitscope.training.recipes import Recipe

ROOT = Path(__file__).parents[3]
VOCABULARIES = {
    "fill": vocabulary.FILLS,
    "engine": vocabulary.ENGINES,
    "state": vocabulary.UNIT_STATES,
    "method": vocabulary.PROJECTION_METHODS,
    "projection": vocabulary.PROJECTION_CHOICES,
    "init": vocabulary.INITIALIZATIONS,
    "optimizer": vocabulary.OPTIMIZERS,
    "schedule": vocabulary.SCHEDULES,
    "precision": vocabulary.PRECISIONS,
    "screen": vocabulary.SCREENS,
}


def test_values_are_those_of_stored_jobs() -> None:
    assert VOCABULARIES == {
        "fill": ("grey", "mean", "black", "noise", "blur"),
        "engine": ("auto", "full", "incremental"),
        "state": ("active", "dead", "constant", "not finite"),
        "method": ("deconvnet", "guided", "gradient"),
        "projection": ("auto", "deconvnet", "guided", "gradient", "none"),
        "init": ("default", "he", "he-quiet", "paper"),
        "optimizer": ("adam", "adamw", "sgd"),
        "schedule": ("step", "plateau", "cosine", "constant"),
        "precision": ("auto", "float32", "mixed"),
        "screen": ("bfloat16", "tf32"),
    }


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (OcclusionSpecification, ["fill", "engine"]),
        (Recipe, ["init", "optimizer", "schedule", "precision"]),
    ],
)
def test_specifications_and_recipes_use_them(model: type, names: list[str]) -> None:
    for name in names:
        assert get_args(model.model_fields[name].annotation) == VOCABULARIES[name]  # type: ignore[attr-defined]


def test_a_search_has_a_projection_method_or_none() -> None:
    method, none = get_args(Top9Specification.model_fields["projection"].annotation)
    assert (get_args(method), none) == (VOCABULARIES["method"], type(None))


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (occlusion, ["fill", "engine"]),
        (top9, ["projection", "screen"]),
        (train, ["init", "optimizer", "schedule"]),
    ],
)
def test_the_command_line_offers_them(command: click.Command, names: list[str]) -> None:
    options = {parameter.name: parameter.type for parameter in command.params}
    for name in names:
        choice = options[name]
        assert isinstance(choice, click.Choice)
        assert tuple(choice.choices) == VOCABULARIES[name]


def test_no_other_module_repeats_the_values() -> None:
    found = []
    for folder in ("unitscope", "shared", "producer", "worker"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == ROOT / "unitscope" / "vocabulary.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, (ast.Tuple, ast.List, ast.Set)):
                    continue
                words = {item.value for item in node.elts if isinstance(item, ast.Constant)}
                if any(words >= set(vocabulary) for vocabulary in VOCABULARIES.values()):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_torch_is_not_imported() -> None:
    code = "import sys, unitscope.vocabulary; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    subprocess.run([sys.executable, "-c", code], check=True)
