"""The notebook of the documentation runs, and its stored outputs match those of a run."""

from __future__ import annotations

import copy
import hashlib
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
LARGEST = 400_000  # bytes
SECONDS = 240  # per cell


def shown(notebook: nbformat.NotebookNode) -> list[list[list[str]]]:
    """Return the kinds of the outputs of each cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[sorted(output.get("data", {"stream": ""})) for output in cell.outputs] for cell in cells]


def test_the_notebook_runs_and_has_stored_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = nbformat.read(NOTEBOOK, as_version=4)
    content = hashlib.sha256(NOTEBOOK.read_bytes()).hexdigest()
    before = sorted(path.name for path in NOTEBOOK.parent.iterdir())
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    work = tmp_path / "work"
    work.mkdir()
    run = copy.deepcopy(kept)
    for cell in run.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    # Raises an error with the traceback if a cell fails.
    NotebookClient(
        run, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    ).execute()
    assert shown(run) == shown(kept)
    assert sum("image/png" in kinds for cell in shown(kept) for kinds in cell) == 4
    assert sum("text/html" in kinds for cell in shown(kept) for kinds in cell) == 3
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))  # stored by a single run from top to bottom
    assert list(work.iterdir()) == []
    assert list((tmp_path / "TMPDIR").rglob("*.png")) == []
    assert sorted(path.name for path in NOTEBOOK.parent.iterdir()) == before
    assert hashlib.sha256(NOTEBOOK.read_bytes()).hexdigest() == content
    assert NOTEBOOK.stat().st_size < LARGEST
