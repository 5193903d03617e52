"""Profiles: named sets of parameters for the whole study, checked before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.cohort.rhythms import LABEL_MAPS
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.registry import GENERATORS, learned_generators
from ecgrepro.support.checkout import require_checkout
from ecgrepro.support.explain import explain
from ecgrepro.support.provenance import PROJECT

FOLDER = PROJECT / "profiles"
DATA = ("simulated", "real")


def _unique(values: list) -> list:
    if len(values) != len(set(values)):
        raise ValueError("a value stands there twice")
    return values


def _registered(name: str) -> str:
    if name not in GENERATORS:
        raise ValueError(f"unknown generator; choose one of {', '.join(map(repr, GENERATORS))}")
    return name


def _learned(name: str) -> str:
    if name not in learned_generators():
        known = ", ".join(map(repr, learned_generators()))
        raise ValueError(f"no generator that learns; choose one of {known}")
    return name


GeneratorName = Annotated[str, AfterValidator(_registered)]
LearnedName = Annotated[str, AfterValidator(_learned)]
Fold = Annotated[int, Field(ge=1, le=10)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(gt=0, le=100)]
Unique = AfterValidator(_unique)


CONTROLS = ("no augmentation", "class weights", "oversampling")  # of the augmentation study

if TYPE_CHECKING:  # the values are known only when the program runs
    Control = Labels = str
else:
    Control, Labels = Literal[CONTROLS], Literal[tuple(LABEL_MAPS)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Folds(_Part):
    """Folds of the three splits; no fold stands in two."""

    train: list[Fold] = Field(min_length=1)
    validation: list[Fold] = Field(min_length=1)
    test: list[Fold] = Field(min_length=1)

    @model_validator(mode="after")
    def _disjoint(self):
        used = [*self.train, *self.validation, *self.test]
        if len(used) != len(set(used)):
            raise ValueError("a fold stands in two splits")
        return self


class Simulation(_Part):
    """Simulated recordings per hospital."""

    records: Annotated[int, Field(ge=50)]
    seed: Seed = 0


class Pool(_Part):
    """Synthetic records of a generator.

    Of each rhythm at least ``minimum``, and enough for the largest ratio of `Augmentation`.
    """

    minimum: Count
    seed: Seed = 0


class Published(_Part):
    """A generator as it was published, beside the modern one: its training and its samples.

    ``per_class`` records of each rhythm, drawn in ``sampling_steps`` steps.
    """

    steps: Count = 60
    batch_size: Count = 8
    per_class: Count = 1
    sampling_steps: Annotated[int, Field(ge=1, le=200)] = 200


class OneSeries(_Part):
    """The procedure that is fitted to one record: epochs, steps in each, channels."""

    epochs: Count = 20
    steps: Count = 32
    filters: Count = 128


class Quality(_Part):
    """How generators are measured and compared on their pages.

    Rhythm agreement is of the first ``per_class`` records of each rhythm. ``records`` are drawn,
    in the real mix of rhythms, for each scale in ``guidance``, each number of sampler ``steps``,
    and ancestral sampling in ``ancestral_steps``. Classifiers are trained on synthetic records
    with the first ``seeds`` of the profile's seeds.
    """

    per_class: Count = 40
    records: Annotated[int, Field(ge=10)] = 64
    guidance: Annotated[list[Annotated[float, Field(ge=0, le=20)]], Unique] = [1, 2, 3]
    steps: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Unique] = [5, 10, 20]
    ancestral_steps: Annotated[int, Field(ge=2, le=1000)] = 200
    seeds: Count = 1
    published: Published = Published()
    one_series: OneSeries = OneSeries()


class Closeness(_Part):
    """Neighbours for precision, recall, density and coverage; half-samples for intervals.

    ``heart`` and ``dtw``: records of a set whose waves are delineated, and that are warped.
    ``levels`` of each defect on the page that checks the metrics.
    """

    neighbours: Count = 5
    resamples: Annotated[int, Field(ge=20)] = 200
    heart: Annotated[int, Field(ge=10)] = 200
    dtw: Annotated[int, Field(ge=10)] = 100
    levels: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Unique] = [0.25, 0.5, 1]


class Augmentation(_Part):
    """Synthetic records per real one, each an arm of its own.

    ``balanced``: an arm for each generator, in which synthetic records fill every rhythm up to the
    commonest, as far as the pool goes. ``controls``: arms without synthetic records.
    """

    ratios: Annotated[list[Ratio], Unique] = Field(min_length=1)
    balanced: bool = True
    controls: Annotated[list[Control], Unique] = list(CONTROLS)


class Transfer(_Part):
    """Shares of the real training data, and the optimizer updates of pre-training.

    Fine-tuning has what is left of the classifier's updates.
    """

    fractions: Annotated[list[Fraction], Unique] = Field(min_length=1)
    pretrain_updates: Count


class Helping(_Part):
    """The chapter that looks for synthetic records that help.

    Recipes with records of ``generator`` (see `Profile.helper`) are tried at these shares of the
    real training records and these scales of ``guidance``, and chosen on validation records with
    ``seeds``, none of which is one of the profile's: those are for the test records.
    """

    generator: LearnedName | None = None
    fractions: Annotated[list[Fraction], Unique] = Field(min_length=1)
    guidance: Annotated[list[Annotated[float, Field(ge=0, le=20)]], Unique] = [1, 3]
    seeds: Annotated[list[Seed], Unique] = Field(min_length=1)


class Profile(_Part):
    """Everything that the study's notebooks are run with.

    ``threads`` are those of each job, ``gpus`` what each job that trains or samples asks a cluster
    for. ``real`` holds what is different on real recordings: any of the other keys, merged into
    them.
    """

    name: str
    description: str
    labels: Labels
    fs: Annotated[int, Field(gt=80, le=1000)] = 100
    threads: Count = 1
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    folds: Folds
    simulation: Simulation
    seeds: Annotated[list[Seed], Unique] = Field(min_length=1)
    resamples: Annotated[int, Field(ge=100)] = 2000
    classifier: ClassifierConfig
    generators: dict[GeneratorName, dict] = Field(min_length=1)
    pool: Pool
    quality: Quality = Quality()
    closeness: Closeness = Closeness()
    augmentation: Augmentation
    transfer: Transfer
    helping: Helping
    real: dict = Field(default_factory=dict)

    @property
    def helper(self) -> str:
        """Whose records are to help: the one named, or the last that learns."""
        learned = [name for name in learned_generators() if name in self.generators]
        return self.helping.generator or learned[-1]

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            raise ValueError("lower-case letters, digits and hyphens only; it names a folder")
        return name

    @model_validator(mode="after")
    def _apart(self):
        if both := set(self.seeds) & set(self.helping.seeds):
            raise ValueError(
                f"helping.seeds and seeds share {sorted(both)}: choosing is not testing"
            )
        if not set(learned_generators()) & set(self.generators):
            raise ValueError(
                f"generators holds none that learns: {', '.join(learned_generators())}"
            )
        if self.transfer.pretrain_updates >= self.classifier.updates:
            raise ValueError("transfer.pretrain_updates leaves none of classifier.updates to tune")
        return self

    @field_validator("real")
    @classmethod
    def _once(cls, real: dict) -> dict:
        if held := {"real", "name"} & set(real):
            raise ValueError(f"cannot hold {' or '.join(sorted(held))}")
        return real


def is_file_name(profile: str | Path) -> bool:
    """Whether a profile is given as the path of a YAML file, not as a name."""
    return str(profile).endswith((".yaml", ".yml"))


def profile_names() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_profile(name: str | Path, data: str = "simulated") -> Profile:
    """Read and check a profile: a name from ``profiles/``, or the path of a YAML file.

    Parameters
    ----------
    data
        ``"simulated"`` or ``"real"``; both forms of the profile are checked, this one is returned.

    Raises
    ------
    EcgreproError
        Names the file, every key that is unknown, missing or out of range, and what is allowed.
    """
    path = Path(name) if is_file_name(name) else FOLDER / f"{name}.yaml"
    if data not in DATA:
        raise EcgreproError(f"unknown data {data!r}: choose one of {', '.join(DATA)}")
    if not path.is_file():
        if not is_file_name(name):
            require_checkout(f"profile {name!r}, unlike the path of a YAML file,")
        raise EcgreproError(
            f"unknown profile {str(name)!r}: choose one of {', '.join(profile_names())}, "
            "or give the path of a YAML file"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise EcgreproError(f"{path} is not text in UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise EcgreproError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise EcgreproError(f"{path} must hold keys and values, not {type(content).__name__}")
    content = {"name": path.stem, **content}
    plain = _checked(content, str(path))
    real = _checked(_merged(content, plain.real), f"{path}, with its key real,")
    return real if data == "real" else plain


def _merged(content: dict, changes: dict) -> dict:
    """``content`` with ``changes``, key by key at every level."""
    result = dict(content)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _checked(content: dict, where: str) -> Profile:
    try:
        profile = Profile.model_validate(content)
    except ValidationError as error:
        raise _refusal(error, where, Profile) from error
    wrong = list(_oddities(content, profile.model_dump(exclude={"generators", "real"}), ""))
    for name, settings in profile.generators.items():
        try:
            used = GENERATORS[name].settings_class().model_validate(settings).model_dump()
        except ValidationError as error:
            here = f"{where} generators.{name},"
            raise _refusal(error, here, GENERATORS[name].settings_class()) from error
        wrong += _oddities(settings, used, f"generators.{name}")
    if (named := profile.helping.generator) not in (None, *profile.generators):
        wrong.append(f"  helping.generator: {named!r} is none of {', '.join(profile.generators)}")
    if wrong:
        raise EcgreproError(f"{where} cannot be used:\n" + "\n".join(wrong))
    return profile


def _oddities(given: Any, used: Any, key: str) -> Iterator[str]:
    """One line for each value that is not finite, or was taken for a value of another type."""
    if isinstance(given, dict) and isinstance(used, dict):
        for name in sorted(given.keys() & used.keys()):
            yield from _oddities(given[name], used[name], f"{key}.{name}" if key else name)
    elif isinstance(given, list) and isinstance(used, list | tuple):
        for place, (one, other) in enumerate(zip(given, used, strict=False)):
            yield from _oddities(one, other, f"{key}.{place}")
    elif isinstance(used, bool) or isinstance(given, bool):
        if given is not used:
            expected = "true or false" if isinstance(used, bool) else "a number"
            yield f"  {key}: must be {expected} (given: {given!r})"
    elif isinstance(used, int | float) and (isinstance(given, str) or not math.isfinite(used)):
        yield f"  {key}: must be a finite number (given: {given!r})"


def _refusal(error: ValidationError, where: str, model: type[BaseModel]) -> EcgreproError:
    """The error of a profile: one line for each wrong key."""
    lines = "\n".join(f"  {line}" for line in explain(error, model))
    return EcgreproError(f"{where} cannot be used:\n{lines}")
