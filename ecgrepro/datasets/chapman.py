"""PhysioNet ecg-arrhythmia 1.0.0 (Zheng et al. 2022): Chapman-Shaoxing, and Ningbo on request.

Labels stand in the headers (``#Dx:`` with SNOMED CT codes). One record per patient. The data set
has no folds of its own: ten come from a hash of the record's name.
"""

import re
from pathlib import Path

import pandas as pd

from ecgrepro.cohort.rhythms import SNOMED_RHYTHMS, shared_rhythm
from ecgrepro.datasets.cache import (
    SEX,
    Index,
    RecordFiles,
    file_listing,
    hashed_fold,
    listing_fingerprint,
)
from ecgrepro.datasets.wfdb_read import RecordError
from ecgrepro.errors import EcgreproError

RECORDS = "WFDBRecords"
LAST_CHAPMAN = 10646  # JS00001-JS10646 are Chapman-Shaoxing, later numbers Ningbo
# A fold is a pure function of the record's name, so rhythms spread over the folds by chance; of
# 1000 seeds this one leaves the rhythms of JS00001-JS01250 most evenly spread (least chi-square).
FOLD_SEED = 568


def expected() -> str:
    """What a root must hold, for error messages."""
    return f"{RECORDS}/NN/NNN/JSnnnnn.hea and .mat"


def is_here(root: Path) -> bool:
    """Whether ``root`` looks like ecg-arrhythmia."""
    return (root / RECORDS).is_dir()


def scan(root: Path, *, ningbo: bool = False) -> RecordFiles:
    """The record files below ``root``, none of them opened."""
    if not isinstance(ningbo, bool):
        raise EcgreproError(f"ningbo must be true or false, not {ningbo!r}")
    listing = file_listing(root, RECORDS, (".hea", ".mat"))
    return RecordFiles(listing_fingerprint(listing, str(ningbo).encode()), listing)


def index(root: Path, files: RecordFiles, *, ningbo: bool = False, origin: str = "real") -> Index:
    """The records among ``files``; their labels are read with the signals."""
    paths = sorted({name.rsplit(".", 1)[0] for name in files.listing})
    paths = [path for path in paths if _is_requested(Path(path).name, ningbo)]
    listed = _published(root, ningbo)
    names = [Path(path).name for path in paths]
    return Index(
        source="chapman",
        origin=origin,
        root=root,
        records=pd.DataFrame(
            {
                "record_id": names,
                "patient_id": names,
                "fold": [hashed_fold(name, FOLD_SEED) for name in names],
                "path": paths,
            }
        ),
        fingerprint=files.fingerprint,
        read_comments=read_comments,
        listed=None if listed is None else len(listed),
        missing=len(listed - set(names)) if listed else None,
    )


def read_comments(comments: list[str]) -> dict:
    """Rhythm, age and sex from a header's comments.

    Raises
    ------
    RecordError
        If the record has no rhythm, several, or one that PTB-XL does not share.
    """
    fields = dict(line.split(":", 1) for line in comments if ":" in line)
    if "Dx" not in fields:
        raise RecordError("no rhythm", "the header has no #Dx line")
    codes = re.findall(r"\d+", fields["Dx"])
    rhythms = [SNOMED_RHYTHMS[int(code)] for code in codes if int(code) in SNOMED_RHYTHMS]
    rhythm, reason = shared_rhythm(rhythms)
    if reason:
        raise RecordError(reason, f"#Dx: {fields['Dx'].strip()}")
    age = fields.get("Age", "").strip()
    return {
        "rhythm": rhythm,
        "age": float(age) if re.fullmatch(r"[0-9]{1,3}", age) else None,
        "sex": SEX.get(fields.get("Sex", "").strip().lower(), ""),
    }


def _is_requested(name: str, ningbo: bool) -> bool:
    """Whether a record is of Chapman-Shaoxing, or of Ningbo where ``ningbo`` asks for it too."""
    number = re.fullmatch(r"JS(\d+)", name)
    return bool(number) and (ningbo or int(number[1]) <= LAST_CHAPMAN)


def _published(root: Path, ningbo: bool) -> set[str] | None:
    """Names of all published records, if the data set's checksum list is here."""
    sums = root / "SHA256SUMS.txt"
    if not sums.is_file():
        return None
    names = re.findall(r"(JS\d+)\.hea", sums.read_text(encoding="utf-8", errors="replace"))
    return {name for name in names if _is_requested(name, ningbo)} or None
