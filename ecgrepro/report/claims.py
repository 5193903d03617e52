"""Tables and sentences of the verdicts on the paper's claims."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.studies.findings.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Verdict


def verdicts_table(reference: Sequence[Verdict], own: Sequence[Verdict]) -> pd.DataFrame:
    """Claims, tests, and the verdicts of the reference run and of this one."""
    return pd.DataFrame(
        {
            "claim": now.claim,
            "the paper": now.words,
            "our test": now.test,
            "reference run": then.verdict,
            "this run": now.verdict,
        }
        for then, now in zip(reference, own, strict=True)
    )


def evidence_table(reference: Sequence[Verdict], own: Sequence[Verdict]) -> pd.DataFrame:
    """What each verdict rests on, of both runs."""
    return pd.DataFrame(
        {"claim": verdict.claim, "run": which, "evidence": verdict.evidence}
        for pair in zip(reference, own, strict=True)
        for which, verdict in zip(("reference run", "this run"), pair, strict=True)
    )


def counts(verdicts: Sequence[Verdict], prefix: str = "") -> dict[str, int]:
    """How many claims have each verdict, by a name for glue: ``not-supported``."""
    return {
        prefix + kind.replace(" ", "-"): sum(v.verdict == kind for v in verdicts)
        for kind in (SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE)
    }


def verdicts_sentence(reference: Sequence[Verdict], own: Sequence[Verdict]) -> str:
    """On which claims the two runs agree."""
    same = [a.claim for a, b in zip(reference, own, strict=True) if a.verdict == b.verdict]
    apart = [a.claim for a, b in zip(reference, own, strict=True) if a.verdict != b.verdict]
    agree = f"Both runs come to the same verdict on {', '.join(same)}" if same else ""
    differ = f"they differ on {', '.join(apart)}" if apart else ""
    text = "; ".join(filter(None, (agree, differ)))
    return f"{text[0].upper()}{text[1:]}."
