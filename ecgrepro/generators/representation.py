"""Channels, the form in which models see records, and their conversion to and from leads.

In units ``z`` the channels are the twelve leads, clamped at 8 SD. In ``mV`` they are the eight
independent leads, each divided by its standard deviation over the training records; the other
four leads follow from them exactly (Einthoven, Goldberger).
"""

from typing import Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.leads import INDEPENDENT, independent_of, twelve_leads
from ecgrepro.cohort.preprocess import standardize
from ecgrepro.errors import EcgreproError

CLAMP = 8.0  # SD of the record; no z-scored heartbeat exceeds it
# SD over all training records. The tallest QRS complexes reach 25; of 1652 recordings only three,
# with artefacts of 10 mV, exceed 30.
CLAMP_MV = 30.0
_CHUNK = 256  # records


class Shape(BaseModel):
    """What a generator keeps of the cohort that it was trained on.

    Attributes
    ----------
    source
        Data sets of the records, joined by ``+``.
    labels, classes
        Label map, and its classes in order.
    counts
        Number of training records of each class.
    leads, samples, fs, units
        Lead names, samples per record, sampling frequency in Hz, ``"z"`` or ``"mV"``.
    scales
        Standard deviation of each of `INDEPENDENT` in mV; empty in units ``z``.
    fingerprint
        Of the training cohort.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    labels: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    leads: tuple[str, ...]
    samples: int
    fs: float
    units: Literal["z", "mV"]
    scales: tuple[float, ...]
    fingerprint: str

    @model_validator(mode="after")
    def _one_scale_a_lead(self):
        expected = len(INDEPENDENT) if self.units == "mV" else 0
        if len(self.scales) != expected or not all(0 < s < np.inf for s in self.scales):
            raise ValueError(f"expected {expected} positive scales, not {self.scales}")
        return self

    @property
    def channels(self) -> int:
        """Number of channels: 12 in units z, 8 in mV."""
        return len(INDEPENDENT) if self.units == "mV" else len(self.leads)

    @property
    def trained(self) -> list[str]:
        """Classes with at least one training record, in order: those that can be sampled."""
        return [code for code in self.classes if self.counts[code]]


def shape_of(cohort: Cohort) -> Shape:
    """The shape of a cohort that has passed `check_cohort`."""
    return Shape(
        source="+".join(sorted(set(cohort.table["source"]))),
        labels=cohort.labels,
        classes=cohort.classes,
        counts=cohort.counts(),
        leads=cohort.leads,
        samples=cohort.signals.shape[2],
        fs=cohort.fs,
        units=cast(Literal["z", "mV"], cohort.units),
        scales=_scales(cohort) if cohort.units == "mV" else (),
        fingerprint=cohort.fingerprint,
    )


def check_cohort(cohort: Cohort, name: str, like: Cohort | None = None) -> None:
    """Raise if a generator cannot learn from a cohort.

    Parameters
    ----------
    cohort
        Records to train or validate on.
    name
        Of the generator, for the message.
    like
        The training cohort, if ``cohort`` is for validation: both must have the same form.

    Raises
    ------
    EcgreproError
        There is no record, a value is not finite (the record is named), a cohort in mV does not
        have the twelve standard leads, or the two cohorts differ in units, leads, sampling
        frequency, length or labels.
    """
    if not len(cohort):
        raise EcgreproError(f"cannot train {name}: cohort {cohort.name!r} has no records")
    if cohort.units == "mV" and cohort.leads != LEADS:
        raise EcgreproError(
            f"cannot train {name}: cohort {cohort.name!r} in mV has the leads "
            f"{', '.join(cohort.leads)}, but four of {', '.join(LEADS)} are derived from the rest"
        )
    for start in range(0, len(cohort), _CHUNK):
        finite = np.isfinite(cohort.signals[start : start + _CHUNK]).all(axis=(1, 2))
        if not finite.all():
            record = cohort.table["record_id"].iloc[start + int(np.argmin(finite))]
            raise EcgreproError(
                f"cannot train {name}: record {record} of cohort {cohort.name!r} has values that "
                "are not finite"
            )
    for what in ("units", "leads", "fs", "labels") if like is not None else ():
        if getattr(cohort, what) != getattr(like, what):
            raise EcgreproError(
                f"cannot train {name}: training and validation differ in {what}: "
                f"{getattr(like, what)} and {getattr(cohort, what)}"
            )
    if like is not None and cohort.signals.shape[2] != like.signals.shape[2]:
        raise EcgreproError(
            f"cannot train {name}: training and validation differ in length: "
            f"{like.signals.shape[2]} and {cohort.signals.shape[2]} samples"
        )


def to_channels(shape: Shape, signals: np.ndarray) -> np.ndarray:
    """Convert leads to channels.

    Parameters
    ----------
    shape
        Of the generator.
    signals
        Shape (records, leads, samples), in ``shape.units``.

    Returns
    -------
    ndarray
        Shape (records, channels, samples), float32, clamped at `CLAMP` or `CLAMP_MV`.
    """
    if shape.units == "z":
        return np.clip(signals, -CLAMP, CLAMP).astype(np.float32, copy=False)
    independent = np.asarray(signals[:, independent_of(shape.leads)], np.float32)
    scaled = independent / np.array(shape.scales, np.float32)[:, None]
    return np.clip(scaled, -CLAMP_MV, CLAMP_MV)


def to_leads(shape: Shape, drawn: np.ndarray) -> np.ndarray:
    """Convert channels to leads, scaled as preprocessed recordings are.

    Parameters
    ----------
    shape
        Of the generator.
    drawn
        Shape (records, channels, samples), finite.

    Returns
    -------
    ndarray
        Shape (records, leads, samples), float32, in ``shape.units``. In z, each lead has zero mean
        and unit variance and is clamped at `CLAMP`. In mV, each lead has zero mean, as after the
        band-pass filter, and the derived leads are exact (see `twelve_leads`).
    """
    if shape.units == "z":
        return np.clip(standardize(drawn), -CLAMP, CLAMP).astype(np.float32, copy=False)
    scaled = np.clip(drawn, -CLAMP_MV, CLAMP_MV) * np.array(shape.scales, np.float32)[:, None]
    return twelve_leads(scaled - scaled.mean(axis=-1, keepdims=True))


def _scales(cohort: Cohort) -> tuple[float, ...]:
    """Standard deviation of each independent lead over all records, in mV."""
    total = np.zeros((2, len(INDEPENDENT)))
    for start in range(0, len(cohort), _CHUNK):
        part = np.asarray(cohort.signals[start : start + _CHUNK, independent_of(cohort.leads)])
        part = part.astype(np.float64)
        total += part.sum(axis=(0, 2)), np.square(part).sum(axis=(0, 2))
    mean, square = total / (len(cohort) * cohort.signals.shape[2])
    scales = np.sqrt(np.maximum(square - mean**2, 0))
    flat = [lead for lead, scale in zip(INDEPENDENT, scales, strict=True) if not scale > 1e-6]
    if flat:
        raise EcgreproError(
            f"cohort {cohort.name!r} in mV is zero in {', '.join(flat)}: there is nothing to learn"
        )
    return tuple(float(scale) for scale in scales)
