"""What a cohort holds, as JSON values and as text."""

import pandas as pd

from ecgrepro.cohort import Cohort


def describe_cohort(cohort: Cohort) -> dict:
    """The report of a cohort's making, and its records per rhythm and fold."""
    table = cohort.table
    folds = pd.crosstab(table["fold"], table["rhythm"]).reindex(
        columns=cohort.classes, fill_value=0
    )
    return {
        "name": cohort.name,
        **cohort.report,
        "patients": int(table["patient_id"].nunique()),
        "fs": cohort.fs,
        "units": cohort.units,
        "labels": cohort.labels,
        "shape": list(cohort.signals.shape),
        "fingerprint": cohort.fingerprint,
        "rhythms": cohort.counts(),
        "folds": {
            str(fold): {rhythm: int(n) for rhythm, n in row.items()}
            for fold, row in folds.to_dict("index").items()
        },
    }


def describe_text(facts: dict) -> str:
    """The same for people."""
    if facts["listed"] is None:
        listed = " (no list of all records here: missing ones unknown)"
    else:
        listed = f" of {facts['listed']:,} listed"
    lines = [
        f"{facts['name']}: {facts['found']:,} records found{listed}, "
        f"{facts['readable']:,} readable, {facts['kept']:,} kept of {facts['patients']:,} patients",
        *(f"  dropped {count:6,}  {reason}" for reason, count in facts["dropped"].items()),
    ]
    for row in facts["dropped_records"]:
        if row["reason"] in ("unreadable", "wrong length", "flat lead", "checksum mismatch"):
            lines.append(f"    {row['record_id']}: {row['detail']}")
    for group in facts["duplicates"]:
        lines.append(f"  stored twice: records {', '.join(group['records'])}")
    rhythms = list(facts["rhythms"])
    lines += ["", "  fold  " + "".join(f"{rhythm:>7}" for rhythm in rhythms)]
    for fold, row in facts["folds"].items():
        lines.append(f"  {fold:>4}  " + "".join(f"{row[code]:7,}" for code in rhythms))
    lines.append("   all  " + "".join(f"{n:7,}" for n in facts["rhythms"].values()))
    return "\n".join(lines)
