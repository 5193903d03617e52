"""Data sets: from WFDB recordings to a Cohort."""

import numbers
import os
import re
from pathlib import Path
from typing import Any

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.preprocess import check_settings
from ecgrepro.cohort.rhythms import classes
from ecgrepro.datasets import chapman, folder, ptbxl
from ecgrepro.datasets.cache import cached_cohort
from ecgrepro.datasets.simulated import MARK, write_simulated
from ecgrepro.errors import EcgreproError
from ecgrepro.support.code import code_fingerprint
from ecgrepro.support.locks import exclusive
from ecgrepro.support.places import cache_root

READERS = {"ptb-xl": ptbxl, "chapman": chapman}
FOLDERS = {"ptb-xl": "ptb-xl", "chapman": "ecg-arrhythmia"}  # below $ECGREPRO_DATA
OPTIONS = {"ptb-xl": ("rate",), "chapman": ("ningbo",)}
SIMULATED = "simulated-"
DATASETS = (*READERS, *(SIMULATED + name for name in READERS))


def load_cohort(
    name: str,
    root: str | Path | None = None,
    labels: str = "rhythm7",
    scale: str = "z",
    fs: float = 100,
    *,
    jobs: int | None = None,
    **options: Any,
) -> Cohort:
    """Open a data set as a Cohort.

    The first time, its records are read, preprocessed and written to the cache; after that it
    opens at once, as long as no file and no setting has changed. Records that cannot be used are
    left out and counted, by reason, in the cohort's ``report``.

    Parameters
    ----------
    name
        ``"ptb-xl"``, ``"chapman"``, ``"simulated-ptb-xl"``, ``"simulated-chapman"``, or the path
        of a folder of your own (see `ecgrepro.datasets.folder`).
    root
        The data set's own folder; by default ``$ECGREPRO_DATA/ptb-xl`` or
        ``$ECGREPRO_DATA/ecg-arrhythmia``. Simulated recordings are written there if it is empty;
        by default below the cache.
    labels
        The label map: ``"rhythm7"``, or ``"rhythm4"`` with the rhythms in four groups.
    scale
        ``"z"``: zero mean and unit variance per lead and record; ``"mV"``: millivolts.
    fs
        Sampling frequency of the cohort in Hz, above 80 and up to 1000.
    jobs
        Processes that build the cache; by default one per core.
    options
        ``rate`` (PTB-XL: 100 or 500, the published files to read), ``ningbo`` (Chapman: also the
        records of the second hospital), ``records`` and ``seed`` (simulated data sets).

    Returns
    -------
    Cohort
        ``signals`` of shape (records, 12, 10 * fs), float32, memory-mapped and read-only, in the
        units of ``scale``; ``table`` with a row for each record.

    Raises
    ------
    EcgreproError
        If the name, a setting or the root is wrong, or no record is usable.

    Examples
    --------
    >>> cohort = load_cohort("simulated-chapman", records=50)
    >>> cohort.signals.shape[1:], cohort.fs
    ((12, 1000), 100.0)
    >>> load_cohort("ptb-xl", labels="rhythm4").counts()  # doctest: +SKIP
    {'SR': 17452, 'SB': 628, 'GSVT': 833, 'AFIB': 1520}
    """
    if not isinstance(labels, str):
        raise EcgreproError(f"labels must be the name of a label map, not {labels!r}")
    classes(labels)
    check_settings(fs=fs, scale=scale)
    if jobs is not None and (
        not isinstance(jobs, numbers.Integral) or isinstance(jobs, bool) or jobs < 1
    ):
        raise EcgreproError(f"jobs must be a whole number of at least 1, or None, not {jobs!r}")
    name = str(name)
    reader, root, options, origin = _resolve(name, root, options)
    if reader is folder:
        _check_exported(root, labels, scale)
    files = reader.scan(root, **options)
    cohort = cached_cohort(
        str(root) if reader is folder else name,
        origin + files.fingerprint,
        lambda: reader.index(root, files, origin=origin, **options),
        reader=reader.__name__,
        fs=float(fs),  # 100 and 100.0 are one setting, so one cache
        scale=scale,
        jobs=jobs,
    )
    return cohort.relabel(labels)


def _check_exported(root: Path, labels: str, scale: str) -> None:
    """Raise if exported records cannot have these labels or this scale."""
    exported = folder.read_export(root)
    if exported["labels"] not in ("rhythm7", labels):
        raise EcgreproError(
            f"the records in {root} were sampled with the label map {exported['labels']}, whose "
            f"classes hold several rhythms: load them with labels={exported['labels']!r}, not "
            f"{labels!r}"
        )
    if exported["units"] == "z" and scale == "mV":
        raise EcgreproError(
            f"the records in {root} have no physical unit, for they were exported as z-scores: "
            "load them with scale='z', not 'mV'"
        )


def recordings_fingerprint(name: str, root: str | Path | None = None, **options: Any) -> str:
    """Fingerprint of a data set's tables and record files, none of which is opened.

    Parameters
    ----------
    name, root, options
        As in `load_cohort`.

    Returns
    -------
    str
        The origin and 64 hexadecimal digits, which change with the size or time of any file.

    Raises
    ------
    EcgreproError
        If the name, an option or the root is wrong.
    """
    reader, root, options, origin = _resolve(name, root, options)
    return origin + reader.scan(root, **options).fingerprint


def _resolve(name: str, root: str | Path | None, options: dict):
    """Reader module, root folder, the reader's own options, and origin."""
    if root is not None and not isinstance(root, str | os.PathLike):
        raise EcgreproError(f"root must be the path of a folder, not {root!r}")
    hospital = name.removeprefix(SIMULATED)
    if hospital not in READERS:
        own = _own_folder(name, root, options)
        return folder, own, {}, folder.read_export(own)["origin"]
    allowed = OPTIONS[hospital] + (("records", "seed") if name != hospital else ())
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise EcgreproError(
            f"data set {name!r} has no option {unknown[0]!r}: it knows {', '.join(allowed)}"
        )
    if name != hospital:
        size = {key: options.pop(key) for key in ("records", "seed") if key in options}
        return READERS[hospital], _simulated_root(hospital, root, **size), options, "simulated"
    root = _real_root(name, root)
    return READERS[name], root, options, "simulated" if (root / MARK).is_file() else "real"


def _real_root(name: str, root: str | Path | None) -> Path:
    reader = READERS[name]
    way_out = f"get it with `ecgrepro data download {name} --root DIR`, or set ECGREPRO_DATA"
    if root is None:
        data = os.environ.get("ECGREPRO_DATA")
        if not data:
            raise EcgreproError(
                f"where is {name}? Give its folder as root, set ECGREPRO_DATA to the folder that "
                f"holds {FOLDERS[name]}/, or {way_out.split(',', maxsplit=1)[0]}"
            )
        root = Path(data) / FOLDERS[name]
    root = Path(root).absolute()
    if reader.is_here(root):
        return root
    if not root.is_dir():
        seen = "there is no such folder"
    elif other := [other for other, module in READERS.items() if module.is_here(root)]:
        seen = f"that is the data set {other[0]!r}"
    elif not any(root.iterdir()):
        seen = "the folder is empty"
    else:
        seen = "the folder holds something else"
    raise EcgreproError(f"no {name} at {root}: {seen}; expected {reader.expected()}; {way_out}")


def _own_folder(name: str, root: str | Path | None, options: dict) -> Path:
    path = Path(name).absolute()
    if options:
        raise EcgreproError(f"a folder of your own has no option {sorted(options)[0]!r}")
    if root is not None:
        raise EcgreproError(f"{name!r} is a folder: give no root beside it")
    if not re.search(r"[/\\.]", name) and not path.exists():
        raise EcgreproError(
            f"unknown data set {name!r}: choose one of {', '.join(DATASETS)}, or give the path of "
            "a folder of your own"
        )
    if not folder.is_here(path):
        seen = "it has no such table" if path.is_dir() else "there is no such folder"
        raise EcgreproError(f"cannot load {path}: {seen}; expected {folder.expected()}")
    return path


def _simulated_root(
    hospital: str, root: str | Path | None, records: int = 1000, seed: int = 0
) -> Path:
    """The folder of these simulated recordings, written first if need be."""
    for key, value, least in (("records", records, 50), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise EcgreproError(f"{key} must be a whole number of at least {least}, not {value!r}")
    code = code_fingerprint("ecgrepro.datasets.simulated.write_simulated")[:12]
    if root is None:
        root = cache_root() / "simulated" / f"{hospital}-{records}-{seed}-{code}"
    root = Path(root).absolute()
    if not (root / MARK).is_file():
        with exclusive(root):
            if not (root / MARK).is_file():
                write_simulated(root, hospital=hospital, records=records, seed=seed)
    return root
