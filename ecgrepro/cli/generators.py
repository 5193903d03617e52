"""``ecgrepro train`` and ``ecgrepro sample``: a generator from a data set, records from it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgrepro.cli.options import Device, Force, read_device, read_folds, spell
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.registry import GENERATORS
from ecgrepro.support.folders import check_free, put_in_place

if TYPE_CHECKING:
    from ecgrepro.cohort.cohort import Cohort
    from ecgrepro.generators.base import Generator

_TRAIN, _VALIDATION = [1, 2, 3, 4, 5, 6, 7], [8]  # folds; the rest is for testing


class Format(StrEnum):
    """How sampled records are written."""

    wfdb = "wfdb"
    npy = "npy"


def _known_generators() -> str:
    """Names and titles for `--help`, as the registry has them now."""
    names = (f"{name} ({entry.short_title})" for name, entry in GENERATORS.items())
    return f"One of {', '.join(names)}."


def train(
    generator: Annotated[str, typer.Argument(help=_known_generators())],
    dataset: Annotated[
        str,
        typer.Option(help="ptb-xl, chapman, simulated-ptb-xl, simulated-chapman or a folder."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the trained generator.")],
    root: Annotated[Path | None, typer.Option(help="Default: below $ECGREPRO_DATA.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Take settings, labels, fs, folds and seed from this profile."),
    ] = None,
    labels: Annotated[str | None, typer.Option(help="rhythm7 (default) or rhythm4.")] = None,
    scale: Annotated[str, typer.Option(help="z, or mV: samples then come in millivolts.")] = "z",
    fs: Annotated[float | None, typer.Option(help="Sampling frequency in Hz; default 100.")] = None,
    train: Annotated[str | None, typer.Option(help="Training folds; default 1-7.")] = None,
    validation: Annotated[
        str | None, typer.Option(help="Validation folds, or none; default 8.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting, as steps=500; may be repeated."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the training; default 0.")] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Train a generator on a data set's training folds; after a kill, the same command goes on."""
    check_free(out, force=force)
    known = _from_profile(profile, generator, dataset)
    settings = _merged(known["settings"], _settings(set_ or []))
    folds = {
        "train": known["train"] if train is None else read_folds("--train", train),
        "validation": (
            known["validation"] if validation is None else read_folds("--validation", validation)
        ),
    }
    from ecgrepro.generators import make_generator

    chosen = int(known["seed"]) if seed is None else seed
    model = make_generator(generator, settings, seed=chosen, device=read_device(device))
    from ecgrepro.datasets import load_cohort

    cohort = load_cohort(
        dataset, root, labels or known["labels"], scale, fs or known["fs"], **known["options"]
    )
    parts = _split(cohort, folds)
    work = out.with_name(f"{out.name}.training")
    model.fit(parts["train"], validation=parts["validation"], checkpoint_dir=work)
    place = _replace(out, model.save, force=force)
    _remove_checkpoints(work)
    _report_training(model, place)


def sample(
    model: Annotated[Path, typer.Argument(help="Folder of a trained generator.")],
    out: Annotated[Path, typer.Option(help="Folder for the records.")],
    rhythm: Annotated[
        list[str],
        typer.Option(metavar="CODE=NUMBER", help="How many of a rhythm; may be repeated."),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Other seeds give other records.")] = 0,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; by default the generator's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampler steps; by default the generator's.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Records drawn at once.")] = 64,
    device: Device = "auto",
    format: Annotated[
        Format, typer.Option(help="Files for ECG programs, or arrays.")
    ] = Format.wfdb,
    force: Force = False,
) -> None:
    """Sample synthetic records of given rhythms; after a kill, the same command goes on."""
    check_free(out, force=force)
    counts = _counts(rhythm)
    from ecgrepro.generators import load_generator
    from ecgrepro.generators.pool import discard

    generator = load_generator(model, device=read_device(device))
    pool = out.with_name(f"{out.name}.pool")
    asked = {"seed": seed, "guidance": guidance, "steps": steps}
    if force:
        discard(pool, generator.plan(counts, **asked).identity)
    cohort = generator.sample(counts, batch_size=batch_size, directory=pool, **asked)
    if format == Format.npy:
        put_in_place(pool, out, force=force)
    else:
        from ecgrepro.datasets.wfdb_export import export_wfdb

        export_wfdb(cohort, out, force=force)
        _remove_pool(pool)
    said = ", ".join(f"{code} {n}" for code, n in cohort.counts().items() if n)
    print(f"{len(cohort)} synthetic records ({said}; {cohort.units}, {cohort.fs:g} Hz): {out}")


def register(app: typer.Typer) -> None:
    """Add both commands to the command line."""
    app.command(
        no_args_is_help=True,
        epilog="Example: ecgrepro train unet --dataset chapman --labels rhythm4 --scale mV "
        "--set minutes=20 --out models/unet",
    )(train)
    app.command(
        no_args_is_help=True,
        epilog="Example: ecgrepro sample models/unet --rhythm AFIB=100 --rhythm SR=50 "
        "--out samples",
    )(sample)


def _from_profile(profile: str | None, generator: str, dataset: str) -> dict[str, Any]:
    """What a profile says, in its form for real or simulated recordings; the defaults without."""
    simulated = dataset.startswith("simulated-")
    if profile is None:
        return {"settings": {}, "labels": "rhythm7", "fs": 100, "seed": 0, "options": {},
                "train": _TRAIN, "validation": _VALIDATION}  # fmt: skip
    from ecgrepro.studies.profiles import load_profile

    found = load_profile(profile, "simulated" if simulated else "real")
    if generator not in found.generators and generator in GENERATORS:
        print(
            f"profile {found.name!r} has no settings for {generator}: its defaults are used",
            file=sys.stderr,
        )
    return {
        "settings": found.generators.get(generator, {}),
        "labels": found.labels,
        "fs": found.fs,
        "seed": found.pool.seed,
        "options": found.simulation.model_dump() if simulated else {},
        "train": found.folds.train,
        "validation": found.folds.validation,
    }


def _settings(given: list[str]) -> dict[str, Any]:
    """``["steps=100", "prior.steps=9"]`` as nested dictionaries; values are read as YAML."""
    found: dict[str, Any] = {}
    for key, value in _pairs("--set", given, "KEY=VALUE", _yaml).items():
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        found = _merged(found, nested)
    return found


def _merged(settings: dict, changes: dict) -> dict:
    """``settings`` with ``changes``, key by key at every level."""
    result = dict(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _yaml(value: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _counts(given: list[str]) -> dict[str, int]:
    return _pairs("--rhythm", given, "CODE=NUMBER, as AFIB=100", int)


def _pairs(option: str, given: list[str], form: str, read: Callable[[str], Any]) -> dict:
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = (part.strip() for part in text.partition("="))
        try:
            if not (key and equals and value):
                raise ValueError
            read_value = read(value)
        except ValueError:
            raise EcgreproError(f"{option} {text!r}: expected {form}") from None
        if key in found:
            raise EcgreproError(f"{option} names {key} twice")
        found[key] = read_value
    return found


def _split(cohort: Cohort, folds: dict[str, list[int]]) -> dict:
    """Training and validation cohorts; says what is in them, and what is not."""
    parts = cohort.split(**folds)
    for name, part in parts.items():
        said = ", ".join(f"{code} {n}" for code, n in part.counts().items() if n)
        print(f"{name} folds {spell(folds[name])}: {len(part)} records ({said or 'none'})")
    if not len(parts["train"]):
        here = sorted(int(fold) for fold in set(cohort.table["fold"]))
        raise EcgreproError(
            f"no record of {cohort.name} is in the training folds {spell(folds['train'])}: "
            f"it has the folds {spell(here)}"
        )
    empty = [code for code, n in parts["train"].counts().items() if not n]
    if empty:
        print(
            f"warning: no training record of {', '.join(empty)}: the generator cannot sample them",
            file=sys.stderr,
        )
    return {name: part if len(part) else None for name, part in parts.items()}


def _replace(out: Path, save: Callable[[Path], Path], *, force: bool) -> Path:
    """Save beside ``out``, then put it in place."""
    made = out.with_name(f"{out.name}.new")
    if made.exists():  # left by a kill between the two
        check_free(made, force=True)
        _rmtree(made)
    return put_in_place(save(made), out, force=force)


def _remove_checkpoints(work: Path) -> None:
    from ecgrepro.training.loop import CHECKPOINT

    for path in work.rglob(f"{CHECKPOINT}*"):
        path.unlink()
    for folder in sorted((work, *work.rglob("*")), reverse=True):  # the deepest first
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _remove_pool(pool: Path) -> None:
    check_free(pool, force=True)  # nothing foreign in it
    _rmtree(pool)


def _rmtree(folder: Path) -> None:
    import shutil

    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise EcgreproError(f"cannot remove {folder}: {error.strerror}") from error


def _report_training(model: Generator, place: Path) -> None:
    facts, last = model.facts, model.history[-1] if model.history else {}
    said = [
        f"{facts.get('parameters', 0):,} parameters",
        f"{facts.get('training_seconds', 0):.1f} s",
    ]
    for key in ("loss", "validation_loss"):
        if key in last:
            said.append(f"{key.replace('_', ' ')} {last[key]:.4f}")
    print(f"trained {model.name}: {', '.join(said)}: {place}")
    counts = model.shape.counts if model.shape else {}
    first = max(counts, key=lambda code: counts[code])
    command = ["ecgrepro", "sample", str(place), "--rhythm", f"{first}=100", "--out",
               f"{place}-samples"]  # fmt: skip
    print(f"next: {shlex.join(command)}")
