"""Learning curves of transfer."""

from collections.abc import Sequence

from ecgrepro.studies.scoring import curve
from ecgrepro.support.results import Result


def share_curves(results: Sequence[Result]) -> dict[str, tuple[Sequence[float], ...]]:
    """Macro-F1 of each arm over the share of the real records, as `scoring.curve`."""
    scored = [r for r in results if r.metric == "macro_f1" and not r.comparison]
    names = dict.fromkeys(r.arm for r in scored)
    return {name: curve([r for r in scored if r.arm == name]) for name in names}
