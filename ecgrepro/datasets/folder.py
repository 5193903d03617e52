"""Your own recordings: a folder of WFDB records with a table of labels.

``labels.csv`` needs the columns ``record`` (path of the record below the folder, without
extension) and ``rhythm`` (one of the seven codes; empty: left out). ``patient_id``, ``fold``
(1-10), ``age`` and ``sex`` are optional; a record without a patient is its own; without folds,
they come from a hash of the patient.
"""

import csv
import json
from pathlib import Path

import pandas as pd

from ecgrepro.cohort.rhythms import RHYTHMS
from ecgrepro.datasets.cache import (
    SEX,
    Index,
    RecordFiles,
    file_listing,
    hashed_fold,
    listing_fingerprint,
    parse_ages,
)
from ecgrepro.errors import EcgreproError
from ecgrepro.support.folders import EXPORT

TABLE = "labels.csv"
EXPORTED_Z = {"NU": 1.0}  # the unit of exported z-scores in a header, and its factor
_COLUMNS = ("record", "rhythm", "patient_id", "fold", "age", "sex")  # the first two are needed


def expected() -> str:
    """What a root must hold, for error messages."""
    return f"{TABLE} with columns record, rhythm[, patient_id, fold, age, sex], and WFDB records"


def is_here(root: Path) -> bool:
    """Whether ``root`` looks like such a folder."""
    return (root / TABLE).is_file()


def read_export(root: Path) -> dict[str, str]:
    """``origin``, ``labels`` and ``units`` of the records in a folder that `ecgrepro` exported.

    Recordings of one's own have the origin ``real`` and may be loaded with any labels and scale.

    Raises
    ------
    EcgreproError
        If the folder is such an export and its description cannot be read.
    """
    try:
        content = json.loads((root / EXPORT).read_text())
        return {key: str(content[key]) for key in ("origin", "labels", "units")}
    except FileNotFoundError:
        return {"origin": "real", "labels": "rhythm7", "units": "mV"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(
            f"{root / EXPORT} cannot be read ({error!r}): it says that the records are synthetic"
        ) from error


def scan(root: Path) -> RecordFiles:
    """The files below ``root``, none of them opened."""
    listing = file_listing(root, ".", ("",))
    return RecordFiles(listing_fingerprint(listing, (root / TABLE).read_bytes()), listing)


def index(root: Path, files: RecordFiles, *, origin: str = "real") -> Index:
    """Read ``labels.csv``; records that it names and that are not among ``files`` are missing."""
    path = root / TABLE
    table = _read_table(path)
    names = table["record"]
    if names.duplicated().any():
        raise EcgreproError(
            f"{path}: record {names[names.duplicated()].iloc[0]} stands there twice"
        )
    unknown = sorted(set(table["rhythm"]) - set(RHYTHMS) - {""})
    if unknown:
        raise EcgreproError(
            f"{path}: unknown rhythm {', '.join(map(repr, unknown))}; "
            f"the codes are {', '.join(RHYTHMS)} (empty: left out)"
        )
    patient = table["patient_id"].mask(table["patient_id"] == "", names)
    records = pd.DataFrame(
        {
            "record_id": names,
            "patient_id": patient,
            "rhythm": table["rhythm"],
            "fold": _folds(table, patient, path),
            "age": parse_ages(table["age"]) if "age" in table else None,
            "sex": table["sex"].str.lower().map(SEX).fillna("") if "sex" in table else "",
            "path": names,
        }
    )
    here = (names + ".hea").isin(files.listing.keys())
    labelled = table["rhythm"] != ""
    return Index(
        source=root.name,
        origin=origin,
        root=root,
        records=records[here & labelled].reset_index(drop=True),
        fingerprint=files.fingerprint,
        exported_units=EXPORTED_Z if read_export(root)["units"] == "z" else None,
        dropped=[(name, "no rhythm", TABLE) for name in names[here & ~labelled]],
        listed=len(table),
        missing=int((~here).sum()),
    )


def _read_table(path: Path) -> pd.DataFrame:
    """The table as text without outer blanks, records in one spelling, ``patient_id`` added."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise EcgreproError(f"cannot read {path}: {error}") from error
    header = rows.pop(0)[1] if rows else []
    missing = [c for c in _COLUMNS[:2] if c not in header]
    if missing:
        raise EcgreproError(f"{path} lacks the columns {', '.join(missing)}")
    twice = [c for c in _COLUMNS if header.count(c) > 1]
    if twice:
        raise EcgreproError(f"{path} has two columns {twice[0]}")
    for line, row in rows:
        if len(row) > len(header):
            raise EcgreproError(
                f"{path}, line {line}: {len(row)} fields under {len(header)} columns "
                "(quote a field that holds a comma)"
            )
        row.extend([""] * (len(header) - len(row)))
    table = pd.DataFrame([row for _, row in rows], columns=header, dtype=str)
    table["record"] = [
        _record_name(name, f"{path}, line {line}")
        for (line, _), name in zip(rows, table["record"], strict=True)
    ]
    return table if "patient_id" in table else table.assign(patient_id="")


def _record_name(text: str, where: str) -> str:
    """``a/ok`` for each way to write it: ``./a/ok``, ``a/ok.hea``."""
    path = Path(text)
    if path.is_absolute() or ".." in path.parts:
        raise EcgreproError(f"{where}: record {text!r} lies outside the folder")
    name = path.as_posix().removesuffix(".hea")
    if not path.name or not name:
        raise EcgreproError(f"{where}: the record has no name")
    return name


def _folds(table: pd.DataFrame, patient: pd.Series, path: Path) -> pd.Series:
    if "fold" not in table:
        return patient.map(lambda identifier: hashed_fold(identifier, 0))
    folds = pd.to_numeric(table["fold"], errors="coerce")
    if not folds.isin(range(1, 11)).all():
        line = int((~folds.isin(range(1, 11))).to_numpy().argmax()) + 2
        raise EcgreproError(f"{path}, line {line}: fold must be a whole number from 1 to 10")
    split = folds.groupby(patient).nunique()
    if (split > 1).any():
        raise EcgreproError(f"{path}: patient {split.idxmax()} stands in two folds")
    return folds.astype(int)
