"""The paper's claims C1-C5, each an operational test fixed before results are read.

The thresholds are ours: the paper's own numbers are not public. Only the paper's three generators
count here: neither our own nor the simulator speaks for or against a claim.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from ecgrepro.generators.registry import paper_generators
from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, SCRATCH_ALL
from ecgrepro.studies.experiments.designs import pretrained_arm
from ecgrepro.studies.findings.wording import SIGNIFICANT, WORDS, number

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"

FRECHET_OVER_FLOOR = 5.0  # C1: at most this many times the distance of real from real
COVERAGE = 0.6  # C1: at least this share of real records has a synthetic neighbour
BARELY = 0.02  # C2: a macro-F1 gain below this is "barely noticeable"
ALL_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # C3: "all metrics"
CLOSE = 0.05  # C5: within this much macro-F1 of real training is "close"


@dataclass(frozen=True)
class Verdict:
    """A claim with the evidence of one run."""

    claim: str
    words: str
    test: str
    evidence: str
    verdict: str


def judge(results: pd.DataFrame) -> list[Verdict]:
    """Verdicts on C1-C5 from a run's results (see `ecgrepro.support.results.read_results`)."""
    return [
        Verdict(claim, words, test, *rule(results)) for claim, (words, test, rule) in CLAIMS.items()
    ]


def _shown(row: pd.Series) -> str:
    return number(row["value"], row["low"], row["high"])


def _differences(
    results: pd.DataFrame, datasets: Iterable[str], metrics: Iterable[str] = ("macro_f1",)
) -> pd.DataFrame:
    papers = tuple(f"real + {name}" for name in paper_generators())
    return results[
        (results["section"] == "04_augmentation")
        & results["arm"].str.startswith(papers)
        & results["dataset"].isin(list(datasets))
        & (results["scope"] == results["dataset"])
        & (results["comparison"] == REAL)
        & results["metric"].isin(list(metrics))
    ]


def _resemblance(results: pd.DataFrame) -> tuple[str, str]:
    rows = results[
        (results["section"] == "03_closeness")
        & (results["rhythm"] == "")
        & results["generator"].isin(paper_generators())
    ]
    if rows.empty:
        return "no closeness results", INCONCLUSIVE
    said, verdicts = [], []
    for (dataset, generator), group in rows.groupby(["dataset", "generator"]):
        value = group[group["comparison"] == ""].set_index("metric")
        floor = group[group["comparison"] == "floor"].set_index("metric")["value"]
        far, covered = value.loc["frechet_distance"], value.loc["coverage"]
        most = FRECHET_OVER_FLOOR * floor["frechet_distance"]
        if far["high"] <= most and covered["low"] >= COVERAGE:
            verdicts.append(SUPPORTED)
        elif far["low"] > most or covered["high"] < COVERAGE:
            verdicts.append(NOT_SUPPORTED)
        else:
            verdicts.append(INCONCLUSIVE)
        said.append(
            f"{generator} on {dataset}: Fréchet distance {_shown(far)}, "
            f"floor {floor['frechet_distance']:.3f}; coverage {_shown(covered)}"
        )
    return ". ".join(said), _of_each(verdicts)


def _of_each(verdicts: list[str]) -> str:
    """The verdict on a claim about each of several: one that fails refutes it."""
    if NOT_SUPPORTED in verdicts:
        return NOT_SUPPORTED
    return INCONCLUSIVE if INCONCLUSIVE in verdicts else SUPPORTED


def _barely_noticeable(results: pd.DataFrame) -> tuple[str, str]:
    rows = _differences(results, HOSPITALS)
    if rows.empty:
        return "no augmentation results", INCONCLUSIVE
    evidence = "; ".join(f"{r['dataset']}, {r['arm']}: {_shown(r)}" for _, r in rows.iterrows())
    if (rows["high"] < BARELY).all():
        return evidence, SUPPORTED
    return evidence, NOT_SUPPORTED if (rows["low"] > BARELY).any() else INCONCLUSIVE


def _merged_improves(results: pd.DataFrame) -> tuple[str, str]:
    rows = _differences(results, [MERGED], ALL_METRICS)
    if rows.empty:
        return "no augmentation results on the merged data", INCONCLUSIVE
    evidence = "; ".join(
        f"{r['arm']}, {WORDS[r['metric']]}: {_shown(r)}" for _, r in rows.iterrows()
    )
    gained = (rows["low"] > 0) & ~(rows["p_value"] > SIGNIFICANT)
    if gained.groupby(rows["arm"]).all().any():
        return evidence, SUPPORTED
    refuted = (rows["high"] <= 0).groupby(rows["arm"]).any()
    return evidence, NOT_SUPPORTED if refuted.all() else INCONCLUSIVE


def _transfer_rows(results: pd.DataFrame) -> pd.DataFrame:
    return results[
        (results["section"] == "05_transfer")
        & (results["metric"] == "macro_f1")
        & (results["comparison"] == "")
    ]


def _best_for_transfer(results: pd.DataFrame) -> tuple[str, str]:
    rows = _transfer_rows(results)
    present = [g for g in paper_generators() if (rows["arm"] == pretrained_arm(g)).any()]
    if len(present) < len(paper_generators()):
        missing = [g for g in paper_generators() if g not in present]
        return f"not in this run: {', '.join(missing)}", INCONCLUSIVE
    means = {
        g: rows.loc[rows["arm"] == pretrained_arm(g), ["value", "low", "high"]].mean()
        for g in present
    }
    evidence = "; ".join(f"{g}: mean macro-F1 {_shown(m)}" for g, m in means.items())
    others = max(mean["value"] for g, mean in means.items() if g != "timevqvae")
    if means["timevqvae"]["low"] > others:
        return evidence, SUPPORTED
    return evidence, NOT_SUPPORTED if means["timevqvae"]["high"] < others else INCONCLUSIVE


def _far_from_real(results: pd.DataFrame) -> tuple[str, str]:
    rows = results[
        (results["section"] == "05_transfer")
        & (results["metric"] == "macro_f1")
        & (results["comparison"] == SCRATCH_ALL)
        & results["arm"].isin([pretrained_arm(name) for name in paper_generators()])
        & (results["fraction"] > 0)
    ]
    said, verdicts = [], []
    for dataset, group in rows.groupby("dataset"):
        best = group.loc[group.groupby("fraction")["value"].idxmax()]
        first = best.iloc[0]
        if first["high"] < -CLOSE:
            verdicts.append(SUPPORTED)
        else:
            verdicts.append(NOT_SUPPORTED if first["low"] > -CLOSE else INCONCLUSIVE)
        each = [f"{row['fraction']:.0%}: {row['arm']}, {_shown(row)}" for _, row in best.iterrows()]
        said.append(f"{dataset}, the best arm of each share minus {SCRATCH_ALL}: {', '.join(each)}")
    if not verdicts:
        return "no transfer results", INCONCLUSIVE
    return "; ".join(said), _of_each(verdicts)


CLAIMS: dict[str, tuple[str, str, Callable[[pd.DataFrame], tuple[str, str]]]] = {
    "C1": (
        "Synthetic samples resemble real ones.",
        f"Fréchet distance at most {FRECHET_OVER_FLOOR:g} times the real-against-real floor and "
        f"coverage at least {COVERAGE:g}, with their whole 95 % intervals, for each data set and "
        "each of the paper's generators.",
        _resemblance,
    ),
    "C2": (
        "On the individual data sets, gains from augmentation are barely noticeable.",
        f"The 95 % interval of the paired macro-F1 difference lies below {BARELY:g} for every arm "
        "with records of the paper's generators.",
        _barely_noticeable,
    ),
    "C3": (
        "On the merged data sets, augmentation improves all metrics.",
        "For at least one arm, the 95 % intervals of the paired differences in "
        f"{', '.join(WORDS[m] for m in ALL_METRICS)} all lie above zero, with corrected p-values "
        f"of at most {SIGNIFICANT:g}.",
        _merged_improves,
    ),
    "C4": (
        "For transfer learning, Time-VQVAE is the best of the three generators.",
        "Its macro-F1, averaged over data sets and shares of real records, is the highest, and the "
        "lower bound of its interval, averaged alike, lies above the mean of the next best.",
        _best_for_transfer,
    ),
    "C5": (
        "Transfer from synthetic records does not come close to training on real records.",
        "Pre-trained on synthetic records and fine-tuned on the smallest share above zero, the "
        f"best arm's macro-F1 is more than {CLOSE:g} below training on all real records alone, "
        "with its whole 95 % interval, on each data set. Larger shares are told, not judged.",
        _far_from_real,
    ),
}
