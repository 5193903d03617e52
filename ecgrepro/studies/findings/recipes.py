"""What came of the search for recipes: verdicts, and how nearly they were missed."""

from collections.abc import Sequence

from ecgrepro.studies.arms import REAL
from ecgrepro.studies.experiments.recipes import ALL_REAL, CONFIRMED, SAME_RECIPE
from ecgrepro.studies.findings.claims import CLOSE
from ecgrepro.studies.findings.curves import curve
from ecgrepro.studies.findings.wording import SIGNIFICANT, number
from ecgrepro.support.results import Result, required

HELPS, HARMS, OPEN = "helps", "does not help", "is not established"


def verdict(results: Sequence[Result]) -> str:
    """Whether the chosen recipe of one share beats every arm that it is compared with on macro-F1.

    `HELPS` if all differences lie above zero, also after correction; `HARMS` if one lies below.
    """
    gains = _gains(results)
    if all(required(r.low) > 0 and _significant(r) for r in gains):
        return HELPS
    worse = any(required(r.high) < 0 and _significant(r) for r in gains)
    return HARMS if worse else OPEN


def verdict_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """One line for each fraction: its recipe, the least certain difference, the verdict."""
    lines = []
    for fraction in sorted({required(row.fraction) for row in results}):
        own = [row for row in results if row.fraction == fraction]
        least = min(_gains(own), key=lambda row: required(row.low))
        lines.append(
            {
                "fraction": f"{fraction:.0%}",
                "chosen recipe": least.arm,
                "least certain difference": number(least.value, least.low, least.high),
                "to": least.comparison,
                "verdict": "; ".join([verdict(own), *_remarks(_gains(own))]),
            }
        )
    return lines


def _remarks(gains: Sequence[Result]) -> list[str]:
    """What a verdict does not say: how nearly it was missed, and what was not to be expected."""
    found = []
    if all(required(r.low) > 0 for r in gains) and not all(map(_significant, gains)):
        found.append("every interval lies above zero, but not after correction")
    for row in (r for r in gains if r.comparison == ALL_REAL):
        within = "within" if required(row.value) >= -CLOSE else "not within"
        sure = required(row.low) >= -CLOSE or required(row.high) < -CLOSE
        found.append(
            f"{within} {100 * CLOSE:g} points of training on all real records"
            + ("" if sure else ", the bound being inside the interval")
        )
    return found


def _significant(difference: Result) -> bool:
    return required(difference.p_value) <= SIGNIFICANT


def _gains(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.metric == "macro_f1" and r.comparison and r.scope == CONFIRMED]


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
        "the same recipe, simulator's records": [r for r in tested if r.arm.endswith(SAME_RECIPE)],
        REAL: [r for r in tested if r.arm == REAL],
    }
    curves: dict[str, tuple[Sequence[float], ...]]
    curves = {name: curve(own) for name, own in by_name.items() if own}
    for most in (required(r.value) for r in tested if r.arm == ALL_REAL):
        curves[ALL_REAL] = ([0, 100 * max(map(required, chosen))], [most, most])
    return curves
