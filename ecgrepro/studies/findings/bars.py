"""All generators of a run side by side, and the bars that they have to clear.

Everything here is read from results that the generators' pages have written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ecgrepro.closeness import FLOOR, REAL
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.registry import GENERATORS, paper_generators
from ecgrepro.studies.findings.wording import number

BEYOND = "‡"  # beside a generator that is not in the paper
MET, MISSED = "✓", "✗"
NARROW = "~"  # the bar lies inside the value's 95 % interval


VERDICTS = {
    MET: "met",
    MET + NARROW: "met; the interval includes the bar",
    MISSED: "missed",
    MISSED + NARROW: "missed; the interval includes the bar",
}


@dataclass(frozen=True)
class Bar:
    """What a measure of a generator has to reach, at least or at most.

    ``best``: one of the learned generators has to; otherwise each of them.
    """

    metric: str
    words: str
    limit: float
    at_most: bool = False
    best: bool = False
    scope: str = ""

    def met(self, value: float | None) -> bool:
        """Whether a value clears the bar; one that does not exist does not."""
        if value is None or pd.isna(value):
            return False
        return value <= self.limit if self.at_most else value >= self.limit

    def asked(self) -> str:
        """The bar in words: ``≥ 0.75 each``."""
        return f"{'≤' if self.at_most else '≥'} {self.limit:g} {'best' if self.best else 'each'}"

    def mark(self, row: pd.Series | None) -> str:
        """``✓`` or ``✗``, with ``~`` where the interval includes the bar."""
        value = None if row is None else row["value"]
        sign = MET if self.met(value) else MISSED
        inside = row is not None and pd.notna(row["low"]) and row["low"] < self.limit < row["high"]
        return sign + (NARROW if inside else "")


BARS = (
    Bar("rhythm_agreement", "rhythm agreement", 0.95, best=True),
    Bar("rhythm_agreement", "rhythm agreement", 0.75),
    Bar("heart_rate_gap", "largest gap of median heart rates, bpm", 8, at_most=True),
    Bar("failures_over_real", "detector failures over real", 2, at_most=True),
    Bar("tstr_over_trtr", "TSTR over TRTR, macro-F1", 0.92, best=True),
    Bar("frechet_over_floor", "Fréchet distance over its floor", 5, at_most=True, best=True),
    Bar("coverage", "coverage", 0.6, best=True),
    Bar("copies", "share of near-copies, signals", 0.02, at_most=True, scope="signal"),
    Bar("copies", "share of near-copies, embeddings", 0.02, at_most=True, scope="embedding"),
    Bar("evaluations_saved", "evaluations, ancestral over default", 8),
    Bar("frechet_to_ancestral", "Fréchet distance, default over ancestral", 1.05, at_most=True),
)
DIFFUSION_ONLY = ("evaluations_saved", "frechet_to_ancestral")


def measured(results: pd.DataFrame, dataset: str, generators: Sequence[str]) -> pd.DataFrame:
    """The results of the generators' pages of a data set.

    Raises
    ------
    EcgreproError
        A generator has no results.
    """
    found = results[(results["section"] == "02_generators") & (results["dataset"] == dataset)]
    missing = [g for g in generators if g not in set(found["generator"])]
    if missing:
        raise EcgreproError(
            f"no results of {', '.join(missing)} on {dataset}: run the pages of the generators "
            f"first (ecgrepro run --page 02_generators/{dataset}-{missing[0]})"
        )
    return found


def overall(results: pd.DataFrame) -> pd.DataFrame:
    """The rows that the bars and their tables are read from: no rhythm, no trial."""
    metrics = {bar.metric for bar in BARS}
    chosen = (results["rhythm"] == "") & (results["arm"] == "") & results["metric"].isin(metrics)
    return results[chosen]


def one(results: pd.DataFrame, generator: str, metric: str, scope: str = "") -> pd.Series | None:
    """A generator's overall value of a metric: no rhythm, no arm, not the real one."""
    rows = results[
        (results["generator"] == generator)
        & (results["metric"] == metric)
        & (results["rhythm"] == "")
        & (results["arm"] == "")
    ]
    if metric in DIFFUSION_ONLY:  # these name both samplers
        return rows.iloc[0] if len(rows) else None
    rows = rows[(rows["comparison"] == "") & (rows["scope"] == scope)]
    return rows.iloc[0] if len(rows) else None


def measures_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per measure, one column per generator: value with interval, and how it stands.

    A measure with two bars is marked by the one for each. What real records get in the same measure
    stands beside it, where that is known.
    """
    bars = {(b.metric, b.scope): b for b in BARS}  # the last of a measure
    rows = []
    for (metric, scope), bar in bars.items():
        asked = "; ".join(b.asked() for b in BARS if (b.metric, b.scope) == (metric, scope))
        row = {"measure": bar.words, "bar": asked}
        for name, title in _titles(results).items():
            found = one(results, name, metric, scope)
            absent = found is None and metric in DIFFUSION_ONLY
            row[title] = "–" if absent else f"{_shown(found)} {bar.mark(found)}"
        row["real records"] = _shown(_real(results, metric))
        rows.append(row)
    return pd.DataFrame(rows)


def _real(results: pd.DataFrame, metric: str) -> pd.Series | None:
    """What real records get in a metric, overall: the same for every generator."""
    rows = results[
        (results["metric"] == metric)
        & (results["rhythm"] == "")
        & results["comparison"].isin([REAL, FLOOR])
    ]
    return rows.iloc[0] if len(rows) else None


def bars_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per bar: what was asked, of whom, the deciding generator and value, and the verdict.

    Only learned generators count: the simulator is shown for comparison. The deciding one is the
    best where the best is asked, otherwise the worst.
    """
    rows = []
    for bar in BARS:
        found = {
            title: one(results, name, bar.metric, bar.scope)
            for name, title in _titles(results).items()
            if GENERATORS[name].learns
        }
        if bar.metric in DIFFUSION_ONLY:
            found = {title: row for title, row in found.items() if row is not None}
        if not found:
            continue
        ranked = sorted(found, key=lambda title: _rank(found[title], bar))
        title = ranked[0] if bar.best else ranked[-1]
        rows.append(
            {
                "measure": bar.words,
                "bar": bar.asked(),
                "decided by": title,
                "value": _shown(found[title]),
                "verdict": VERDICTS[bar.mark(found[title])],
            }
        )
    return pd.DataFrame(rows)


def origin(name: str) -> str:
    """A sentence that says whether a generator is one of the paper's."""
    if _is_papers(name):
        return f"{_title(name)} is one of the paper's {len(paper_generators())} generators."
    return f"{_title(name)}: a generator beyond the paper."


def origins(names: Sequence[str]) -> str:
    """Which of the generators of a page are the paper's, and which are not."""
    papers = [_title(n) for n in names if _is_papers(n)]
    others = [_title(n) for n in names if not _is_papers(n)]
    said = f"Generators of the paper on this page: {', '.join(papers) or 'none'}."
    return f"{said} Beyond the paper: {'; '.join(others)}." if others else said


def short(name: str) -> str:
    """A generator's title without what stands in brackets, marked if it is not the paper's."""
    title = GENERATORS[name].short_title
    return title if _is_papers(name) else f"{title} {BEYOND}"


def _titles(results: pd.DataFrame) -> dict[str, str]:
    """Generators of the results in the order of the pages, with short titles."""
    present = set(results["generator"])
    return {name: short(name) for name in GENERATORS if name in present}


def _title(name: str) -> str:
    return GENERATORS[name].title


def _is_papers(name: str) -> bool:
    return GENERATORS[name].in_paper


def _rank(row: pd.Series | None, bar: Bar) -> float:
    """The lower the better; what does not exist comes last."""
    if row is None or pd.isna(row["value"]):
        return float("inf")
    return row["value"] if bar.at_most else -row["value"]


def _shown(row: pd.Series | None) -> str:
    if row is None or pd.isna(row["value"]):
        return "–"
    return number(row["value"], row["low"], row["high"], 1 if abs(row["value"]) >= 10 else 2)
