"""The frozen run: results on real recordings that come with the project, to be compared with."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ecgrepro.errors import EcgreproError
from ecgrepro.report.tables import effect, marked, number
from ecgrepro.studies.arms import REAL
from ecgrepro.studies.experiments.transfer import SCRATCH
from ecgrepro.support.provenance import PROJECT
from ecgrepro.support.results import Result, read_results
from ecgrepro.workflow.run import NO_EVIDENCE

FOLDER = PROJECT / "reference"
HELPING = ("07_helping",)
FROZEN = ("03_closeness", "04_augmentation", "05_transfer", *HELPING)  # sections
RESULTS, ASKED_AGAIN = "results", "confirmed"  # folders
SHOWN = ("profile", "data", "commit", "device", "seeds")  # of the provenance


def freeze(run_dir: Path, folder: Path = FOLDER, *, confirmation: bool = False) -> list[Path]:
    """Take over a run's results as the frozen ones; what was frozen before is replaced.

    ``confirmation``: of a run that asks an open question of `07_helping` again, with other seeds.

    Raises
    ------
    EcgreproError
        If the run is not on real recordings, was made by code that is in no commit, or has no
        results of a section.
    """
    sections, place = (HELPING, ASKED_AGAIN) if confirmation else (FROZEN, RESULTS)
    found = [p for name in sections for p in sorted((run_dir / "results" / name).glob("*.json"))]
    for path in found:
        facts = _provenance(path)
        if facts["data"] not in ("partial real", "full real") or facts["dirty"] is not False:
            changed = "" if facts["dirty"] is False else " with changes"
            raise EcgreproError(
                f"{path} is of {facts['data']} recordings, commit {facts['commit'][:12]}{changed}: "
                "only a run on real recordings by committed code can be frozen"
            )
    if missing := [name for name in sections if not any(p.parent.name == name for p in found)]:
        raise EcgreproError(f"{run_dir} has no results of {', '.join(missing)}: run them first")
    results, partial = folder / place, folder / f"{place}.partial"
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
    return _content(path)["provenance"]


def _content(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
        return {key: content[key] for key in ("provenance", "results")}
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise EcgreproError(f"{path} is no results file ({error}): run its page again") from error


def frozen_results(folder: Path = FOLDER) -> pd.DataFrame:
    """The frozen results that the claims are judged by, as `ecgrepro.workflow.run.Run.results`."""
    found = read_results(folder / RESULTS)
    return found[~found["section"].isin(NO_EVIDENCE)]


def frozen_page(
    section: str, instance: str, folder: Path = FOLDER, *, kind: str = RESULTS
) -> list[Result]:
    """The results of one page of the frozen run; none if it has not got that page.

    ``kind``: `RESULTS`, or `ASKED_AGAIN`, those of the run that asked again with other seeds.
    """
    path = folder / kind / section / f"{instance}.json"
    return [Result(**row) for row in _content(path)["results"]] if path.is_file() else []


def helping_gains(results: Sequence[Result]) -> pd.DataFrame:
    """What the chosen recipes of `07_helping` gained: macro-F1 minus that of controls.

    Columns: share of the real records, recipe, minus, difference, d, p.
    """
    lines = [
        {
            "share": f"{row.fraction:.0%}",
            "chosen recipe": row.arm,
            "minus": row.comparison,
            "difference of macro-F1": _marked(row),
            "d": effect(row.effect),
            "p": f"{row.p_value:.3f}",
        }
        for row in results
        if row.metric == "macro_f1" and row.comparison
    ]
    return pd.DataFrame(lines)


def transfer_scores(results: Sequence[Result]) -> pd.DataFrame:
    """Macro-F1 of each arm of `05_transfer` by share, marked against training from scratch."""
    f1 = [row for row in results if row.metric == "macro_f1"]
    marks = {(r.arm, r.fraction): marked(r) for r in f1 if r.comparison == SCRATCH}
    lines: dict[str, dict[str, str]] = {}
    for row in f1:
        if not row.comparison:
            said = f"{row.value:.3f} {marks.get((row.arm, row.fraction), '')}".strip()
            lines.setdefault(row.arm, {})[f"{row.fraction:.0%}"] = said
    shares = [f"{share:.0%}" for share in sorted({row.fraction for row in f1})]
    return (
        pd.DataFrame(lines).T.reindex(columns=shares).fillna("–").rename_axis("arm").reset_index()
    )


def augmentation_gains(results: Sequence[Result]) -> pd.DataFrame:
    """Macro-F1 of each arm of `04_augmentation` minus training on real records only."""
    lines = [
        {"tested on": row.scope, "arm": row.arm, "difference of macro-F1": _marked(row),
         "d": effect(row.effect), "p": f"{row.p_value:.3f}"}
        for row in results
        if row.metric == "macro_f1" and row.comparison == REAL
    ]  # fmt: skip
    return pd.DataFrame(lines)


def _marked(row: Result) -> str:
    return f"{number(row.value, row.low, row.high)} {marked(row)}"


def frozen_facts(folder: Path = FOLDER) -> dict:
    """Profile, data, commits, devices and seeds of the frozen run, and its generators' devices."""
    facts = [_provenance(path) for path in sorted((folder / RESULTS).rglob("*.json"))]
    shown = {key: sorted({_listed(fact[key]) for fact in facts}) for key in SHOWN}
    names: dict[str, set[str]] = {}
    for fact in facts:
        for generator, device in fact.get("generators_trained_on", {}).items():
            names.setdefault(device, set()).add(generator.split(" of ")[0])
    generators = [f"{device} ({', '.join(sorted(names[device]))})" for device in sorted(names)]
    return {**shown, "generators": generators}


def _listed(value: str | list) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
