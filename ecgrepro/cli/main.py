"""The command line: ``ecgrepro data ...``, ``run``, ``train``, ``sample`` and ``closeness``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecgrepro.cli import closeness as cli_closeness
from ecgrepro.cli import generators as cli_generators
from ecgrepro.errors import EcgreproError

app = typer.Typer(
    help="Synthetic ECG for arrhythmia classification: an executable reproduction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
data = typer.Typer(help="Get and inspect recordings.", no_args_is_help=True)
app.add_typer(data, name="data")


class Data(StrEnum):
    """Which recordings a run uses."""

    simulated = "simulated"
    real = "real"


class Hospital(StrEnum):
    """A data set that can be downloaded."""

    ptb_xl = "ptb-xl"
    chapman = "chapman"


def main() -> None:
    """Run the command line; what the user can mend is said in a sentence, without a traceback."""
    try:
        app()
    except EcgreproError as error:
        print(f"ecgrepro: {error}", file=sys.stderr)
        sys.exit(1)


Profile = Annotated[str, typer.Option(help="Name in profiles/, or the path of a YAML file.")]


@app.command(epilog="Example: ecgrepro run --profile quick --data simulated --cores 2")
def run(
    profile: Profile = "quick",
    data: Annotated[Data, typer.Option(help="Recordings to use.")] = Data.simulated,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores; by default all.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Default: runs/<profile>-<data>.")] = None,
    page: Annotated[
        str | None, typer.Option(help="Only this page and what it needs, e.g. 01_data/ptb-xl.")
    ] = None,
    snakemake: Annotated[
        list[str] | None,
        typer.Argument(help="Further arguments for Snakemake, after --: -- --executor slurm"),
    ] = None,
) -> None:
    """Run the study's notebooks and build the book; what is up to date is not done again."""
    from ecgrepro.workflow.runner import run_study

    done = run_study(
        profile, data.value, cores=cores, directory=run_dir, page=page, snakemake=snakemake
    )
    if done:
        print(f"{'The page' if page else 'The book'} is ready: {done}")


cli_generators.register(app)
cli_closeness.register(app)


@app.command(hidden=True, name="page")
def page_(
    name: str,
    profile: Profile,
    data: Annotated[Data, typer.Option()],
    run_dir: Annotated[Path, typer.Option()],
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Execute one page (a step of the graph)."""
    from ecgrepro.workflow.runner import page_step

    page_step(name, profile, data.value, run_dir, threads)


@app.command(hidden=True)
def book(run_dir: Annotated[Path, typer.Option()]) -> None:
    """Build the book of a run (the last step of the graph)."""
    from ecgrepro.workflow.runner import book_step

    book_step(run_dir)


@app.command(hidden=True)
def freeze(run_dir: Annotated[Path, typer.Option()], confirmation: bool = False) -> None:
    """Take over a run's results as those that come with the project, in reference/.

    With --confirmation those of profile `confirm`, beside the others.
    """
    from ecgrepro.workflow.reference import freeze as freeze_results

    for path in freeze_results(run_dir, confirmation=confirmation):
        print(path)


@app.command(hidden=True)
def store() -> None:
    """Execute the stored notebooks in place (see `make notebooks`)."""
    from ecgrepro.workflow.pages import SECTIONS
    from ecgrepro.workflow.pages import store as store_notebook

    for name in SECTIONS:
        print(store_notebook(name))


@app.command()
def profiles() -> None:
    """List the profiles that come with the project."""
    from ecgrepro.studies.profiles import load_profile, profile_names

    for name in profile_names():
        print(f"{name:8} {load_profile(name).description}")


@data.command(epilog="Example: ecgrepro data describe ptb-xl --root data/ptb-xl --json")
def describe(
    name: Annotated[
        str, typer.Argument(help="ptb-xl, chapman, simulated-ptb-xl, simulated-chapman or a folder")
    ],
    root: Annotated[Path | None, typer.Option(help="Default: below $ECGREPRO_DATA.")] = None,
    labels: Annotated[str, typer.Option(help="rhythm7 or rhythm4")] = "rhythm7",
    scale: Annotated[str, typer.Option(help="z or mV")] = "z",
    fs: Annotated[float, typer.Option(help="Sampling frequency in Hz.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a data set holds: found, missing, dropped by reason, records per rhythm and fold."""
    from ecgrepro.datasets import load_cohort
    from ecgrepro.datasets.describe import describe_cohort, describe_text

    facts = describe_cohort(load_cohort(name, root, labels, scale, fs))
    print(json.dumps(facts, indent=1) if as_json else describe_text(facts))


@data.command(epilog="Example: ecgrepro data download chapman --root data/ecg-arrhythmia")
def download(
    name: Hospital,
    root: Annotated[
        Path | None, typer.Option(help="Default: below $ECGREPRO_DATA or data/.")
    ] = None,
    rate: Annotated[int, typer.Option(help="PTB-XL: 100 or 500 Hz files.")] = 100,
    ningbo: Annotated[
        bool, typer.Option("--ningbo", help="Chapman: also the second hospital's records.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Connections.")] = 8,
    verify: Annotated[bool, typer.Option(help="Hash again what is there already.")] = False,
) -> None:
    """Download recordings from PhysioNet, verified; an interrupted download goes on."""
    from ecgrepro.datasets.download import download as fetch

    print(
        f"complete: {fetch(name.value, root, rate=rate, ningbo=ningbo, jobs=jobs, verify=verify)}"
    )
