"""Section 03, checked: what detectors and metrics make of real records, whole and damaged."""

from ecgrepro.closeness import views
from ecgrepro.workflow.closeness import check_metrics
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section

MOST = 300  # detected rates of a rhythm that are shown


def compute(run: Run, dataset: str) -> Section:
    """Detectors against labels, metrics by size of the sets, for every defect, and privacy."""
    found = check_metrics(run, dataset)
    rhythms = run.cohort(dataset).table["rhythm"].to_numpy()
    rates = views.detected_rates(rhythms, found.beats["rate"].to_numpy(), MOST)
    facts, arrays = views.pack("rates", rates)
    rows = [*found.detectors, *found.sizes, *found.defects, *found.privacy]
    return Section(rows, {"rates": facts}, arrays)
