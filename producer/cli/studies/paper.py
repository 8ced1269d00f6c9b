"""``analyze paper``: the experiments of Zeiler & Fergus (2013) for one network and data set, on one page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId, separated
from producer.cli.studies.run import print_plan, running_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.studies.page import PageSection

STUDY = "paper"  # the shipped study


@click.command()
@click.option("--dataset", required=True, help="Name of a registered data set.")
@click.option(
    "--run",
    type=JobId(),
    help="Training run whose network is analysed.  [default: train a ZFNet]",
)
@click.option("--epochs", type=click.IntRange(1, 10_000), help="Epochs of each training.  [default: 50]")
@click.option("--images", type=click.IntRange(1), help="Images of Figures 5 and 7.  [default: 8]")
@click.option(
    "--leave-out",
    multiple=True,
    callback=separated,
    metavar="JOB",
    help="Jobs to leave out, with those that rest on them, for example ablation-base (Table 3). Comma-separated; "
    "may be repeated. --dry-run lists the jobs.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of the study, for example size=128; may be repeated. `analyze study ls --shipped` "
    "lists them.",
)
@click.option("--name", help="Name of the study.  [default: paper-DATASET, or paper-DATASET-RUN]")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the HTML page.  [default: NAME.html in the current folder]",
)
@running_options
@click.option("--json", "as_json", is_flag=True, help="Print the figures of all sections as JSON.")
@pass_app
def paper(
    app: App,
    dataset: str,
    run: int | None,
    epochs: int | None,
    images: int | None,
    leave_out: tuple[str, ...],
    settings: tuple[str, ...],
    name: str | None,
    page: Path | None,
    replace: bool,
    retry: bool,
    ignore_space: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Repeat the experiments of Zeiler & Fergus (2013): Figures 2, 4, 5, 6, 7 and Tables 1, 3, 7, on one page.

    Each experiment is a job; the page has them in the paper's order, with the published figures beside yours. Jobs
    that don't fit the data set, such as Table 1 without annotated parts, are left out, and the page says why.

    Ctrl+C detaches; submitted jobs continue. The same command continues at any time: nothing is computed twice.

    \b
    analyze paper --dataset voc --epochs 50
    analyze paper --dataset voc --run 3 --leave-out ablation-base
    """
    from producer.cli.studies.running import prepare_study
    from producer.cli.studies.show import write_page
    from shared.errors import StudyIncomplete

    if run and epochs:
        raise click.UsageError("--run and --epochs are mutually exclusive: the run determines the network.")
    chosen = {
        "dataset": dataset,
        "run": run,
        "epochs": epochs,
        "images": images,
        "leave-out": ",".join(leave_out) or None,
    }
    options = [f"{option}={value}" for option, value in chosen.items() if value is not None]
    name = name or re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(map(str, filter(None, (STUDY, dataset, run)))))
    if run:
        _check_dataset(app, run, dataset)
    if dry_run:
        app.database.discards_changes = True
    prepared = prepare_study(app, STUDY, [*options, *settings], name, ignore_space=ignore_space, retry=retry)
    if dry_run:
        print_plan(app, prepared)
        return
    incomplete: StudyIncomplete | None = None
    try:
        prepared.run(replace=replace)
    except StudyIncomplete as error:  # the page shows what there is
        incomplete = error
    page = page or Path(f"{name}.html")
    sections = write_page(app, name, page, prepared.left_out)
    _print_sections(app, sections, as_json)
    (app.err if as_json else app.out).print(f"Page: {page}", soft_wrap=True, markup=False, highlight=False)
    if incomplete:
        raise incomplete


def _check_dataset(app: App, run: int, dataset: str) -> None:
    """Check that a training run is of a data set: the page compares experiments on the images it was trained on.

    Raises
    ------
    NoSuchRun, NoSuchDataset, UsageError
    """
    from producer.networks.choice import NetworkOptions, dataset_of_network
    from shared.database.catalogue import find_dataset
    from shared.errors import UsageError

    with app.database.read() as session:
        trained = dataset_of_network(session, None, NetworkOptions(run=run))
        if trained.fingerprint != find_dataset(session, dataset).fingerprint:
            raise UsageError(reason=f"Training run {run} is of data set '{trained.name}', not '{dataset}'.")


def _print_sections(app: App, sections: Sequence[PageSection], as_json: bool) -> None:
    from producer.cli.printing import print_json, table

    if as_json:
        print_json(
            [
                {
                    "title": section.text.title,
                    "claim": section.text.claim or None,
                    "holds": section.finding.holds if section.finding else None,
                    "figures": section.finding.reason if section.finding else None,
                    "source": section.text.source,
                    "measures": [
                        {"name": measure, "published": published, "here": ours}
                        for measure, published, ours in section.measures
                    ],
                }
                for section in sections
            ]
        )
        return
    rows = [
        [
            section.text.title.split(":")[0],
            section.text.claim,
            section.verdict,
            section.finding.reason if section.finding else "",
        ]
        for section in sections
        if section.text.claim
    ]
    app.out.print(table(["experiment", "claim of the paper", "here", "figures"], rows))
