"""The compute half of every section of the study: results and the small arrays of its figures.

A section's module has one function, ``compute(run, **parameters) -> Section``. It runs as a job of
the study; the notebook of the same name shows what it wrote (`ecgrepro.workflow.results`).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgrepro.support.results import Result

if TYPE_CHECKING:
    from ecgrepro.workflow.run import Run

AGE_BINS = tuple(range(0, 111, 10))  # edges of the histograms of age, in years
MODULES = {  # section: module of its compute half
    "01_data": "data",
    "02_generators": "generators",
    "02_generators_compared": "generators_compared",
    "03_closeness": "closeness",
    "03_closeness_checked": "closeness_checked",
    "03_closeness_explained": "closeness_explained",
    "04_augmentation": "augmentation",
    "05_transfer": "transfer",
    "06_claims": "claims",
    "07_recipes": "recipes",
}


@dataclass(frozen=True)
class Section:
    """What the compute half of a section hands to its notebook.

    Attributes
    ----------
    rows
        Results.
    facts
        Anything else in JSON values that the notebook shows: counts, settings, captions' numbers.
    arrays
        Small arrays that figures are drawn from, without Python objects; signals as float16.
    provenance
        Replaces entries of the run's provenance where a section does not use the run's data.
    """

    rows: list[Result]
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def module_name(section: str) -> str:
    """Dotted name of the module that computes a section."""
    return f"{__name__}.{MODULES[section]}"


def compute(run: Run, section: str, parameters: dict[str, str]) -> Section:
    """Compute a section for one data set, one generator, or both."""
    return importlib.import_module(module_name(section)).compute(run, **parameters)


def for_figure(signals: np.ndarray) -> np.ndarray:
    """Signals at the precision that a figure needs, a quarter of the size."""
    return np.asarray(signals, np.float16)
