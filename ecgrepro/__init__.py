"""Synthetic ECG generation for arrhythmia classification: an executable reproduction.

>>> from ecgrepro import load_cohort
"""

from importlib import import_module

__version__ = "0.1.0"
_PUBLIC = {
    "Cohort": "ecgrepro.cohort.cohort",
    "EcgreproError": "ecgrepro.errors",
    "load_cohort": "ecgrepro.datasets",
    "Classifier": "ecgrepro.classifier.classifier",
    "make_generator": "ecgrepro.generators",
    "load_generator": "ecgrepro.generators",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    """Import a public name on first use, so that importing the package costs nothing."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
