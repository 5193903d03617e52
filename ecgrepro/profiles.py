"""Profiles: named sets of parameters for the whole study, checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecgrepro.classifier_config import ClassifierConfig
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.settings import SETTINGS
from ecgrepro.provenance import PROJECT
from ecgrepro.rhythms import LABEL_MAPS

FOLDER = PROJECT / "profiles"
DATA = ("simulated", "real")
Fold = Annotated[int, Field(ge=1, le=10)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


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
    """Synthetic records per generator: each rhythm as often as in the training folds, at least
    ``minimum`` and at most ``maximum`` times."""

    minimum: Count
    maximum: Count
    seed: Seed = 0


class Closeness(_Part):
    """Neighbours for precision, recall, density and coverage; half-samples for intervals."""

    neighbours: Count = 5
    resamples: Annotated[int, Field(ge=20)] = 200


class Augmentation(_Part):
    """Synthetic records per real one, each an arm of its own."""

    ratios: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


class Transfer(_Part):
    """Shares of the real training data, and optimizer updates of pre-training."""

    fractions: list[Fraction] = Field(min_length=1)
    pretrain_updates: Count


class Profile(_Part):
    """Everything that the study's notebooks are run with.

    ``real`` holds what is different on real recordings: any of the other keys, merged into them.
    """

    name: str = ""
    description: str
    labels: Literal[tuple(LABEL_MAPS)]
    fs: Annotated[int, Field(gt=80, le=1000)] = 100
    threads: Count = 1
    folds: Folds
    simulation: Simulation
    seeds: list[Seed] = Field(min_length=1)
    resamples: Annotated[int, Field(ge=100)] = 2000
    classifier: ClassifierConfig
    generators: dict[Literal[tuple(SETTINGS)], dict] = Field(min_length=1)
    pool: Pool
    closeness: Closeness = Closeness()
    augmentation: Augmentation
    transfer: Transfer
    real: dict = Field(default_factory=dict)


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
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if data not in DATA:
        raise EcgreproError(f"unknown data {data!r}: choose one of {', '.join(DATA)}")
    if not path.is_file():
        raise EcgreproError(
            f"unknown profile {str(name)!r}: choose one of {', '.join(profile_names())}, "
            "or give the path of a YAML file"
        )
    try:
        content = yaml.safe_load(path.read_text())
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
        profile = Profile(**content)
    except ValidationError as error:
        raise EcgreproError(explain(error, where, Profile)) from error
    for name, settings in profile.generators.items():
        try:
            SETTINGS[name](**settings)
        except ValidationError as error:
            here = f"{where} generators.{name},"
            raise EcgreproError(explain(error, here, SETTINGS[name])) from error
    return profile


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """One line for each wrong key: its path, what was given, what is allowed."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {key}: unknown key{_siblings(model, problem['loc'])}")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: missing")
        else:
            lines.append(f"  {key}: {problem['msg']} (given: {problem['input']!r})")
    return f"{where} cannot be used:\n" + "\n".join(lines)


def _siblings(model: type[BaseModel], location: tuple) -> str:
    """The keys that are allowed where an unknown one stands."""
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    return f"; allowed: {', '.join(model.model_fields)}"
