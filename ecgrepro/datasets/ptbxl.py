"""PTB-XL (Wagner et al. 2020) in its published layout, complete or in part."""

import ast
import json
import numbers
from pathlib import Path

import numpy as np
import pandas as pd

from ecgrepro.cohort.rhythms import PTBXL_RHYTHMS, shared_rhythm
from ecgrepro.datasets.cache import (
    Index,
    RecordFiles,
    file_listing,
    listing_fingerprint,
    parse_ages,
)
from ecgrepro.errors import EcgreproError

TABLE = "ptbxl_database.csv"
RATES = {100: "filename_lr", 500: "filename_hr"}
_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold")
_SEX = {0: "male", 1: "female"}


def expected() -> str:
    """What a root must hold, for error messages."""
    return f"{TABLE} and records100/ or records500/"


def is_here(root: Path) -> bool:
    """Whether ``root`` looks like PTB-XL."""
    return (root / TABLE).is_file()


def scan(root: Path, *, rate: int = 100) -> RecordFiles:
    """The record files below ``root``, none of them opened."""
    if not isinstance(rate, numbers.Integral) or rate not in RATES:
        raise EcgreproError(f"PTB-XL is published at 100 and 500 Hz: rate cannot be {rate!r}")
    listing = file_listing(root, f"records{rate}", (".hea", ".dat"))
    table = (root / TABLE).read_bytes()
    return RecordFiles(listing_fingerprint(listing, table, str(rate).encode()), listing)


def index(root: Path, files: RecordFiles, *, rate: int = 100, origin: str = "real") -> Index:
    """Read ``ptbxl_database.csv`` and see which of its records are among ``files``."""
    listing = files.listing
    table = _read_table(root / TABLE, RATES[rate])
    path = table[RATES[rate]]
    here = (path + ".hea").isin(listing.keys()) | (path + ".dat").isin(listing.keys())
    rhythms = _rhythms(table.loc[here], root / TABLE)
    usable = rhythms["rhythm"].notna()
    kept = table.loc[here][usable]
    age = parse_ages(kept["age"])
    records = pd.DataFrame(
        {
            "record_id": kept["ecg_id"].astype(str),
            "patient_id": kept["patient_id"].astype(str),
            "rhythm": rhythms.loc[usable, "rhythm"],
            "fold": kept["strat_fold"],
            "age": age.mask(age > 89, 90),  # ages above 89 are published as 300
            "sex": kept["sex"].map(_SEX).fillna(""),
            "path": path[here][usable],
        }
    ).reset_index(drop=True)
    dropped = rhythms[~usable]
    return Index(
        source="ptb-xl",
        origin=origin,
        root=root,
        records=records,
        fingerprint=files.fingerprint,
        dropped=list(
            zip(
                table.loc[dropped.index, "ecg_id"].astype(str),
                dropped["reason"],
                dropped["detail"],
                strict=True,
            )
        ),
        listed=len(table),
        missing=int((~here).sum()),
    )


def _read_table(path: Path, filename_column: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            usecols=lambda name: name in (*_COLUMNS, filename_column),
            dtype={filename_column: str},
        )
    except (OSError, ValueError) as error:
        raise EcgreproError(f"cannot read {path}: {error}") from error
    missing = [c for c in (*_COLUMNS, filename_column) if c not in table.columns]
    if missing:
        raise EcgreproError(
            f"{path} lacks the columns {', '.join(missing)}: it is not PTB-XL's table; "
            "get it again with `ecgrepro data download ptb-xl`"
        )
    for column in ("ecg_id", "patient_id", "strat_fold"):
        values = pd.to_numeric(table[column], errors="coerce")
        whole = (values % 1 == 0) & (values.abs() < 2**53)
        if not whole.all():
            at = int(np.flatnonzero(~whole)[0])
            kind = "number" if np.isnan(values.iloc[at]) else "whole number"
            raise EcgreproError(
                f"{path}, line {at + 2}: {column} is not a {kind}; "
                "get the file again with `ecgrepro data download ptb-xl`"
            )
        table[column] = values.astype("int64")
    folds = table["strat_fold"]
    if not folds.isin(range(1, 11)).all():
        raise EcgreproError(
            f"{path}: strat_fold must be 1 to 10, found {folds.min()}-{folds.max()}"
        )
    if table["ecg_id"].duplicated().any():
        twice = table.loc[table["ecg_id"].duplicated(), "ecg_id"].iloc[0]
        raise EcgreproError(f"{path}: ecg_id {twice} stands there twice")
    table[filename_column] = table[filename_column].str.strip().replace("", np.nan)
    _check_files(table.dropna(subset=filename_column), filename_column, path)
    return table


def _check_files(table: pd.DataFrame, column: str, path: Path) -> None:
    """Raise if no row names a file, or two rows name one."""
    if not len(table):
        raise EcgreproError(f"{path}: the column {column} is empty, so no record can be found")
    twice = table.loc[table[column].duplicated(), column]
    if len(twice):
        first, second = table.loc[table[column] == twice.iloc[0], "ecg_id"].iloc[:2]
        raise EcgreproError(f"{path}: ecg_id {first} and {second} both name {twice.iloc[0]}")


def _rhythms(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Rhythm, or the reason why there is none, of each row."""
    rows = []
    for ecg_id, text in zip(table["ecg_id"], table["scp_codes"], strict=True):
        try:
            statements = ast.literal_eval(text)
            codes = [code for code in statements if code in PTBXL_RHYTHMS]
            if not isinstance(statements, dict):
                raise ValueError("not a dictionary")
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            detail = f"{path.name}, ecg_id {ecg_id}: {json.dumps(str(text)[:60])} ({error})"
            rows.append((None, "unparsable scp_codes", detail))
            continue
        rhythm, reason = shared_rhythm(PTBXL_RHYTHMS[code] for code in codes)
        rows.append((rhythm, reason, f"statements {', '.join(codes)}" if codes else "no statement"))
    return pd.DataFrame(rows, columns=["rhythm", "reason", "detail"], index=table.index)
