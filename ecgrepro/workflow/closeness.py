"""Closeness of a run's synthetic records, and the checks of its metrics: made once, found again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ecgrepro.closeness.metrics.heart import HeartLog, measures
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.experiments.closeness import compare_records
from ecgrepro.studies.experiments.detectors import (
    calibration_results,
    detected_twice,
    measured_sample,
)
from ecgrepro.studies.experiments.sensitivity import (
    damaged,
    damages,
    labelled,
    privacy_sets,
    size_effect,
    three_sets,
)
from ecgrepro.support.results import Result, required
from ecgrepro.workflow.products import CLASSIFIERS, judge, synthetic_pool
from ecgrepro.workflow.run import Run

_STUDIES = "ecgrepro.studies.experiments"
COMPARING = (f"{_STUDIES}.closeness.compare_records", f"{CLASSIFIERS}.train_judge")
DAMAGING = (*COMPARING, f"{_STUDIES}.sensitivity.three_sets", f"{_STUDIES}.sensitivity.damaged")


def pool_closeness(run: Run, dataset: str, generator: str) -> list[Result]:
    """Every metric of `ecgrepro.closeness.compare` for a generator's pool against test records.

    Embeddings are those of the classifier trained on real records only.
    """
    place = _compared_pool(run, dataset, generator)
    return [replace(row, dataset=dataset, generator=generator) for row in _read_rows(place)]


def heart_sample(run: Run, dataset: str, generator: str) -> pd.DataFrame:
    """What was measured for the family heart: a row a record, its ``set`` and ``rhythm`` first."""
    place = _compared_pool(run, dataset, generator)
    return pd.read_csv(place / "heart.csv", float_precision="round_trip")


def _compared_pool(run: Run, dataset: str, generator: str) -> Path:
    """The folder with the comparison of a generator's pool."""
    parts, pool = run.splits(dataset), synthetic_pool(run, dataset, generator)

    def make(folder: Path) -> None:
        log = HeartLog(lambda cohort: physiology(run, dataset, cohort))
        _write_rows(
            folder,
            compare_records(
                parts["train"],
                parts["test"],
                pool,
                judge(run, dataset),
                run.profile.closeness,
                log,
            ),
        )
        required(log.table()).to_csv(folder / "heart.csv", index=False)

    made_from = {"pool": pool.fingerprint, **_judged_by(run)}
    return run.artifact(f"closeness-{generator}", dataset, made_from, COMPARING, make)


def _judged_by(run: Run) -> dict[str, Any]:
    """What decides a comparison beside the records."""
    return {
        "closeness": run.profile.closeness.model_dump(),
        "classifier": run.profile.classifier.model_dump(),
        "seed": run.profile.seeds[0],
    }


def physiology(run: Run, dataset: str, cohort: Cohort) -> pd.DataFrame:
    """`ecgrepro.closeness.metrics.heart.measures` of a cohort's records."""

    def make(folder: Path) -> None:
        measures(cohort.signals, cohort.fs).to_csv(folder / "measures.csv", index=False)

    made_from = {"cohort": cohort.fingerprint, "neurokit2": version("neurokit2")}
    code = ["ecgrepro.closeness.metrics.heart.measures"]
    place = run.artifact("physiology", dataset, made_from, code, make)
    return pd.read_csv(place / "measures.csv", dtype=float, float_precision="round_trip")


@dataclass(frozen=True)
class Checks:
    """What the metrics of closeness and the detectors made of real records.

    Attributes
    ----------
    beats
        A row a record, see `ecgrepro.studies.experiments.detectors.detected_twice`.
    detectors, sizes, defects, privacy
        Rows of `calibration_results`, of `size_effect`, of every metric for every defect, and of
        privacy for sets of which the truth is known.
    """

    beats: pd.DataFrame
    detectors: list[Result]
    sizes: list[Result]
    defects: list[Result]
    privacy: list[Result]


def check_metrics(run: Run, dataset: str) -> Checks:
    """All checks of the metrics on the real records of a hospital."""
    beats = detected_beats(run, dataset)
    return Checks(
        beats,
        _calibration(run, dataset, beats),
        _sizes(run, dataset),
        sensitivity(run, dataset),
        privacy(run, dataset),
    )


def detected_beats(run: Run, dataset: str) -> pd.DataFrame:
    """`ecgrepro.studies.experiments.detectors.detected_twice` of all records of a hospital."""
    cohort = run.cohort(dataset)

    def make(folder: Path) -> None:
        detected_twice(cohort).to_csv(folder / "beats.csv", index=False)

    libraries = {name: version(name) for name in ("neurokit2", "wfdb")}
    code = [f"{_STUDIES}.detectors.detected_twice"]
    place = run.artifact("beats", dataset, libraries, code, make)
    return pd.read_csv(place / "beats.csv", dtype=float)


def _calibration(run: Run, dataset: str, beats: pd.DataFrame) -> list[Result]:
    cohort = run.cohort(dataset)
    sample = measured_sample(cohort, 3 * run.profile.closeness.heart)
    measured = physiology(run, dataset, sample)
    return calibration_results(cohort, beats, sample, measured, dataset)


def sensitivity(run: Run, dataset: str) -> list[Result]:
    """Every metric for every defect: ``arm`` is the defect, ``fraction`` its level."""
    rows = []
    for kind, level in damages(run.profile.closeness.levels):
        rows += labelled(_defect(run, dataset, kind, level), kind, level, dataset)
    return rows


def _defect(run: Run, dataset: str, kind: str, level: float) -> list[Result]:
    """`compare` of one damaged set, all rhythms together."""
    sets = _three(run, dataset)

    def make() -> list[Result]:
        made = damaged(sets, kind, level)
        return _compared(run, dataset, sets, made)

    made_from = {"defect": kind, "level": level, **_judged_by(run)}
    return _kept_rows(run, "defect", dataset, made_from, DAMAGING, make)


def privacy(run: Run, dataset: str) -> list[Result]:
    """The family privacy for sets of which the truth is known; ``arm`` is what was judged."""
    sets = _three(run, dataset)

    def make() -> list[Result]:
        rows = []
        for arm, made in privacy_sets(sets).items():
            found = _compared(run, dataset, sets, made, families=["privacy"])
            rows += [replace(row, dataset=dataset, arm=arm) for row in found]
        return rows

    code = [*DAMAGING, f"{_STUDIES}.sensitivity.privacy_sets"]
    return _kept_rows(run, "privacy", dataset, _judged_by(run), code, make)


def _sizes(run: Run, dataset: str) -> list[Result]:
    def make() -> list[Result]:
        k = run.profile.closeness.neighbours
        return size_effect(_three(run, dataset), judge(run, dataset), k, dataset)

    code = [*DAMAGING, f"{_STUDIES}.sensitivity.size_effect"]
    return _kept_rows(run, "sizes", dataset, _judged_by(run), code, make)


def _three(run: Run, dataset: str) -> dict[str, Cohort]:
    return three_sets(run.cohort(dataset), run.profile.folds)


def _compared(
    run: Run, dataset: str, sets: dict[str, Cohort], made: Cohort, **chosen: Any
) -> list[Result]:
    """A set in the place of synthetic records, all rhythms together."""
    return compare_records(
        sets["train"],
        sets["test"],
        made,
        judge(run, dataset),
        run.profile.closeness,
        lambda cohort: physiology(run, dataset, cohort),
        by_rhythm=False,
        **chosen,
    )


def _kept_rows(
    run: Run,
    name: str,
    dataset: str,
    made_from: dict[str, Any],
    code: Sequence[str],
    make: Callable[[], list[Result]],
) -> list[Result]:
    """Rows as an artifact."""
    place = run.artifact(name, dataset, made_from, code, lambda folder: _write_rows(folder, make()))
    return _read_rows(place)


def _write_rows(folder: Path, rows: list[Result]) -> None:
    (folder / "rows.json").write_text(json.dumps([asdict(row) for row in rows]))


def _read_rows(folder: Path) -> list[Result]:
    return [Result(**row) for row in json.loads((folder / "rows.json").read_text())]
