"""The frozen run: results on real recordings that come with the project, to be compared with."""

import json
import shutil
from pathlib import Path

import pandas as pd

from ecgrepro.errors import EcgreproError
from ecgrepro.provenance import PROJECT
from ecgrepro.report import effect, marked, number
from ecgrepro.results import read_results
from ecgrepro.studies.run import NO_EVIDENCE

FOLDER = PROJECT / "reference"
FROZEN = ("03_closeness", "04_augmentation", "05_transfer", "07_helping")  # sections
SHOWN = ("profile", "data", "commit", "device", "seeds")  # of the provenance


def freeze(run_dir: Path, folder: Path = FOLDER) -> list[Path]:
    """Take over a run's results as the frozen ones; what was frozen before is replaced.

    Raises
    ------
    EcgreproError
        If the run is not on real recordings, was made by code that is in no commit, or has no
        results of a section.
    """
    found = [p for name in FROZEN for p in sorted((run_dir / "results" / name).glob("*.json"))]
    for path in found:
        facts = _provenance(path)
        if facts["data"] not in ("partial real", "full real") or facts["dirty"] is not False:
            changed = "" if facts["dirty"] is False else " with changes"
            raise EcgreproError(
                f"{path} is of {facts['data']} recordings, commit {facts['commit'][:12]}{changed}: "
                "only a run on real recordings by committed code can be frozen"
            )
    if missing := [name for name in FROZEN if not any(p.parent.name == name for p in found)]:
        raise EcgreproError(f"{run_dir} has no results of {', '.join(missing)}: run them first")
    results, partial = folder / "results", folder / "results.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for path in found:
            target = partial / path.relative_to(run_dir / "results")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        shutil.rmtree(results, ignore_errors=True)  # only now that the new ones are complete
        partial.rename(results)
    except OSError as error:
        raise EcgreproError(
            f"cannot write {partial}: {error.strerror or error}; free some space, then freeze again"
        ) from error
    return [results / path.relative_to(run_dir / "results") for path in found]


def _provenance(path: Path) -> dict:
    try:
        return json.loads(path.read_text())["provenance"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise EcgreproError(f"{path} is no results file ({error}): run its page again") from error


def frozen_results(folder: Path = FOLDER) -> pd.DataFrame:
    """The frozen results that the claims are judged by, as `ecgrepro.studies.run.Run.results`."""
    found = read_results(folder / "results")
    return found[~found["section"].isin(NO_EVIDENCE)]


def frozen_helping(dataset: str, folder: Path = FOLDER) -> pd.DataFrame:
    """What the frozen run found that helps on a data set: the results of `07_helping`."""
    found = read_results(folder / "results")
    return found[(found["section"] == "07_helping") & (found["dataset"] == dataset)]


def frozen_gains(dataset: str, folder: Path = FOLDER) -> pd.DataFrame:
    """What the frozen run's chosen recipes gained on a data set: macro-F1 minus that of controls.

    Columns: share of the real records, recipe, minus, difference, d, p; empty if there is nothing.
    """
    found = frozen_helping(dataset, folder)
    found = found[(found["metric"] == "macro_f1") & (found["comparison"] != "")]
    lines = [
        {
            "share": f"{row.fraction:.0%}",
            "chosen recipe": row.arm,
            "minus": row.comparison,
            "difference of macro-F1": f"{number(row.value, row.low, row.high)} {marked(row)}",
            "d": effect(row.effect),
            "p": f"{row.p_value:.3f}",
        }
        for row in found.itertuples()
    ]
    return pd.DataFrame(lines)


def frozen_facts(folder: Path = FOLDER) -> dict:
    """Profile, data, commits, devices and seeds of the frozen run, and its generators' devices."""
    facts = [_provenance(path) for path in sorted((folder / "results").rglob("*.json"))]
    shown = {key: sorted({_listed(fact[key]) for fact in facts}) for key in SHOWN}
    names: dict[str, set[str]] = {}
    for fact in facts:
        for generator, device in fact.get("generators_trained_on", {}).items():
            names.setdefault(device, set()).add(generator.split(" of ")[0])
    generators = [f"{device} ({', '.join(sorted(names[device]))})" for device in sorted(names)]
    return {**shown, "generators": generators}


def _listed(value: str | list) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
