"""Why merging helps, if it does: what a source shift there is, and what crosses it.

A classifier that is trained on two hospitals sees more records, and records of two kinds. Three
questions take this apart: whether the hospitals can be told by the records at all (`source_shift`),
what a model of one hospital is worth in the other (`crossing_results`), and, on the page of the
merged data, whether a gain remains against oversampling, class weights and classical augmentation,
and in each hospital alone (`studies.experiments.augmentation`). `explained` puts the answers
together.
"""

import numpy as np

from ecgrepro.closeness.metrics.privacy import share_below
from ecgrepro.closeness.metrics.use import discriminator_scores
from ecgrepro.report.tables import marked, number
from ecgrepro.studies.arms import REAL, Arm, probabilities
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.profiles import LEARNED
from ecgrepro.studies.scoring import arm_results, corrected, patients_of
from ecgrepro.support.results import Result
from ecgrepro.workflow.grid import Cell, run_cells
from ecgrepro.workflow.run import HOSPITALS, MERGED, Run

WITHIN = "trained at home"
ACROSS = "trained in the other hospital"
BOTH = "trained in both"
CROSSING = "crossing"  # scope of what is scored across hospitals


def source_shift(run: Run) -> list[Result]:
    """How well a logistic regression tells the hospitals apart, by rhythm and over all.

    AUC over the real test records of both, cross-validated by patient, on embeddings of the
    classifier that was trained on both. 0.5: no shift that it could use. Without a rhythm the two
    hospitals have the mix of rhythms that they have.
    """
    test, judge = run.splits(MERGED)["test"], real_classifier(run, MERGED)
    embedded, source = judge.embed(test), test.table["source"].to_numpy()
    rows = []
    for rhythm in ("", *[code for code, n in test.counts().items() if n]):
        of_rhythm = (test.table["rhythm"] == rhythm).to_numpy() | (rhythm == "")
        first, second = (np.flatnonzero(of_rhythm & (source == name)) for name in HOSPITALS)
        n = min(len(first), len(second))
        if n < 10:
            rows.append(
                Result("source_auc", None, n=n, dataset=MERGED, rhythm=rhythm,
                       note="too few records of one hospital: 10 are needed")
            )  # fmt: skip
            continue
        scores = discriminator_scores(
            embedded[first], embedded[second], patients=patients_of(test)[first]
        )
        area = share_below(scores[1], scores[0])
        reach = 1.96 * _spread(*scores)
        rows.append(
            Result("source_auc", area, max(0.0, area - reach), min(1.0, area + reach), n=n,
                   dataset=MERGED, rhythm=rhythm)
        )  # fmt: skip
    return rows


def _spread(first: np.ndarray, second: np.ndarray) -> float:
    """Standard error of the area under the curve (DeLong et al. 1988)."""
    above = [np.mean(second < x) + np.mean(second == x) / 2 for x in first]
    below = [np.mean(first > x) + np.mean(first == x) / 2 for x in second]
    parts = ((above, first), (below, second))
    return float(np.sqrt(sum(np.var(v, ddof=1) / len(x) for v, x in parts)))


def crossing_results(run: Run) -> list[Result]:
    """Real-trained classifiers at home, in the other hospital, and trained on both.

    ``dataset`` is the hospital of the test records. Differences are to the classifier of that
    hospital's own records; every classifier has the same number of updates. The one that is trained
    in the other hospital is selected there as well: it has seen nothing of this one.
    """
    away = {home: Arm(ACROSS, trained_in=other) for home, other in (HOSPITALS, HOSPITALS[::-1])}
    wanted = [(MERGED, Arm(REAL))]
    wanted += [(home, arm) for home in HOSPITALS for arm in (Arm(REAL), away[home])]
    run_cells(run, [Cell(name, arm, seed) for name, arm in wanted for seed in run.profile.seeds])
    rows, both = [], probabilities(run, MERGED, Arm(REAL))
    source = run.splits(MERGED)["test"].table["source"].to_numpy()
    for home in HOSPITALS:
        by_arm = {
            WITHIN: probabilities(run, home, Arm(REAL)),
            ACROSS: probabilities(run, home, away[home]),
            BOTH: both[:, source == home],
        }
        keys = {"dataset": home, "scope": CROSSING}
        test = run.splits(home)["test"]
        rows += arm_results(test, by_arm, WITHIN, resamples=run.profile.resamples, **keys)
    return corrected(rows)


def explained(rows: list[Result]) -> list[tuple[str, str]]:
    """Questions about the merged gain, each with what the results of the merged page say of it."""
    rows = [row for row in rows if row.value is not None]
    (shift,) = [r for r in rows if r.metric == "source_auc" and not r.rhythm]
    found = [("Can the hospitals be told apart by a record? (AUC; 0.5: no)", _shown(shift))]
    f1 = [r for r in rows if r.metric == "macro_f1" and r.comparison]
    crossed = {(r.dataset, r.arm): r for r in f1 if r.scope == CROSSING}
    for home in HOSPITALS:
        found += [
            (f"What does training in both change for {home}?", _shown(crossed[home, BOTH])),
            (
                f"And training in the other hospital alone, for {home}?",
                _shown(crossed[home, ACROSS]),
            ),
        ]
    gains = [r for r in f1 if r.scope == MERGED and r.comparison == REAL and _learned(r.arm)]
    if not gains:
        return found
    best = max(gains, key=lambda row: row.value)
    found.append((f"What do synthetic records add at most? ({best.arm})", _shown(best)))
    for scope in HOSPITALS:
        part = next(r for r in f1 if (r.scope, r.comparison, r.arm) == (scope, REAL, best.arm))
        found.append((f"The same, in {scope} alone", _shown(part)))
    for row in f1:
        if row.scope == MERGED and row.arm == best.arm and row.comparison != REAL:
            found.append((f"Does that remain against {row.comparison}?", _shown(row)))
    return found


def _learned(arm: str) -> bool:
    return any(arm.startswith(f"real + {name}") for name in LEARNED)


def _shown(row: Result) -> str:
    return f"{number(row.value, row.low, row.high)} {marked(row) if row.comparison else ''}".strip()
