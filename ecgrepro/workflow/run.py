"""A run: one profile on one kind of data, in one folder, and the cohorts that it is about."""

import os
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from pathlib import Path

from threadpoolctl import threadpool_limits

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.datasets import SIMULATED, load_cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.studies.arms import HOSPITALS, MERGED
from ecgrepro.studies.profiles import Profile, load_profile
from ecgrepro.support.provenance import PROJECT, commit, versions
from ecgrepro.workflow.artifacts import artifact


class Run:
    """Where the jobs of a study find their profile, cohorts and finished work.

    Opening a run reads its profile and nothing else.

    Parameters
    ----------
    profile
        Name or path of a profile.
    data
        ``"simulated"`` or ``"real"``.
    directory
        Where everything goes; by default ``runs/<profile>-<data>`` in the checkout.
    """

    def __init__(self, profile: str, data: str, directory: str | Path | None = None):
        self.source = profile
        self.profile: Profile = load_profile(profile, data)
        self.data = data
        self.directory = Path(directory or PROJECT / "runs" / f"{self.profile.name}-{data}")
        self.artifacts = self.directory / "artifacts"
        self.trained_on: dict[str, str] = {}  # devices of the generators that have been opened

    @lru_cache  # noqa: B019 - a run lives as long as its process
    def cohort(self, dataset: str) -> Cohort:
        """The recordings of a hospital, or of both merged."""
        if dataset == MERGED:
            return Cohort.concat([self.cohort(name) for name in HOSPITALS], name=MERGED)
        if dataset not in HOSPITALS:
            known = ", ".join((*HOSPITALS, MERGED))
            raise EcgreproError(f"unknown dataset {dataset!r}: choose one of {known}")
        shared = {"labels": self.profile.labels, "fs": self.profile.fs}
        if self.data == "real":
            return load_cohort(dataset, **shared)
        simulation = self.profile.simulation
        return load_cohort(
            SIMULATED + dataset, records=simulation.records, seed=simulation.seed, **shared
        )

    @lru_cache  # noqa: B019
    def splits(self, dataset: str) -> dict[str, Cohort]:
        """Cohorts ``train``, ``validation`` and ``test``; no patient is in two of them."""
        return self.cohort(dataset).split(**self.profile.folds.model_dump())

    @cached_property
    def status(self) -> str:
        """``"simulated"``, ``"partial real"`` or ``"full real"``."""
        reports = [self.cohort(name).report for name in HOSPITALS]
        if any(report["origin"] == "simulated" for report in reports):
            return "simulated"
        full = all(report["listed"] and not report["missing"] for report in reports)
        return "full real" if full else "partial real"

    def provenance(self) -> dict:
        """Everything that decides a number; two runs that agree in it give the same numbers."""
        found, dirty = commit()
        return {
            "profile": self.profile.name,
            "data": self.status,
            "commit": found,
            "dirty": dirty,
            "versions": versions(),
            "device": device_name(),
            "generators_trained_on": dict(sorted(self.trained_on.items())),
            "threads": self.profile.threads,
            "seeds": self.profile.seeds,
            "fingerprints": {name: self.cohort(name).fingerprint for name in HOSPITALS},
        }

    def artifact(
        self,
        name: str,
        dataset: str,
        made_from: dict,
        code: Iterable[str],
        make: Callable[[Path], None],
        *,
        portable: bool = False,
    ) -> Path:
        """A piece of work on a data set: see `ecgrepro.workflow.artifacts.artifact`.

        ``portable``: what another machine has made is taken, if its folder is copied here.
        """
        shared = {
            "data": self.cohort(dataset).fingerprint,
            "folds": self.profile.folds.model_dump(),
            "device": device_name(),
            "threads": self.profile.threads,
        }
        machine = ("device", "threads") if portable else ()
        return artifact(
            self.artifacts, f"{name}-{dataset}", {**shared, **made_from}, code, make, machine
        )


def device_name() -> str:
    """The accelerator's name, or ``cpu``."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def prepare_process(threads: int) -> None:
    """Make this process one that computes results: threads and deterministic algorithms.

    The number of threads decides the order of sums, so it belongs to the profile. Libraries that
    are loaded already are told, those that are loaded later find it in the environment.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    threadpool_limits(threads)
    import torch

    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports a compiler
    # A debugging aid that costs a tenth; torch defines it where type checkers do not see it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
