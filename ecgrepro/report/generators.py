"""Tables and sentences of the generators' pages, from results and the facts of their sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.closeness import FLOOR, REAL
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.studies.findings.bars import short
from ecgrepro.studies.findings.wording import WORDS, number
from ecgrepro.support.results import Result, required

SIDES = {"": "synthetic", REAL: "real test records", FLOOR: "real against real"}
MEASURES = (  # of the table of measures, in its order
    "detector_failures",
    "tstr",
    "tstr_over_trtr",
    "frechet_distance",
    "coverage",
    "frechet_over_floor",
    "copies",
)


def of_pool(rows: Sequence[Result], metric: str, comparison: str | None = None) -> list[Result]:
    """Rows of a metric about the generator's pool, not about a trial or its published form."""
    found = [row for row in rows if row.metric == metric and not row.arm]
    found = [row for row in found if not row.scope or metric == "copies"]
    return [row for row in found if comparison is None or row.comparison == comparison]


def overall(rows: Sequence[Result], metric: str, comparison: str = "") -> Result | None:
    """The row of a metric that is about all rhythms together."""
    return next((row for row in of_pool(rows, metric, comparison) if not row.rhythm), None)


def interval(row: Result | None, digits: int = 2) -> str:
    """A row's number with its interval."""
    return "–" if row is None else number(row.value, row.low, row.high, digits)


# ---------------------------------------------------------------------- training, cost, settings


def training_sentence(stages: Sequence[Mapping[str, Any]]) -> str:
    """How the loss of each stage went."""
    if not stages:
        return "Nothing is trained: the simulator knows the physiology beforehand."
    return " ".join(_stage_sentence(part) for part in stages)


def _stage_sentence(part: Mapping[str, Any]) -> str:
    kind = "validation" if "validation" in part else "training"
    steps, losses = part[kind]
    of_stage = f" of the {part['stage']}" if part["stage"] else ""
    text = (
        f"The {kind} loss{of_stage} goes from {losses[0]:.3f} at step {steps[0]:,.0f} to "
        f"{losses[-1]:.3f} at step {steps[-1]:,.0f}"
    )
    best = int(np.argmin(losses))
    if best in (0, len(losses) - 1):
        return f"{text}."
    return f"{text}; it is lowest, {losses[best]:.3f}, at step {steps[best]:,.0f}."


def cost_table(cost: Mapping[str, float], pool: int) -> pd.DataFrame:
    """Size and cost of a generator, a line each; seconds are those of the machine that ran it.

    Parameters
    ----------
    pool
        Records in its pool.
    """
    each = cost["seconds_per_record"]
    lines = {
        "parameters": f"{cost['parameters']:,}",
        "training, s": f"{cost['training_seconds']:.1f}",
        "evaluations of the network per record": f"{cost['evaluations']:,}",
        "sampling, s per record": f"{each:.4f}",
        "sampling, records per s": f"{1 / each:.1f}",
        "records in the pool": f"{pool:,}",
    }
    return pd.DataFrame(lines.items(), columns=["what", "value"])


def settings_table(settings: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """A line for each setting."""
    return pd.DataFrame(settings, columns=["setting", "value"])


# ------------------------------------------------------------------------------- records, rhythms


def pair_titles(
    generator: str, rhythms: Sequence[str], nearest: Sequence[Mapping[str, str]]
) -> tuple[list[str], list[str]]:
    """Titles of the synthetic records and of the training records that are nearest to them."""
    made = [f"{code}, synthetic, {short(generator)}" for code in rhythms]
    real = [f"nearest training record: {one['rhythm']}, {one['record_id']}" for one in nearest]
    return made, real


def nearest_sentence(rhythms: Sequence[str], nearest: Sequence[Mapping[str, str]]) -> str:
    """In how many pairs both records are of the same rhythm."""
    same = sum(code == one["rhythm"] for code, one in zip(rhythms, nearest, strict=True))
    return (
        f"In {same} of {len(rhythms)} pairs the nearest training record has the rhythm that was "
        "asked for."
    )


def agreement_table(rows: Sequence[Result], rhythms: Sequence[str]) -> pd.DataFrame:
    """Rhythm agreement of synthetic and real test records, the mean and each rhythm."""
    cells: dict[str, dict[str, str]] = {code: {} for code in ("", *rhythms)}
    for row in of_pool(rows, "rhythm_agreement"):
        if row.rhythm in cells:
            text = f"{number(row.value, row.low, row.high)} ({row.n})"
            cells[row.rhythm][SIDES[row.comparison]] = text
    columns = ["rhythm", SIDES[""], SIDES[REAL]]
    lines = [{"rhythm": code or "mean", **found} for code, found in cells.items()]
    return pd.DataFrame(lines, columns=columns).fillna("–")


def agreement_sentence(rows: Sequence[Result]) -> str:
    """Rhythm agreement overall, and the rhythms where it is lowest."""
    made = interval(overall(rows, "rhythm_agreement"))
    real = interval(overall(rows, "rhythm_agreement", REAL))
    by_rhythm = [r for r in of_pool(rows, "rhythm_agreement", "") if r.rhythm]
    least = min(required(row.value) for row in by_rhythm)
    names = ", ".join(row.rhythm for row in by_rhythm if row.value == least)
    return (
        f"The classifier reads the rhythm that was asked for in {made} of the synthetic records, "
        f"and the labelled one in {real} of the real test records (means over rhythms). Among "
        f"synthetic records it is lowest for {names} ({least:.2f})."
    )


# ------------------------------------------------------------------------------------ heart rates


def rates_table(rows: Sequence[Result], rhythms: Sequence[str]) -> pd.DataFrame:
    """Median heart rate and RR variability by rhythm, synthetic and real, and the gap of rates."""
    lines = []
    gaps = {row.rhythm: row.value for row in of_pool(rows, "heart_rate_gap")}
    for code in rhythms:
        line = {"rhythm": code}
        for metric, digits in (("heart_rate", 0), ("rr_variability", 2)):
            for side, comparison in (("synthetic", ""), ("real", REAL)):
                found = [r for r in of_pool(rows, metric, comparison) if r.rhythm == code]
                text = [f"{interval(r, digits)} ({r.n})" for r in found]
                line[f"{WORDS[metric]}, {side}"] = text[0] if text else "–"
            if metric == "heart_rate":
                line["gap, bpm"] = f"{gaps[code]:+.0f}" if code in gaps else "–"
        lines.append(line)
    return pd.DataFrame(lines)


def rates_sentence(rows: Sequence[Result]) -> str:
    """Where median heart rates differ most, and how often the detector fails."""
    gaps = [r for r in of_pool(rows, "heart_rate_gap") if r.rhythm]
    text = "In no rhythm was a heart rate detected in both synthetic and real records."
    if gaps:
        widest = max(gaps, key=lambda row: abs(required(row.value)))
        text = (
            f"Median heart rates differ most in {widest.rhythm}: synthetic minus real is "
            f"{widest.value:+.0f} bpm."
        )
    failures = [interval(overall(rows, "detector_failures", c)) for c in ("", REAL)]
    return (
        f"{text} The detector fails on {failures[0]} of the synthetic and {failures[1]} of the "
        "real records."
    )


def paced_sentence(rows: Sequence[Result]) -> str:
    """How far heart rates lie from those asked for."""
    found = overall(rows, "rate_error")
    if found is None:
        return "In none of these records was a heart rate found."
    return (
        "Each record is asked for a heart rate. The rate found lies a median of "
        f"{interval(found, 1)} bpm from it ({found.n} records)."
    )


# ------------------------------------------------------------------------- use, distance, copies


def measures_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Measures of all rhythms together, synthetic and real."""
    kept = [row for metric in MEASURES for row in of_pool(rows, metric) if not row.rhythm]
    return pd.DataFrame(
        {
            "measure": WORDS.get(row.metric, row.metric) + (f", {row.scope}" if row.scope else ""),
            "of": SIDES[row.comparison].removesuffix(" test records"),
            "records": row.n,
            "value": interval(row, 3),
        }
        for row in kept
    )


def measures_sentence(rows: Sequence[Result]) -> str:
    """Use, distance and near-copies in words."""
    tstr = interval(overall(rows, "tstr"))
    trtr = interval(overall(rows, "tstr", REAL))
    distance = interval(overall(rows, "frechet_over_floor"))
    copies = {row.scope: interval(row) for row in of_pool(rows, "copies")}
    return (
        f"Trained on synthetic records only, a classifier reaches a macro-F1 of {tstr}; trained on "
        f"real ones, {trtr}. The Fréchet distance is {distance} times its floor. By signal "
        f"{copies['signal']} of the synthetic records are near-copies, by embedding "
        f"{copies['embedding']}; about 0.01 is expected without copying."
    )


# --------------------------------------------------------------------------------- codes, series


def codes_table(codes: Mapping[str, Any]) -> pd.DataFrame:
    """Health of the codebooks, by band and level."""
    names = {
        "codebook_perplexity": "codebook perplexity, by level",
        "codes_used": "fraction of codes in use, by level",
        "prior_perplexity": "perplexity of masked codes",
    }
    lines = [
        (words, band, ", ".join(f"{v:.2f}" for v in np.atleast_1d(values)))
        for fact, words in names.items()
        for band, values in sorted(codes[fact].items(), reverse=True)  # low before high
    ]
    return pd.DataFrame(lines, columns=["fact", "band", "value"])


def reconstruction_table(codes: Mapping[str, Any]) -> pd.DataFrame:
    """Reconstruction error of each lead."""
    errors = {lead: f"{codes['reconstruction_error'][lead]:.2f}" for lead in LEADS}
    return pd.DataFrame([{"lead": "error", **errors}])


def series_sentence(proximities: Sequence[float | None], traces: np.ndarray) -> str:
    """Correlation of what is drawn at each proximity with the record, lead II."""
    record = traces[list(proximities).index(None), 0].astype(float)
    found = {
        p: np.corrcoef(record, trace[0].astype(float))[0, 1]
        for p, trace in zip(proximities, traces, strict=True)
        if p is not None
    }
    said = ", ".join(f"{value:.2f} at {p:g}" for p, value in found.items())
    return f"Correlation with the record in lead II, by proximity: {said}."


def particular_sentence(facts: Mapping[str, Any]) -> str:
    """What is shown of this generator alone."""
    shown = {
        "the form in which it was published, beside that of the study": facts["published"],
        "the health of its codes": facts["codes"],
        "the procedure of the published package, which is fitted to one record": (
            "one_series" in facts
        ),
        "heart rates, asked for and found": "paced" in facts,
    }
    kept = [words for words, there in shown.items() if there]
    if not kept:
        return "Nothing: it is not of the paper, so there is no published form of it."
    return f"Of this generator alone: {'; '.join(kept)}."
