"""The gallery of a large database: pages while workers compute, a layer in Chromium, many connections, memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import func, select, text

from benchmarks.database import NAMES, postgresql
from benchmarks.gallery.addresses import QUERIES, SLOW, Contents, Make, own_layer, pages, pictures
from benchmarks.gallery.browser import find_chromium, seconds_to_complete
from benchmarks.gallery.clients import first_bytes, load, percentile
from benchmarks.gallery.filling import fill_database, link_mosaics
from benchmarks.gallery.models import Models, run_models
from benchmarks.gallery.server import Server, serving
from benchmarks.servers import START_SECONDS
from benchmarks.setting import Setting
from benchmarks.timing import Goal, Row
from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.jobs.tables import Shard
from shared.settings import sqlite_url

MEDIAN, MOST, COMPLETE = 0.1, 0.25, 1.0  # seconds
OWN_UNITS = 100_000
REQUESTS, SLOW_REQUESTS, VISITS = 30, 2, 2  # per round: of a page, of a slow page, of a layer in Chromium
CONNECTIONS, SECONDS = 200, 60
BETWEEN_QUERIES = 4.0  # seconds, in which a process is prepared
WARM_REQUESTS, MEMORY_REQUESTS, MEMORY_CONNECTIONS = 3000, 10_000, 8
AT_MOST = Goal(1, at_most=True)
FLAT = Goal(1.05, at_most=True)
METHOD = f"""
Two workers run a search of ZFNet's five layers with projections, an occlusion sweep, and a training run, on
objects of a generated data set. Their rows are copied until the database has the given numbers of result rows (top
activations; the statistics and the classes of units are in addition) and jobs. The units of the last searches,
{OWN_UNITS:,} if there are as many, have mosaics with addresses of their own: the files are hard links to the
mosaics that the workers wrote, so that the server reads and encodes each of them anew, and the disk has them once.
The other units share the addresses of the search that ran.

The server is `analyze serve`, without options. While first bytes and connections are measured, two workers with
one thread each compute an occlusion sweep on the same database and the same cores. Layer and memory are measured
after the workers' end.

*First byte*: from the request to the status line of the response, on one connection that stays open. Pages take
turns, and jobs, layers, units and images vary from request to request. A name in capitals stands for a part of the
address that varies. Queries come {BETWEEN_QUERIES:g} s after what was asked before. The ratio is that of the time
and its mark: {1000 * MEDIAN:.0f} ms in the median, and {1000 * MOST:.0f} ms in the 95th percentile.

*Layer in Chromium*: from the address to the last of 120 pictures of a page with 60 units, of which those out of
view are asked for at once, with an empty cache of the browser. *New*: the server hasn't drawn the thumbnails
before. *Connections*: each sends the next request when the last one is
answered, for any page or picture, except reports, pages of studies, and queries, of which the server refuses more
than four at once. *Memory*: resident memory of the server's process, after the measurements above and
{WARM_REQUESTS:,} further requests, and after another {MEMORY_REQUESTS:,}.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield all rows for SQLite and PostgreSQL."""
    models = run_models(setting)
    with postgresql() as server:
        for kind in ("sqlite", "postgresql"):
            database = _new_database(setting, kind, server)
            fill_database(database, kind, models, setting.rows, setting.jobs, OWN_UNITS)
            models.home.use_database(database)
            files = link_mosaics(database, models.home.folder / "store", models)
            click.echo(f"  {files:,} mosaics with addresses of their own", err=True)
            yield from _measure_gallery(setting, NAMES[kind], models, database)


def _new_database(setting: Setting, kind: str, server: Database) -> Database:
    if kind == "sqlite":
        database = Database(sqlite_url(setting.folder / "gallery.sqlite3"))
    else:
        with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE gallery"))
        database = Database(server.url.set(database="gallery").render_as_string(hide_password=False))
    upgrade(database)
    return database


def _measure_gallery(setting: Setting, name: str, models: Models, database: Database) -> Iterator[Row]:
    contents = Contents.read(database, models.jobs, OWN_UNITS)
    with serving(models.home) as server:
        with _computing(models):
            yield from _first_bytes(setting, name, server, contents)
            yield from _connections(name, server, contents)
        yield from _layer(setting, name, server, contents)
        yield _memory(name, server, contents)
    database.close()


@contextmanager
def _computing(models: Models) -> Iterator[None]:
    """Let two workers compute a sweep of all images.

    Raises
    ------
    RuntimeError
        They computed nothing, or were done before the end.
    """
    home = models.home

    def images(job: int) -> tuple[int, int]:
        with home.database.read() as session:
            sums = select(func.sum(Shard.work_done), func.sum(Shard.work_total)).where(Shard.job_id == job)
            done, total = session.execute(sums).one()
        return int(done), int(total)

    try:
        home.start(2, "cpu")
        job = models.submit_sweep()
        deadline = time.monotonic() + START_SECONDS
        while not (before := images(job)[0]) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not before:
            raise RuntimeError("the workers did not begin")
        yield
        done, total = images(job)
        click.echo(f"  meanwhile, the workers swept {done - before} images", err=True)
        if not before < done < total:
            raise RuntimeError(f"the workers swept {done - before} of {total} images while pages were measured")
    finally:
        home.stop()


def _first_bytes(setting: Setting, name: str, server: Server, contents: Contents) -> Iterator[Row]:
    addresses = {**pages(contents), **pictures(contents)}
    rounds = {page: setting.rounds * (SLOW_REQUESTS if page in SLOW else REQUESTS) for page in addresses}
    pauses = dict.fromkeys(QUERIES, BETWEEN_QUERIES)
    found = first_bytes(server.host, server.port, addresses, rounds, pauses)
    for page, seconds in found.items():
        shown = f"`{page}`" if page.startswith("/") else page
        details = {"requests": len(seconds), "slowest": max(seconds)}
        for which, took, mark in (
            ("median", statistics.median(seconds), MEDIAN),
            ("95th percentile", percentile(seconds, 95), MOST),
        ):
            against = f"{1000 * mark:.0f} ms"
            work = f"{shown}, first byte, {which}, {name}"
            yield Row("gallery", work, [took], against, [mark], AT_MOST, details=details)


def _layer(setting: Setting, name: str, server: Server, contents: Contents) -> Iterator[Row]:
    work = "`/jobs/JOB_ID/layers/LAYER` with 60 units complete in Chromium"
    chromium = find_chromium()
    if chromium is None:
        yield Row("gallery", f"{work}, {name}", [], note="Chromium is missing: apt install chromium")
        return
    layer = own_layer(contents)
    first, again = seconds_to_complete(server.url, layer, chromium, setting.rounds * VISITS)
    for seconds, which in ((first, "new"), (again, "visited before")):
        mark = [COMPLETE] * len(seconds)
        yield Row("gallery", f"{work}, {which}, {name}", list(seconds), f"{COMPLETE:g} s", mark, AT_MOST)


def _connections(name: str, server: Server, contents: Contents) -> Iterator[Row]:
    done = load(server.host, server.port, _mixed(contents), CONNECTIONS, SECONDS)
    work = f"{CONNECTIONS} connections for {SECONDS} s"
    note = f"{len(done.failures)} failures" + (f": {done.failures[0]}" if done.failures else "")
    yield Row(
        "gallery",
        f"{work}: requests, {name}",
        [done.count],
        "those that were answered with status 200",
        [len(done.seconds)],
        AT_MOST,
        note=note,
        details={"failures": done.failures[:20]},
        unit="requests",
    )
    for which, percent in (("median", 50), ("95th percentile", 95)):
        yield Row("gallery", f"{work}: time of a request, {which}, {name}", [percentile(done.seconds, percent)])


def _memory(name: str, server: Server, contents: Contents) -> Row:
    addresses = _mixed(contents)
    used = []
    for most in (WARM_REQUESTS, MEMORY_REQUESTS):
        done = load(server.host, server.port, addresses, MEMORY_CONNECTIONS, most=most)
        if done.failures:
            raise RuntimeError(f"{len(done.failures)} requests failed: {done.failures[0]}")
        used.append(server.memory())
    return Row(
        "gallery",
        f"memory of the server after another {MEMORY_REQUESTS:,} requests, {name}",
        [used[1]],
        "its memory before them",
        [used[0]],
        FLAT,
        unit="MB",
    )


def _mixed(contents: Contents) -> list[Make]:
    """Return addresses of pages and as many of pictures."""
    of_pages = [make for page, make in pages(contents).items() if page not in SLOW]
    of_pictures = list(pictures(contents).values())
    return of_pages + [of_pictures[number % len(of_pictures)] for number in range(len(of_pages))]
