"""Tables and sentences of the page that compares generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.report.trials import AGREEMENT, DISTANCE
from ecgrepro.studies.arms import SIMULATOR
from ecgrepro.studies.findings.bars import BARS, BEYOND, one, origins, short

REAL = "real"  # stands among the generators in figures


def origins_sentence(generators: Sequence[str], status: str) -> str:
    """Which generators are the paper's, and what the simulator shows on simulated recordings."""
    text = origins(generators)
    if status == "simulated" and SIMULATOR in generators:
        text += (
            " On simulated recordings the simulator is what made them: it shows what is reachable."
        )
    return f"{text} {BEYOND} marks those beyond the paper."


def titled(sources: Mapping[str, Any], generators: Sequence[str]) -> dict[str, Any]:
    """What there is of real records, then of each generator in order, by the generators' titles."""
    return {REAL: sources[REAL], **{short(name): sources[name] for name in generators}}


def results_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Stored results of all generators, for the tables of `ecgrepro.studies.findings.bars`."""
    frame = pd.DataFrame(records)
    numbers = ["value", "low", "high"]
    return frame.assign(**{name: frame[name].astype(float) for name in numbers})


def cost_frame(
    results: pd.DataFrame, costs: Mapping[str, Mapping[str, float]], generators: Sequence[str]
) -> pd.DataFrame:
    """Cost and quality of each generator as numbers; NaN where there is none."""
    return pd.DataFrame(
        {
            "generator": short(name),
            "parameters": costs[name]["parameters"],
            "training, s": costs[name]["training_seconds"],
            "evaluations per record": costs[name]["evaluations"],
            "sampling, s per record": costs[name]["seconds_per_record"],
            DISTANCE: _value(results, name, "frechet_over_floor"),
            AGREEMENT: _value(results, name, "rhythm_agreement"),
        }
        for name in generators
    )


def costs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Cost of each generator in the words of a table."""
    formats = {
        "parameters": "{:,}",
        "training, s": "{:.1f}",
        "evaluations per record": "{:,}",
        "sampling, s per record": "{:.4f}",
    }
    cells = {name: frame[name].map(form.format) for name, form in formats.items()}
    return pd.DataFrame({"generator": frame["generator"], **cells})


def cost_sentence(frame: pd.DataFrame) -> str:
    """Which generator is nearest to real records and which of those that learn trains longest."""
    trained = frame[(frame["training, s"] > 0) & frame[DISTANCE].notna()]
    if trained.empty:
        return "No generator that learns has a Fréchet distance."
    near = trained.loc[trained[DISTANCE].idxmin()]
    slow = trained.loc[trained["training, s"].idxmax()]
    return (
        f"Of those that learn, {near['generator']} has the lowest Fréchet distance "
        f"({near[DISTANCE]:.1f} times its floor) after {near['training, s']:.1f} s of training; "
        f"{slow['generator']} trained longest, {slow['training, s']:.1f} s."
    )


def waveforms_sentence(results: pd.DataFrame, generators: Sequence[str]) -> str:
    """In how many records the classifier reads the rhythm that was asked for, by generator."""
    found = {short(g): one(results, g, "rhythm_agreement") for g in generators}
    said = [f"{name} {row['value']:.2f}" for name, row in found.items() if row is not None]
    return (
        "How often the classifier reads the rhythm that was asked for, mean over rhythms: "
        f"{', '.join(said)}."
    )


def bars_sentence(bars: pd.DataFrame) -> str:
    """How many bars are cleared, and how many of the verdicts are uncertain."""
    met = bars["verdict"].str.startswith("met")
    close = bars["verdict"].str.contains("interval includes")
    text = f"The learned generators clear {met.sum()} of {len(bars)} bars."
    if not close.any():
        return text
    return (
        f"{text} The 95 % interval includes the bar in {close.sum()} of the verdicts, which could "
        "therefore go the other way."
    )


def gaps_sentence(results: pd.DataFrame, generators: Sequence[str]) -> str:
    """The largest gap of median heart rates of each generator."""
    gaps = {short(g): _value(results, g, "heart_rate_gap") for g in generators}
    known = {name: gap for name, gap in gaps.items() if np.isfinite(gap)}
    if not known:
        return "No generator has a heart rate in every rhythm that is told apart by its rate."
    bar = next(bar for bar in BARS if bar.metric == "heart_rate_gap")
    said = ", ".join(f"{gap:.0f} bpm for {name}" for name, gap in known.items())
    text = (
        "The largest gap of median heart rates, among rhythms that are told apart by rate, is "
        f"{said}; the bar is {bar.limit:g} bpm."
    )
    without = [name for name in gaps if name not in known]
    return text + (f" No gap exists for {', '.join(without)}." if without else "")


def _value(results: pd.DataFrame, generator: str, metric: str) -> float:
    row = one(results, generator, metric)
    return np.nan if row is None else float(row["value"])
