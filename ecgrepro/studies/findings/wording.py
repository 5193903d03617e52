"""Numbers, marks and names of metrics as they stand in sentences and tables."""

import pandas as pd

from ecgrepro.support.results import Result, required

FEWEST = 10  # test records of a class below which its numbers are flagged
FLAG = "†"
SIGNIFICANT = 0.05  # largest corrected p-value of a difference that is called more than chance
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "macro_auroc": "macro-AUROC",
    "macro_auprc": "macro-AUPRC",
    "calibration_error": "calibration error",
    "frechet_distance": "Fréchet distance",
    "rhythm_agreement": "rhythm agreement",
    "heart_rate": "median heart rate, bpm",
    "heart_rate_gap": "gap of median heart rates, bpm",
    "rr_variability": "median RR variability",
    "rate_error": "median distance from the heart rate asked for, bpm",
    "detector_failures": "share of records where the detector fails",
    "failures_over_real": "detector failures over real",
    "tstr": "macro-F1 on real test records",
    "tstr_over_trtr": "TSTR over TRTR",
    "frechet_over_floor": "Fréchet distance over its floor",
    "copies": "share of near-copies",
    "evaluations_saved": "evaluations, ancestral over default",
    "frechet_to_ancestral": "Fréchet distance, default over ancestral",
    "f1": "F1",
}


def number(
    value: float | None, low: float | None = None, high: float | None = None, digits: int = 3
) -> str:
    """A number with its 95 % interval, with ``digits`` after the point.

    Examples
    --------
    >>> number(0.953, 0.941, 0.965)
    '0.953 [0.941, 0.965]'
    """
    if value is None or pd.isna(value):
        return "–"
    if low is None or pd.isna(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def effect(value: float | None) -> str:
    """An effect size, in standard deviations over seeds.

    Examples
    --------
    >>> effect(1.42)
    '+1.4'
    """
    return "–" if value is None or pd.isna(value) else f"{value:+.1f}"


def flagged(rhythm: str, n: int) -> str:
    """The rhythm's code, marked if it has too few test records to say much.

    Examples
    --------
    >>> flagged("AFL", 2)
    'AFL †'
    """
    return f"{rhythm} {FLAG}" if n < FEWEST else rhythm


def mark(row: Result) -> str:
    """✓ for a difference above zero, also after correction; ✗ for one below; empty otherwise."""
    if row.low is None or pd.isna(row.low) or (row.p_value or 0) > SIGNIFICANT:
        return ""
    return "✓" if row.low > 0 else "✗" if required(row.high) < 0 else ""


def marked_number(row: Result) -> str:
    """A difference with its interval and its mark."""
    return f"{number(row.value, row.low, row.high)} {mark(row)}".strip()
