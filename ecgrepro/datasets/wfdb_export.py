"""Synthetic records as files that other programs open: WFDB, one record each, or NumPy arrays.

An exported folder is also a folder of one's own for `ecgrepro.load_cohort`: ``labels.csv`` names
the records and their rhythms. Every header says that the record is synthetic.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.leads import independent_of, twelve_leads
from ecgrepro.cohort.rhythms import RHYTHMS, label_map
from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import partial_of, write_state
from ecgrepro.support.folders import EXPORT, check_free, put_in_place

GAIN = 2048  # integers per mV or SD: I and II, even integers, are rounded to steps of 0.98 uV
_LEAST_GAIN = 256  # reaches 128 mV; an ECG stays below
_LARGEST = 2**15 - 1  # of format 16, whose most negative integer marks a missing sample
_LIMB_TOLERANCE = 0.01  # mV
_CHUNK = 256  # records
_UNITS = {"mV": "mV", "z": "NU"}  # in the header; NU is WFDB's word for no unit


def export_wfdb(cohort: Cohort, directory: str | Path, *, force: bool = False) -> Path:
    """Write each record as ``<rhythm>_<number>.hea`` and ``.dat`` (format 16), and ``labels.csv``.

    In mV the limb leads are Einthoven-exact in the integers too: I and II are even, III = II - I,
    aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. In units z they are written with the
    unit ``NU``. A class of several rhythms (label map ``rhythm4``) stands in the column ``rhythm``
    as the first of them (GSVT as ST): load it with the same label map.

    Parameters
    ----------
    cohort
        Twelve leads, synthetic or simulated.
    directory
        Must not exist or be empty. It appears complete or not at all; an export that was
        interrupted is continued from ``<directory>.partial``.
    force
        Replace an earlier export, cohort or generator at ``directory``; never other files.

    Raises
    ------
    EcgreproError
        If the cohort holds recordings, other leads, values that are not finite or beyond 128, or
        limb leads in mV that contradict each other by more than 10 uV (the record is named); or
        if something is in the way at ``directory``.
    """
    directory = Path(directory)
    check_free(directory, force=force)
    _check(cohort)
    partial = partial_of(directory)
    names = _record_names(cohort)
    try:
        done = _begin(partial, cohort.fingerprint, force=force)
        _write_records(cohort, names, partial, done)
        _labels(cohort, names).to_csv(partial / "labels.csv", index=False)
        (partial / "RECORDS").write_text("".join(f"{name}\n" for name in names))
        write_state(partial / EXPORT, _facts(cohort))
    except OSError as error:
        raise EcgreproError(
            f"cannot write the export to {partial}: {error.strerror or error}; free some space "
            "and run again, it goes on where it was, or choose another place"
        ) from error
    return put_in_place(partial, directory, force=force)


def digitize(signals: np.ndarray, units: str) -> tuple[np.ndarray, int]:
    """Integers of format 16, and how many make a mV (or an SD).

    Parameters
    ----------
    signals
        Shape (12, samples), leads in order, finite.
    units
        ``"mV"`` or ``"z"``; in mV the limb leads III to aVF are derived from I and II.

    Returns
    -------
    digital, gain
        Shape (12, samples); `GAIN`, or a power of two below it for a record that needs more range.
    """
    gain = GAIN
    while gain >= _LEAST_GAIN:
        digital = _rounded(signals, units, gain)
        if np.abs(digital).max() <= _LARGEST:
            return digital, gain
        gain //= 2
    raise EcgreproError(
        f"values up to {np.abs(signals).max():.4g} do not fit format 16: an ECG stays below "
        f"{(_LARGEST + 1) // _LEAST_GAIN} mV"
    )


def _rounded(signals: np.ndarray, units: str, gain: int) -> np.ndarray:
    scaled = np.asarray(signals, np.float64) * gain
    if units != "mV":
        return np.rint(scaled).astype(np.int64)
    independent = scaled[independent_of(LEADS)]
    independent[:2] = 2 * np.rint(independent[:2] / 2)
    digital = twelve_leads(np.rint(independent).astype(np.int64))
    off = np.abs(digital - scaled).max(axis=1) / gain
    if off.max() > _LIMB_TOLERANCE + 2 / gain:
        lead = LEADS[int(off.argmax())]
        raise EcgreproError(f"lead {lead} is up to {off.max():.3f} mV off what I and II make it")
    return digital


def _check(cohort: Cohort) -> None:
    """Raise if the cohort cannot be exported as a whole."""
    if not len(cohort):
        raise EcgreproError(f"cohort {cohort.name!r} has no records to export")
    if cohort.leads != LEADS:
        raise EcgreproError(
            f"cohort {cohort.name!r} has the leads {', '.join(cohort.leads)}: expected "
            f"{', '.join(LEADS)}"
        )
    real = cohort.table.index[cohort.table["origin"] == "real"]
    if len(real):
        record = cohort.table["record_id"].iloc[real[0]]
        raise EcgreproError(
            f"record {record} of cohort {cohort.name!r} is a recording of a patient: only "
            "synthetic records are exported, and marked as such"
        )


def _record_names(cohort: Cohort) -> list[str]:
    """``AFIB_000012``: rhythm, and number within the rhythm in the order of the cohort."""
    seen: Counter = Counter()
    names = []
    for code in cohort.table["rhythm"]:
        names.append(f"{code}_{seen[code]:06d}")
        seen[code] += 1
    return names


def _begin(partial: Path, fingerprint: str, *, force: bool) -> int:
    """Records that stand in the unfinished export already; it is begun if there is none."""
    state = partial / EXPORT
    if partial.exists() and any(partial.iterdir()):
        try:
            found = json.loads(state.read_text())
            theirs, done = found["fingerprint"], int(found["records"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EcgreproError(
                f"{partial} is no unfinished export ({error!r}): remove it or choose another place"
            ) from error
        if theirs == fingerprint:
            return done
        if not force:
            raise EcgreproError(
                f"{partial} is an unfinished export of other records: delete it to start anew, or "
                "choose another place"
            )
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_state(state, {"fingerprint": fingerprint, "records": 0})
    return 0


def _write_records(cohort: Cohort, names: list[str], partial: Path, done: int) -> None:
    bar = tqdm(total=len(cohort), initial=done, desc="exporting", unit="record", disable=None)
    with bar:
        for start in range(done, len(cohort), _CHUNK):
            signals = np.array(cohort.signals[start : start + _CHUNK])
            for offset, record in enumerate(signals):
                _write_record(cohort, start + offset, names[start + offset], record, partial)
                bar.update()
            _forget(cohort.signals)
            state = {"fingerprint": cohort.fingerprint, "records": start + len(signals)}
            write_state(partial / EXPORT, state)


def _write_record(cohort: Cohort, i: int, name: str, signals: np.ndarray, partial: Path) -> None:
    record_id = cohort.table["record_id"].iat[i]
    if not np.isfinite(signals).all():
        raise EcgreproError(f"record {record_id}: values that are not finite cannot be exported")
    try:
        digital, gain = digitize(signals, cohort.units)
    except EcgreproError as error:
        raise EcgreproError(f"record {record_id} cannot be exported: {error}") from None
    comments = _comments(cohort, i)
    write_format16(partial / name, digital.T, cohort.fs, gain, _UNITS[cohort.units], comments)


def write_format16(
    path: Path, digital: np.ndarray, fs: float, gain: int, unit: str, comments: list[str]
) -> None:
    """One WFDB record, byte for byte as `wfdb.wrsamp` writes it, which takes 15 ms instead of 1.

    Parameters
    ----------
    path
        Of the record, without extension.
    digital
        Shape (samples, 12), integers that fit format 16.
    """
    name = path.name
    sums = digital.sum(axis=0) % 2**16
    lines = [f"{name} {len(LEADS)} {f'{fs:.10f}'.rstrip('0').rstrip('.')} {len(digital)}"]
    for lead, first, checksum in zip(LEADS, digital[0], sums, strict=True):
        lines.append(f"{name}.dat 16 {float(gain)}(0)/{unit} 16 0 {first} {checksum} 0 {lead}")
    lines += [f"# {comment}" for comment in comments]
    path.with_name(f"{name}.dat").write_bytes(digital.astype("<i2").tobytes())
    path.with_name(f"{name}.hea").write_text("\n".join(lines) + "\n", newline="\n")


def _comments(cohort: Cohort, i: int) -> list[str]:
    """What the header says of the record."""
    row = cohort.table.iloc[i]
    sampled = cohort.report.get("sampled", {})
    rhythms = _rhythms(cohort.labels, row["rhythm"])
    said = [
        "SYNTHETIC ECG, not a patient: made by a computer, not for diagnosis",
        f"Generator: {row['origin']} (ecgrepro), imitating {row['source']}",
        f"Rhythm: {row['rhythm']} ({' or '.join(RHYTHMS[code] for code in rhythms)})",
        f"Record: {row['record_id']}",
    ]
    if "seed" in sampled:
        said.append(f"Seed: {sampled['seed']}; weights: {sampled['weights'][:16]}")
    if cohort.units == "z":
        said.append("Unit NU, no unit: each lead has zero mean and unit variance")
    return said


def _rhythms(labels: str, code: str) -> list[str]:
    return [rhythm for rhythm, group in label_map(labels).items() if group == code]


def _labels(cohort: Cohort, names: list[str]) -> pd.DataFrame:
    """The rows of ``labels.csv``."""
    table = cohort.table
    first = {code: _rhythms(cohort.labels, code)[0] for code in cohort.classes}
    return pd.DataFrame(
        {
            "record": names,
            "rhythm": table["rhythm"].map(first),
            "class": table["rhythm"],
            "label_map": cohort.labels,
            "generator": table["origin"],
            "imitates": table["source"],
            "units": cohort.units,
            "seed": cohort.report.get("sampled", {}).get("seed", ""),
            "record_id": table["record_id"],
        }
    )


def _facts(cohort: Cohort) -> dict:
    """What ``export.json`` says of the whole."""
    return {
        "fingerprint": cohort.fingerprint,
        "records": len(cohort),
        "origin": "+".join(sorted(set(cohort.table["origin"]))),
        "units": cohort.units,
        "labels": cohort.labels,
        "fs": cohort.fs,
        "sampled": cohort.report.get("sampled", {}),
    }


def _forget(signals: np.ndarray) -> None:
    """Let go of the pages of a memory map that were read, so that they do not pile up."""
    mapped = getattr(signals, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
