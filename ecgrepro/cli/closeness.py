"""``ecgrepro closeness``: how close a folder of synthetic records is to real ones."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgrepro.cli.options import Device, read_device, read_folds, spell
from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import write_whole

if TYPE_CHECKING:
    from ecgrepro.cohort.cohort import Cohort
    from ecgrepro.studies.evaluation import Judged


class Scale(StrEnum):
    """Units in which records are compared."""

    z = "z"
    mV = "mV"


def closeness(
    real: Annotated[
        str,
        typer.Option(help="ptb-xl, chapman, or a folder of WFDB records with labels.csv."),
    ],
    synthetic: Annotated[
        Path, typer.Option(help="A folder that ecgrepro sample wrote, or WFDB with labels.csv.")
    ],
    out: Annotated[
        Path, typer.Option(help="The HTML report; results as JSON stand beside it.")
    ] = Path("closeness.html"),
    root: Annotated[
        Path | None, typer.Option(help="Of a named data set; default below $ECGREPRO_DATA.")
    ] = None,
    labels: Annotated[str, typer.Option(help="rhythm7 or rhythm4.")] = "rhythm7",
    scale: Annotated[
        Scale, typer.Option(help="mV also tests lead identities; z-scored records have none.")
    ] = Scale.z,
    fs: Annotated[float, typer.Option(help="Sampling frequency in Hz.")] = 100,
    train: Annotated[str, typer.Option(help="Folds of the real records to train on.")] = "1-7",
    validation: Annotated[str, typer.Option(help="Folds that choose the classifier.")] = "8",
    test: Annotated[str, typer.Option(help="Folds to compare with.")] = "9,10",
    classifier: Annotated[
        Path | None,
        typer.Option(help="A saved classifier that saw the training folds only; trained if not."),
    ] = None,
    records: Annotated[int, typer.Option(min=20, help="Records of a set, at most.")] = 2000,
    resamples: Annotated[int, typer.Option(min=20, help="Half-samples for intervals.")] = 200,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time for each family of metrics, about; no limit without."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace a report at --out.")] = False,
) -> None:
    """Say how close synthetic records are to real ones, by every metric, each beside its floor."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise EcgreproError(f"--out {out}: the report is HTML, name a file that ends in .html")
    table = out.with_suffix(".json")
    for path in (out, table):
        if path.exists() and not force:
            raise EcgreproError(f"{path} is there already: replace it with --force")
    folds = {
        "train": read_folds("--train", train),
        "validation": read_folds("--validation", validation),
        "test": read_folds("--test", test),
    }
    write_whole(out.with_name(f"{out.name}.trial"), "").unlink()  # fails before the work, not after
    used = read_device(device)
    where = None if used == "auto" else used
    from ecgrepro.closeness.intervals import Budget
    from ecgrepro.datasets import load_cohort

    wanted = {"labels": labels, "scale": scale.value, "fs": fs}
    cohorts = {"real": load_cohort(real, root, **wanted), "synthetic": _made(synthetic, wanted)}
    if cohorts["real"].fingerprint == cohorts["synthetic"].fingerprint:
        raise EcgreproError("--real and --synthetic are the same records")
    for name, cohort in cohorts.items():
        said = ", ".join(f"{code} {n}" for code, n in cohort.counts().items() if n)
        print(f"{name}: {len(cohort)} records of {cohort.name} ({said})")
    from ecgrepro.classifier.classifier import Classifier
    from ecgrepro.report.html import left_out
    from ecgrepro.studies.evaluation import judge

    for line in left_out(*cohorts.values()):
        print(f"left out {line}", file=sys.stderr)
    judged = judge(
        cohorts["real"],
        cohorts["synthetic"],
        folds,
        classifier=classifier and Classifier.load(classifier, where),
        budget=Budget(records=records, resamples=resamples, seconds=seconds),
        seed=seed,
        device=where,
    )
    _write(judged, cohorts, out, table, {"seed": seed, **wanted, "folds": folds})


def _made(path: Path, wanted: dict[str, Any]) -> Cohort:
    """The synthetic records: a saved cohort as it is, or a folder of WFDB records."""
    from ecgrepro.cohort.cohort import Cohort
    from ecgrepro.datasets import load_cohort

    if (path / "cohort.json").is_file():
        return Cohort.open(path).relabel(wanted["labels"])
    if not path.is_dir():
        raise EcgreproError(f"--synthetic {path}: there is no such folder")
    return load_cohort(str(path.absolute()), **wanted)


def _write(
    judged: Judged, cohorts: dict[str, Cohort], out: Path, table: Path, settings: dict[str, Any]
) -> None:
    from ecgrepro.report.html import named, write_report
    from ecgrepro.support.provenance import commit, versions
    from ecgrepro.support.results import write_results
    from ecgrepro.workflow.run import device_name

    found, dirty = commit()
    facts = {
        **{f"{name} records": f"{named(c)}, {c.fingerprint[:12]}" for name, c in cohorts.items()},
        **{key: value for key, value in settings.items() if key != "folds"},
        **{f"{name} folds": spell(folds) for name, folds in settings["folds"].items()},
        "commit": f"{found}{', changed' if dirty else ''}",
        "device": device_name(),
        **versions(),
    }
    write_report(judged, facts, out)
    write_results(table, judged.rows, facts)
    print(f"report: {out}\nresults: {table}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        no_args_is_help=True,
        epilog="Example: ecgrepro closeness --real chapman --synthetic samples --labels rhythm4",
    )(closeness)
