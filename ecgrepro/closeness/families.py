"""The metrics of `compare`, a class for each family: features once, then values of any subset.

Each is made from a `Draw` and works out what it needs of every record. ``measure(rows)`` then gives
the metrics on a subset of the records, shape (2, metrics): first of the synthetic set, then the
floor. ``rows`` are positions by set. ``lacking`` says why a family cannot be computed at all.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgrepro.closeness.catalogue import of_family
from ecgrepro.closeness.matching import (
    EVERY,
    HELD_OUT,
    OTHERS,
    SETS,
    SYNTHETIC,
    TEST,
    TRAIN,
    Draw,
)
from ecgrepro.closeness.metrics.dtw import ROWS, dtw_distances
from ecgrepro.closeness.metrics.frechet import fit_gaussian, gaussian_distance
from ecgrepro.closeness.metrics.heart import failure_rates, measure_distances
from ecgrepro.closeness.metrics.leads import (
    correlations,
    correlations_apart,
    relative_residuals,
    residual_squares,
)
from ecgrepro.closeness.metrics.mmd import (
    kernel_of,
    line_wasserstein,
    median_distance,
    random_directions,
)
from ecgrepro.closeness.metrics.prdc import (
    CHUNK,
    distance_blocks,
    nearest_others,
    prdc_of,
    subset_radii,
)
from ecgrepro.closeness.metrics.privacy import authentic, nearest_distances, share_below
from ecgrepro.closeness.metrics.spectrum import (
    BATCH,
    amplitude_edges,
    amplitude_features,
    amplitudes_apart,
    autocorrelations,
    power_moved,
    segment,
    spectra,
    to_sum_one,
)
from ecgrepro.closeness.metrics.use import discriminator_scores, reading_scores
from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.errors import EcgreproError

PROJECTIONS = 128
PAIRS = (SYNTHETIC, TRAIN)  # what is compared with the real test records: the value, and the floor
COPY_PERCENTILE = 1.0
MEASURED = 5  # records of each side in which a measure must be taken for a distance
Rows = dict[str, np.ndarray]


class Embedded:
    """Distribution, fidelity and diversity of embeddings."""

    metrics: ClassVar = of_family("distribution", "fidelity")

    def __init__(self, embeddings: dict[str, np.ndarray], k: int):
        self.embeddings, self.k = embeddings, k
        self.within = {name: _distances(e, e) for name, e in embeddings.items()}
        self.across = {other: _distances(embeddings[TEST], embeddings[other]) for other in PAIRS}

    def part(self, rows: Rows) -> "Embedded":
        """The same of some records; neighbours and bandwidth are then those of the part."""
        part = object.__new__(Embedded)
        part.embeddings, part.k = {n: e[rows[n]] for n, e in self.embeddings.items()}, self.k
        part.within = {n: d[np.ix_(rows[n], rows[n])] for n, d in self.within.items()}
        part.across = {o: d[np.ix_(rows[TEST], rows[o])] for o, d in self.across.items()}
        return part

    @cached_property
    def nearest(self) -> dict[str, np.ndarray]:
        """Half of a record's neighbours are in a half-sample: 16 k hold k of them almost surely."""
        return {name: nearest_others(d, 16 * self.k) for name, d in self.within.items()}

    @cached_property
    def kernels(self) -> dict[tuple[str, str], np.ndarray]:
        """Of each set with itself (0 on the diagonal), and of the test records with the others."""
        bandwidth = median_distance(self.embeddings[TEST], self.embeddings[TRAIN])
        found = {(TEST, o): _kernel(d, bandwidth) for o, d in self.across.items()}
        for name, d in self.within.items():
            found[name, name] = _kernel(d, bandwidth)
            np.fill_diagonal(found[name, name], 0)
        return found

    @cached_property
    def lines(self) -> dict[str, np.ndarray]:
        """Projections to random directions, (records, `PROJECTIONS`)."""
        directions = random_directions(self.embeddings[TEST].shape[1], PROJECTIONS, seed=0)
        return {name: e @ directions for name, e in self.embeddings.items()}

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, metrics)."""
        radius = {s: subset_radii(self.within[s], self.nearest[s], rows[s], self.k) for s in SETS}
        gaussian = {s: fit_gaussian(self.embeddings[s][rows[s]]) for s in SETS}
        inside = {s: self._kernel_mean(s, s, rows) for s in SETS}
        values = []
        for other in PAIRS:
            block = self.across[other][np.ix_(rows[TEST], rows[other])]
            found = prdc_of([(slice(None), block)], radius[TEST], radius[other], self.k)
            found["frechet_distance"] = gaussian_distance(gaussian[other], gaussian[TEST])
            found["mmd"] = inside[TEST] + inside[other] - 2 * self._kernel_mean(TEST, other, rows)
            squares = line_wasserstein(self.lines[TEST][rows[TEST]], self.lines[other][rows[other]])
            found["sliced_wasserstein"] = np.sqrt(squares.mean())
            values.append([found[metric] for metric in self.metrics])
        return np.array(values)

    def _kernel_mean(self, a: str, b: str, rows: Rows) -> float:
        """Mean of the kernel over pairs of different records."""
        total = self.kernels[a, b][np.ix_(rows[a], rows[b])].sum(dtype=np.float64)
        return float(total / (len(rows[a]) * (len(rows[b]) - (a == b))))


class Signals:
    """Spectra, autocorrelations, amplitudes and leads, from features of each record."""

    metrics: ClassVar = (
        "spectrum_distance", "autocorrelation_difference", "amplitude_distance",
        "lead_residual", "lead_correlation_distance",
    )  # fmt: skip

    def __init__(self, draw: Draw):
        one = next(iter(draw.cohorts.values()))
        self.step = one.fs / segment(one.signals, one.fs)
        self.edges = amplitude_edges(draw.cohorts[TRAIN].signals, draw.cohorts[TEST].signals)
        work: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "spectrum": partial(spectra, fs=one.fs),
            "autocorrelation": partial(autocorrelations, fs=one.fs),
            "amplitude": partial(amplitude_features, edges=self.edges),
        }
        if len(one.leads) > 1:
            work["correlation"] = correlations
        if not lacking_residual(one):
            work["residual"] = partial(residual_squares, leads=one.leads, units=one.units)
        self.features = {
            what: {name: _of_batches(make, c.signals) for name, c in draw.cohorts.items()}
            for what, make in work.items()
        }

    def part(self, rows: Rows) -> "Signals":
        """The features do not depend on the part."""
        return self

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, metrics); NaN for what these cohorts do not have."""
        means = {
            what: {name: _mean_of(x, rows[name]) for name, x in sets.items()}
            for what, sets in self.features.items()
        }
        return np.array([[self._value(metric, means, o) for metric in self.metrics] for o in PAIRS])

    def _value(self, metric: str, means: dict, other: str) -> float:
        def both(what: str) -> tuple[np.ndarray, np.ndarray]:
            return means[what][TEST], means[what][other]

        if metric == "spectrum_distance":
            a, b = map(to_sum_one, both("spectrum"))
            return power_moved(a, b, self.step).mean()
        if metric == "autocorrelation_difference":
            a, b = both("autocorrelation")
            return np.abs(a - b).mean()
        if metric == "amplitude_distance":
            return amplitudes_apart(*both("amplitude"), self.edges).mean()
        if metric == "lead_correlation_distance" and "correlation" in means:
            return correlations_apart(*both("correlation"))
        if metric == "lead_residual" and "residual" in means:
            return relative_residuals(means["residual"][other]).max()
        return np.nan


class Warping:
    """Dynamic time warping: the median record's distance to its nearest real one."""

    metrics: ClassVar = ("dtw",)

    def __init__(self, draw: Draw):
        test = draw.cohorts[TEST]
        self.distances = {}
        for other in PAIRS:
            made = draw.cohorts[other].signals
            with tqdm(total=-(-len(made) // ROWS), desc="DTW", leave=False, disable=None) as bar:
                found = dtw_distances(made, test.signals, test.fs, tick=bar.update)
            self.distances[other] = found

    def part(self, rows: Rows) -> "Warping":
        """The distances do not depend on the part."""
        return self

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, 1)."""
        blocks = (self.distances[o][np.ix_(rows[o], rows[TEST])] for o in PAIRS)
        return np.array([[np.median(block.min(axis=1))] for block in blocks])


class Heart:
    """Detected rate, variability and intervals, and how often they cannot be detected."""

    metrics: ClassVar = of_family("heart")

    def __init__(self, found: dict[str, pd.DataFrame]):
        self.found = found

    def part(self, rows: Rows) -> "Heart":
        """What was measured does not depend on the part."""
        return self

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, metrics). The floor of failures is that of the test records."""
        parts = {name: found.iloc[rows[name]] for name, found in self.found.items()}
        values = []
        for other, failing in zip(PAIRS, (SYNTHETIC, TEST), strict=True):
            apart = measure_distances(parts[TEST], parts[other], least=MEASURED)
            failed = failure_rates(parts[failing])
            values.append(
                [failed["heart_rate"], failed[["p_duration", "pr", "qrs", "qt"]].mean()]
                + [apart[metric.removesuffix("_distance")] for metric in self.metrics[2:]]
            )
        return np.array(values, float)


class Use:
    """What a classifier trained on real records reads, and whether one can tell real records.

    The floor of what is read is that of the real test records, which the classifier has not seen.
    """

    metrics: ClassVar = ("rhythm_agreement", "trts", "discriminator_auc")

    def __init__(
        self, draw: Draw, embeddings: dict[str, np.ndarray], read: dict[str, np.ndarray] | None
    ):
        self.asked = {name: cohort.targets for name, cohort in draw.cohorts.items()}
        classes = draw.cohorts[TEST].classes
        self.read = read and {name: _indices(codes, classes) for name, codes in read.items()}
        self.scores = {}
        for other in PAIRS:
            pair = discriminator_scores(
                embeddings[TEST],
                embeddings[other],
                patients=draw.patients[TEST],
                synthetic_patients=draw.patients[other],
            )
            self.scores[other] = dict(zip((TEST, other), pair, strict=True))

    def part(self, rows: Rows) -> "Use":
        """What was read does not depend on the part."""
        return self

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, metrics); NaN for what is read, without predictions."""
        values = []
        for other, judged in zip(PAIRS, (SYNTHETIC, TEST), strict=True):
            real, made = (self.scores[other][name][rows[name]] for name in (TEST, other))
            values.append([*self._reading(judged, rows[judged]), share_below(made, real)])
        return np.array(values)

    def _reading(self, name: str, rows: np.ndarray) -> tuple[float, float]:
        if self.read is None:
            return np.nan, np.nan
        agreement, f1 = reading_scores(self.asked[name][rows], self.read[name][rows]).values()
        return agreement, f1


class Privacy:
    """Whether synthetic records lie nearer to training records than to those of other patients.

    Of all training records, with one half of the test records held out; the other half stands for
    a perfect generator, and makes the floor.
    """

    metrics: ClassVar = of_family("privacy")

    def __init__(self, draw: Draw, embeddings: dict[str, np.ndarray]):
        train, held_out = embeddings[TRAIN], embeddings[HELD_OUT]
        self.patients = draw.patients
        self.threshold = nearest_distances(held_out, train)
        self.judged = {}
        for name in (SYNTHETIC, OTHERS):
            made = embeddings[name]
            every = embeddings[EVERY] if name == SYNTHETIC else made
            self.judged[name] = {
                "to train": nearest_distances(made, train),
                "authentic": authentic(train, made),
                "to held-out": nearest_distances(made, held_out),
                "members": nearest_distances(train, every),
                "strangers": nearest_distances(held_out, every),
            }

    def part(self, rows: Rows) -> "Privacy":
        """Nearest records are sought among those of all rhythms."""
        return self

    def measure(self, rows: Rows) -> np.ndarray:
        """Values of a subset, (2, metrics)."""
        threshold = np.percentile(self.threshold[rows[HELD_OUT]], COPY_PERCENTILE)
        values = []
        for name, found in self.judged.items():
            mine = rows[name]
            near, far = (np.median(found[to][mine]) for to in ("to train", "to held-out"))
            area = share_below(
                *(self._by_patient(found[what], s, rows)
                  for what, s in (("members", TRAIN), ("strangers", HELD_OUT)))
            )  # fmt: skip
            copies = (found["to train"][mine] < threshold).mean()
            authentic_share = found["authentic"][mine].mean()
            values.append([near / far if far else np.nan, copies, authentic_share, area])
        return np.array(values)

    def _by_patient(self, nearest: np.ndarray, name: str, rows: Rows) -> np.ndarray:
        """The nearest distance of each patient of the subset."""
        index = np.unique(self.patients[name][rows[name]], return_inverse=True)[1]
        out = np.full(index.max() + 1, np.inf)
        np.minimum.at(out, index, nearest[rows[name]])
        return out


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distances in float32: half the memory, of which there is most here."""
    found = np.empty((len(x), len(y)), np.float32)
    for rows, block in distance_blocks(x, y):
        found[rows] = block
    return found


def _kernel(distance: np.ndarray, bandwidth: float) -> np.ndarray:
    """The kernel, computed in float64 and kept in float32."""
    found = np.empty(distance.shape, np.float32)
    for start in range(0, len(distance), CHUNK):
        part = distance[start : start + CHUNK].astype(np.float64)
        found[start : start + CHUNK] = kernel_of(part, bandwidth)
    return found


def _indices(codes: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Class indices of rhythms that were read; one that is no class raises."""
    order = {code: i for i, code in enumerate(classes)}
    if unknown := sorted(set(codes) - set(order)):
        raise EcgreproError(
            f"the classifier reads {unknown[0]}, which is none of {', '.join(classes)}: it was "
            "trained on another label map"
        )
    return np.array([order[code] for code in codes])


def lacking_heart(cohort: Cohort) -> str:
    """Why beats cannot be detected in such records; empty if they can."""
    if cohort.leads != LEADS:
        return f"beats are detected in the twelve leads {', '.join(LEADS)}"
    return "" if 80 < cohort.fs <= 10_000 else "beats are detected between 80 and 10000 Hz"


def lacking_residual(cohort: Cohort) -> str:
    """Why lead identities cannot be tested in such records; empty if they can."""
    if cohort.units != "mV":
        return "lead identities hold in mV only"
    missing = [lead for lead in ("I", "II", "III", "aVR", "aVL", "aVF") if lead not in cohort.leads]
    return f"lead identities need the leads {', '.join(missing)}" if missing else ""


def _of_batches(make: Callable[[np.ndarray], np.ndarray], signals: np.ndarray) -> np.ndarray:
    """A feature of each record, (records, ...), a few records at a time."""
    parts = range(0, len(signals), BATCH)
    return np.concatenate([np.asarray(make(signals[i : i + BATCH]), np.float64) for i in parts])


def _mean_of(feature: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean over some records; one product is faster than gathering them."""
    share = np.zeros(len(feature))
    share[rows] = 1 / len(rows)
    return (share @ feature.reshape(len(feature), -1)).reshape(feature.shape[1:])
