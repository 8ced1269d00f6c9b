"""Training runs side by side: their curves in one chart, and the settings in which they differ."""

from __future__ import annotations

from typing import Any

from producer.gallery.page import Gallery, Parameters
from producer.kinds.train.comparison import ComparedRun, compared_runs, epoch_rows, summary_rows
from producer.kinds.train.gallery.chart import COLOURS, Chart, Line, draw_chart
from shared.errors import UsageError
from shared.kinds.train.tables import Phase

MOST_RUNS = COLOURS
# Columns of the results; the others of a summary row are settings.
RESULTS = {
    "state": "state",
    "best_accuracy": "best accuracy",
    "best_epoch": "at epoch",
    "epochs": "epochs",
    "last_accuracy": "last accuracy",
    "last_loss": "last loss",
    "images_per_second": "images per second",
}
NAMES = ("run", "network", "dataset")


def read_compared(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/compare?runs=1,3``.

    Raises
    ------
    NoSuchRun, UsageError, SpecificationNotReadable
    """
    runs = compared_runs(gallery.database, _numbers(parameters.text("runs")))
    rows = summary_rows(runs)
    settings = [name for name in rows[0] if name not in RESULTS and name not in NAMES]
    return {
        "title": f"Runs {', '.join(str(run.job_id) for run in runs)}",
        "runs": [{"job_id": run.job_id, "name": run.name, "state": run.state} for run in runs],
        "results": [(text, name, [row[name] for row in rows]) for name, text in RESULTS.items()],
        "settings": [(name, [row[name] for row in rows]) for name in settings],
        "charts": [chart for chart in (_chart(runs, "accuracy"), _chart(runs, "loss")) if chart],
        "epochs": epoch_rows(runs),
    }


def _numbers(text: str) -> list[int]:
    """Return the runs that a text such as ``1,3`` names, each once.

    Raises
    ------
    UsageError
    """
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise UsageError(reason=f"runs is '{text}', and has to be numbers of training runs, such as 1,3.")
    if not 0 < len(parts) <= MOST_RUNS:
        raise UsageError(reason=f"runs names {len(parts)} runs; 1 to {MOST_RUNS} can be compared.")
    return list(dict.fromkeys(map(int, parts)))


def _chart(runs: list[ComparedRun], column: str) -> Chart | None:
    """Return a chart with the training and validation line of each run, in the run's colour."""
    lines = [
        Line(
            f"{run.name}, {'training' if phase == Phase.TRAIN else 'validation'}",
            number,
            [(epoch.epoch, getattr(epoch, column)) for epoch in run.epochs if epoch.phase == phase],
            phase == Phase.TRAIN,
        )
        for number, run in enumerate(runs)
        for phase in (Phase.VAL, Phase.TRAIN)
    ]
    title = "Accuracy" if column == "accuracy" else "Loss (cross-entropy)"
    return draw_chart(title, lines, shares=column == "accuracy")
