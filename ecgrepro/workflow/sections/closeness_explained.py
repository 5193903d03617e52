"""Section 03, explained: worked examples of every metric, from formulas and simulated records."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ecgrepro.closeness.examples import points, records
from ecgrepro.closeness.examples.cases import (
    Case,
    Curves,
    MarkedBeat,
    Worked,
    as_points,
    as_traces,
    pack_cases,
)
from ecgrepro.closeness.views import pack
from ecgrepro.support.results import Result
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section

POINTS = {
    "distribution": points.distribution_cases,
    "gaps": points.distribution_gaps,
    "fidelity": points.fidelity_cases,
    "rhythm": points.rhythm_cases,
    "discriminator": points.discriminator_cases,
    "privacy": points.privacy_cases,
}
STRIP, LIMBS = 3.0, 2.4  # seconds of a record that are shown
OWN = {"data": "simulated", "fingerprints": {}, "seeds": [0]}  # nothing here is the run's data


def compute(run: Run) -> Section:
    """What each metric sees and misses, and numbers that can be checked by hand."""
    worked, gaussians = points.by_hand(), points.gaussian_example()
    cases, curves = {name: make() for name, make in POINTS.items()}, {}
    cases = {name: [as_points(case) for case in some] for name, some in cases.items()}
    for metric, some in records.signal_cases().items():
        cases[metric] = [as_traces(case, ["II"], STRIP) for case in some]
        curves[metric] = _curves(records.signal_curves(metric, some))
    limbs = ["I", "II", "III"]
    cases["leads"] = [as_traces(case, limbs, LIMBS) for case in records.lead_cases()]
    facts, arrays = _packed(cases, curves, records.marked_beat(), gaussians)
    facts["worked"] = [asdict(row) for row in worked]
    heart = records.heart_table(records.heart_measures(records.heart_records()))
    facts["heart"] = {"metrics": list(heart.index), "sets": list(heart.columns)}
    arrays["heart"] = heart.to_numpy(np.float64)
    return Section(_rows(worked, gaussians), facts, arrays, OWN)


def _curves(found: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Curves:
    x, y = (np.array([pair[i] for pair in found.values()], np.float32) for i in (0, 1))
    return Curves(list(found), x, y)


def _packed(
    cases: Mapping[str, Sequence[Case]],
    curves: Mapping[str, Curves],
    beat: MarkedBeat,
    gaussians: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    facts: dict[str, Any] = {"cases": {}, "curves": {}}
    facts["gaussians"] = {key: float(gaussians[key]) for key in ("closed", "found")}
    arrays = {
        f"gaussians.{key}": np.asarray(gaussians[key], np.float16) for key in ("first", "second")
    }
    for name, some in cases.items():
        facts["cases"][name], own = pack_cases(f"cases.{name}", some)
        arrays |= own
    for name, some in curves.items():
        facts["curves"][name], own = pack(f"curves.{name}", some)
        arrays |= own
    facts["beat"], own = pack("beat", beat)
    return facts, arrays | own


def _rows(worked: Sequence[Worked], gaussians: Mapping[str, Any]) -> list[Result]:
    rows = [
        Result(row.metric, row.found, n=row.points, scope=f"by hand: {row.given}") for row in worked
    ]
    return [*rows, Result("frechet_distance", gaussians["found"], n=4000, scope="two Gaussians")]
