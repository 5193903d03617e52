"""How leads go together: the identities between limb leads, and correlations between all."""

import numpy as np

from ecgrepro.closeness.metrics.spectrum import BATCH, checked_signals
from ecgrepro.cohort.leads import IDENTITIES
from ecgrepro.errors import EcgreproError


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
    parts = range(0, len(signals), BATCH)
    sums = sum(residual_squares(signals[i : i + BATCH], leads, units).sum(axis=0) for i in parts)
    return dict(zip(IDENTITIES, relative_residuals(np.asarray(sums)).tolist(), strict=True))


def residual_squares(signals: np.ndarray, leads: tuple[str, ...], units: str) -> np.ndarray:
    """Of each record the sums of squares of what should be zero, and of the four leads' mean.

    Shape (records, identities + 1); parameters as `lead_residuals`.
    """
    if units != "mV":
        raise EcgreproError(
            f"lead identities hold for signals in mV, not in {units!r}: compare cohorts in mV"
        )
    needed = sorted({lead for weights in IDENTITIES.values() for lead in weights})
    if missing := [lead for lead in needed if lead not in leads]:
        raise EcgreproError(f"lead identities need the leads {', '.join(missing)}, too")
    at = {lead: leads.index(lead) for lead in needed}
    part = np.asarray(signals, np.float64)
    rests = [
        sum(weight * part[:, at[lead]] for lead, weight in weights.items())
        for weights in IDENTITIES.values()
    ]
    size = np.square(part[:, [at[x] for x in ("I", "II", "III", "aVF")]]).mean(1).sum(1)
    return np.column_stack([*(np.square(rest).sum(1) for rest in rests), size])


def relative_residuals(sums: np.ndarray) -> np.ndarray:
    """Root of each identity's share, from the summed `residual_squares`, (identities,)."""
    if not sums[-1]:
        raise EcgreproError("the limb leads are zero in every record: there is nothing to relate")
    return np.sqrt(sums[:-1] / sums[-1])


def lead_correlation_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Root mean square difference, over pairs of leads, of their mean correlations.

    In [0, 2]; lower is closer. It sees swapped and inverted leads, and leads that go their own
    way; blind to what all leads share. Signals have shape (records, leads, samples), leads >= 2.
    """
    real, synthetic = checked_signals(real, synthetic)
    if real.shape[1] < 2:
        raise EcgreproError("correlations between leads need at least two leads")
    return correlations_apart(mean_correlation(real), mean_correlation(synthetic))


def correlations_apart(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference of two matrices (leads, leads) over pairs of leads."""
    apart = (a - b)[np.triu_indices(len(a), 1)]
    return float(np.sqrt((apart**2).mean()))


def mean_correlation(signals: np.ndarray) -> np.ndarray:
    """Mean over records of `correlations`, (leads, leads)."""
    parts = (signals[i : i + BATCH] for i in range(0, len(signals), BATCH))
    return np.asarray(sum(correlations(part).sum(axis=0) for part in parts)) / len(signals)


def correlations(signals: np.ndarray) -> np.ndarray:
    """Correlation matrix of each record's leads, (records, leads, leads); 0 for a flat lead."""
    part = np.asarray(signals, np.float64)
    part = part - part.mean(axis=2, keepdims=True)
    norm = np.linalg.norm(part, axis=2, keepdims=True)
    unit = np.divide(part, norm, where=norm > 0, out=0 * part)
    return unit @ unit.transpose(0, 2, 1)
