"""Worked examples of the metrics in points: situations that a metric sees, and ones that it misses.

Everything is drawn from formulas with a seed. Examples in records: `closeness.examples.records`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from ecgrepro.closeness.examples.cases import BALLS, Case, Worked
from ecgrepro.closeness.metrics.dtw import dtw_distances
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.leads import lead_residuals
from ecgrepro.closeness.metrics.mmd import mmd, sliced_wasserstein
from ecgrepro.closeness.metrics.prdc import distances, prdc, radii
from ecgrepro.closeness.metrics.privacy import (
    authenticity,
    distance_ratio,
    membership_auc,
    near_copies,
)
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    spectrum_distance,
)
from ecgrepro.closeness.metrics.use import discriminator_auc, reading_scores

NEIGHBOURS = 5  # k of precision, recall, density and coverage


def distribution_cases(seed: int = 0, n: int = 300) -> list[Case]:
    """Points in a plane: an honest set, a shift, another spread, a ring with the same moments."""
    rng = np.random.default_rng([seed, 1])
    real, honest = rng.normal(size=(2, n, 2))
    ring = _on_a_ring(rng, n)
    names = ("frechet_distance", "mmd", "sliced_wasserstein")
    make = _cases(_distribution, real, honest)
    return [
        make("drawn like the real ones", honest),
        make("shifted", rng.normal(size=(n, 2)) + [0.8, 0], sees=names),
        make("spread too wide", 1.5 * rng.normal(size=(n, 2)), sees=names),
        make("a ring with the same moments", _with_moments_of(real, ring), names[1:], names[:1]),
    ]


def distribution_gaps(seed: int = 0, n: int = 300) -> list[Case]:
    """What all or most distances between distributions miss.

    Copies of the real points; few points, each copied many times; a small cluster that is missing;
    one of 32 dimensions that is split in two.
    """
    rng = np.random.default_rng([seed, 2])
    names = ("frechet_distance", "mmd", "sliced_wasserstein")
    real, honest = rng.normal(size=(2, n, 2))
    make = _cases(_distribution, real, honest)
    copies = make("copies of the real ones", real, (), names)
    few = KMeans(n // 10, n_init=1, random_state=seed).fit(real)
    repeated = make(f"{n // 10} points, each copied", few.cluster_centers_[few.labels_], (), names)
    few = max(2, n // 50)
    clustered = [rng.normal(size=(n, 2)) for _ in range(2)]
    for points in clustered:
        points[:few] = [3.6, 3.6] + 0.2 * rng.normal(size=(few, 2))
    cluster = _cases(_distribution, *clustered)(
        f"a cluster of {few} in {n} is missing", rng.normal(size=(n, 2)), (), ("mmd",)
    )
    wide, honest, split = rng.normal(size=(3, n, 32))
    split[:, 0] = rng.choice([-1.0, 1.0], n) * np.sqrt(0.9) + np.sqrt(0.1) * split[:, 0]
    one = _cases(_distribution, wide, honest)(
        "one of 32 dimensions is split in two", split, (), names
    )
    return [copies, repeated, cluster, one]


def fidelity_cases(seed: int = 0, n: int = 150) -> list[Case]:
    """Points in a plane: what precision, recall, density and coverage see in turn."""
    rng = np.random.default_rng([seed, 3])
    real, honest = rng.normal(size=(2, n, 2))
    make = _cases(_fidelity, real, honest)
    far = real.copy()
    far[0] = [9, 0]
    half = n // 2
    beside = np.concatenate([honest[:half], [6.5, 0] + rng.uniform(-1.5, 1.5, (n - half, 2))])
    two = [rng.normal(size=(n, 2)) + np.repeat([[-3, 0], [3, 0]], [half, n - half], 0)
           for _ in range(2)]  # fmt: skip
    balls = (distances(real, real) < radii(real, NEIGHBOURS)).sum(axis=1)
    crowd = real[balls.argmax()] + 0.05 * rng.normal(size=(n, 2))
    few = n // 7
    scattered = np.concatenate([honest[few:], rng.uniform(-7, 7, (few, 2))])
    return [
        make("drawn like the real ones", honest),
        _cases(_fidelity, far, honest)(
            "one real outlier, half of the synthetic beside it", beside,
            ("density",), ("precision",),
        ),
        make("scattered beside good ones", scattered, ("precision",), ("recall", "coverage")),
        _cases(_fidelity, *two)(
            "one of two clusters is missing", rng.normal(size=(n, 2)) - [3, 0],
            ("recall", "coverage"), ("precision", "density"),
        ),
        make("eight records, copied", honest[np.arange(n) % 8], ("recall", "coverage"),
             ("precision",)),
        make("crowded where most real balls meet", crowd, ("recall", "coverage"),
             ("precision", "density")),
    ]  # fmt: skip


def discriminator_cases(seed: int = 0, n: int = 300) -> list[Case]:
    """Points in a plane that a linear classifier tries to tell from the real ones."""
    rng = np.random.default_rng([seed, 4])
    real, honest = rng.normal(size=(2, n, 2))
    name = ("discriminator_auc",)
    make = _cases(lambda a, b: {name[0]: discriminator_auc(a, b)}, real, honest)
    return [
        make("drawn like the real ones", honest),
        make("shifted", rng.normal(size=(n, 2)) + [0.8, 0], sees=name),
        make("a ring with the same moments", _with_moments_of(real, _on_a_ring(rng, n)), (), name),
        make("copies of the real ones", real, (), name),
    ]


def rhythm_cases(seed: int = 0, n: int = 120) -> list[Case]:
    """Points of two rhythms, read by a logistic regression that was trained on the real ones.

    It looks along the first axis, along which the rhythms differ. ``marks``: the rhythm asked for.
    """
    rng = np.random.default_rng([seed, 5])
    asked = np.repeat([0, 1], [n // 2, n - n // 2])
    real, honest = rng.normal(size=(2, n, 2)) + 3.2 * (asked[:, None] - 0.5) * [1, 0]
    judge = LogisticRegression().fit(real[:, :1], asked)
    wrong = asked.copy()
    wrong[rng.permutation(n)[: n // 4]] ^= 1
    first = [int(np.argmin(np.abs(honest[asked == c, 0] - 3.2 * (c - 0.5)))) for c in (0, 1)]
    picked = np.stack([honest[asked == c][i] for c, i in enumerate(first)])[asked]

    def measure(points: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        found = reading_scores(labels, judge.predict(points[:, :1]))
        taught = LogisticRegression().fit(points[:, :1], labels).predict(real[:, :1])
        return {
            "rhythm_agreement": found["rhythm_agreement"],
            "trts": found["macro_f1"],
            "tstr": reading_scores(asked, taught)["macro_f1"],
        }

    good, names = measure(honest, asked), ("rhythm_agreement", "trts", "tstr")
    moved = [honest + [0, 4], honest + [2, 0]]
    return [
        Case("drawn like the real ones", real, honest, good, good, marks=asked),
        Case("a quarter of the rhythms exchanged", real, honest, measure(honest, wrong), good,
             names[:2], names[2:], marks=wrong),
        Case("one record of each rhythm, copied", real, picked, measure(picked, asked), good,
             misses=names, marks=asked),
        Case("moved where the classifier does not look", real, moved[0],
             measure(moved[0], asked), good, misses=names, marks=asked),
        Case("moved from one rhythm towards the other", real, moved[1],
             measure(moved[1], asked), good, sees=names, marks=asked),
    ]  # fmt: skip


def privacy_cases(seed: int = 0, n: int = 150) -> list[Case]:
    """Points in a plane; ``real`` are the training ones. ``marks``: which points are copies."""
    rng = np.random.default_rng([seed, 6])
    train, held_out, honest = rng.normal(size=(3, n, 2))
    few = n // 12
    planted = honest.copy()
    planted[:few] = train[:few] + 1e-3 * rng.normal(size=(few, 2))
    close, loose = (train + size * rng.normal(size=(n, 2)) for size in (0.01, 0.4))
    copied, none = np.arange(n) < few, np.zeros(n, bool)
    names = ("distance_ratio", "near_copies", "authenticity", "membership_auc")

    def measure(points: np.ndarray) -> dict[str, float]:
        return _privacy(train, held_out, points)

    good = measure(honest)
    return [
        Case("drawn like the real ones", train, honest, good, good, marks=none),
        Case(f"{few} of {n} are copies", train, planted, measure(planted), good,
             names[1:2], names[:1], copied),
        Case("all are training records, hardly changed", train, close, measure(close), good,
             names, marks=~none),
        Case("all are training records, much changed", train, loose, measure(loose), good,
             misses=names[1:2], marks=~none),
    ]  # fmt: skip


def gaussian_example(shift: float = 1.5, spread: float = 2.0, n: int = 2000, seed: int = 0) -> dict:
    """Two Gaussians on a line: the points, the closed form of the Fréchet distance and what it is.

    The second has its mean at ``shift`` and the standard deviation ``spread``.
    """
    first, second = np.random.default_rng([seed, 7]).normal(size=(2, n, 1))
    second = shift + spread * second
    closed = shift**2 + (1 - spread) ** 2
    return {"first": first, "second": second, "closed": closed,
            "found": frechet_distance(first, second)}  # fmt: skip


def by_hand() -> list[Worked]:
    """Examples of a few points each, with the value that pencil and paper give."""
    line = _line
    kernel = [np.mean([np.exp(-(d**2) / (2 * b**2)) for b in (2, 1, 0.5)]) for d in (1, 2, 3, 4)]
    x, y = line(0, 1), line(3, 4)
    rows = [
        Worked("frechet_distance", "real −1, 0, 1; synthetic 1, 3, 5",
               "(3 − 0)² + (2 − 1)²", 10.0, frechet_distance(line(-1, 0, 1), line(1, 3, 5)), 6),
        Worked("mmd", "real 0, 1; synthetic 3, 4; bandwidth 1",
               "κ(1) + κ(1) − (κ(2) + 2κ(3) + κ(4)) / 2",
               float(2 * kernel[0] - (kernel[1] + 2 * kernel[2] + kernel[3]) / 2),
               mmd(x, y, bandwidth=1.0), 4),
        Worked("sliced_wasserstein", "real 0, 1, 2; synthetic 1, 2, 6",
               "√((1² + 1² + 4²) / 3)", 6**0.5,
               sliced_wasserstein(line(0, 1, 2), line(1, 2, 6)), 6),
    ]  # fmt: skip
    found = prdc(*(p[:, None] for p in BALLS), k=1)
    given = "real 0, 1, 3, 6; synthetic 0.5, 0.6, 0.7, 11; k = 1"
    hand = {"precision": ("3 of 4", 0.75), "recall": ("3 of 4", 0.75),
            "density": ("(2 + 2 + 2 + 0) / 4", 1.5), "coverage": ("2 of 4", 0.5)}  # fmt: skip
    rows += [Worked(m, given, words, v, found[m], 8) for m, (words, v) in hand.items()]
    return [*rows, *_signals_by_hand(), *_labels_by_hand(), *_privacy_by_hand()]


def _signals_by_hand() -> list[Worked]:
    def lead(*values: float) -> np.ndarray:
        return np.array(values, float)[None, None]

    t = np.arange(1000) / 100
    slow, fast = (np.sin(2 * np.pi * f * t)[None, None] for f in (5, 8))
    x, y = lead(0, 0, 1, 0, 0), lead(0, 0, 0, 1, 0)
    limb = np.array([1.0, 2, 2, -1.5, 0, 2])[None, :, None]
    a, b = lead(1, -1, 1, -1), lead(1, 1, -1, -1)
    return [
        Worked("spectrum_distance", "sines of 5 and 8 Hz", "8 − 5", 3.0,
               float(spectrum_distance(slow, fast, 100)[0]), 2),
        Worked("autocorrelation_difference", "1, −1, 1, −1 and 1, 1, −1, −1",
               "(0 + 1 + 1 + 0) / 4", 0.5, float(autocorrelation_difference(a, b, 2)[0]), 8),
        Worked("amplitude_distance", "0, 1, 2 and 0, 2, 4", "(0 + 1 + 2) / 3", 1.0,
               float(amplitude_distance(lead(0, 1, 2), lead(4, 0, 2))[0]), 6),
        Worked("dtw", "0, 0, 1, 0, 0 and 0, 0, 0, 1, 0; band of one sample", "0", 0.0,
               float(dtw_distances(x, y, 1, window=1)[0, 0]), 10),
        Worked("dtw", "the same without a band", "√((1² + 1²) / 5)", 0.4**0.5,
               float(dtw_distances(x, y, 1, window=0)[0, 0]), 10),
        Worked("lead_residual", "I = 1, II = 2, III = 2, aVF = 2", "(1 + 2 − 2) / √(13 / 4)",
               (4 / 13) ** 0.5,
               lead_residuals(limb, ("I", "II", "III", "aVR", "aVL", "aVF"), "mV")["I + III = II"],
               1),
    ]  # fmt: skip


def _labels_by_hand() -> list[Worked]:
    asked, read = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    given = "asked SR, SR, SR, AFIB; read SR four times"
    found = reading_scores(asked, read)
    return [
        Worked("rhythm_agreement", given, "(3/3 + 0/1) / 2", 0.5, found["rhythm_agreement"], 4),
        Worked("trts", given, "(6/7 + 0) / 2", 3 / 7, found["macro_f1"], 4),
    ]


def _privacy_by_hand() -> list[Worked]:
    sets = _line(0, 3, 4), _line(5, 9, 12), _line(0, 2, 7)
    given = "training 0, 3, 4; held out 5, 9, 12; synthetic 0, 2, 7"
    found = _privacy(*sets)
    hand = {
        "distance_ratio": ("medians of 0, 1, 3 and of 5, 3, 2", 1 / 3),
        "near_copies": ("2 of 3 below 1.08", 2 / 3),
        "authenticity": ("1 of 3", 1 / 3),
        "membership_auc": ("(3 + 3 + 2) / 9", 8 / 9),
    }
    return [Worked(m, given, words, v, found[m], 9) for m, (words, v) in hand.items()]


def _distribution(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    return {
        "frechet_distance": frechet_distance(real, synthetic),
        "mmd": mmd(real, synthetic),
        "sliced_wasserstein": sliced_wasserstein(real, synthetic),
    }


def _fidelity(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    return prdc(real, synthetic, NEIGHBOURS)


def _privacy(train: np.ndarray, held_out: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """The four metrics; every record is a patient of its own."""
    auc, _, _ = membership_auc(
        train,
        held_out,
        points,
        train_patients=np.arange(len(train)),
        held_out_patients=len(train) + np.arange(len(held_out)),
        resamples=2,
    )
    return {
        "distance_ratio": distance_ratio(train, held_out, points),
        "near_copies": near_copies(train, held_out, points).share,
        "authenticity": authenticity(train, points),
        "membership_auc": auc,
    }


def _cases(
    measure: Callable[[np.ndarray, np.ndarray], Mapping[str, float]],
    real: np.ndarray,
    honest: np.ndarray,
) -> Callable[..., Case]:
    """A maker of cases that share the real and the honest set."""
    good = dict(measure(real, honest))

    def make(
        words: str,
        synthetic: np.ndarray,
        sees: Sequence[str] = (),
        misses: Sequence[str] = (),
    ) -> Case:
        values = dict(measure(real, synthetic))
        return Case(words, real, synthetic, values, good, tuple(sees), tuple(misses))

    return make


def _on_a_ring(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.normal(1, 0.04, (n, 1))


def _with_moments_of(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``x``, moved and stretched so that mean and covariance are those of ``points``."""
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return points.mean(0) + x @ np.linalg.cholesky(np.cov(points.T)).T


def _line(*values: float) -> np.ndarray:
    """Points on a line, shape (points, 1)."""
    return np.array(values, float)[:, None]
