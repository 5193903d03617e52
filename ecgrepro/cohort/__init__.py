"""What a record is: the Cohort, rhythms, leads, preprocessing and R peaks."""

from ecgrepro.cohort.cohort import (
    COLUMNS,
    LEADS,
    UNITS,
    Cohort,
    content_fingerprint,
    fingerprint_of,
    record_digest,
)

__all__ = [
    "COLUMNS",
    "LEADS",
    "UNITS",
    "Cohort",
    "content_fingerprint",
    "fingerprint_of",
    "record_digest",
]
