"""Your own recordings: a folder of WFDB records with a table of labels.

``labels.csv`` needs the columns ``record`` (path of the record below the folder, without
extension) and ``rhythm`` (one of the seven codes; empty: left out). ``patient_id``, ``fold``
(1-10), ``age`` and ``sex`` are optional; without folds, they come from a hash of the patient.
"""

from pathlib import Path

import pandas as pd

from ecgrepro.datasets.build import Index, file_listing, hashed_fold, listing_fingerprint
from ecgrepro.errors import EcgreproError
from ecgrepro.rhythms import RHYTHMS

TABLE = "labels.csv"


def expected() -> str:
    """What a root must hold, for error messages."""
    return f"{TABLE} with columns record, rhythm[, patient_id, fold, age, sex], and WFDB records"


def is_here(root: Path) -> bool:
    """Whether ``root`` looks like such a folder."""
    return (root / TABLE).is_file()


def inputs(root: Path) -> tuple[str, dict]:
    """Fingerprint of everything that the cohort depends on, and the listing of record files."""
    listing = file_listing(root, ".", ("",))
    return listing_fingerprint(listing, (root / TABLE).read_bytes()), listing


def index(root: Path, found: tuple[str, dict], *, origin: str = "real") -> Index:
    """Read ``labels.csv``; records that it names and that are not among ``found`` are missing."""
    path = root / TABLE
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise EcgreproError(f"cannot read {path}: {error}") from error
    missing = [c for c in ("record", "rhythm") if c not in table.columns]
    if missing:
        raise EcgreproError(f"{path} lacks the columns {', '.join(missing)}")
    if table["record"].duplicated().any():
        twice = table.loc[table["record"].duplicated(), "record"].iloc[0]
        raise EcgreproError(f"{path}: record {twice} stands there twice")
    unknown = sorted(set(table["rhythm"]) - set(RHYTHMS) - {""})
    if unknown:
        raise EcgreproError(
            f"{path}: unknown rhythm {', '.join(map(repr, unknown))}; "
            f"the codes are {', '.join(RHYTHMS)} (empty: left out)"
        )
    patient = table["patient_id"] if "patient_id" in table else table["record"]
    names = table["record"].str.strip()
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise EcgreproError(f"{path}: record {outside[0]!r} lies outside the folder")
    records = pd.DataFrame(
        {
            "record_id": names,
            "patient_id": patient,
            "rhythm": table["rhythm"],
            "fold": _folds(table, patient, path),
            "age": pd.to_numeric(table.get("age"), errors="coerce") if "age" in table else None,
            "sex": table.get("sex", ""),
            "path": names,
        }
    )
    here = (names + ".hea").isin(found[1].keys())
    labelled = table["rhythm"] != ""
    return Index(
        source=root.name,
        origin=origin,
        root=root,
        records=records[here & labelled].reset_index(drop=True),
        inputs=found[0],
        dropped=[(name, "no rhythm", TABLE) for name in names[here & ~labelled]],
        listed=len(table),
        missing=int((~here).sum()),
    )


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
