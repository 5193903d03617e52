"""Tables and sentences of the page that checks the metrics; a check that fails says so."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.closeness import METRICS
from ecgrepro.closeness.corruptions import CORRUPTIONS
from ecgrepro.closeness.metrics.heart import MEASURES, titled
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN
from ecgrepro.report.closeness import listed, summary
from ecgrepro.report.tables import number
from ecgrepro.studies.experiments.detectors import LEAST_AGREEMENT, MOST_FAILURES
from ecgrepro.studies.findings.sensitivity import (
    MEMORIZER,
    NOTHING,
    PLANTED,
    STRANGERS,
    dose_curves,
    privacy_failures,
    unseen,
    verdicts,
)
from ecgrepro.support.results import Result, required

BEATS = (  # title, metric, digits
    ("no beats detected", "detector_failures", 3),
    ("both detectors agree", "beat_agreement", 3),
    ("rate as labelled", "rate_as_labelled", 3),
    ("median rate, bpm", "heart_rate", 0),
)
BY_CHANCE = 0.05  # metrics that may tell undamaged records from the floor


def detector_rows(rows: Sequence[Result]) -> list[Result]:
    """Rows of the detectors: neither of a defect, nor of a size, nor of privacy."""
    return [row for row in rows if not row.arm and row.scope != "size"]


def size_rows(rows: Sequence[Result]) -> list[Result]:
    """Rows of metrics by the number of records in a set."""
    return [row for row in rows if row.scope == "size"]


def defect_rows(rows: Sequence[Result]) -> list[Result]:
    """Rows of metrics for a defect at a level."""
    return [row for row in rows if row.arm and row.fraction is not None]


def privacy_rows(rows: Sequence[Result]) -> list[Result]:
    """Rows of privacy for sets of which the truth is known."""
    return [row for row in rows if row.arm and row.fraction is None]


def failing(text: str) -> str:
    """A check that fails, set apart from the text in red."""
    return f":::{{danger}} This check fails\n{text}\n:::"


def _cells(rows: Sequence[Result]) -> dict[tuple[str, str, str], Result]:
    return {(row.metric, row.rhythm, row.scope): row for row in detector_rows(rows)}


def _rhythms(rows: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(row.rhythm for row in detector_rows(rows)))


def beats_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Detected beats of each rhythm against a second detector and against the labels."""
    cells, lines = _cells(rows), []
    for rhythm in _rhythms(rows):
        n = cells["detector_failures", rhythm, ""].n
        line = {"rhythm": rhythm or "all", "records": n}
        for title, metric, digits in BEATS:
            row = cells.get((metric, rhythm, ""))
            line[title] = number(row.value, row.low, row.high, digits) if row else "–"
        lines.append(line)
    return pd.DataFrame(lines)


def beats_sentence(rows: Sequence[Result]) -> str:
    """Whether the detectors can be trusted, all rhythms together."""
    cells = _cells(rows)
    agreed, failed = (cells[m, "", ""] for m in ("beat_agreement", "detector_failures"))
    text = (
        f"The detectors find the same beats in {_percent(agreed)} of the records, and none are "
        f"detected in {_percent(failed)}."
    )
    if required(agreed.value) < LEAST_AGREEMENT or required(failed.value) > MOST_FAILURES:
        return failing(
            f"{text} At least {LEAST_AGREEMENT:.0%} and at most {MOST_FAILURES:.0%} are asked for."
        )
    return text


def medians(rows: Sequence[Result]) -> dict[str, float]:
    """Median detected heart rate of each rhythm in which beats were detected."""
    return {
        row.rhythm: row.value
        for row in detector_rows(rows)
        if row.metric == "heart_rate" and row.rhythm and row.value is not None
    }


def rates_sentence(rows: Sequence[Result]) -> str:
    """How often detected rates are what the labels promise."""
    found = [row for row in detector_rows(rows) if row.metric == "rate_as_labelled" and row.n]
    said = ", ".join(f"{row.rhythm} {_percent(row)} of {row.n}" for row in found)
    return f"Rates are as labelled in {said} records." if said else "No label promises a rate."


def waves_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Medians of what is delineated, and in how many records it cannot be, by rhythm."""
    cells, lines = _cells(rows), []
    for rhythm in _rhythms(rows):
        if ("failures", rhythm, "pr") not in cells:
            continue
        line = {"rhythm": rhythm or "all", "records": cells["failures", rhythm, "pr"].n}
        for name in MEASURES[2:]:
            row, failed = cells[name, rhythm, ""], _percent(cells["failures", rhythm, name], 0)
            digits = 2 if name == "r_amplitude" else 0
            line[titled(name)] = f"{number(row.value, digits=digits)} ({failed})"
        lines.append(line)
    return pd.DataFrame(lines)


def sizes_sentence(rows: Sequence[Result]) -> str:
    """Which metrics change with the number of records by more than the draws scatter."""
    moved, still, found = [], [], size_rows(rows)
    for metric in dict.fromkeys(row.metric for row in found):
        own = sorted(
            (row for row in found if row.metric == metric), key=lambda row: required(row.n)
        )
        ends = [(required(row.value), required(row.high)) for row in (own[0], own[-1])]
        spread = max(high - value for value, high in ends)
        first, last = (value for value, _ in ends)
        text = f"{METRICS[metric].words} (from {first:.2f} to {last:.2f})"
        (moved if abs(last - first) > spread else still).append(text)
    least, most = (f(required(row.n) for row in found) for f in (min, max))
    text = f"From {least} to {most} records a set, "
    text += f"{listed(moved)} change" if moved else "no metric changes"
    text += " by more than one standard deviation of the draws"
    return f"{text}; {listed(still)} do not." if still and moved else f"{text}."


def defects_table() -> pd.DataFrame:
    """The defects, and what is done."""
    return pd.DataFrame(
        {"defect": name, "what is done": one.what} for name, one in CORRUPTIONS.items()
    )


def map_sentence(rows: Sequence[Result]) -> str:
    """How many metrics see each defect at the highest level, and which are misled."""
    worst = _worst(rows)
    total = worst["metric"].nunique()
    counts = worst[worst["verdict"] == SEEN]["defect"].value_counts()
    seen = ", ".join(f"{kind} by {counts.get(kind, 0)}" for kind in CORRUPTIONS)
    misled = worst[worst["verdict"] == MISLED]
    cases = [
        f"{METRICS[m].words} (by {d})"
        for m, d in zip(misled["metric"], misled["defect"], strict=True)
    ]
    said = f" Misled: {listed(cases)}." if cases else " No metric is misled."
    return f"Of {total} metrics, at the highest level, see: {seen}.{said}"


def dose_sentence(rows: Sequence[Result]) -> str:
    """The metric that is farthest from its floor at the highest level of each defect."""
    parts = []
    for kind in CORRUPTIONS:
        ends = {metric: curve[-1][1] for metric, curve in dose_curves(rows, kind).items()}
        if ends:
            best = max(ends, key=ends.__getitem__)
            parts.append(f"{kind}: {METRICS[best].words} ({ends[best]:.1f})")
    return f"Farthest from its floor at the highest level, in half widths: {'; '.join(parts)}."


def unseen_sentence(rows: Sequence[Result]) -> str:
    """Whether each defect is seen by some metric."""
    missed = unseen(rows)
    if missed:
        return failing(f"Seen by no metric at the highest level: {', '.join(missed)}.")
    return "Every defect is seen by at least one metric at its highest level."


def undamaged_sentence(rows: Sequence[Result]) -> str:
    """Whether undamaged records are told from the floor by more metrics than chance explains."""
    found = verdicts(list(rows))
    whole = found[found["defect"] == NOTHING]
    alarms = whole[whole["verdict"] == SEEN]["metric"]
    named = listed([METRICS[m].words for m in alarms])
    text = f"Undamaged records are told from the floor by {len(alarms)} of {len(whole)} metrics"
    text += f": {named}." if named else "."
    if len(alarms) > BY_CHANCE * len(whole):
        return failing(f"{text} Chance explains {BY_CHANCE:.0%}.")
    return text


def blind_spots_table(rows: Sequence[Result]) -> pd.DataFrame:
    """What each metric sees, does not see and is misled by at the highest level."""
    worst, lines = _worst(rows), []
    titles = {"seen": SEEN, "not seen": BLIND, "misled by": MISLED}
    for name, metric in METRICS.items():
        one = worst[worst["metric"] == name]
        if len(one):
            by = one.groupby("verdict")["defect"].apply(", ".join)
            found = {title: by.get(said, "–") for title, said in titles.items()}
            lines.append({"metric": metric.words, **found, "by its making": metric.misses})
    return pd.DataFrame(lines)


def privacy_table(rows: Sequence[Result]) -> pd.DataFrame:
    """The metrics of privacy for each set of which the truth is known."""
    tried, frames = privacy_rows(rows), []
    for arm in dict.fromkeys(row.arm for row in tried):
        part = summary([row for row in tried if row.arm == arm])[1:]
        frames.append(part.assign(judged=arm)[["judged", *part.columns]])
    return pd.concat(frames)


def privacy_sentence(rows: Sequence[Result]) -> str:
    """Whether the attacks find what was planted, and nothing where there is nothing."""
    tried = privacy_rows(rows)
    failed: dict[str, list[str]] = {}
    for arm, metric in privacy_failures(tried):
        failed.setdefault(arm, []).append(METRICS[metric].words)
    if not failed:
        return (
            "The check passes: nothing is found in held-out records, the planted copies are found "
            "by the fraction of near-copies, and the memorizing generator by all four metrics."
        )
    said = {
        STRANGERS: "Held-out records of other patients are taken for copies",
        PLANTED: "Planted copies are not told from the floor",
        MEMORIZER: "The memorizing generator is not told from the floor",
    }
    lines = [f"{said[arm]} (by {listed(metrics)})." for arm, metrics in failed.items()]
    n = min(required(row.n) for row in tried)
    why = (
        f"The smallest set has {n} records. An attack that misses what was planted says nothing "
        "when it finds nothing in synthetic records."
    )
    return failing(" ".join([*lines, why]))


def _worst(rows: Sequence[Result]) -> pd.DataFrame:
    """Verdicts at the highest level."""
    found = verdicts(list(rows))
    return found[found["level"] == found["level"].max()]


def _percent(row: Result, digits: int = 1) -> str:
    return f"{100 * required(row.value):.{digits}f} %"
