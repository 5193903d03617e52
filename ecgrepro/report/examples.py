"""Tables and sentences of the page that explains the metrics, from stored examples."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.closeness.catalogue import METRICS, of_family
from ecgrepro.closeness.examples.cases import (
    HEART_CASES,
    SHORT,
    Case,
    Curves,
    MarkedBeat,
    Worked,
    unpack_cases,
)
from ecgrepro.closeness.metrics.heart import MEASURES
from ecgrepro.closeness.views import unpack
from ecgrepro.report.closeness import listed

GOOD = ("closer", "safer")
TELLING = 0.1  # relative distance from the honest value from which a set is told from it
LEAST_HONEST = 0.05  # of the heart, by which values are divided at least


class Examples:
    """The stored examples of the page.

    Parameters
    ----------
    facts, arrays
        Of the section ``03_closeness_explained``.
    """

    def __init__(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]):
        self._facts, self._arrays = facts, arrays
        self.worked = [Worked(**row) for row in facts["worked"]]
        self.beat: MarkedBeat = unpack(MarkedBeat, "beat", facts["beat"], arrays)

    def cases(self, name: str) -> list[Case]:
        """Cases of a group or of a metric of signals."""
        return unpack_cases(f"cases.{name}", self._facts["cases"][name], self._arrays)

    def curves(self, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What a metric of signals compares, by set."""
        return unpack(
            Curves, f"curves.{metric}", self._facts["curves"][metric], self._arrays
        ).by_name()

    def gaussians(self) -> dict[str, Any]:
        """Two sets of points on a line, the closed form and the value found."""
        points = {key: self._arrays[f"gaussians.{key}"] for key in ("first", "second")}
        return {**points, **self._facts["gaussians"]}

    def heart(self) -> pd.DataFrame:
        """Metrics of the heart (rows) of each set (columns)."""
        names = self._facts["heart"]
        return pd.DataFrame(self._arrays["heart"], names["metrics"], names["sets"])

    def by_hand(self, *metrics: str) -> list[Worked]:
        """Worked examples of some metrics."""
        return [row for row in self.worked if row.metric in metrics]


def words_table(family: str) -> pd.DataFrame:
    """The catalogue's words on the metrics of a family, a row each."""
    rows = [(METRICS[name].title, f"{METRICS[name].better} is {GOOD[family == 'privacy']}",
             METRICS[name].sees, METRICS[name].misses) for name in of_family(family)]  # fmt: skip
    return pd.DataFrame(rows, columns=["metric", "direction", "sees", "misses"])


def worked_table(rows: Iterable[Worked]) -> pd.DataFrame:
    """Worked examples with the value by hand and the value found."""
    frame = pd.DataFrame(
        [(METRICS[r.metric].words, r.given, r.by_hand, f"{r.expected:.3f}", f"{r.found:.3f}")
         for r in rows],
        columns=["metric", "given", "by hand", "gives", "found"],
    )  # fmt: skip
    frame.loc[frame["given"] == frame["given"].shift(), "given"] = "the same"
    return frame


def measured_table(beat: MarkedBeat) -> pd.DataFrame:
    """What was measured in the record of a beat, with units."""
    rows = []
    for measure in MEASURES:
        metric = METRICS[f"{measure}_distance"]
        digits = 0 if metric.unit in ("ms", "bpm") else 2
        value = f"{beat.measured[measure]:.{digits}f}"
        unit = metric.unit.replace("units of the signal", "mV")
        word = re.sub(r"s\b", "", metric.words.removeprefix("distance of "), count=1)  # singular
        rows.append((word, unit, value))
    return pd.DataFrame(rows, columns=["measure", "unit", "median over beats"])


def told(case: Case, metric: str) -> bool:
    """Whether a value is worse than that of the honest set by more than a tenth."""
    honest, room = case.honest[metric], TELLING * max(abs(case.honest[metric]), TELLING)
    edge = honest + room if METRICS[metric].better == "lower" else honest - room
    return METRICS[metric].worse(case.values[metric], edge)


def cases_sentence(cases: Sequence[Case]) -> str:
    """Which metric tells which set from an honest one, by the values found."""
    parts = []
    for case in cases:
        wanted = [name for name in METRICS if name in (*case.sees, *case.misses)]
        seen = [name for name in wanted if told(case, name)]
        missed = [name for name in wanted if name not in seen]
        said = [f"{verb} {_named(case, names)}"
                for verb, names in (("seen", seen), ("missed", missed)) if names]  # fmt: skip
        if said:
            parts.append(f"*{case.words}* is {' and '.join(said)}")
    text = f"As found: {'; '.join(parts)}."
    odd = [f"*{case.words}*" for case in cases if _otherwise(case)]
    return text + (f" That is not what {', '.join(odd)} was made to show." if odd else "")


def _otherwise(case: Case) -> bool:
    seen, missed = ([told(case, name) for name in names] for names in (case.sees, case.misses))
    return not all(seen) or any(missed)


def _named(case: Case, names: Sequence[str]) -> str:
    """Metrics in a few words; values in their place where there is only one."""
    if len(case.values) == 1:
        (name,) = names
        return f"({case.values[name]:.3f}, honest {case.honest[name]:.3f})"
    if len(names) == len(case.values):
        return "by all"
    return f"by {listed([SHORT.get(name, METRICS[name].words) for name in names])}"


def worked_sentence(rows: Sequence[Worked]) -> str:
    """How far what was found lies from what pencil and paper give."""
    apart = max(abs(row.expected - row.found) for row in rows)
    if apart < 5e-4:
        return "All values that were found are those by hand."
    return f"Values found and by hand differ by at most {apart:.4f}."


def gaussians_sentence(example: Mapping[str, Any]) -> str:
    """The closed form beside the value found."""
    closed, found = example["closed"], example["found"]
    return (
        f"From {len(example['first'])} points of each set the distance comes out as {found:.3f}, "
        f"{100 * abs(found / closed - 1):.1f} % from the closed form, {closed:.3f}."
    )


def beat_sentence(beat: MarkedBeat) -> str:
    """Lengths of the marked beat beside the medians of its record."""
    words = {"p_duration": "P", "pr": "PR", "qrs": "QRS", "qt": "QT"}
    parts = [
        f"{word} {1000 * (beat.marks[name][1] - beat.marks[name][0]):.0f} ms "
        f"({beat.measured[name]:.0f} ms)"
        for name, word in words.items()
    ]
    return (
        f"This beat, and in brackets the median over the record: {', '.join(parts)}; the R peak is "
        f"{beat.r_height:.2f} mV high ({beat.measured['r_amplitude']:.2f} mV)."
    )


def heart_sentence(table: pd.DataFrame) -> str:
    """How far the values that sets were made for lie above the honest ones."""
    ratios = {
        (case, name): table.loc[name, case] / max(table.loc[name, "honest"], LEAST_HONEST)
        for case, names in HEART_CASES.items()
        for name in names
    }
    case, name = min(ratios, key=ratios.__getitem__)
    return (
        f"Framed values are at least {ratios[case, name]:.1f} times the honest ones; least so "
        f"*{case}* by {METRICS[name].words}."
    )
