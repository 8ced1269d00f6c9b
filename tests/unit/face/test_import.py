"""``import unitscope``: imported modules, public names, and help."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unitscope as us

PACKAGE = Path(us.__file__).parent
FUNCTIONS = [
    "compare_epochs",
    "compare_parts",
    "describe",
    "extract_features",
    "inspect_filters",
    "load_network",
    "measure_invariance",
    "occlude",
    "probe",
    "project",
    "top9",
    "train",
]
WITHOUT_TORCH = [
    *("unitscope", "unitscope.errors", "unitscope.vocabulary", "unitscope.tables", "unitscope.description"),
    *("unitscope.features.choice", "unitscope.features.layers", "unitscope.probing.layers"),
    *("unitscope.images.decoding", "unitscope.images.odd_images", "unitscope.images.pixel_files"),
    *("unitscope.images.files", "unitscope.training.recipes", "unitscope.drawing.curves"),
    "unitscope.drawing.figures",
]


def imported_by(code: str, folder: Path) -> set[str]:
    """Run code in a subprocess in a folder and return the modules it has imported."""
    code = f"import sys; sys.path.append({str(PACKAGE.parent)!r})\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_library_imports_no_large_packages(tmp_path: Path) -> None:
    result = imported_by("import unitscope; unitscope.__all__; dir(unitscope)", tmp_path)
    assert "unitscope" in result
    assert not {"torch", "torchvision", "matplotlib", "numpy", "PIL", "pydantic", "tqdm"} & result
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_modules_without_torch_do_not_import_it(module: str, tmp_path: Path) -> None:
    result = imported_by(f"import {module}", tmp_path)
    assert module in result
    assert not {"torch", "torchvision", "safetensors"} & result


def test_accessing_a_function_imports_torch_but_no_service(tmp_path: Path) -> None:
    result = imported_by("import unitscope; unitscope.top9", tmp_path)
    assert "torch" in result
    assert not {"celery", "redis", "sqlalchemy", "click"} & result
    assert "unitscope.api.training" not in result


def test_exactly_the_public_names_are_available() -> None:
    for name in us.__all__:
        assert getattr(us, name).__name__ == name
    assert set(us.__all__) <= set(dir(us))
    with pytest.raises(AttributeError, match="no attribute 'top10'"):
        us.top10  # type: ignore[attr-defined]  # noqa: B018
    star: dict[str, object] = {}
    exec("from unitscope import *", star)  # noqa: S102
    assert set(us.__all__) <= set(star)


def test_type_checkers_and_editors_see_every_name() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unitscope")
        for alias in node.names
        if alias.asname == alias.name  # `import x as x` is an export
    }
    assert set(us.__all__) == set(seen) - {"errors", "Recipe", "UnitscopeError"}
    for name in {*seen} - {"errors"}:
        assert seen[name] == f"{getattr(us, name).__module__}.{name}"
        assert name in dir(us)


def test_help_describes_all_public_names() -> None:
    text = pydoc.plain(pydoc.render_doc(us))
    for name in FUNCTIONS:
        assert re.search(rf"^    {name}\(", text, re.MULTILINE), name
    for words in ("rows(self", "figure(self", "to_csv(self", "save(self", "arrays(self", "sheet(self"):
        assert words in text
    assert "object at 0x" not in text
    assert len(text.splitlines()) < 65 * len(us.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_documented(name: str) -> None:
    function = getattr(us, name)
    text = inspect.getdoc(function) or ""
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^(\*\*|.*, )?{argument}(,| :|$)", text, re.MULTILINE), argument
    assert "Raises\n------" in text


def test_the_library_mentions_no_options_and_commands() -> None:
    """Its errors are also shown in notebooks."""
    result = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        module = tree.body[0].value if isinstance(tree.body[0], ast.Expr) else None
        result += [
            f"{path.relative_to(PACKAGE)}:{node.lineno}"
            for node in texts
            if node is not module and re.search(r"(^|\s|\()--[a-z]|`analyze |ANALYZE_", node.value)
        ]
    assert result == []
