"""What each metric of `ecgrepro.closeness.compare` is: direction, range, what it sees and misses.

The pages of the book and the report of ``ecgrepro closeness`` take their words from here. All but
``tstr``, for which classifiers must be trained, are computed by `compare`.
"""

from dataclasses import dataclass
from typing import Literal

FLOOR = "floor"  # `Result.comparison` of real against real
REAL = "real"  # `Result.comparison` of real records
FAMILIES = {
    "distribution": "Distribution of embeddings",
    "fidelity": "Fidelity and diversity",
    "signal": "Time and frequency",
    "heart": "Heart",
    "leads": "Leads",
    "use": "Use",
    "privacy": "Privacy",
}


@dataclass(frozen=True)
class Metric:
    """A metric: ``better`` is the direction of closer, or of safer in the family privacy."""

    words: str
    family: str
    better: Literal["lower", "higher"]
    sees: str
    misses: str
    source: str  # key in the book's bibliography; empty for a plain definition
    unit: str = ""
    low: float = 0.0
    high: float = float("inf")

    @property
    def title(self) -> str:
        """The metric in words, with its unit."""
        return f"{self.words}, {self.unit}" if self.unit else self.words

    def worse(self, value: float, than: float) -> bool:
        """Whether ``value`` is on the wrong side of ``than``."""
        return value > than if self.better == "lower" else value < than


def _heart(words: str, unit: str, sees: str, misses: str) -> Metric:
    misses += "; records in which the detector fails, which are left out"
    return Metric(
        f"distance of {words}", "heart", "lower", sees, misses, "ramdas2017wasserstein", unit
    )


METRICS: dict[str, Metric] = {
    "frechet_distance": Metric(
        "Fréchet distance", "distribution", "lower",
        "a shift or another spread of the embeddings, whatever causes it",
        "all beyond two moments; copies; exchanged labels; which records are at fault",
        "heusel2017gans",
    ),
    "mmd": Metric(
        "MMD²", "distribution", "lower",
        "any difference in distribution at the scale of the typical distance between records",
        "differences much finer than that: a few copies, small clusters that are missing",
        "gretton2012kernel", low=-2.0, high=2.0,
    ),
    "sliced_wasserstein": Metric(
        "sliced Wasserstein distance", "distribution", "lower",
        "all moments of every projection of the embedding",
        "a difference in few of many dimensions, averaged away; copies",
        "bonneel2015sliced",
    ),
    "precision": Metric(
        "precision", "fidelity", "higher",
        "synthetic records far from every real one",
        "missing kinds of records; one real outlier makes a ball in which anything fits",
        "kynkaanniemi2019improved", high=1.0,
    ),
    "recall": Metric(
        "recall", "fidelity", "higher",
        "kinds of real records that no synthetic one is near",
        "bad records: a few scattered ones make balls that hold everything",
        "kynkaanniemi2019improved", high=1.0,
    ),
    "density": Metric(
        "density", "fidelity", "higher",
        "synthetic records where real ones are thin",
        "missing kinds of records: crowding where real records are dense raises it",
        "naeem2020reliable",
    ),
    "coverage": Metric(
        "coverage", "fidelity", "higher",
        "real records without a synthetic one nearby, dropped modes and duplicates above all",
        "bad records beside good ones; memorized ones",
        "naeem2020reliable", high=1.0,
    ),
    "spectrum_distance": Metric(
        "distance of power spectra", "signal", "lower",
        "noise, smoothing, rates that are wrong on average",
        "phase: the shape and order of waves; amplitude; diversity",
        "welch1967use", "Hz",
    ),
    "autocorrelation_difference": Metric(
        "difference of autocorrelations", "signal", "lower",
        "the width of waves and how regularly they come",
        "polarity; the direction of time; diversity",
        "box1976time", high=2.0,
    ),
    "amplitude_distance": Metric(
        "distance of amplitudes", "signal", "lower",
        "clipping, scale, skew",
        "time altogether: shuffled samples give the same value",
        "ramdas2017wasserstein", "units of the signal",
    ),
    "dtw": Metric(
        "DTW to the nearest real record", "signal", "lower",
        "waves of a shape that no real record has",
        "diversity and rhythm: copies of one good record, and time that is stretched",
        "sakoe1978dynamic", "units of the signal",
    ),
    "beat_failures": Metric(
        "share of records without detectable beats", "heart", "lower",
        "records whose leads do not beat together",
        "whatever beats",
        "", high=1.0,
    ),
    "wave_failures": Metric(
        "share of waves that cannot be measured", "heart", "lower",
        "P waves, QRS complexes and T waves that are not there, or are drowned",
        "waves that are there and wrong",
        "martinez2004wavelet", high=1.0,
    ),
    "heart_rate_distance": _heart(
        "heart rates", "bpm", "rates that are too fast, slow or alike", "all but the rate"
    ),
    "rr_variability_distance": _heart(
        "RR variability", "", "rhythms that are too regular or not enough",
        "the pattern of irregularity",
    ),
    "r_amplitude_distance": _heart(
        "R amplitudes in lead II", "units of the signal", "beats that are too small, or inverted",
        "other waves",
    ),
    "p_duration_distance": _heart(
        "P durations", "ms", "atrial waves of wrong width",
        "absent P waves that the delineator believes to see",
    ),
    "pr_distance": _heart(
        "PR intervals", "ms", "conduction that is too fast or slow",
        "the delineator's own bias, which both sides share",
    ),
    "qrs_distance": _heart(
        "QRS durations", "ms", "complexes that are smeared or too narrow", "their polarity"
    ),
    "qt_distance": _heart(
        "QT intervals", "ms", "repolarization that is too short or long", "the shape of the T wave"
    ),
    "qtc_distance": _heart(
        "QTc intervals (Fridericia)", "ms", "QT that does not follow the heart rate",
        "the shape of the T wave",
    ),
    "lead_residual": Metric(
        "residual of lead identities", "leads", "lower",
        "limb leads that do not obey Einthoven and Goldberger",
        "everything that all leads share; exists in mV only", "goldberger1942simple",
    ),
    "lead_correlation_distance": Metric(
        "distance of lead correlations", "leads", "lower",
        "swapped and inverted leads, leads that go their own way",
        "what all leads share", "", high=2.0,
    ),
    "rhythm_agreement": Metric(
        "rhythm agreement", "use", "higher",
        "records that do not show the rhythm they were asked for",
        "diversity; whatever the classifier does not look at", "ravuri2019classification", high=1.0,
    ),
    "trts": Metric(
        "macro-F1, trained on real and tested on synthetic", "use", "higher",
        "the same, with each rhythm counting alike in what is read as well as in what is asked",
        "diversity; whatever the classifier does not look at", "esteban2017real", high=1.0,
    ),
    "tstr": Metric(
        "macro-F1, trained on synthetic and tested on real", "use", "higher",
        "records that teach a classifier too little, or something wrong",
        "copies, which teach as well as what they copy", "esteban2017real", high=1.0,
    ),
    "discriminator_auc": Metric(
        "AUC of telling real from synthetic", "use", "lower",
        "any difference that is linear in the embedding",
        "copies, which look real; few records leave it unsure", "lopezpaz2017revisiting", high=1.0,
    ),
    "distance_ratio": Metric(
        "distance to training over that to held-out records", "privacy", "higher",
        "memorization in most of the synthetic records", "memorization in a few of them", "",
    ),
    "near_copies": Metric(
        "share of near-copies", "privacy", "lower",
        "synthetic records nearer to a training record than real people's records are",
        "copies that are changed more than people differ", "meehan2020nonparametric", high=1.0,
    ),
    "authenticity": Metric(
        "authenticity", "privacy", "higher",
        "records that look like noisy versions of one training record",
        "which patient is concerned; its floor lies far from 1 and must be read first",
        "alaa2022faithful", high=1.0,
    ),
    "membership_auc": Metric(
        "AUC of membership inference", "privacy", "lower",
        "training patients who stand nearer to the synthetic records than others",
        "attackers who know more than distances", "hilprecht2019monte", high=1.0,
    ),
}  # fmt: skip


def of_family(*families: str) -> tuple[str, ...]:
    """Names of the metrics of some families, in order."""
    return tuple(name for name, metric in METRICS.items() if metric.family in families)
