"""Synthetic records that help: many recipes are tried, and one of them is put to the test.

A recipe that is best of many on the records it was chosen by looks better than it is. So all
recipes are compared on the *validation* records, with seeds of their own; then the best one is run
again with the seeds of the study, and compared on the *test* records with training on real records
only and with every control that has the same budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgrepro.classifier.scores import scores
from ecgrepro.report.tables import SIGNIFICANT, number
from ecgrepro.studies.arms import REAL, Arm, probabilities, run_arm
from ecgrepro.studies.experiments.recipes import TWIN, controls, recipes, simulated_twin
from ecgrepro.studies.findings.claims import CLOSE
from ecgrepro.studies.scoring import arm_results, corrected, curve, differences, patients_of
from ecgrepro.support.results import Result
from ecgrepro.workflow.grid import Cell, run_cells
from ecgrepro.workflow.run import Run

TRIED = "validation"  # scope of what recipes are chosen by
CONFIRMED = "test"  # scope of what is claimed
ALL_REAL = f"{REAL}, all records"  # what training without real records is held against
HELPS, HARMS, OPEN = "helps", "does not help", "not shown"


@dataclass(frozen=True)
class Setting:
    """A share of a hospital's real training records, and what came of it."""

    dataset: str
    fraction: float
    best: Arm
    rows: list[Result]


def verdict(results: Sequence[Result]) -> str:
    """Whether the chosen recipe of one share beats every arm that it is compared with on macro-F1.

    `HELPS` if all differences lie above zero, also after correction; `HARMS` if one lies below.
    """
    gains = _gains(results)
    if all(r.low > 0 and r.p_value <= SIGNIFICANT for r in gains):
        return HELPS
    worse = any(r.high < 0 and r.p_value <= SIGNIFICANT for r in gains)
    return HARMS if worse else OPEN


def verdict_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """One line for each share: its recipe, the difference that it falls short by, the verdict."""
    lines = []
    for fraction in sorted({row.fraction for row in results}):
        own = [row for row in results if row.fraction == fraction]
        least = min(_gains(own), key=lambda row: row.low)
        lines.append(
            {
                "share": f"{fraction:.0%}",
                "chosen recipe": least.arm,
                "least sure difference": number(least.value, least.low, least.high),
                "to": least.comparison,
                "verdict": "; ".join([verdict(own), *_remarks(_gains(own))]),
            }
        )
    return lines


def _remarks(gains: Sequence[Result]) -> list[str]:
    """What a verdict does not say: how nearly it was missed, and what was not to be expected."""
    found = []
    if all(r.low > 0 for r in gains) and any(r.p_value > SIGNIFICANT for r in gains):
        found.append("every interval lies above zero, but not after correction")
    for row in (r for r in gains if r.comparison == ALL_REAL):
        within = "within" if row.value >= -CLOSE else "not within"
        sure = (row.low >= -CLOSE) or (row.high < -CLOSE)
        found.append(
            f"{within} {100 * CLOSE:g} points of training on all real records"
            + ("" if sure else ", the bound being inside the interval")
        )
    return found


def _gains(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.metric == "macro_f1" and r.comparison and r.scope == CONFIRMED]


def settings(run: Run, dataset: str) -> list[Setting]:
    """Every share of the profile's ``helping.fractions``: all recipes tried, the best confirmed."""
    fractions, seeds = run.profile.helping.fractions, run.profile.helping.seeds
    run_cells(
        run,
        [
            Cell(dataset, arm, seed, fraction)
            for fraction in fractions
            for arm in recipes(run, dataset, fraction)
            for seed in seeds
        ],
    )
    tried = {fraction: _tried(run, dataset, fraction) for fraction in fractions}
    best = {fraction: _best(run, dataset, fraction, rows) for fraction, rows in tried.items()}
    run_cells(
        run,
        [
            cell
            for fraction in fractions
            for arm, share in compared(run, fraction, best[fraction])
            for cell in [Cell(dataset, arm, seed, share) for seed in run.profile.seeds]
        ],
    )
    confirmed = corrected_together(
        [row for f in fractions for row in _confirmed(run, dataset, f, best[f])]
    )
    return [
        Setting(dataset, f, best[f], [*tried[f], *[row for row in confirmed if row.fraction == f]])
        for f in fractions
    ]


def compared(run: Run, fraction: float, best: Arm) -> list[tuple[Arm, float]]:
    """The arms that are run on the test records, each with its share of real ones.

    Beside the controls, the recipe itself with the simulator's records. Without real records the
    chosen recipe is compared with training on all of them.
    """
    beaten = controls(run, fraction)
    twin = simulated_twin(run, best)
    if twin and not any(replace(arm, name=twin.name) == twin for arm in beaten):
        beaten.append(twin)
    if fraction:
        return [(arm, fraction) for arm in (best, *beaten)]
    return [(best, 0.0), (Arm(ALL_REAL), 1.0), *[(arm, 0.0) for arm in beaten]]


def share_curves(results: Sequence[Result]) -> dict[str, tuple[Sequence[float], ...]]:
    """Macro-F1 on the test records over the share of the real ones in %, with its interval.

    The chosen recipe of each share, the same recipe with the simulator's records, and training on
    the real records alone and on all of them: for `ecgrepro.figures.charts.learning_curve`.
    """
    tested = [r for r in results if r.metric == "macro_f1" and r.scope == CONFIRMED]
    chosen = {r.fraction: r.arm for r in tested if r.comparison}
    tested = [r for r in tested if not r.comparison and r.fraction in chosen]
    by_name = {
        "chosen recipe": [r for r in tested if r.arm == chosen[r.fraction]],
        "the same recipe, simulator's records": [r for r in tested if r.arm.endswith(TWIN)],
        REAL: [r for r in tested if r.arm == REAL],
    }
    curves = {name: curve(own) for name, own in by_name.items() if own}
    for most in (r.value for r in tested if r.arm == ALL_REAL):
        curves[ALL_REAL] = ([0, 100 * max(chosen)], [most, most])
    return curves


def _tried(run: Run, dataset: str, fraction: float) -> list[Result]:
    """Mean macro-F1 of each recipe on the validation records, over the choosing seeds."""
    parts, seeds = run.splits(dataset), run.profile.helping.seeds
    selecting, rows = parts["validation"], []
    for arm in recipes(run, dataset, fraction):
        each = [
            scores(
                run_arm(run, dataset, arm, seed, fraction).validation,
                selecting.targets,
                selecting.classes,
            )["macro_f1"]
            for seed in seeds
        ]
        rows.append(
            Result("macro_f1", float(np.mean(each)), n=len(selecting), dataset=dataset,
                   arm=arm.name, fraction=fraction, scope=TRIED)
        )  # fmt: skip
    return rows


def _best(run: Run, dataset: str, fraction: float, rows: list[Result]) -> Arm:
    """The recipe of the highest mean; of equals the first."""
    chosen = max(rows, key=lambda row: row.value).arm
    return next(arm for arm in recipes(run, dataset, fraction) if arm.name == chosen)


def _confirmed(run: Run, dataset: str, fraction: float, best: Arm) -> list[Result]:
    """Scores on the test records, and the chosen recipe minus each of the others."""
    test, resamples = run.splits(dataset)["test"], run.profile.resamples
    by_arm = {
        arm.name: probabilities(run, dataset, arm, share)
        for arm, share in compared(run, fraction, best)
    }
    keys = {"dataset": dataset, "fraction": fraction, "scope": CONFIRMED}
    rows = arm_results(test, by_arm, "", resamples=resamples, **keys)
    own, paired = {"patients": patients_of(test), "resamples": resamples}, []
    for name, stack in by_arm.items():
        if name != best.name:
            pair = {name: stack, best.name: by_arm[best.name]}
            paired += differences(test, pair, name, own, keys)
    return rows + paired


def corrected_together(rows: list[Result]) -> list[Result]:
    """The rows with p-values corrected over every share and all that the recipes are compared with.

    Asking at one share after another until something helps must not make chance look like help.
    """
    together = corrected([replace(row, comparison="") for row in rows])
    return [replace(row, p_value=one.p_value) for row, one in zip(rows, together, strict=True)]
