"""What must not happen before a model is scored: test records or test patients in its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecgrepro.closeness.metrics.prdc import distance_blocks
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError

if TYPE_CHECKING:
    from ecgrepro.generators.base import Generator

# Root mean square difference of two records, in their units, below which they are one: a copy that
# was written as integers and read again is a copy; records of two people differ a hundredfold.
SAME = 0.01
STEP = 4  # samples that are compared: every fourth
BATCH = 512


def check_no_leakage(train: Cohort, test: Cohort) -> None:
    """Raise if a training record is one of the test records, or of a patient of one.

    Records are compared by their samples, whatever their name: a synthetic record that is the copy
    of a test record counts too.
    """
    shared = _patients(train) & _patients(test)
    if shared:
        source, patient = min(shared)
        raise EcgreproError(
            f"patient {patient} of {source} is in the training and in the test records: split by "
            "patient"
        )
    for start in range(0, len(train), BATCH):
        part = _points(train.signals[start : start + BATCH])
        for rows, block in distance_blocks(part, _points(test.signals)):
            i, j = np.unravel_index(int(block.argmin()), block.shape)
            if block[i, j] < SAME * np.sqrt(part.shape[1]):
                record = train.table.iloc[start + rows.start + i]
                raise EcgreproError(
                    f"training record {record['record_id']} ({record['origin']}) is the test "
                    f"record {test.table['record_id'][j]}: the score would be of memory; leave "
                    "it out"
                )


def check_trained_on(generator: Generator, train: Cohort, name: str) -> None:
    """Raise unless ``generator`` was fitted to exactly the training records of a data set."""
    assert generator.shape is not None, "the generator is not trained"
    seen = generator.shape.fingerprint
    if seen != train.fingerprint:
        raise EcgreproError(
            f"the generator {generator.name} was fitted to other records (fingerprint "
            f"{seen[:12]}) than the training folds of {name} ({train.fingerprint[:12]}): it may "
            "have seen test records; train it on these folds"
        )


def _patients(cohort: Cohort) -> set[tuple[str, str]]:
    pairs = zip(cohort.table["source"], cohort.table["patient_id"], strict=True)
    return {pair for pair in pairs if pair[1]}


def _points(signals: np.ndarray) -> np.ndarray:
    """Every `STEP`-th sample of all leads, (records, values)."""
    return np.asarray(signals[:, :, ::STEP], np.float64).reshape(len(signals), -1)
