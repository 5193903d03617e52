"""Heart rhythms shared by PTB-XL and Chapman, and the two label maps of the study.

A *rhythm* is one of seven codes. A record is labelled with a rhythm only if its statements name
exactly one of them and no rhythm outside the seven.

Sources: PTB-XL ``scp_statements.csv`` (Wagner et al. 2020); ``ConditionNames_SNOMED-CT.csv`` of
PhysioNet ecg-arrhythmia 1.0.0 (Zheng et al. 2022); the four groups are those of Zheng et al. 2020.
"""

from collections.abc import Iterable

from ecgrepro.errors import EcgreproError

RHYTHMS = {
    "SR": "sinus rhythm",
    "SB": "sinus bradycardia",
    "ST": "sinus tachycardia",
    "AFIB": "atrial fibrillation",
    "AFL": "atrial flutter",
    "SA": "sinus arrhythmia",
    "SVT": "supraventricular tachycardia",
}

LABEL_MAPS = {
    "rhythm7": {code: code for code in RHYTHMS},
    "rhythm4": {
        "SR": "SR",
        "SA": "SR",
        "SB": "SB",
        "ST": "GSVT",
        "SVT": "GSVT",
        "AFIB": "AFIB",
        "AFL": "AFIB",
    },
}

# PTB-XL rhythm statement -> rhythm. None: a rhythm that the two hospitals do not share.
PTBXL_RHYTHMS = {
    "SR": "SR",
    "SBRAD": "SB",
    "STACH": "ST",
    "AFIB": "AFIB",
    "AFLT": "AFL",
    "SARRH": "SA",
    "SVTAC": "SVT",
    "PSVT": "SVT",
    "PACE": None,
    "SVARR": None,
    "BIGU": None,
    "TRIGU": None,
}

# SNOMED CT code -> rhythm, the rhythm rows of ConditionNames_SNOMED-CT.csv. "AF" there is flutter.
SNOMED_RHYTHMS = {
    426783006: "SR",
    426177001: "SB",
    427084000: "ST",
    164889003: "AFIB",
    164890007: "AFL",
    427393009: "SA",
    426761007: "SVT",
    713422000: "SVT",  # atrial tachycardia
    233896004: "SVT",  # AV-node re-entrant tachycardia
    233897008: "SVT",  # AV re-entrant tachycardia
    195101003: None,  # sinus atrium to atrial wandering rhythm
}


def classes(labels: str) -> tuple[str, ...]:
    """Ordered class codes of label map ``labels`` (``"rhythm7"`` or ``"rhythm4"``)."""
    return tuple(dict.fromkeys(label_map(labels).values()))


def label_map(labels: str) -> dict[str, str]:
    """The map from the seven rhythms to the classes of ``labels``; unknown names raise."""
    if labels not in LABEL_MAPS:
        raise EcgreproError(
            f"unknown label map {labels!r}: choose one of {', '.join(map(repr, LABEL_MAPS))}"
        )
    return LABEL_MAPS[labels]


def shared_rhythm(found: Iterable[str | None]) -> tuple[str | None, str | None]:
    """Reduce the rhythms that a record's statements name to one.

    Parameters
    ----------
    found
        The rhythm of each rhythm statement, ``None`` for one outside the seven.

    Returns
    -------
    rhythm, reason
        The rhythm and ``None``, or ``None`` and why the record has no single shared rhythm:
        ``"no rhythm"``, ``"several rhythms"`` or ``"rhythm not shared"``.
    """
    distinct = set(found)
    if not distinct:
        return None, "no rhythm"
    if len(distinct) > 1:
        return None, "several rhythms"
    (rhythm,) = distinct
    return (rhythm, None) if rhythm else (None, "rhythm not shared")
