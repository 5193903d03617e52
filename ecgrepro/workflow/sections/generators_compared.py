"""Section 02, compared: all generators of a hospital side by side, from their own results."""

from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.studies.findings.bars import bars_table, measured, overall
from ecgrepro.studies.strips import LEAD, Strips, first_strips
from ecgrepro.support.results import Result, read_results
from ecgrepro.workflow.results import RESULTS, SectionResults, read_section
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section, for_figure

SECTION = "02_generators"
SECONDS = 5.0  # of a strip
RHYTHMS = ("SR", "SB", "ST", "GSVT", "AFIB")  # that are shown


def compute(run: Run, dataset: str) -> Section:
    """How many bars the generators clear; their measures, costs, heart rates and first records."""
    generators, test = list(run.profile.generators), run.splits(dataset)["test"]
    results = measured(read_results(run.directory / RESULTS / SECTION), dataset, generators)
    sections = {
        name: read_section(run.directory, SECTION, f"{dataset}-{name}") for name in generators
    }
    bars = bars_table(results)
    met = bars["verdict"].str.startswith("met")
    rows = [
        Result("bars", len(bars), dataset=dataset),
        Result("bars_met", int(met.sum()), dataset=dataset),
    ]
    strips = _strips(test, sections)
    facts = {
        "fs": test.fs,
        "units": test.units,
        "generators": generators,
        "rhythms": [code for code, n in run.cohort(dataset).counts().items() if n],
        "results": _plain(overall(results)),
        "costs": {name: found.facts["cost"] for name, found in sections.items()},
        "hearts": _hearts(sections),
        "strips": {"rows": strips.rows, "columns": strips.columns},
    }
    return Section(rows, facts, {"strips": for_figure(strips.traces)})


def _strips(test: Cohort, sections: dict[str, SectionResults]) -> Strips:
    """The first real test record of each rhythm, and the first of each generator."""
    grid = {"real": first_strips(test, SECONDS)}
    samples = round(SECONDS * test.fs)
    for name, found in sections.items():
        traces = found.arrays["examples"][:, LEADS.index(LEAD), :samples]
        grid[name] = dict(zip(found.facts["rhythms"], traces.astype(float), strict=True))
    return Strips.of(grid, [code for code in RHYTHMS if code in grid["real"]])


def _hearts(sections: dict[str, SectionResults]) -> dict[str, Any]:
    """Quantiles of heart rates by rhythm: of real recordings, and of each generator."""
    rates = {name: found.facts["hearts"]["rates"] for name, found in sections.items()}
    real = next(iter(rates.values()))["real"]
    return {"real": real, **{name: both["synthetic"] for name, both in rates.items()}}


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, None where there is no number."""
    known = frame.notna() & ~frame.isin([np.inf])
    return frame.astype(object).where(known, None).to_dict("records")
