"""What a cohort holds, as JSON values and as text."""

import pandas as pd

from ecgrepro.cohort.cohort import Cohort


def describe_cohort(cohort: Cohort) -> dict:
    """What was read, dropped and kept of a data set, and its records per rhythm and fold.

    Parameters
    ----------
    cohort
        From `ecgrepro.load_cohort`, with its report.

    Returns
    -------
    dict
        JSON values.
    """
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


def describe_text(description: dict) -> str:
    """A description as lines of text, with a table of records by fold and rhythm.

    Parameters
    ----------
    description
        From `describe_cohort`.
    """
    if description["listed"] is None:
        listed = " (no list of all records here: missing ones unknown)"
    else:
        listed = f" of {description['listed']:,} listed"
    lines = [
        f"{description['name']}: {description['found']:,} records found{listed}, "
        f"{description['readable']:,} readable, {description['kept']:,} kept of "
        f"{description['patients']:,} patients",
        *(f"  dropped {count:6,}  {reason}" for reason, count in description["dropped"].items()),
    ]
    for row in description["dropped_records"]:
        if row["reason"] in ("unreadable", "wrong length", "flat lead", "checksum mismatch"):
            lines.append(f"    {row['record_id']}: {row['detail']}")
    for group in description["duplicates"]:
        lines.append(f"  stored twice: records {', '.join(group['records'])}")
    rhythms = list(description["rhythms"])
    lines += ["", "  fold  " + "".join(f"{rhythm:>7}" for rhythm in rhythms)]
    for fold, row in description["folds"].items():
        lines.append(f"  {fold:>4}  " + "".join(f"{row[code]:7,}" for code in rhythms))
    lines.append("   all  " + "".join(f"{n:7,}" for n in description["rhythms"].values()))
    return "\n".join(lines)
