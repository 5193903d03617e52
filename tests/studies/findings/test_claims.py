"""Verdicts on the paper's claims."""

from dataclasses import replace

import pandas as pd
import pytest

from ecgrepro.studies.arms import REAL, SCRATCH_ALL
from ecgrepro.studies.experiments.designs import pretrained_arm
from ecgrepro.studies.findings.claims import CLAIMS, INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, judge
from ecgrepro.support.results import COLUMNS, Result


def results(*rows: tuple[str, Result]) -> pd.DataFrame:
    table = [
        {"profile": "p", "data": "d", "section": section, **vars(row)} for section, row in rows
    ]
    return pd.DataFrame(table, columns=COLUMNS)


def verdict(claim: str, *rows) -> str:
    return {v.claim: v.verdict for v in judge(results(*rows))}[claim]


def test_without_results_every_claim_is_open():
    assert {v.verdict for v in judge(results())} == {INCONCLUSIVE}
    assert list(CLAIMS) == ["C1", "C2", "C3", "C4", "C5"]


@pytest.mark.parametrize(
    ("frechet", "coverage", "expected"),
    [
        (4.5, 0.7, SUPPORTED), (6.0, 0.7, NOT_SUPPORTED), (4.5, 0.5, NOT_SUPPORTED),
        (4.9, 0.7, INCONCLUSIVE), (4.5, 0.61, INCONCLUSIVE),
    ],
)  # fmt: skip
def test_resemblance_is_judged_by_intervals_against_the_floor(frechet, coverage, expected):
    keys = {"dataset": "ptb-xl", "generator": "diffwave"}
    rows = [
        Result("frechet_distance", frechet, frechet - 0.2, frechet + 0.2, **keys),
        Result("coverage", coverage, coverage - 0.05, coverage + 0.05, **keys),
        Result("frechet_distance", 1.0, comparison="floor", **keys),
        Result("coverage", 0.9, comparison="floor", **keys),
    ]
    assert verdict("C1", *(("03_closeness", row) for row in rows)) == expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [(6.0, NOT_SUPPORTED), (4.9, INCONCLUSIVE), (4.0, SUPPORTED)],
)
def test_a_claim_about_each_fails_with_one(second, expected):
    rows = []
    for generator, frechet in (("diffwave", 4.0), ("timevqvae", second), ("timediffusion", 4.9)):
        if generator == "timediffusion" and expected == SUPPORTED:
            continue
        keys = {"dataset": "ptb-xl", "generator": generator}
        rows += [
            Result("frechet_distance", frechet, frechet - 0.2, frechet + 0.2, **keys),
            Result("coverage", 0.8, 0.75, 0.85, **keys),
            Result("frechet_distance", 1.0, comparison="floor", **keys),
            Result("coverage", 0.9, comparison="floor", **keys),
        ]
    assert verdict("C1", *(("03_closeness", row) for row in rows)) == expected


def gain(low, high, dataset, metric="macro_f1", p=0.01):
    return "04_augmentation", Result(
        metric, (low + high) / 2, low, high, dataset=dataset, scope=dataset,
        arm="real + diffwave x1", comparison=REAL, p_value=p,
    )  # fmt: skip


def test_claims_are_about_the_papers_generators_alone():
    """A gain of ours, of the simulator or of a control is none of theirs."""
    kept = gain(-0.01, 0.01, "chapman")
    for other in ("real + unet x1", "real + simulator x1", "real, oversampling"):
        section, row = gain(0.05, 0.1, "chapman")
        assert verdict("C2", kept, (section, replace(row, arm=other))) == SUPPORTED
        rows = [gain(0.05, 0.1, "merged", m) for m in ("accuracy", "balanced_accuracy", "macro_f1")]
        rows = [(s, replace(row, arm=other)) for s, row in rows]
        assert verdict("C3", *rows) == INCONCLUSIVE
    good = [("frechet_distance", 1.0), ("coverage", 0.9)]
    rows = [
        Result(m, v, v, v, dataset="chapman", generator=g, comparison=c)
        for m, v in good for g in ("diffwave", "unet") for c in ("", "floor")
    ]  # fmt: skip
    rows = [replace(r, low=9, high=9) if r.generator == "unet" and not r.comparison else r
            for r in rows]  # fmt: skip
    assert verdict("C1", *(("03_closeness", row) for row in rows)) == SUPPORTED


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.01, 0.01, SUPPORTED), (0.03, 0.05, NOT_SUPPORTED), (-0.01, 0.05, INCONCLUSIVE)],
)
def test_barely_noticeable_is_a_statement_about_the_interval(low, high, expected):
    assert verdict("C2", gain(low, high, "ptb-xl"), gain(-0.01, 0.01, "chapman")) == expected


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([(0.01, 0.1)] * 3, SUPPORTED),
        ([(0.01, 0.1), (0.01, 0.1), (-0.01, 0.1)], INCONCLUSIVE),
        ([(0.01, 0.1), (0.01, 0.1), (-0.1, -0.01)], NOT_SUPPORTED),
    ],
)
def test_the_merged_gain_must_clear_zero_on_every_metric(bounds, expected):
    metrics = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = [gain(*b, "merged", m) for b, m in zip(bounds, metrics, strict=True)]
    assert verdict("C3", *rows) == expected
    corrected = [gain(*b, "merged", m, p=0.2) for b, m in zip(bounds, metrics, strict=True)]
    assert verdict("C3", *corrected) != SUPPORTED


def transfer(arm, value, fraction, half=0.01):
    return "05_transfer", Result(
        "macro_f1", value, value - half, value + half, dataset="ptb-xl", arm=arm, fraction=fraction
    )


@pytest.mark.parametrize(
    ("vqvae", "expected"), [(0.8, SUPPORTED), (0.705, INCONCLUSIVE), (0.5, NOT_SUPPORTED)]
)
def test_the_best_generator_must_clear_the_next(vqvae, expected):
    rows = [transfer(pretrained_arm(g), 0.7, 0.1) for g in ("diffwave", "timediffusion")]
    assert verdict("C4", *rows) == INCONCLUSIVE
    assert verdict("C4", *rows, transfer(pretrained_arm("timevqvae"), vqvae, 0.1)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.2, -0.1, SUPPORTED), (-0.04, 0.01, NOT_SUPPORTED), (-0.2, 0.0, INCONCLUSIVE)],
)
def test_close_to_real_is_within_five_points(low, high, expected):
    def against_all_real(low, high, fraction):
        return "05_transfer", Result(
            "macro_f1", (low + high) / 2, low, high, dataset="ptb-xl", fraction=fraction,
            arm=pretrained_arm("diffwave"), comparison=SCRATCH_ALL,
        )  # fmt: skip

    rows = [against_all_real(-0.9, -0.8, 0.0), against_all_real(low, high, 0.1)]
    assert verdict("C5", *rows, against_all_real(0.0, 0.1, 0.5)) == expected
