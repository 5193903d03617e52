"""Section 03: how near a generator's records are to real ones, beside the floor of each metric."""

from dataclasses import asdict

import numpy as np

from ecgrepro.closeness import views
from ecgrepro.workflow.closeness import heart_sample, pool_closeness
from ecgrepro.workflow.products import judge, synthetic_pool
from ecgrepro.workflow.quality import copy_results, trained_on_synthetic
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section

MOST = 300  # points of a set in the map
LEADS = ("II", "V1", "V5")  # whose spectra are shown


def compute(run: Run, dataset: str, generator: str) -> Section:
    """Every metric with its floor; a map, spectra, hearts, the closest and the farthest records."""
    rows = pool_closeness(run, dataset, generator)
    rows += trained_on_synthetic(run, dataset, generator)
    parts, pool = run.splits(dataset), synthetic_pool(run, dataset, generator)
    train, test, reader = parts["train"], parts["test"], judge(run, dataset)
    made, real = reader.embed(pool), reader.embed(test)
    shown = {
        "plane": views.plane({"real test": (real, test), "synthetic": (made, pool)}, MOST),
        "spectra": views.spectra({"real test": test, "synthetic": pool}, LEADS),
        "hearts": views.hearts(heart_sample(run, dataset, generator)),
        "closest": views.closest((made, pool), (reader.embed(train), train)),
        "farthest": views.farthest((made, pool), real),
    }
    facts: dict = {"copies": [asdict(row) for row in copy_results(run, dataset, generator)]}
    arrays: dict[str, np.ndarray] = {}
    for name, view in shown.items():
        facts[name], own = views.pack(name, view)
        arrays |= own
    return Section(rows, facts, arrays)
