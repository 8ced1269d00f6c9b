"""Pages that don't belong to a kind of job."""

from __future__ import annotations

from producer.gallery.page import Page
from producer.gallery.pages.dataset import DATASET
from producer.gallery.pages.home import HOME_PAGES
from producer.gallery.pages.image import IMAGE
from producer.gallery.pages.job import JOB_PAGES
from producer.gallery.pages.jobs import JOBS
from producer.gallery.pages.sql import SQL, answer_csv
from producer.gallery.pages.studies import PAPER, STUDY_PAGES, answer_paper
from producer.gallery.pages.workers import WORKER_PAGES
from producer.gallery.pictures import Answer

PAGES: tuple[Page, ...] = (
    *HOME_PAGES,
    JOBS,
    *JOB_PAGES,
    IMAGE,
    DATASET,
    *STUDY_PAGES,
    PAPER,
    SQL,
    *WORKER_PAGES,
)
# Addresses whose answer is no page: a path and what answers it.
DOCUMENT_ROUTES: tuple[tuple[str, Answer], ...] = (("/sql.csv", answer_csv), ("/paper/{name}", answer_paper))
