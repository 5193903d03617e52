"""The command line: ``ecgrepro data ...``, ``run``, ``train``, ``sample`` and ``closeness``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecgrepro import __version__
from ecgrepro.cli import closeness as cli_closeness
from ecgrepro.cli import generators as cli_generators
from ecgrepro.errors import EcgreproError
from ecgrepro.support.checkout import require_checkout

app = typer.Typer(
    help="Synthetic ECG for arrhythmia classification: an executable reproduction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
data = typer.Typer(help="Get and inspect recordings.", no_args_is_help=True)
app.add_typer(data, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"ecgrepro {__version__}")
        raise typer.Exit


class Data(StrEnum):
    """Which recordings a run uses."""

    simulated = "simulated"
    real = "real"


class Hospital(StrEnum):
    """A data set that can be downloaded."""

    ptb_xl = "ptb-xl"
    chapman = "chapman"


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it."),
    ] = False,
) -> None:
    """Synthetic ECG for arrhythmia classification: an executable reproduction."""


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
    require_checkout("ecgrepro run")
    from ecgrepro.workflow.runner import run_study

    done = run_study(
        profile, data.value, cores=cores, directory=run_dir, page=page, snakemake=snakemake
    )
    if done:
        print(f"{'The page' if page else 'The book'} is ready: {done}")


cli_generators.register(app)
cli_closeness.register(app)


@app.command(hidden=True)
def job(
    kind: str,
    name: str,
    profile: Profile,
    data: Annotated[Data, typer.Option()],
    run_dir: Annotated[Path, typer.Option()],
    key: Annotated[str, typer.Option()],
) -> None:
    """Do one job of the study's graph."""
    require_checkout("ecgrepro job")
    from ecgrepro.workflow.events import FAILED
    from ecgrepro.workflow.work import do

    try:
        do(kind, name, profile, data.value, run_dir, key)
    except EcgreproError as error:
        print(f"{FAILED}{json.dumps(str(error))}", file=sys.stderr)
        sys.exit(1)


@app.command(hidden=True)
def freeze(run_dir: Annotated[Path, typer.Option()], confirmation: bool = False) -> None:
    """Take over a run's results as those that come with the project, in reference/<profile>.

    With --confirmation only those of the search for recipes.
    """
    require_checkout("ecgrepro freeze")
    from ecgrepro.workflow.reference import SEARCH, SECTIONS
    from ecgrepro.workflow.reference import freeze as freeze_results

    for path in freeze_results(run_dir, SEARCH if confirmation else SECTIONS):
        print(path)


@app.command(hidden=True)
def store(
    run_dir: Annotated[Path, typer.Option(help="The finished run of profile smoke.")],
) -> None:
    """Store the pages of the smoke run that the notebooks show, and execute the notebooks."""
    require_checkout("ecgrepro store")
    from ecgrepro.workflow.pages import store_notebook, stored_pages
    from ecgrepro.workflow.reference import store_smoke

    pages = stored_pages()
    store_smoke(run_dir, list(pages.values()))
    for section in pages:
        print(store_notebook(section))


@app.command()
def profiles() -> None:
    """List the profiles that come with the project."""
    require_checkout("ecgrepro profiles")
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
