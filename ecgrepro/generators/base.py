"""What a generator is: fit on a Cohort, sample by class counts into a Cohort, save, load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.settings import SETTINGS, GeneratorSettings
from ecgrepro.preprocess import standardize

VERSION = 1  # of the saved form
CLAMP = 8.0  # SD; beyond it there is no heart in a z-scored lead
_FACTS, _WEIGHTS = "generator.json", "weights.safetensors"


class Shape(BaseModel):
    """What a generator must know of the cohort that it was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    labels: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    leads: tuple[str, ...]
    samples: int
    fs: float
    fingerprint: str


class Generator(ABC):
    """A class-conditional generator of z-scored records.

    Parameters
    ----------
    settings
        An instance of ``SETTINGS[name]``, or its values as a dictionary; defaults without.
    seed
        Of everything random in training.
    device
        ``"auto"`` (a GPU if there is one) or ``"cpu"``.

    Attributes
    ----------
    shape
        What the generator was trained on, None before `fit`.
    history
        Entries with ``step``, ``loss``, ``seconds`` and sometimes ``validation_loss``.
    facts
        ``parameters``, ``training_seconds``, ``evaluations`` of the network per sample.
    """

    name: ClassVar[str]

    def __init__(
        self,
        settings: GeneratorSettings | dict[str, Any] | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
    ):
        self.settings = self.check(settings or {})
        self.seed = seed
        self.device = device
        self.shape: Shape | None = None
        self.history: list[dict] = []
        self.facts: dict[str, Any] = {}

    @classmethod
    def check(cls, settings: GeneratorSettings | dict[str, Any]) -> GeneratorSettings:
        """Settings of this class, validated; raises naming the key and what is allowed."""
        model = SETTINGS[cls.name]
        if isinstance(settings, model):
            return settings
        try:
            return model.model_validate(settings)
        except ValidationError as error:
            raise EcgreproError(_explain(cls.name, error, model)) from None

    def fit(
        self,
        cohort: Cohort,
        *,
        validation: Cohort | None = None,
        checkpoint_dir: str | Path | None = None,
    ) -> Self:
        """Train on ``cohort`` (the training folds only, units z).

        ``validation`` is for the loss in the history. With ``checkpoint_dir`` a training that
        was interrupted is continued by calling this again with the same arguments.
        """
        for part in (cohort, validation):
            if part is not None:
                _check_cohort(part, self.name)
        sources = sorted(set(cohort.table["source"]))
        self.shape = Shape(
            source="+".join(sources),
            labels=cohort.labels,
            classes=cohort.classes,
            counts=cohort.counts(),
            leads=cohort.leads,
            samples=cohort.signals.shape[2],
            fs=cohort.fs,
            fingerprint=cohort.fingerprint,
        )
        self._fit(cohort, validation, checkpoint_dir)
        return self

    def sample(
        self,
        counts: dict[str, int],
        *,
        seed: int,
        batch_size: int = 64,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Cohort:
        """Synthetic records, ``counts`` of each class in the order of the label map.

        A record depends on the weights, ``seed``, its class and its number within the class, so
        ``{"AFIB": 10}`` are the first ten of ``{"AFIB": 20}`` (to float tolerance: the batch may
        change the order of sums). Each lead is brought to zero mean and unit variance and
        clamped at 8, as real records are: a classifier cannot tell them apart by scale.

        Parameters
        ----------
        guidance, steps
            Guidance scale and sampler steps, where the generator has them; its settings' without.
        """
        shape = self._fitted()
        counts = self._check_counts(counts, shape)
        _check_sampling(seed=seed, batch_size=batch_size, guidance=guidance, steps=steps)
        total = sum(counts.values())
        signals = np.empty((total, len(shape.leads), shape.samples), np.float32)
        plan = [(code, i) for code, n in counts.items() for i in range(n)]
        with tqdm(total=total, desc=f"{self.name} samples", unit="record", disable=None) as bar:
            for start in range(0, total, batch_size):
                part = plan[start : start + batch_size]
                drawn = self._draw(part, seed=seed, guidance=guidance, steps=steps)
                signals[start : start + len(part)] = np.clip(standardize(drawn), -CLAMP, CLAMP)
                bar.update(len(part))
        if not np.isfinite(signals).all():
            raise EcgreproError(
                f"{self.name} produced values that are not finite: its weights are unusable "
                "(trained too briefly or at too high a learning rate)"
            )
        return Cohort(
            signals=signals,
            table=_table(plan, self.name, shape.source),
            fs=shape.fs,
            leads=shape.leads,
            units="z",
            labels=shape.labels,
            name=f"{self.name}-{shape.source}",
        )

    def save(self, directory: str | Path) -> Path:
        """Write weights and facts to ``directory`` (which must not exist), all or nothing."""
        shape, directory = self._fitted(), Path(directory)
        if directory.exists():
            raise EcgreproError(f"{directory} already exists: remove it or choose another place")
        partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
        try:
            partial.mkdir(parents=True)
            save_file(self._state(), partial / _WEIGHTS)
            facts = {
                "format": VERSION,
                "name": self.name,
                "settings": self.settings.model_dump(mode="json"),
                "seed": self.seed,
                "shape": shape.model_dump(mode="json"),
                "facts": self.facts,
                "history": self.history,
                "sha256": hashlib.sha256((partial / _WEIGHTS).read_bytes()).hexdigest(),
            }
            (partial / _FACTS).write_text(json.dumps(facts, indent=1))
            partial.rename(directory)
        except OSError as error:
            raise EcgreproError(f"cannot save the generator to {directory}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return directory

    @classmethod
    def load(cls, directory: str | Path, *, device: str = "auto") -> Self:
        """Load what `save` wrote; raises if it is damaged, or of another model or version."""
        directory = Path(directory)
        try:
            facts = json.loads((directory / _FACTS).read_text())
            digest = hashlib.sha256((directory / _WEIGHTS).read_bytes()).hexdigest()
            found = {key: facts[key] for key in ("format", "name", "sha256")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EcgreproError(f"{directory} is not a saved generator: {error!r}") from error
        if found["format"] != VERSION:
            raise EcgreproError(
                f"{directory} has format {found['format']}, this version reads {VERSION}: "
                "train the generator again"
            )
        if found["name"] != cls.name:
            raise EcgreproError(f"{directory} holds a {found['name']} generator, not {cls.name}")
        if found["sha256"] != digest:
            raise EcgreproError(
                f"{directory / _WEIGHTS} is truncated or altered (its SHA-256 is not the one in "
                f"{_FACTS}): train the generator again"
            )
        try:
            generator = cls(facts["settings"], seed=facts["seed"], device=device)
            generator.shape = Shape.model_validate(facts["shape"])
            generator.facts, generator.history = facts["facts"], facts["history"]
            generator._restore(load_file(directory / _WEIGHTS))
        except (ValidationError, KeyError, SafetensorError, RuntimeError) as error:
            raise EcgreproError(
                f"{directory}: weights and settings do not belong together: {error}"
            ) from error
        return generator

    @abstractmethod
    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        """Train; fill ``history`` and ``facts``."""

    @abstractmethod
    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        """The records (class, number within the class) of ``plan``: (len(plan), leads, samples)."""

    @abstractmethod
    def _state(self) -> dict:
        """Tensors by name, for `save`."""

    @abstractmethod
    def _restore(self, tensors: dict) -> None:
        """Take over the tensors of `_state`; ``shape`` and ``settings`` are set."""

    def _fitted(self) -> Shape:
        if self.shape is None:
            raise EcgreproError(f"this {self.name} generator is not trained: call fit first")
        return self.shape

    def _check_counts(self, counts: dict[str, int], shape: Shape) -> dict[str, int]:
        known = [code for code in shape.classes if shape.counts[code]]
        for code, n in counts.items():
            if code not in shape.classes:
                raise EcgreproError(f"unknown class {code!r}: choose from {', '.join(known)}")
            if code not in known:
                raise EcgreproError(
                    f"{self.name} was trained on {shape.source} without a record of {code}: it "
                    f"can sample {', '.join(known)}"
                )
            if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
                raise EcgreproError(f"cannot sample {n!r} records of {code}: expected 1 or more")
        if not counts:
            raise EcgreproError(f"no class asked for: choose from {', '.join(known)}")
        return {code: int(counts[code]) for code in shape.classes if code in counts}


def record_seeds(plan: list[tuple[str, int]], classes: tuple[str, ...], seed: int) -> Iterator:
    """A numpy Generator for each record of ``plan``, from (seed, class index, number)."""
    for code, number in plan:
        yield np.random.default_rng([seed, classes.index(code), number])


def _check_cohort(cohort: Cohort, name: str) -> None:
    if not len(cohort):
        raise EcgreproError(f"cannot train {name}: cohort {cohort.name!r} has no records")
    if cohort.units != "z":
        raise EcgreproError(
            f"{name} is trained on units 'z', but cohort {cohort.name!r} has {cohort.units!r}: "
            "load it with scale='z'"
        )
    for start in range(0, len(cohort), 256):
        finite = np.isfinite(cohort.signals[start : start + 256]).all(axis=(1, 2))
        if not finite.all():
            record = cohort.table["record_id"].iloc[start + int(np.argmin(finite))]
            raise EcgreproError(
                f"cannot train {name}: record {record} of cohort {cohort.name!r} has values that "
                "are not finite"
            )


def _check_sampling(
    *, seed: int, batch_size: int, guidance: float | None, steps: int | None
) -> None:
    """Raise for a number that is out of range."""
    least = {"seed": (seed, 0), "batch_size": (batch_size, 1), "steps": (steps, 1)}
    for key, (value, lowest) in least.items():
        if value is not None and (not isinstance(value, int | np.integer) or value < lowest):
            raise EcgreproError(f"{key} must be an integer of at least {lowest}, not {value!r}")
    if guidance is not None and not 0 <= guidance < np.inf:
        raise EcgreproError(f"guidance must be a finite number of at least 0, not {guidance!r}")


def _table(plan: list[tuple[str, int]], name: str, source: str) -> pd.DataFrame:
    records = [f"{name}-{code}-{number:06d}" for code, number in plan]
    return pd.DataFrame(
        {
            "record_id": records,
            "patient_id": records,
            "source": source,
            "rhythm": [code for code, _ in plan],
            "fold": 0,
            "age": np.nan,
            "sex": "",
            "origin": name,
        }
    )


def _explain(name: str, error: ValidationError, settings: type[BaseModel]) -> str:
    """One sentence per wrong key of a generator's settings."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}: choose from {', '.join(settings.model_fields)}")
        else:
            lines.append(f"{key}: {fault['msg']}, not {fault['input']!r}")
    return f"settings of generator {name!r}: " + "; ".join(lines)
