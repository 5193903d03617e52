"""Tables and sentences of a generator's trials: guidance, steps of sampling, its published form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from ecgrepro.report.generators import interval
from ecgrepro.studies.findings.wording import WORDS, number
from ecgrepro.support.results import Result

DISTANCE = WORDS["frechet_over_floor"]
AGREEMENT = WORDS["rhythm_agreement"]


def guidance_frame(rows: Sequence[Result], scope: str) -> pd.DataFrame:
    """Rhythm agreement and distance over its floor at each guidance ``scale``; may be empty.

    Parameters
    ----------
    scope
        The sampler and steps of the study.
    """
    found = _trials(row for row in rows if row.arm.startswith("guidance ") and row.scope == scope)
    lines = [
        {
            "scale": float(arm.removeprefix("guidance ")),
            AGREEMENT: values["rhythm_agreement"],
            DISTANCE: values["frechet_over_floor"],
        }
        for (arm, _), values in found.items()
    ]
    return pd.DataFrame(lines, columns=["scale", AGREEMENT, DISTANCE], dtype=float)


def step_frame(rows: Sequence[Result], arm: str) -> pd.DataFrame:
    """``evaluations`` and distance over its floor of each ``sampler`` and its steps; may be empty.

    Parameters
    ----------
    arm
        The guidance of the study, in words.
    """
    found = _trials(row for row in rows if row.arm == arm and row.scope)
    lines = [
        {
            "trial": scope,
            "sampler": scope.rpartition(" ")[0],
            "evaluations": values["evaluations"],
            DISTANCE: values["frechet_over_floor"],
        }
        for (_, scope), values in found.items()
        if "evaluations" in values
    ]
    frame = pd.DataFrame(lines, columns=["trial", "sampler", "evaluations", DISTANCE])
    return frame.astype({DISTANCE: float}).sort_values("evaluations", kind="stable")


def _trials(rows: Iterable[Result]) -> dict[tuple[str, str], dict[str, float | None]]:
    """Values by metric of each trial; one that was drawn for two curves counts once."""
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in rows:
        if not row.comparison:
            found.setdefault((row.arm, row.scope), {})[row.metric] = row.value
    return found


def guidance_sentence(frame: pd.DataFrame, own: float | None, rows: Sequence[Result]) -> str:
    """At which scales agreement and distance are best."""
    if frame.empty:
        return "No guidance: this generator has no scale to choose."
    text = "Rhythm agreement is highest at scale {} ({:.2f})".format(*_best(frame, AGREEMENT, max))
    if frame[DISTANCE].notna().all():
        near = _best(frame, DISTANCE, min)
        text += ", the Fréchet distance lowest at scale {} ({:.2f} times its floor)".format(*near)
    return f"{text}. The study uses {own:g}. {_records(rows)}"


def _best(frame: pd.DataFrame, measure: str, best: Callable) -> tuple[str, float]:
    """The scales at which a measure, to two digits, is best, and its value there."""
    rounded = frame[measure].round(2)
    value = best(rounded)
    return ", ".join(f"{scale:g}" for scale in frame["scale"][rounded == value]), value


def step_sentence(frame: pd.DataFrame, rows: Sequence[Result]) -> str:
    """The study's sampler against the slow one, or against its own other numbers of steps."""
    if frame.empty:
        return "No steps: this generator draws a record at once."
    saved = next((row for row in rows if row.metric == "evaluations_saved"), None)
    ratio = next((row for row in rows if row.metric == "frechet_to_ancestral"), None)
    if saved is not None and ratio is not None and ratio.value is not None:
        return (
            f"The study's sampler ({saved.scope}) takes {saved.value:.1f} times fewer evaluations "
            f"than {saved.comparison} and comes to {ratio.value:.2f} times its Fréchet distance. "
            f"{_records(rows)}"
        )
    first, last = frame.iloc[0], frame.iloc[-1]
    return (
        f"The Fréchet distance is {first[DISTANCE]:.2f} times its floor with "
        f"{first['evaluations']:.0f} evaluations and {last[DISTANCE]:.2f} times with "
        f"{last['evaluations']:.0f}. {_records(rows)}"
    )


def _records(rows: Sequence[Result]) -> str:
    n = next(row.n for row in rows if row.metric == "evaluations" and row.scope)
    return f"Each point is of {n} records and has no interval."


def sampler_table(rows: Sequence[Result]) -> pd.DataFrame:
    """The study's sampler against ancestral sampling; empty where there is no such comparison."""
    kept = [row for row in rows if row.metric in ("evaluations_saved", "frechet_to_ancestral")]
    columns = ["measure", "sampler of the study", "reference", "value"]
    lines = [(WORDS[row.metric], row.scope, row.comparison, number(row.value)) for row in kept]
    return pd.DataFrame(lines, columns=columns)


def published_table(
    sides: Mapping[str, Mapping[str, float]], rows: Sequence[Result]
) -> pd.DataFrame:
    """Size, cost and rhythm agreement of a generator as published and modernized."""
    agreement = {row.arm: row for row in rows if row.metric == "rhythm_agreement"}
    columns = {
        name: {
            "parameters": f"{facts['parameters']:,}",
            "training steps": f"{facts['steps']:,}",
            "batch": str(facts["batch_size"]),
            "training, s": f"{facts['training_seconds']:.1f}",
            "evaluations per record": f"{facts['evaluations']:,}",
            "s per record": f"{facts['seconds_per_record']:.3f}",
            "rhythm agreement": f"{interval(agreement[name], 3)} ({agreement[name].n})",
        }
        for name, facts in sides.items()
    }
    return pd.DataFrame(columns).rename_axis("what").reset_index()


def published_sentence(sides: Mapping[str, Mapping[str, float]], rows: Sequence[Result]) -> str:
    """Rhythm agreement and training steps of both forms."""
    found = {row.arm: row for row in rows if row.metric == "rhythm_agreement"}
    each = [
        f"{name} {interval(found[name])} after {facts['steps']:,} training steps"
        for name, facts in sides.items()
    ]
    return f"Rhythm agreement: {'; '.join(each)} ({found[next(iter(sides))].n} records each)."
