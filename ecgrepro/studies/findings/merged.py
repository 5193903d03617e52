"""What explains a gain on the data of both hospitals merged."""

from ecgrepro.generators.registry import learned_generators
from ecgrepro.studies.arms import ACROSS, BOTH, CROSSING, HOSPITALS, MERGED, REAL
from ecgrepro.studies.findings.wording import mark, number
from ecgrepro.support.results import Result, required


def explained(rows: list[Result]) -> list[tuple[str, str]]:
    """Questions about the merged gain, each with what the results of the merged page say of it."""
    rows = [row for row in rows if row.value is not None]
    (shift,) = [r for r in rows if r.metric == "source_auc" and not r.rhythm]
    found = [("Can the hospitals be told apart by a record? (AUC; 0.5: no)", _shown(shift))]
    f1 = [r for r in rows if r.metric == "macro_f1" and r.comparison]
    crossed = {(r.dataset, r.arm): r for r in f1 if r.scope == CROSSING}
    for home in HOSPITALS:
        found += [
            (f"What does training in both change for {home}?", _shown(crossed[home, BOTH])),
            (
                f"And training in the other hospital alone, for {home}?",
                _shown(crossed[home, ACROSS]),
            ),
        ]
    gains = [r for r in f1 if r.scope == MERGED and r.comparison == REAL and _learned(r.arm)]
    if not gains:
        return found
    best = max(gains, key=lambda row: required(row.value))
    found.append((f"What do synthetic records add at most? ({best.arm})", _shown(best)))
    for scope in HOSPITALS:
        part = next(r for r in f1 if (r.scope, r.comparison, r.arm) == (scope, REAL, best.arm))
        found.append((f"The same, in {scope} alone", _shown(part)))
    for row in f1:
        if row.scope == MERGED and row.arm == best.arm and row.comparison != REAL:
            found.append((f"Does that remain against {row.comparison}?", _shown(row)))
    return found


def _learned(arm: str) -> bool:
    return any(arm.startswith(f"real + {name}") for name in learned_generators())


def _shown(row: Result) -> str:
    return f"{number(row.value, row.low, row.high)} {mark(row) if row.comparison else ''}".strip()
