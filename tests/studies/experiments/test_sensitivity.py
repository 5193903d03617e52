"""Which metric sees which defect, and what the detectors are worth: unit, smoke and real runs."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.cohorts import beats
from helpers.rows import pair

from ecgrepro.closeness import FLOOR, METRICS
from ecgrepro.closeness.corruptions import CORRUPTIONS
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN, UNKNOWN, half_widths, verdict
from ecgrepro.studies.experiments.detectors import (
    PROMISED,
    calibration_results,
    detected_twice,
    twice,
)
from ecgrepro.studies.experiments.sensitivity import damages, three_sets
from ecgrepro.studies.findings.sensitivity import (
    ATTACKS,
    MEMORIZER,
    NOTHING,
    PLANTED,
    STRANGERS,
    dose_curves,
    privacy_failures,
    unseen,
    verdicts,
)
from ecgrepro.studies.profiles import FOLDER, load_profile
from ecgrepro.support.results import Result
from ecgrepro.workflow.closeness import privacy, sensitivity
from ecgrepro.workflow.run import Run

# What must be seen on real records at the highest level, and what must not.
SEES = {
    "noise": ("spectrum_distance", "amplitude_distance", "coverage"),
    "clipping": ("amplitude_distance", "spectrum_distance"),
    "time warp": ("coverage", "rr_variability_distance"),
    "lead swap": ("lead_correlation_distance", "amplitude_distance"),
    "beat removal": ("autocorrelation_difference", "rr_variability_distance"),
    "mode dropping": ("coverage",),
    "duplication": ("coverage", "recall"),
    "label shuffling": ("rhythm_agreement", "trts"),
    "memorization": ("near_copies", "authenticity", "membership_auc", "distance_ratio"),
}
BLIND_TO = {
    "lead swap": ("spectrum_distance", "near_copies"),
    "time warp": ("lead_correlation_distance", "near_copies"),
    "label shuffling": ("frechet_distance", "coverage", "spectrum_distance", "discriminator_auc"),
    "memorization": ("frechet_distance", "coverage", "precision", "discriminator_auc"),
}


def test_a_verdict_is_about_intervals_and_the_better_direction():
    for metric, worse, better in (("mmd", 2.0, 0.0), ("recall", 0.0, 2.0)):
        assert verdict(*pair(metric, worse, 1.0)) == SEEN
        assert verdict(*pair(metric, better, 1.0)) == MISLED
        assert verdict(*pair(metric, 1.15, 1.0)) == BLIND
    assert verdict(Result("mmd", 1.0), pair("mmd", 1, 1)[1]) == UNKNOWN
    assert verdict(pair("mmd", 1, 1)[0], None) == UNKNOWN


def test_what_no_metric_sees_at_the_highest_level_is_named():
    rows = []
    for defect in CORRUPTIONS:
        far = 1.0 if defect == "clipping" else 3.0
        rows += pair("mmd", 3.0, 1.0, defect, 0.5) + pair("mmd", far, 1.0, defect, 1.0)
    assert unseen(rows) == ["clipping"]
    found = verdicts(rows)
    assert list(found.columns) == ["metric", "defect", "level", "verdict"]
    assert len(found) == 2 * len(CORRUPTIONS)


def test_distances_from_the_floor_are_in_half_widths_and_positive_if_worse():
    assert half_widths(*pair("mmd", 2.0, 1.0, half=0.1)) == pytest.approx(5)
    assert half_widths(*pair("recall", 2.0, 1.0, half=0.1)) == pytest.approx(-5)
    assert half_widths(pair("mmd", 1, 1)[0], None) is None
    assert half_widths(*pair("mmd", 2.0, 1.0, half=0.0)) is None


def test_curves_of_a_defect_begin_with_undamaged_records():
    rows = pair("mmd", 1.0, 1.0, NOTHING, 0.0) + pair("mmd", 3.0, 1.0, "noise", 1.0)
    rows += pair("mmd", 2.0, 1.0, "noise", 0.5) + pair("mmd", 9.0, 1.0, "clipping", 1.0)
    (curve,) = dose_curves(rows, "noise").values()
    assert np.array(curve) == pytest.approx(np.array([(0, 0), (0.5, 5), (1, 10)]))
    assert damages([0.5, 1])[:3] == [(NOTHING, 0.0), ("noise", 0.5), ("noise", 1)]


def test_privacy_fails_where_an_attack_finds_too_little_or_too_much():
    def tried(metric, arm, value):
        return pair(metric, value, 0.5, arm, None)

    far = {"distance_ratio": 0.0, "near_copies": 1.0, "authenticity": 0.0, "membership_auc": 1.0}
    good = [r for metric in ATTACKS for r in tried(metric, MEMORIZER, far[metric])]
    good += [r for metric in ATTACKS for r in tried(metric, STRANGERS, 0.5)]
    good += tried("near_copies", PLANTED, 1.0) + tried("authenticity", PLANTED, 0.5)
    assert privacy_failures(good) == []
    bad = tried("near_copies", PLANTED, 0.55) + tried("membership_auc", STRANGERS, 1.0)
    bad += tried("authenticity", MEMORIZER, 0.5)
    assert privacy_failures(bad) == [
        (PLANTED, "near_copies"), (STRANGERS, "membership_auc"), (MEMORIZER, "authenticity")
    ]  # fmt: skip


def test_the_three_sets_are_of_different_patients(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    sets = three_sets(run.cohort("ptb-xl"), load_profile("smoke").folds)
    who = [set(c.table["patient_id"]) for c in sets.values()]
    assert list(sets) == ["train", "base", "test"]
    assert not who[0] & who[1] and not who[0] & who[2] and not who[1] & who[2]


def test_two_detectors_agree_on_clean_beats_and_none_on_noise():
    record = beats(np.arange(0.5, 9.8, 0.8))
    rate, other, f1 = twice(record, 100)
    assert rate == pytest.approx(75, abs=1) and other == pytest.approx(75, abs=1) and f1 == 1
    noise = np.random.default_rng(0).normal(size=(12, 1000))
    assert np.isnan(twice(noise, 100)).all()


def test_the_page_of_the_smoke_run_holds_every_defect_and_rhythm(smoke_run):
    path = smoke_run / "results/03_closeness_checked/chapman.json"
    rows = pd.DataFrame(json.loads(path.read_text())["results"])
    judged = rows[rows["fraction"].notna()]
    assert set(judged["arm"]) == {NOTHING, *CORRUPTIONS}
    counts = judged[judged["comparison"] == ""].groupby("arm")["metric"].nunique()
    assert (counts == len(METRICS) - 1).all()  # all but tstr
    of_rhythm = rows[rows["metric"] == "detector_failures"]
    assert set(of_rhythm["rhythm"]) >= {"", "SR", "SB", "ST", "AFIB"}


@pytest.fixture(scope="module")
def real_run(some_recordings, tmp_path_factory) -> Run:
    """The checks of the page on real recordings, at the highest level only."""
    content = yaml.safe_load((FOLDER / "quick.yaml").read_text())
    content["real"] |= {"classifier": {"updates": 200}, "transfer": {"pretrain_updates": 100}}
    content["closeness"] = {"neighbours": 5, "resamples": 60, "heart": 40, "dtw": 20, "levels": [1]}
    place = tmp_path_factory.mktemp("real")
    (place / "checks.yaml").write_text(yaml.safe_dump(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGREPRO_DATA", str(some_recordings))
        run = Run(place / "checks.yaml", "real", place / "run")
        run.splits("chapman")
        yield run


@pytest.mark.slow
def test_every_defect_of_real_records_is_seen(real_run):
    rows = sensitivity(real_run, "chapman")
    assert unseen(rows) == []
    found = verdicts(rows).set_index(["defect", "metric"])["verdict"]
    for defect, metrics in SEES.items():
        for metric in metrics:
            assert found[defect, metric] == SEEN, (defect, metric)
    for defect, metrics in BLIND_TO.items():
        for metric in metrics:
            assert found[defect, metric] == BLIND, (defect, metric)
    whole = found[NOTHING]
    assert (whole == SEEN).sum() <= 2, list(whole[whole == SEEN].index)  # of thirty, by chance


@pytest.mark.slow
@pytest.mark.parametrize("hospital", ["chapman", "ptb-xl"])
def test_privacy_tells_strangers_from_copies_on_real_records(real_run, hospital):
    rows = privacy(real_run, hospital)
    values = {(r.arm, r.metric): r for r in rows if r.comparison != FLOOR}
    floors = {(r.arm, r.metric): r for r in rows if r.comparison == FLOOR}
    strangers = values["held-out records", "membership_auc"]
    assert strangers.low < 0.5 < strangers.high
    memorizer = "a memorizing generator"
    assert values[memorizer, "membership_auc"].value >= 0.95
    for metric in ("near_copies", "authenticity", "distance_ratio"):
        said = verdict(values[memorizer, metric], floors[memorizer, metric])
        assert said == SEEN, metric
        stranger = verdict(*(x["held-out records", metric] for x in (values, floors)))
        assert stranger != SEEN, metric
    planted = values["a tenth planted copies", "near_copies"]
    assert planted.value > values["held-out records", "near_copies"].value + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("hospital", ["chapman", "ptb-xl"])
def test_real_detectors_agree_and_rates_are_as_labelled(real_run, hospital):
    everyone = real_run.cohort(hospital)
    cohort = everyone.select(np.arange(0, len(everyone), 6))
    beats_found = detected_twice(cohort)
    none = cohort.select([])
    rows = calibration_results(cohort, beats_found, none, pd.DataFrame(), hospital)
    found = {(r.metric, r.rhythm): r for r in rows}
    assert found["detector_failures", ""].value <= 0.02
    assert found["beat_agreement", ""].value > 0.95
    medians = [found["heart_rate", rhythm].value for rhythm in ("SB", "SR", "GSVT")]
    assert medians == sorted(medians)
    for rhythm in ("SB", "GSVT"):
        assert found["rate_as_labelled", rhythm].value > 0.95
    assert (beats_found["rate"] / beats_found["other"] - 1).abs().median() < 0.01
    assert set(PROMISED) >= {"SB", "SR", "GSVT"}
