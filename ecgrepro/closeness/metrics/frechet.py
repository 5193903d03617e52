"""Distances between two distributions of embeddings."""

import contextlib

import numpy as np

from ecgrepro.errors import EcgreproError


def checked_embedding(x: np.ndarray, name: str, least: int = 2) -> np.ndarray:
    """``x`` as float64 of shape (records, dimensions), or an error that says what is wrong.

    Raises
    ------
    EcgreproError
        Not two-dimensional, fewer than ``least`` records, NaN or infinite, or the same embedding
        for every record.
    """
    x = np.asarray(x)
    if x.ndim != 2 or not np.issubdtype(x.dtype, np.number):
        raise EcgreproError(
            f"the {name} embedding must be numbers of shape (records, dimensions), "
            f"not {x.dtype} of shape {x.shape}"
        )
    if len(x) < least or x.shape[1] == 0:
        raise EcgreproError(
            f"the {name} embedding has shape {x.shape}: at least {least} records "
            "and one dimension are needed"
        )
    x = x.astype(np.float64)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise EcgreproError(
            f"{bad.sum()} of {len(x)} records of the {name} embedding are NaN or infinite "
            f"(the first at position {bad.argmax()}): remove or mend those records"
        )
    if (x == x[0]).all():
        raise EcgreproError(
            f"the {name} embedding is constant: all {len(x)} records have the same one, so no "
            "distance means anything (are the signals, or the classifier's weights, all zero?)"
        )
    return x


def checked_pair(
    x: np.ndarray, y: np.ndarray, names: tuple[str, str], least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Both embeddings checked, and of the same dimensions."""
    x, y = (checked_embedding(e, name, least) for e, name in zip((x, y), names, strict=True))
    if x.shape[1] != y.shape[1]:
        raise EcgreproError(
            f"the {names[0]} embedding has {x.shape[1]} dimensions and the {names[1]} one "
            f"{y.shape[1]}: embed both with the same classifier"
        )
    return x, y


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Fréchet (2-Wasserstein) distance between Gaussians fitted to two embeddings.

    ``|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½)`` with the sample means ``m`` and the unbiased sample
    covariances ``S`` (Dowson & Landau 1982; Heusel et al. 2017). In [0, ∞); 0 for equal means and
    covariances; lower is closer. It sees the first two moments only.

    **Biased upwards by the sample size**: two samples of n and m records from one N(0, I_d) give
    about ``(d + d(d+1)/4)(1/n + 1/m)``, not 0. Compare only values at equal n, m and d, and read
    each beside its floor (a real set against a real set of the same sizes).

    Parameters
    ----------
    x, y
        Embeddings of shape (records, dimensions); fewer records than dimensions are allowed.
    """
    x, y = checked_pair(x, y, ("first", "second"))
    return gaussian_distance(fit_gaussian(x), fit_gaussian(y))


def fit_gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) of ``x`` and a factor A, shape (min(records, d), d), AᵀA its covariance."""
    mean = x.mean(axis=0)
    centred = (x - mean) / np.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return mean, centred
    with contextlib.suppress(np.linalg.LinAlgError):  # of a covariance without full rank
        factor = np.linalg.cholesky(centred.T @ centred).T
        if factor.diagonal().min() > 1e-4 * factor.diagonal().max():
            return mean, factor
    return mean, np.asarray(np.linalg.qr(centred, mode="r"))  # slower, exact whatever the rank


def gaussian_distance(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> float:
    """`frechet_distance` of two results of `fit_gaussian`."""
    (m1, a), (m2, b) = first, second
    # For any factors S1 = AᵀA and S2 = BᵀB the trace of (S1 S2)^½ is the sum of the singular
    # values of A Bᵀ. Nothing is symmetrized or inverted, so a covariance without full rank costs
    # no accuracy.
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    shift = m1 - m2
    return max(0.0, float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * overlap))
