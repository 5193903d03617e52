"""The twelve leads, and how four of them follow from the rest (Einthoven, Goldberger)."""

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# LEADS as sums of INDEPENDENT, (12, 8).
TWELVE = np.zeros((12, 8))
TWELVE[[0, 1], [0, 1]] = 1
TWELVE[2, :2] = -1, 1  # III = II - I
TWELVE[3, :2] = -0.5, -0.5  # aVR = -(I + II) / 2
TWELVE[4, :2] = 1, -0.5  # aVL = I - II / 2
TWELVE[5, :2] = -0.5, 1  # aVF = II - I / 2
TWELVE[np.arange(6, 12), np.arange(2, 8)] = 1

# The same as identities: a sum of leads with these weights is zero.
IDENTITIES = {
    "I + III = II": {"I": 1, "III": 1, "II": -1},
    "aVR = -(I + II) / 2": {"aVR": 1, "I": 0.5, "II": 0.5},
    "aVL = I - II / 2": {"aVL": 1, "I": -1, "II": 0.5},
    "aVF = II - I / 2": {"aVF": 1, "II": -1, "I": 0.5},
}


def twelve_leads(independent: np.ndarray) -> np.ndarray:
    """All leads from `INDEPENDENT`, along the axis before the last: (..., 8, T) -> (..., 12, T).

    III = II - I; aVR = -(I + II) / 2; aVL = I - II / 2; aVF = II - I / 2. The type stays; integers
    are exact where I and II are even. It is `TWELVE` times the leads, but for rounding: faster,
    and a derived lead is derived to the last bit.

    Examples
    --------
    >>> twelve_leads(np.array([[2], [6], [0], [0], [0], [0], [0], [0]]))[:6, 0].tolist()
    [2, 6, 4, -4, -1, 5]
    """
    one, two = independent[..., 0, :], independent[..., 1, :]
    half = np.true_divide if np.issubdtype(independent.dtype, np.floating) else np.floor_divide
    three = two - one
    augmented = [-half(one + two, 2), one - half(two, 2), two - half(one, 2)]
    limb = np.stack([one, two, three, *augmented], axis=-2)
    return np.concatenate([limb, independent[..., 2:, :]], axis=-2)


def independent_of(leads: tuple[str, ...]) -> list[int]:
    """Positions of `INDEPENDENT` among ``leads``."""
    return [leads.index(lead) for lead in INDEPENDENT]
