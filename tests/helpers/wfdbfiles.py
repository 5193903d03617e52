"""Small WFDB trees for tests, written with wfdb itself."""

import csv
from pathlib import Path

import numpy as np
import wfdb

from ecgrepro.cohort.cohort import LEADS

PTBXL_LEADS = [lead.upper() if lead.startswith("a") else lead for lead in LEADS]
COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold")


def some_ecg(seed: int = 0, samples: int = 1000, leads: int = 12) -> np.ndarray:
    """Smooth random signals in mV, shape (leads, samples)."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, 0.02, (leads, samples)), axis=1)


def write_record(path: Path, ecg: np.ndarray, *, fs=100, leads=PTBXL_LEADS, unit="mV", fmt="16",
                 comments=()) -> None:  # fmt: skip
    """One record with gain 1000 per unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = len(ecg)
    wfdb.wrsamp(
        path.name, fs, [unit] * n, list(leads)[:n], ecg.T, fmt=[fmt] * n, adc_gain=[1000.0] * n,
        baseline=[0] * n, comments=list(comments), write_dir=str(path.parent),
    )  # fmt: skip


def write_ptbxl(root: Path, rows: list[dict], *, rate: int = 100, records: bool = True) -> Path:
    """A PTB-XL tree; each row may give any column, ``ecg`` and arguments of `write_record`."""
    root.mkdir(parents=True, exist_ok=True)
    table = []
    for i, row in enumerate(rows, 1):
        name = f"records{rate}/00000/{i:05d}_{'lr' if rate == 100 else 'hr'}"
        options = {k: row[k] for k in ("leads", "unit", "fmt", "fs") if k in row}
        if records and row.get("present", True):
            samples = round(10 * options.get("fs", rate))
            ecg = row.get("ecg", some_ecg(i, samples))
            write_record(root / name, ecg, **{"fs": rate, **options})
        defaults = {"ecg_id": i, "patient_id": 1000 + i, "age": 60, "sex": i % 2,
                    "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
                    "strat_fold": (i - 1) % 10 + 1}  # fmt: skip
        facts = {key: row.get(key, value) for key, value in defaults.items()}
        names = {"filename_lr": "", "filename_hr": ""}
        names["filename_lr" if rate == 100 else "filename_hr"] = name
        table.append({**facts, **names})
    with (root / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "filename_lr", "filename_hr"])
        writer.writeheader()
        writer.writerows(table)
    return root


def edit_header(path: Path, old: str, new: str) -> None:
    """Replace text in a header; the text must be there."""
    header = path.with_name(path.name + ".hea")
    text = header.read_text()
    assert old in text, text
    header.write_text(text.replace(old, new))
