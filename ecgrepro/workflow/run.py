"""A run: one profile on one kind of data, in one folder.

Notebooks open the same run and share its cohorts, its finished work and its results. Each thing is
made when it is first asked for and found again afterwards, so that a notebook can be executed
alone, and after a kill nothing finished is done twice.
"""

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd
import torch

from ecgrepro.cohort import Cohort
from ecgrepro.datasets import SIMULATED, load_cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.studies.profiles import Profile, load_profile
from ecgrepro.support.provenance import PROJECT, commit, versions
from ecgrepro.support.results import Result, read_results, write_results
from ecgrepro.workflow.artifacts import artifact

HOSPITALS = ("ptb-xl", "chapman")
MERGED = "merged"
NO_EVIDENCE = ("03_closeness_explained", "06_claims", "07_helping")  # for the claims: sections


class Run:
    """The shared ground of one run of the study.

    Parameters
    ----------
    profile
        Name or path of a profile.
    data
        ``"simulated"`` or ``"real"``.
    directory
        Where everything goes; by default ``runs/<profile>-<data>`` in the checkout.
    workers
        Processes that may run arms at once (`ecgrepro.workflow.grid`).
    """

    def __init__(
        self, profile: str, data: str, directory: str | Path | None = None, workers: int = 1
    ):
        self.source, self.workers = profile, workers
        self.profile: Profile = load_profile(profile, data)
        self.data = data
        self.directory = Path(directory or PROJECT / "runs" / f"{self.profile.name}-{data}")
        self.artifacts = self.directory / "artifacts"
        self.trained_on: dict[str, str] = {}  # devices of the generators used: see `synthesis`
        _set_threads(self.profile.threads)

    @lru_cache  # noqa: B019 - a run lives as long as its process
    def cohort(self, dataset: str) -> Cohort:
        """The recordings of a hospital, or of both merged."""
        if dataset == MERGED:
            return Cohort.concat([self.cohort(name) for name in HOSPITALS], name=MERGED)
        self._known(dataset)
        shared = {"labels": self.profile.labels, "fs": self.profile.fs}
        if self.data == "real":
            return load_cohort(dataset, **shared)
        simulation = self.profile.simulation
        return load_cohort(
            SIMULATED + dataset, records=simulation.records, seed=simulation.seed, **shared
        )

    def _known(self, dataset: str) -> None:
        if dataset not in HOSPITALS:
            known = ", ".join((*HOSPITALS, MERGED))
            raise EcgreproError(f"unknown dataset {dataset!r}: choose one of {known}")

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

    def save_results(self, section: str, instance: str, rows: Iterable[Result], **facts) -> Path:
        """Write a notebook's results with what they were computed from.

        ``facts`` take the place of the run's own provenance, where a page does not use its data.
        """
        path = self.directory / "results" / section / f"{instance}.json"
        return write_results(path, rows, {"section": section, **self.provenance(), **facts})

    def results(self) -> pd.DataFrame:
        """Everything that this run's notebooks have written so far.

        But for the claims, and for worked examples, which say nothing about the run's data.
        """
        found = read_results(self.directory / "results")
        found = found[~found["section"].isin(NO_EVIDENCE)]
        if found.empty:
            raise EcgreproError(
                f"no results in {self.directory}: run the study first "
                f"(ecgrepro run --profile {self.profile.name} --data {self.data})"
            )
        return found

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


def _set_threads(threads: int) -> None:
    """The number of threads decides the order of sums, so it belongs to the profile."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid; costs a tenth


def device_name() -> str:
    """The accelerator's name, or ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
