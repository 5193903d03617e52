"""The protocol of all generators: fit to a Cohort, sample a Cohort, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.pool import Plan, draw_in_memory, draw_on_disk
from ecgrepro.generators.registry import find_generator
from ecgrepro.generators.representation import Shape, check_cohort, shape_of, to_channels
from ecgrepro.generators.saved import VERSION, read_saved, write_saved
from ecgrepro.generators.settings import GeneratorSettings
from ecgrepro.support.digests import tensors_digest
from ecgrepro.support.explain import explain


class Generator(ABC):
    """Base class of all class-conditional generators of records, z-scored or in mV.

    A generator implements `_fit`, `_draw`, `_state` and `_restore`. They work on channels, not
    leads; see `ecgrepro.generators.representation`.

    Parameters
    ----------
    settings
        An instance of the settings that its registry entry names, or their values as a dictionary;
        by default all defaults.
    seed
        Seed of the training: initial weights, batches, noise.
    device
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Attributes
    ----------
    name
        Key of the class in the registry.
    shape
        Classes, leads, sampling frequency and so on of the training records; None before `fit`.
    history
        Entries with ``step``, ``loss``, ``seconds`` and, at some, ``validation_loss``.
    facts
        ``parameters``, ``training_seconds`` and ``evaluations`` of the network per sample.
    """

    name: ClassVar[str]

    def __init__(
        self,
        settings: GeneratorSettings | dict[str, Any] | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
    ):
        self.settings = self.validate(settings or {})
        self.seed = seed
        self.device = device
        self.shape: Shape | None = None
        self.history: list[dict] = []
        self.facts: dict[str, Any] = {}

    @classmethod
    def validate(cls, settings: GeneratorSettings | dict[str, Any]) -> GeneratorSettings:
        """Validate settings of this class.

        Raises
        ------
        EcgreproError
            A key is unknown or a value out of range, or the class has no entry in the registry;
            the message says what is allowed.
        """
        model = find_generator(cls.name).settings_class()
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
        """Train on ``cohort``.

        Parameters
        ----------
        cohort
            Records of the training folds only. Samples will have its units, leads, sampling
            frequency and length.
        validation
            Records for the validation loss in ``history``.
        checkpoint_dir
            Folder for checkpoints. A training that was interrupted continues when `fit` is called
            again with the same arguments.

        Returns
        -------
        Generator
            Itself.

        Raises
        ------
        EcgreproError
            The records cannot be learned from (`ecgrepro.generators.representation.check_cohort`),
            the training diverged, or the checkpoint is damaged or of another training.
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
        """Draw a pool of synthetic records.

        A record depends on the weights, ``seed``, its class and its number within the class, so
        ``{"AFIB": 10}`` gives the first ten of ``{"AFIB": 20}`` (to floating-point tolerance: the
        batch may change the order of sums). Records are scaled as real ones are (see
        `ecgrepro.generators.representation.to_leads`), so that their scale does not reveal them.

        Parameters
        ----------
        counts
            Number of records of each class.
        seed
            Seed of the samples; other seeds give other records.
        batch_size
            Number of records that are drawn together.
        guidance
            Guidance scale, for generators that have one; by default that of the settings.
        steps
            Sampler steps, for generators that have them; by default those of the settings.
        directory
            Folder for the pool. It is written there batch by batch and opened memory-mapped, so
            that memory does not grow with it. The same call continues an interrupted pool from
            ``<directory>.partial`` and opens a finished one.

        Returns
        -------
        Cohort
            Classes in the order of the label map.

        Raises
        ------
        EcgreproError
            A class is unknown or had no training record, a number is out of range, a sampled value
            is not finite, or ``directory`` or the unfinished pool beside it holds something else.
        """
        _check_sampling(seed=seed, batch_size=batch_size, guidance=guidance, steps=steps)
        plan = self.plan(counts, seed=seed, guidance=guidance, steps=steps)

        def draw(part: list[tuple[str, int]]) -> np.ndarray:
            return self._draw(part, seed=seed, guidance=guidance, steps=steps)

        if directory is None:
            return draw_in_memory(plan, draw, batch_size)
        return draw_on_disk(plan, draw, batch_size, Path(directory))

    def plan(
        self,
        counts: dict[str, int],
        *,
        seed: int,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Plan:
        """The pool that `sample` would draw with these arguments, and its identity.

        Parameters
        ----------
        counts, seed, guidance, steps
            See `sample`.

        Raises
        ------
        EcgreproError
            The generator is not trained, or it cannot sample ``counts``.
        """
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
        """SHA-256 of what samples depend on besides the arguments: weights, settings, shape."""
        facts = {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self._fitted().model_dump(mode="json"),
        }
        return tensors_digest(facts, self._state())

    def save(self, directory: str | Path) -> Path:
        """Write weights and facts to a new folder, completely or not at all.

        Raises
        ------
        EcgreproError
            ``directory`` exists or cannot be written, or the generator is not trained.
        """
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
        """Load what `save` wrote.

        Raises
        ------
        EcgreproError
            ``directory`` is no saved generator, is damaged, or is of another model or version.
        """
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
        """Train on a checked cohort; set ``history`` and ``facts``. ``shape`` is set already."""

    @abstractmethod
    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        """Draw the records (class, number) of ``plan``: float32 (len(plan), channels, samples)."""

    @abstractmethod
    def _state(self) -> dict:
        """Tensors to save, by name; on any device, and of any layout in memory."""

    @abstractmethod
    def _restore(self, tensors: dict) -> None:
        """Restore the tensors of `_state`; ``shape`` and ``settings`` are set already."""

    def _tensors(self, cohort: Cohort) -> tuple[Tensor, Tensor]:
        """Training data: signals (records, channels, samples) and class indices (records,)."""
        signals = to_channels(self._fitted(), cohort.signals)
        return torch.from_numpy(np.array(signals, np.float32)), torch.from_numpy(cohort.targets)

    def _identity(self) -> dict:
        """What identifies a training: a checkpoint with another identity is refused."""
        return {
            "version": VERSION,
            "generator": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "data": self._fitted().fingerprint,
        }

    def _fitted(self) -> Shape:
        """The shape; raises if the generator is not trained."""
        if self.shape is None:
            raise EcgreproError(f"this {self.name} generator is not trained: call fit first")
        return self.shape

    def _check_counts(self, counts: dict[str, int], shape: Shape) -> dict[str, int]:
        """The counts in the order of the classes; raises if they cannot be sampled."""
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


def record_seeds(
    plan: list[tuple[str, int]], classes: tuple[str, ...], seed: int
) -> Iterator[np.random.Generator]:
    """Random number generators, one for each record, seeded with (seed, class index, number).

    Parameters
    ----------
    plan
        Class and number within the class of each record.
    classes
        All classes, in order.
    seed
        Seed of the samples.

    Examples
    --------
    >>> first, again = record_seeds([("SR", 0), ("SR", 0)], ("SR", "AFIB"), seed=7)
    >>> bool(first.integers(100) == again.integers(100))
    True
    """
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
