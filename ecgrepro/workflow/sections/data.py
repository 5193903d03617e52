"""Section 01: what the recordings of a hospital are, and how well rhythm is read from them."""

import numpy as np
import pandas as pd

from ecgrepro.classifier.scores import MACRO_SCORES, scores
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.support.results import Result
from ecgrepro.workflow.products import judge
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import AGE_BINS, Section, for_figure


def compute(run: Run, dataset: str) -> Section:
    """Counts by split and rhythm, the real-trained classifier's scores, an example a rhythm."""
    cohort, splits = run.cohort(dataset), run.splits(dataset)
    classifier, test = judge(run, dataset), splits["test"]
    found = scores(classifier.predict_proba(test), test.targets, test.classes)
    baseline = [Result(m, found[m], n=len(test), dataset=dataset) for m in MACRO_SCORES]
    baseline += [
        Result("f1", found["f1"][code], n=n, dataset=dataset, rhythm=code)
        for code, n in test.counts().items()
        if n
    ]
    counts = [
        Result("records", n, dataset=dataset, rhythm=code, scope=split)
        for split, part in splits.items()
        for code, n in part.counts().items()
    ]
    names, signals = _examples(splits["train"])
    table = pd.crosstab(test.table["rhythm"], classifier.predict(test))
    table = table.reindex(index=test.classes, columns=test.classes, fill_value=0)
    facts = {
        "report": cohort.report,
        "patients": int(cohort.table["patient_id"].nunique()),
        "classes": list(cohort.classes),
        "people": _people(cohort),
        "examples": names,
        "fs": cohort.fs,
        "units": cohort.units,
    }
    arrays = {"examples": for_figure(signals), "confusion": table.to_numpy()}
    return Section([*counts, *baseline], facts, arrays)


def _examples(train: Cohort) -> tuple[list[list[str]], np.ndarray]:
    """The first training record of each rhythm: codes with record names, and the signals."""
    shown = [code for code in train.classes if train.counts()[code]]
    first = [int(np.flatnonzero(train.targets == train.classes.index(c))[0]) for c in shown]
    names = [[code, str(train.table["record_id"][i])] for code, i in zip(shown, first, strict=True)]
    return names, train.signals[first]


def _people(cohort: Cohort) -> dict:
    """Histograms of age by sex over `AGE_BINS`, and the median age of each rhythm."""
    ages = {
        sex: cohort.table.loc[cohort.table["sex"] == sex, "age"].dropna()
        for sex in ("female", "male")
    }
    medians = cohort.table.groupby("rhythm")["age"].median().reindex(cohort.classes)
    return {
        "histogram": {s: np.histogram(a, AGE_BINS)[0].tolist() for s, a in ages.items()},
        "known": {sex: len(values) for sex, values in ages.items()},
        "median_age": {code: None if np.isnan(v) else float(v) for code, v in medians.items()},
    }
