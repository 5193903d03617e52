"""Runs that come with the project, in ``reference/``: taken over from a finished run, described.

``partial`` is the reference run on real recordings, ``confirm`` asked one of its questions again
with fresh seeds. ``smoke`` is a brief run on simulated recordings, one page of each section: it is
what the stored notebooks show.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ecgrepro.errors import EcgreproError
from ecgrepro.support.results import read_content, read_results
from ecgrepro.workflow.results import FIGURES, RESULTS, STORED, stored_run

REFERENCE = "partial"  # the run that the claims are judged by
NO_EVIDENCE = ("03_closeness_explained", "06_claims", "07_recipes")  # for the claims: sections
SEARCH = ("07_recipes",)
SECTIONS = ("03_closeness", "04_augmentation", "05_transfer", *SEARCH)
# Sections whose figure data hold no recording: only those are taken over from real recordings.
_FREE = ("04_augmentation", "05_transfer", "07_recipes")
_SHOWN = ("profile", "data", "commit", "device", "seeds")  # of the provenance


def freeze(run_dir: Path, sections: Sequence[str] = SECTIONS, folder: Path = STORED) -> list[Path]:
    """Take over a run's results on real recordings; an earlier run of that profile is replaced.

    Raises
    ------
    EcgreproError
        The run is not on real recordings, was made by code that is in no commit, or has no results
        of a section.
    """
    found = [p for name in sections for p in sorted((run_dir / RESULTS / name).glob("*.json"))]
    for path in found:
        facts = read_content(path)["provenance"]
        if facts["data"] not in ("partial real", "full real") or facts["dirty"] is not False:
            changed = "" if facts["dirty"] is False else " with changes"
            raise EcgreproError(
                f"{path} is of {facts['data']} recordings, commit {facts['commit'][:12]}{changed}: "
                "only a run on real recordings by committed code can be frozen"
            )
    if missing := [name for name in sections if not any(p.parent.name == name for p in found)]:
        raise EcgreproError(f"no results of {', '.join(missing)} in {run_dir}: run the study first")
    pages = [path.relative_to(run_dir / RESULTS).with_suffix("").as_posix() for path in found]
    return _take_over(run_dir, pages, folder / read_content(found[0])["provenance"]["profile"])


def store_smoke(run_dir: Path, pages: Sequence[str], folder: Path = STORED) -> list[Path]:
    """Take over the pages of the smoke run that the stored notebooks show.

    Raises
    ------
    EcgreproError
        The run lacks one of them, or is on real recordings.
    """
    for page in pages:
        path = run_dir / RESULTS / f"{page}.json"
        if not path.is_file() or read_content(path)["provenance"]["data"] != "simulated":
            raise EcgreproError(f"no simulated results of {page} in {run_dir}: run the study first")
    return _take_over(run_dir, pages, folder / "smoke", figures=True)


def _take_over(
    run_dir: Path, pages: Sequence[str], target: Path, *, figures: bool = False
) -> list[Path]:
    """Copy results and figure data of pages; the target is replaced when the copy is complete."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for page in pages:
            _copy(run_dir / RESULTS / f"{page}.json", partial / RESULTS / f"{page}.json")
            drawn = run_dir / FIGURES / f"{page}.npz"
            if drawn.is_file() and (figures or page.startswith(_FREE)):
                _copy(drawn, partial / FIGURES / f"{page}.npz")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except OSError as error:
        raise EcgreproError(
            f"cannot write {partial}: {error.strerror or error}; free some space, then freeze again"
        ) from error
    return [target / RESULTS / f"{page}.json" for page in pages]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def reference_results() -> pd.DataFrame:
    """The results of the reference run that the claims are judged by."""
    found = read_results(stored_run(REFERENCE) / RESULTS)
    return found[~found["section"].isin(NO_EVIDENCE)]


def reference_facts(folder: Path | None = None) -> dict[str, list[str]]:
    """Profile, data, commits, devices and seeds of the reference run, its generators' devices."""
    folder = folder or stored_run(REFERENCE)
    facts = [read_content(p)["provenance"] for p in sorted((folder / RESULTS).rglob("*.json"))]
    shown = {key: sorted({_listed(fact[key]) for fact in facts}) for key in _SHOWN}
    names: dict[str, set[str]] = {}
    for fact in facts:
        for generator, device in fact.get("generators_trained_on", {}).items():
            names.setdefault(device, set()).add(generator.split(" of ")[0])
    generators = [f"{device} ({', '.join(sorted(names[device]))})" for device in sorted(names)]
    return {**shown, "generators": generators}


def _listed(value: str | list) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
