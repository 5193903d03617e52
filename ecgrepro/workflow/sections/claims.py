"""Section 06: verdicts on the paper's claims from everything that the run has found."""

from dataclasses import asdict

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.findings.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, judge
from ecgrepro.support.results import Result, read_results
from ecgrepro.workflow.reference import NO_EVIDENCE
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section

CODES = {SUPPORTED: 1, NOT_SUPPORTED: -1, INCONCLUSIVE: 0}


def compute(run: Run) -> Section:
    """A verdict for each claim, with its evidence.

    Raises
    ------
    EcgreproError
        The run has no results yet.
    """
    found = read_results(run.directory / "results")
    found = found[~found["section"].isin(NO_EVIDENCE)]
    if found.empty:
        raise EcgreproError(
            f"no results in {run.directory}: run the study first "
            f"(ecgrepro run --profile {run.profile.name} --data {run.data})"
        )
    verdicts = judge(found)
    rows = [Result(v.claim, CODES[v.verdict]) for v in verdicts]
    facts = {"verdicts": [asdict(v) for v in verdicts], "results": len(found)}
    return Section(rows, facts)
