import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import a_cohort
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro import EcgreproError
from ecgrepro.studies.arms import CONTROLS, REAL, Arm, probabilities
from ecgrepro.studies.experiments import merged
from ecgrepro.studies.experiments.augmentation import arms, references
from ecgrepro.studies.experiments.transfer import ALL_REAL, SCRATCH, pretrained_arm
from ecgrepro.studies.experiments.transfer import arms as transfer_arms
from ecgrepro.studies.findings.claims import CLAIMS, INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, judge
from ecgrepro.studies.pretraining import other_hospital, pretrained, share
from ecgrepro.studies.scoring import arm_results, corrected
from ecgrepro.studies.selection import draw, lacking, oversampled
from ecgrepro.support.results import COLUMNS, Result
from ecgrepro.workflow.run import Run


@given(st.dictionaries(st.sampled_from(["SR", "AFIB", "SVT"]), st.integers(0, 9), min_size=1),
       st.sampled_from([0.5, 1, 2]))  # fmt: skip
def test_a_draw_keeps_the_mix_of_rhythms(counts, ratio):
    pool = a_cohort(n=140)  # twenty of each rhythm
    if not any(round(ratio * n) for n in counts.values()):
        with pytest.raises(EcgreproError, match="nothing to draw"):
            draw(pool, counts, ratio)
        return
    drawn = draw(pool, counts, ratio).counts()
    assert {r: n for r, n in drawn.items() if n} == {
        r: round(ratio * n) for r, n in counts.items() if round(ratio * n)
    }


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_larger_shares_contain_smaller_ones_and_every_rhythm(one, other, seed):
    train = a_cohort(n=140)
    small, large = (share(train, f, seed) for f in sorted([one, other]))
    ids = [set(part.table["record_id"]) for part in (small, large)]
    assert ids[0] <= ids[1]
    first = train.table.groupby("patient_id")["rhythm"].first()
    assert set(small.table["rhythm"]) >= set(first)
    whole = small.table.groupby("patient_id").size()
    assert (whole == train.table.groupby("patient_id").size()[whole.index]).all()


def test_the_whole_share_is_the_training_set_itself():
    train = a_cohort()
    assert share(train, 1.0, 0).fingerprint == train.fingerprint


def test_arms_are_scored_alone_and_in_pairs():
    test = a_cohort(n=70)
    perfect = np.eye(7)[test.targets]
    by_arm = {REAL: np.stack([np.roll(perfect, 1, axis=1)] * 3), "better": np.stack([perfect] * 3)}
    rows = corrected(arm_results(test, by_arm, REAL, resamples=100, dataset="test"))
    value = {(r.metric, r.arm, r.comparison, r.rhythm): r for r in rows}
    assert value["macro_f1", "better", "", ""].value == 1
    assert value["macro_f1", REAL, "", ""].value == 0
    gain = value["macro_f1", "better", REAL, ""]
    assert gain.value == gain.low == 1 and gain.p_value < 0.05
    assert value["f1", "better", "", "SVT"].n == 10
    assert not [r for r in arm_results(test, by_arm, "x", resamples=100) if r.comparison]


def test_the_arms_of_a_profile(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    found = arms(run)
    assert found[0] == Arm(REAL)
    assert [arm.control for arm in found[1:4]] == list(CONTROLS)
    generators = run.profile.generators
    assert found[4:] == [
        arm
        for name in generators
        for arm in (Arm(f"real + {name} x1", name, 1.0),
                    Arm(f"real + {name}, balanced", name, balanced=True))
    ]  # fmt: skip
    with pytest.raises(EcgreproError, match="unknown dataset 'mit': choose one of ptb-xl"):
        run.cohort("mit")
    with pytest.raises(EcgreproError, match="unknown data 'fake'"):
        Run("smoke", "fake", tmp_path)
    with pytest.raises(EcgreproError, match="no results in"):
        run.results()


@pytest.mark.parametrize("profile", ["lite", "paper"])
@pytest.mark.parametrize("data", ["simulated", "real"])
def test_the_large_profiles_hold_every_arm_of_the_study(profile, data, tmp_path, monkeypatch):
    monkeypatch.setattr("ecgrepro.workflow.run._set_threads", lambda threads: None)
    run = Run(profile, data, tmp_path)
    generators = ("diffwave", "timediffusion", "timevqvae", "unet", "simulator")
    kinds = {(arm.generator, arm.ratio, arm.balanced, arm.control) for arm in arms(run)}
    wanted = {("", 0.0, False, ""), *(("", 0.0, False, control) for control in CONTROLS)}
    wanted |= {(g, ratio, False, "") for g in generators for ratio in (0.5, 1.0, 2.0)}
    assert kinds == wanted | {(g, 0.0, True, "") for g in generators}
    assert run.profile.transfer.fractions == [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    for dataset, other in (("ptb-xl", "chapman"), ("chapman", "ptb-xl")):
        starts = [arm.start for arm in transfer_arms(run, dataset)]
        assert starts == ["", *generators, other]
    assert len(run.profile.seeds) >= 5


def test_synthetic_arms_are_held_against_what_costs_nothing_and_what_learned_nothing():
    found = [Arm(REAL), Arm("weights", control="class weights"), Arm("d1", "diffwave", 1.0),
             Arm("d2", "diffwave", 2.0), Arm("s1", "simulator", 1.0),
             Arm("sb", "simulator", balanced=True)]  # fmt: skip
    assert references(found) == {"weights": ["d1", "d2"], "s1": ["d1"]}


def test_worked_examples_and_verdicts_are_no_results_of_a_run(monkeypatch, tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    monkeypatch.setattr(Run, "provenance", lambda self: {"profile": "smoke", "data": "full real"})
    for section in ("03_closeness", "03_closeness_explained", "06_claims"):
        run.save_results(section, "all", [Result("coverage", 1.0)])
    assert list(run.results()["section"]) == ["03_closeness"]
    path = run.save_results("03_closeness_explained", "all", [], data="simulated")
    assert json.loads(path.read_text())["provenance"]["data"] == "simulated"


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
            arm=pretrained_arm("diffwave"), comparison=ALL_REAL,
        )  # fmt: skip

    rows = [against_all_real(-0.9, -0.8, 0.0), against_all_real(low, high, 0.1)]
    assert verdict("C5", *rows, against_all_real(0.0, 0.1, 0.5)) == expected


def test_differences_are_corrected_over_their_table():
    rows = [
        Result("macro_f1", 0.1, arm=arm, comparison=SCRATCH, fraction=f, p_value=p)
        for arm, f, p in (("a", 0.1, 0.01), ("a", 1.0, 0.04), ("b", 0.1, 0.03))
    ]
    plain = Result("macro_f1", 0.5, arm="a")
    assert [r.p_value for r in corrected([*rows, plain])] == pytest.approx([0.03, 0.06, 0.06, None])


@given(st.dictionaries(st.sampled_from(["SR", "AFIB", "SVT"]), st.integers(0, 9), min_size=1))
def test_oversampling_makes_every_rhythm_as_common_as_the_commonest(counts):
    pool = a_cohort(n=140)
    if not any(counts.values()):
        return
    train = draw(pool, counts, 1)
    found = oversampled(train, 0)
    most = max(counts.values())
    assert {r: n for r, n in found.counts().items() if n} == {
        r: most for r, n in counts.items() if n
    }
    assert set(found.table["record_id"]) == set(train.table["record_id"])


def test_what_a_rhythm_lacks_is_limited_by_the_pool():
    assert lacking({"SR": 9, "SB": 2, "ST": 0}, {"SR": 5, "SB": 4, "ST": 5}) == {"SR": 0, "SB": 4}


def test_every_arm_takes_the_same_number_of_updates(smoke_run):
    """Arms, controls and fine-tuned classifiers alike."""
    found = [
        json.loads(p.read_text()) for p in (smoke_run / "artifacts").glob("arm-*/updates.json")
    ]
    run = Run("smoke", "simulated", smoke_run)
    assert len(found) > 2 * len(arms(run)) and set(found) == {run.profile.classifier.updates}


@pytest.fixture(scope="module")
def two_hospitals(tmp_path_factory):
    return Run("smoke", "simulated", tmp_path_factory.mktemp("run"))


def test_controls_reach_the_classifier(two_hospitals):
    real = probabilities(two_hospitals, "chapman", Arm(REAL))
    for name in CONTROLS:
        control = probabilities(two_hospitals, "chapman", Arm(name, control=name))
        assert control.shape == real.shape and not np.array_equal(control, real), name


def test_the_upper_control_of_transfer_has_seen_the_other_hospital(two_hospitals):
    assert other_hospital("chapman") == "ptb-xl" and other_hospital("ptb-xl") == "chapman"
    assert pretrained_arm("chapman") == "pre-trained on chapman (real records)"
    found = pretrained(two_hospitals, "ptb-xl", "chapman", 0)
    assert found.classifier.updates == two_hospitals.profile.transfer.pretrain_updates
    made_from = json.loads(
        (two_hospitals.directory / "artifacts" / found.name / "made_from.json").read_text()
    )
    assert made_from["pool"] == two_hospitals.splits("chapman")["train"].fingerprint


def test_hospitals_are_told_apart_and_crossed(two_hospitals):
    shift = {row.rhythm: row for row in merged.source_shift(two_hospitals)}
    assert 0 <= shift[""].low <= shift[""].value <= shift[""].high <= 1 and shift[""].n > 10
    assert all(row.value is not None or "too few" in row.note for row in shift.values())
    rows = [r for r in merged.crossing_results(two_hospitals) if r.metric == "macro_f1"]
    found = {(r.dataset, r.arm, r.comparison) for r in rows}
    for home in ("ptb-xl", "chapman"):
        for arm in (merged.WITHIN, merged.ACROSS, merged.BOTH):
            assert (home, arm, "") in found
        assert (home, merged.ACROSS, merged.WITHIN) in found


def test_the_standard_error_of_an_area_is_that_of_repeated_draws():
    draws, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
        draws.append(np.mean(first[:, None] > second))
        errors.append(merged._spread(first, second))
    assert np.mean(errors) == pytest.approx(np.std(draws), rel=0.1)
