"""A current folder, such as a downloaded data set, with files that are named like the modules we import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared import children
from tests.conftest import Analyze
from tests.integration.cli.helpers import NETWORK

DECOYS = (
    *("torch", "torchvision", "safetensors", "numpy", "PIL", "matplotlib", "celery", "celeryconfig", "kombu"),
    *("billiard", "redis", "sqlalchemy", "pydantic", "click", "rich", "jinja2", "json", "typing", "logging"),
    *("random", "sitecustomize", "usercustomize", "producer", "worker", "shared", "unitscope", "migrations"),
)
ANALYZE = "from producer.cli.main import main; main()"  # what the program `analyze` does


class InDecoys(Analyze):
    """The command line in a folder of decoys; each of them leaves a mark when it is imported."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home)
        self.folder = folder
        folder.mkdir()
        for name in DECOYS:
            (folder / f"{name}.py").write_text(f"open({str(folder / f'{name}.mark')!r}, 'w').close()\n")
        self.environment["PYTHONPATH"] = children.ROOT

    def outputs(self, *arguments: object, python: tuple[str, ...] = ("-P", "-c", ANALYZE)) -> str:
        done = subprocess.run(
            [sys.executable, *python, *map(str, arguments)],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert self.marks() == [], arguments
        assert done.returncode == 0 or arguments == ("doctor",), done.stderr
        return done.stdout

    def marks(self) -> list[str]:
        return sorted(mark.stem for mark in self.folder.glob("*.mark"))


def test_the_decoys_are_imported_where_nothing_prevents_it(tmp_path: Path) -> None:
    bare = InDecoys(tmp_path / "home", tmp_path / "downloaded")
    subprocess.run([sys.executable, "-c", "import torch, celery"], cwd=bare.folder, check=True)
    assert bare.marks() == ["celery", "torch"]


def test_no_program_imports_from_the_current_folder(tmp_path: Path, shapes_root: Path, weights: Path) -> None:
    analyze = InDecoys(tmp_path / "home", tmp_path / "downloaded")
    asked = ("--dataset", "shapes", "--layer", 5, *NETWORK, "--weights", weights)
    analyze.outputs("dataset", "add", "shapes", "--root", shapes_root)
    job = analyze.outputs("submit", *asked, "--units", "0-1").strip()
    analyze.outputs("up", "--devices", "cpu", "--burst")
    assert "done" in analyze.outputs("ls")
    for words in (
        ("doctor",),
        ("verify", job),
        ("metrics",),
        ("submit", "occlusion", *asked, "--images", 2, "--dry-run"),
    ):
        assert analyze.outputs(*words)


def test_python_m_imports_only_its_own_package_from_the_current_folder(tmp_path: Path) -> None:
    """Python itself looks for ``producer`` there: only the other decoys are left out."""
    analyze = InDecoys(tmp_path / "home", tmp_path / "downloaded")
    (analyze.folder / "producer.py").unlink()
    assert analyze.outputs("network", "show", "vgg11", python=("-m", "producer"))


def test_programs_inherit_no_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f":src:{children.ROOT}:/opt/mine:.")
    assert children.safe_environment()["PYTHONPATH"] == f"{children.ROOT}:/opt/mine"
    monkeypatch.setenv("PYTHONPATH", "/opt/mine")
    assert children.safe_environment()["PYTHONPATH"] == f"{children.ROOT}:/opt/mine"
    monkeypatch.setattr(children, "ROOT", children.site.getsitepackages()[0])
    monkeypatch.setenv("PYTHONPATH", "")
    assert "PYTHONPATH" not in children.safe_environment()
