"""What a generator is: fit on a Cohort, sample by class counts into a Cohort, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.pool import Plan, in_memory, on_disk
from ecgrepro.generators.representation import Shape, check_cohort, shape_of, to_channels
from ecgrepro.generators.saved import VERSION, read_saved, write_saved
from ecgrepro.generators.settings import SETTINGS, GeneratorSettings
from ecgrepro.support.digests import tensors_digest
from ecgrepro.support.explain import explain


class Generator(ABC):
    """A class-conditional generator of records, z-scored or in mV (see `representation`).

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
            faults = "; ".join(explain(error, model))
            raise EcgreproError(f"settings of generator {cls.name!r}: {faults}") from None

    def fit(
        self,
        cohort: Cohort,
        *,
        validation: Cohort | None = None,
        checkpoint_dir: str | Path | None = None,
    ) -> Self:
        """Train on ``cohort``, the training folds only; its units are those of the samples.

        ``validation`` is for the loss in the history. With ``checkpoint_dir`` a training that
        was interrupted is continued by calling this again with the same arguments.
        """
        check_cohort(cohort, self.name)
        if validation is not None:
            check_cohort(validation, self.name, like=cohort)
        self.shape = shape_of(cohort)
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
        directory: str | Path | None = None,
    ) -> Cohort:
        """Synthetic records, ``counts`` of each class in the order of the label map.

        A record depends on the weights, ``seed``, its class and its number within the class, so
        ``{"AFIB": 10}`` are the first ten of ``{"AFIB": 20}`` (to float tolerance: the batch may
        change the order of sums). They are scaled as real records are (see
        `ecgrepro.generators.representation.to_leads`): a classifier cannot tell them by scale.

        Parameters
        ----------
        guidance, steps
            Guidance scale and sampler steps, where the generator has them; its settings' without.
        directory
            Write the pool there, in memory that does not grow with it, and open it memory-mapped.
            What was interrupted is continued by the same call, from ``<directory>.partial``; a
            finished pool of the same call is opened.

        Raises
        ------
        EcgreproError
            If a class is unknown or had no training record, a number is out of range, a value is
            not finite, or ``directory`` or the unfinished pool beside it is something else.
        """
        _check_sampling(seed=seed, batch_size=batch_size, guidance=guidance, steps=steps)
        plan = self.plan(counts, seed=seed, guidance=guidance, steps=steps)

        def draw(part: list[tuple[str, int]]) -> np.ndarray:
            return self._draw(part, seed=seed, guidance=guidance, steps=steps)

        if directory is None:
            return in_memory(plan, draw, batch_size)
        return on_disk(plan, draw, batch_size, Path(directory))

    def plan(
        self,
        counts: dict[str, int],
        *,
        seed: int,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Plan:
        """What `sample` with these arguments will make, and how it is told from other pools."""
        shape = self._fitted()
        identity = {
            "version": VERSION,
            "generator": self.name,
            "weights": self.digest(),
            "counts": self._check_counts(counts, shape),
            "seed": int(seed),
            "guidance": None if guidance is None else float(guidance),
            "steps": None if steps is None else int(steps),
        }
        return Plan(shape, self.name, identity)

    def digest(self) -> str:
        """SHA-256 of all that samples depend on beside the arguments: weights, settings, shape."""
        facts = {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self._fitted().model_dump(mode="json"),
        }
        return tensors_digest(facts, self._state())

    def save(self, directory: str | Path) -> Path:
        """Write weights and facts to ``directory`` (which must not exist), all or nothing."""
        facts = {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "shape": self._fitted().model_dump(mode="json"),
            "facts": self.facts,
            "history": self.history,
        }
        return write_saved(Path(directory), facts, self._state())

    @classmethod
    def load(cls, directory: str | Path, *, device: str = "auto") -> Self:
        """Load what `save` wrote; raises if it is damaged, or of another model or version."""
        facts, tensors = read_saved(Path(directory), cls.name)
        try:
            generator = cls(facts["settings"], seed=facts["seed"], device=device)
            generator.shape = Shape.model_validate(facts["shape"])
            generator.facts, generator.history = facts["facts"], facts["history"]
            generator._restore(tensors)
        except (ValidationError, KeyError, RuntimeError) as error:
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
        """The records (class, number) of ``plan``: float32 (len(plan), channels, samples)."""

    @abstractmethod
    def _state(self) -> dict:
        """Tensors by name, for `save`."""

    @abstractmethod
    def _restore(self, tensors: dict) -> None:
        """Take over the tensors of `_state`; ``shape`` and ``settings`` are set."""

    def _tensors(self, cohort: Cohort) -> tuple[Tensor, Tensor]:
        """What a model is trained on: signals (records, channels, samples), class indices."""
        signals = to_channels(self._fitted(), cohort.signals)
        return torch.from_numpy(np.array(signals, np.float32)), torch.from_numpy(cohort.targets)

    def _identity(self) -> dict:
        """What a training is of: a checkpoint of anything else is refused."""
        return {
            "version": VERSION,
            "generator": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "data": self._fitted().fingerprint,
        }

    def _fitted(self) -> Shape:
        if self.shape is None:
            raise EcgreproError(f"this {self.name} generator is not trained: call fit first")
        return self.shape

    def _check_counts(self, counts: dict[str, int], shape: Shape) -> dict[str, int]:
        known = shape.trained
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
