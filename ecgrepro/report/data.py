"""Tables and sentences of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.cohort.rhythms import RHYTHMS
from ecgrepro.studies.findings.wording import WORDS, flagged, number
from ecgrepro.support.results import Result


def records_table(report: Mapping[str, Any], patients: int) -> pd.DataFrame:
    """Records listed, found and dropped by reason.

    Parameters
    ----------
    report
        Of `Cohort.report`.
    """
    facts = [("listed in the index", report["listed"]), ("missing here", report["missing"])]
    facts += [("found", report["found"]), ("readable", report["readable"])]
    facts += [(f"dropped: {reason}", n) for reason, n in report["dropped"].items()]
    facts += [("kept", report["kept"]), ("patients", patients)]
    rows = [(what, "no list" if n is None else f"{n:,}") for what, n in facts]
    return pd.DataFrame(rows, columns=["records", "number"])


def flags_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Records with a technical flag, and records that are stored twice."""
    problems = [r for r in report["dropped_records"] if "rhythm" not in r["reason"]]
    rows = [(r["record_id"], r["reason"], r["detail"]) for r in problems]
    rows += [
        (", ".join(g["records"]), "stored twice, in one fold", "") for g in report["duplicates"]
    ]
    return pd.DataFrame(rows or [("none", "", "")], columns=["record", "flag", "detail"])


def counts_by_split(rows: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Records by split and rhythm."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.metric == "records":
            found.setdefault(row.scope, {})[row.rhythm] = int(row.value or 0)
    return found


def rhythms_table(rows: Sequence[Result], classes: Sequence[str]) -> pd.DataFrame:
    """Records of each rhythm in each split; rhythms with few test records are marked."""
    counts = counts_by_split(rows)
    lines = []
    for code in classes:
        parts = {split: of_split[code] for split, of_split in counts.items()}
        named = {"rhythm": flagged(code, parts["test"]), "meaning": RHYTHMS.get(code, code)}
        lines.append({**named, **parts, "all": sum(parts.values())})
    totals = {split: sum(of_split.values()) for split, of_split in counts.items()}
    lines.append({"rhythm": "all", "meaning": "", **totals, "all": sum(totals.values())})
    return pd.DataFrame(lines)


def baseline_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Scores of the real-trained classifier, overall and by rhythm."""
    return pd.DataFrame(
        {
            "score": f"{WORDS.get(row.metric, row.metric)} {row.rhythm}".strip(),
            "value": number(row.value),
            "n": row.n,
        }
        for row in rows
        if row.metric != "records"
    )


def people_sentence(people: Mapping[str, Any]) -> str:
    """How many records have an age for each sex, and between which rhythms ages differ most."""
    known = people["known"]
    ages = {code: age for code, age in people["median_age"].items() if age is not None}
    text = " and ".join(f"{n:,} of {sex} patients" for sex, n in known.items())
    if len(ages) < 2:
        return f"An age is known for {text}."
    young, old = min(ages, key=lambda code: ages[code]), max(ages, key=lambda code: ages[code])
    return (
        f"An age is known for {text}; median ages run from {ages[young]:.0f} years ({young}) to "
        f"{ages[old]:.0f} ({old})."
    )


def confusion_sentence(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """How many test records are read as labelled, and the most frequent confusion."""
    total, right = int(confusion.sum()), int(np.trace(confusion))
    wrong = confusion - np.diag(np.diagonal(confusion))
    if not wrong.any():
        return f"All {total} test records are read as labelled."
    i, j = map(int, np.unravel_index(int(wrong.argmax()), wrong.shape))
    return (
        f"{right} of {total} test records are read as labelled; the most frequent confusion is "
        f"{classes[i]} read as {classes[j]} ({wrong[i, j]} records)."
    )
