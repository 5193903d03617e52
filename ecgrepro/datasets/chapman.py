"""PhysioNet ecg-arrhythmia 1.0.0 (Zheng et al. 2022): Chapman-Shaoxing, and Ningbo on request.

Labels stand in the headers (``#Dx:`` with SNOMED CT codes). One record per patient. The data set
has no folds of its own: ten come from a hash of the record's name.
"""

import re
from pathlib import Path

import pandas as pd

from ecgrepro.cohort.rhythms import SNOMED_RHYTHMS, shared_rhythm
from ecgrepro.datasets.cache import SEX, Index, file_listing, hashed_fold, listing_fingerprint
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


def inputs(root: Path, *, ningbo: bool = False) -> tuple[str, dict]:
    """Fingerprint of everything that the cohort depends on, and the listing of record files."""
    if not isinstance(ningbo, bool):
        raise EcgreproError(f"ningbo must be true or false, not {ningbo!r}")
    listing = file_listing(root, RECORDS, (".hea", ".mat"))
    return listing_fingerprint(listing, str(ningbo).encode()), listing


def index(
    root: Path, found: tuple[str, dict], *, ningbo: bool = False, origin: str = "real"
) -> Index:
    """The record files among ``found`` (see `inputs`); labels are read with the signals."""
    fingerprint, listing = found
    paths = sorted({name.rsplit(".", 1)[0] for name in listing})
    paths = [path for path in paths if _wanted(Path(path).name, ningbo)]
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
        inputs=fingerprint,
        facts=facts,
        listed=listed and len(listed),
        missing=len(listed - set(names)) if listed else None,
    )


def facts(comments: list[str]) -> dict:
    """Rhythm, age and sex from a header's comments."""
    fields = dict(line.split(":", 1) for line in comments if ":" in line)
    if "Dx" not in fields:
        raise RecordError("no rhythm", "the header has no #Dx line")
    codes = re.findall(r"\d+", fields["Dx"])
    found = [SNOMED_RHYTHMS[int(code)] for code in codes if int(code) in SNOMED_RHYTHMS]
    rhythm, reason = shared_rhythm(found)
    if reason:
        raise RecordError(reason, f"#Dx: {fields['Dx'].strip()}")
    age = fields.get("Age", "").strip()
    return {
        "rhythm": rhythm,
        "age": float(age) if re.fullmatch(r"[0-9]{1,3}", age) else None,
        "sex": SEX.get(fields.get("Sex", "").strip().lower(), ""),
    }


def _wanted(name: str, ningbo: bool) -> bool:
    number = re.fullmatch(r"JS(\d+)", name)
    return bool(number) and (ningbo or int(number[1]) <= LAST_CHAPMAN)


def _published(root: Path, ningbo: bool) -> set[str] | None:
    """Names of all published records, if the data set's checksum list is here."""
    sums = root / "SHA256SUMS.txt"
    if not sums.is_file():
        return None
    names = re.findall(r"(JS\d+)\.hea", sums.read_text(encoding="utf-8", errors="replace"))
    return {name for name in names if _wanted(name, ningbo)} or None
