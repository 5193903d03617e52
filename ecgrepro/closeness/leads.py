"""How leads go together: the identities between limb leads, and correlations between all."""

import numpy as np

from ecgrepro.closeness.spectrum import BATCH, checked_signals
from ecgrepro.errors import EcgreproError

# Einthoven's and Goldberger's identities: a sum of leads with these weights is zero.
IDENTITIES = {
    "I + III = II": {"I": 1, "III": 1, "II": -1},
    "aVR = -(I + II) / 2": {"aVR": 1, "I": 0.5, "II": 0.5},
    "aVL = I - II / 2": {"aVL": 1, "I": -1, "II": 0.5},
    "aVF = II - I / 2": {"aVF": 1, "II": -1, "I": 0.5},
}


def lead_residuals(signals: np.ndarray, leads: tuple[str, ...], units: str) -> dict[str, float]:
    """How far the limb leads miss each of the `IDENTITIES`.

    The root mean square of what should be zero over that of the four leads I, II, III and aVF, all
    records together. In [0, ∞); 0 where derived leads are derived; independent noise of the
    leads' own size gives about 1 to 2. It sees only limb leads, and nothing of what is in them.

    Parameters
    ----------
    signals
        Shape (records, leads, samples), in mV: the scaling of each lead to unit variance breaks
        the identities.
    """
    signals, _ = checked_signals(signals, signals)
    if units != "mV":
        raise EcgreproError(
            f"lead identities hold for signals in mV, not in {units!r}: compare cohorts in mV"
        )
    needed = sorted({lead for weights in IDENTITIES.values() for lead in weights})
    if missing := [lead for lead in needed if lead not in leads]:
        raise EcgreproError(f"lead identities need the leads {', '.join(missing)}, too")
    at = {lead: leads.index(lead) for lead in needed}
    squares, size = dict.fromkeys(IDENTITIES, 0.0), 0.0
    for start in range(0, len(signals), BATCH):
        part = np.asarray(signals[start : start + BATCH], np.float64)
        size += np.square(part[:, [at[x] for x in ("I", "II", "III", "aVF")]]).mean(1).sum()
        for name, weights in IDENTITIES.items():
            rest = sum(weight * part[:, at[lead]] for lead, weight in weights.items())
            squares[name] += np.square(rest).sum()
    if not size:
        raise EcgreproError("the limb leads are zero in every record: there is nothing to relate")
    return {name: float(np.sqrt(square / size)) for name, square in squares.items()}


def lead_correlation_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Root mean square difference, over pairs of leads, of their mean correlations.

    In [0, 2]; lower is closer. It sees swapped and inverted leads, and leads that go their own
    way; blind to what all leads share. Signals have shape (records, leads, samples), leads >= 2.
    """
    real, synthetic = checked_signals(real, synthetic)
    if real.shape[1] < 2:
        raise EcgreproError("correlations between leads need at least two leads")
    pairs = np.triu_indices(real.shape[1], 1)
    apart = (mean_correlation(real) - mean_correlation(synthetic))[pairs]
    return float(np.sqrt((apart**2).mean()))


def mean_correlation(signals: np.ndarray) -> np.ndarray:
    """Mean over records of the correlation matrix of the leads, (leads, leads).

    A flat lead counts as uncorrelated.
    """
    total = 0.0
    for start in range(0, len(signals), BATCH):
        part = np.asarray(signals[start : start + BATCH], np.float64)
        part = part - part.mean(axis=2, keepdims=True)
        norm = np.linalg.norm(part, axis=2, keepdims=True)
        unit = np.divide(part, norm, where=norm > 0, out=0 * part)
        total = total + (unit @ unit.transpose(0, 2, 1)).sum(axis=0)
    return total / len(signals)
