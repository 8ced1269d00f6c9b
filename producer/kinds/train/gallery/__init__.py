"""Pages of training runs in the gallery: the list, a run, a class of a run, and runs side by side."""

from __future__ import annotations

from producer.gallery.page import Page
from producer.kinds.train.gallery.compare import read_compared
from producer.kinds.train.gallery.run import read_run
from producer.kinds.train.gallery.run_class import read_class
from producer.kinds.train.gallery.runs import read_runs

PAGES = (
    Page("/runs", "kinds/train/gallery/runs.html.j2", read_runs),
    Page("/runs/{job_id:int}", "kinds/train/gallery/run.html.j2", read_run),
    Page("/runs/{job_id:int}/classes/{number:int}", "kinds/train/gallery/class.html.j2", read_class),
    Page("/compare", "kinds/train/gallery/compare.html.j2", read_compared, asked_by="runs"),
)
