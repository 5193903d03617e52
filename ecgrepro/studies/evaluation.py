"""Judging synthetic records of one's own: a classifier, all metrics, and use for training."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.closeness import FLOOR
from ecgrepro.closeness.compare import compare
from ecgrepro.closeness.intervals import Budget
from ecgrepro.closeness.matching import SETS, SYNTHETIC, check_comparable, check_finite
from ecgrepro.closeness.metrics.heart import HeartLog, measures
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.studies.scoring import patients_of
from ecgrepro.studies.selection import draw
from ecgrepro.studies.statistics.bootstrap import bootstrap_interval
from ecgrepro.support.results import Result


@dataclass(frozen=True)
class Judged:
    """What `judge` found: ``rows``, the ``judge``, and what was measured of the heart.

    ``given``: the classifier was trained elsewhere.
    """

    rows: list[Result]
    judge: Classifier
    given: bool
    real: Cohort
    parts: dict[str, Cohort]
    synthetic: Cohort
    hearts: pd.DataFrame | None


def judge(
    real: Cohort,
    synthetic: Cohort,
    folds: dict[str, list[int]],
    *,
    classifier: Classifier | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Judged:
    """Every metric of synthetic against real records, and TSTR.

    Parameters
    ----------
    real, synthetic
        Cohorts of one fs, leads, length, units and label map.
    folds
        Of the real records: ``train``, ``validation`` and ``test``.
    classifier
        One that was trained on the real training folds, and has not seen synthetic records;
        trained here without.

    Raises
    ------
    EcgreproError
        A split is empty, or the cohorts do not go together.
    """
    parts = real.split(**folds)
    for name, part in parts.items():
        if not len(part):
            there = ", ".join(map(str, sorted(set(real.table["fold"]))))
            raise EcgreproError(
                f"no record of {real.name} is in the {name} folds {folds[name]}: it has the folds "
                f"{there}; name others, or write a column fold into its labels.csv"
            )
    check_comparable(dict(zip(SETS, (parts["train"], parts["test"], synthetic), strict=True)))
    check_finite(synthetic, SYNTHETIC)
    given = classifier is not None
    if given and classifier.labels != real.labels:
        raise EcgreproError(
            f"the classifier reads the classes of {classifier.labels}, the records have those of "
            f"{real.labels}: give one of the same label map, or none"
        )
    if not given:
        classifier = Classifier(seed=seed, device=device).fit(parts["train"], parts["validation"])
    log = HeartLog(lambda cohort: measures(cohort.signals, cohort.fs))
    rows = compare(
        parts["train"],
        parts["test"],
        synthetic,
        embed=classifier.embed,
        predict=classifier.predict,
        measure=log,
        budget=budget,
        seed=seed,
    )
    rows += trained_on(classifier, parts, synthetic, seed, device)
    return Judged(rows, classifier, given, real, parts, synthetic, log.table())


def trained_on(
    classifier: Classifier,
    parts: dict[str, Cohort],
    synthetic: Cohort,
    seed: int,
    device: str | None = None,
) -> list[Result]:
    """TSTR: macro-F1 on the real test records of a classifier trained on synthetic ones.

    On as many records of each rhythm as both the synthetic and the real training set have, with the
    updates of ``classifier``; the floor is that of as many real ones. Both are selected on the real
    validation records. Intervals are over patients, for one seed. A rhythm without synthetic
    records is in neither training set.
    """
    test, train, there = parts["test"], parts["train"].counts(), synthetic.counts()
    counts = {r: min(n, there[r]) for r, n in train.items()}
    lacking = [r for r, n in train.items() if n and not there[r]]
    note = f"none of {', '.join(lacking)} in training" if lacking else ""
    rows = []
    for source, comparison in ((synthetic, ""), (parts["train"], FLOOR)):
        one = Classifier(classifier.config, seed=seed, device=device)
        one.fit(draw(source, counts, 1.0), parts["validation"])
        found = bootstrap_interval(
            test.targets, one.predict_proba(test)[None], "macro_f1", patients=patients_of(test)
        )
        rows.append(
            Result(
                "tstr",
                found.value,
                found.low,
                found.high,
                sum(counts.values()),
                comparison=comparison,
                note=note,
            )
        )
    return rows


def accuracy(classifier: Classifier, cohort: Cohort) -> float:
    """Share of records whose rhythm the classifier reads as labelled."""
    return float(np.mean(classifier.predict(cohort) == cohort.table["rhythm"].to_numpy()))
