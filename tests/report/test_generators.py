import numpy as np
import pandas as pd

from ecgrepro.report import generators as report
from ecgrepro.report import generators_compared as compared
from ecgrepro.report import trials
from ecgrepro.studies.experiments.quality import REAL
from ecgrepro.support.results import Result


def a_trial(arm: str, scope: str, agreement: float, distance: float, evaluations: int):
    values = {
        "rhythm_agreement": agreement,
        "frechet_distance": 7 * distance,
        "frechet_over_floor": distance,
        "evaluations": evaluations,
    }
    floor = Result("frechet_distance", 7.0, n=14, arm=arm, scope=scope, comparison="floor")
    return [*(Result(m, v, n=14, arm=arm, scope=scope) for m, v in values.items()), floor]


OWN = {"arm": "guidance 2", "scope": "dpmpp_2m 4"}
TRIALS = [
    *a_trial("guidance 1", "dpmpp_2m 4", 0.5, 3.0, 4),
    *a_trial("guidance 2", "dpmpp_2m 4", 0.7, 2.0, 8),
    *a_trial("guidance 2", "dpmpp_2m 2", 0.6, 4.0, 4),
    *a_trial("guidance 2", "dpmpp_2m 4", 0.7, 2.0, 8),  # in both curves
    *a_trial("guidance 2", "ancestral 32", 0.7, 1.6, 64),
]
AGAINST = [
    Result("evaluations_saved", 8.0, scope="dpmpp_2m 4", comparison="ancestral 32"),
    Result("frechet_to_ancestral", 1.25, n=14, scope="dpmpp_2m 4", comparison="ancestral 32"),
]


def test_trials_of_both_curves_are_told_apart():
    guided = trials.guidance_frame(TRIALS, OWN["scope"])
    assert guided["scale"].tolist() == [1, 2]
    assert guided["rhythm agreement"].tolist() == [0.5, 0.7]
    stepped = trials.step_frame(TRIALS, OWN["arm"])
    assert stepped["trial"].tolist() == ["dpmpp_2m 2", "dpmpp_2m 4", "ancestral 32"]
    assert stepped["sampler"].tolist() == ["dpmpp_2m", "dpmpp_2m", "ancestral"]


def test_sentences_say_where_a_curve_is_best():
    guided = trials.guidance_frame(TRIALS, OWN["scope"])
    said = trials.guidance_sentence(guided, 2.0, TRIALS)
    assert said.startswith("Rhythm agreement is highest at scale 2 (0.70), the Fréchet distance")
    assert "lowest at scale 2 (2.00 times its floor). The study uses 2." in said
    assert said.endswith("14 records and has no interval.")
    flat = guided.assign(**{"rhythm agreement": 0.5})
    assert "highest at scale 1, 2 (0.50)" in trials.guidance_sentence(flat, 2.0, TRIALS)
    stepped = trials.step_frame(TRIALS, OWN["arm"])
    said = trials.step_sentence(stepped, [*TRIALS, *AGAINST])
    assert "(dpmpp_2m 4) takes 8.0 times fewer evaluations than ancestral 32" in said
    assert "1.25 times its Fréchet distance" in said
    said = trials.step_sentence(stepped.iloc[:2], TRIALS)
    assert "4.00 times its floor with 4 evaluations and 2.00 times with 8" in said


def test_a_generator_without_trials_or_training_says_so():
    assert trials.guidance_sentence(trials.guidance_frame([], ""), None, []).startswith("No guid")
    assert trials.step_sentence(trials.step_frame([], ""), []).startswith("No steps")
    assert report.training_sentence([]).startswith("Nothing is trained")
    assert trials.sampler_table([]).empty
    assert report.particular_sentence({"published": {}, "codes": {}}).startswith("Nothing")
    said = report.particular_sentence({"published": {}, "codes": {}, "paced": []})
    assert said == "Of this generator alone: heart rates, asked for and found."


def test_the_lowest_validation_loss_is_named_unless_it_is_the_last():
    part = {"stage": "prior", "training": [[1, 2], [3.0, 2.0]]}
    assert report.training_sentence([part]).startswith("The training loss of the prior goes from 3")
    part["validation"] = [[10, 20, 30], [3.0, 1.0, 2.0]]
    said = report.training_sentence([part])
    assert said.endswith("to 2.000 at step 30; it is lowest, 1.000, at step 20.")


def test_agreement_is_of_the_pool_and_not_of_its_trials():
    pool = [
        Result("rhythm_agreement", 0.75, 0.6, 0.9, n=40),
        Result("rhythm_agreement", 1.0, 0.8, 1.0, n=20, rhythm="SR"),
        Result("rhythm_agreement", 0.5, 0.3, 0.7, n=20, rhythm="AFIB"),
        Result("rhythm_agreement", 0.9, 0.8, 1.0, n=60, comparison=REAL),
        Result("rhythm_agreement", 0.9, 0.8, 1.0, n=60, comparison=REAL, rhythm="SR"),
    ]
    table = report.agreement_table([*pool, *TRIALS], ["SR", "AFIB"]).set_index("rhythm")
    assert table.index.tolist() == ["mean", "SR", "AFIB"]
    assert table.loc["mean", "synthetic"] == "0.750 [0.600, 0.900] (40)"
    assert table.loc["AFIB", "real test records"] == "–"
    said = report.agreement_sentence([*pool, *TRIALS])
    assert "0.75 [0.60, 0.90] of the synthetic" in said and "lowest for AFIB (0.50)" in said


def test_gaps_and_failures_in_words():
    rows = [
        Result("heart_rate_gap", 3.0, rhythm="SR"),
        Result("heart_rate_gap", -12.0, rhythm="ST"),
        Result("heart_rate_gap", 12.0),
        Result("detector_failures", 0.5, 0.4, 0.6, n=50),
        Result("detector_failures", 0.1, 0.0, 0.2, n=50, comparison=REAL),
    ]
    said = report.rates_sentence(rows)
    assert "most in ST: synthetic minus real is -12 bpm" in said
    assert "0.50 [0.40, 0.60] of the synthetic and 0.10 [0.00, 0.20]" in said
    assert report.rates_sentence(rows[2:]).startswith("In no rhythm")


def test_a_series_that_is_noise_is_told_by_its_correlation():
    record = np.sin(np.arange(200.0))
    traces = np.stack([np.stack([x, x]) for x in (np.cos(np.arange(200.0)), record, record)])
    said = report.series_sentence([0.0, 1.0, None], traces.astype(np.float16))
    assert said.endswith("by proximity: 0.00 at 0, 1.00 at 1.")


def test_the_page_that_compares_orders_generators_and_says_what_is_missing():
    rows = [
        vars(Result("heart_rate_gap", 6.4, generator="diffwave")),
        vars(Result("heart_rate_gap", None, generator="unet")),
        vars(Result("frechet_over_floor", 2.0, generator="unet")),
        vars(Result("frechet_over_floor", 3.0, generator="diffwave")),
    ]
    results, names = compared.results_frame(rows), ["unet", "diffwave"]
    said = compared.gaps_sentence(results, names)
    assert "6 bpm for DiffWave; the bar is 8 bpm. No gap exists for U-Net diffusion ‡." in said
    cost = {"parameters": 1000, "evaluations": 8, "seconds_per_record": 0.1}
    costs = {
        "diffwave": {**cost, "training_seconds": 5.0},
        "unet": {**cost, "training_seconds": 9.0},
    }
    frame = compared.cost_frame(results, costs, names)
    assert frame["generator"].tolist() == ["U-Net diffusion ‡", "DiffWave"]
    assert frame["rhythm agreement"].isna().all()
    said = compared.cost_sentence(frame)
    assert "U-Net diffusion ‡ has the lowest Fréchet distance (2.0 times its floor)" in said
    assert compared.costs_table(frame).loc[0, "parameters"] == "1,000"
    titled = compared.titled({"diffwave": 1, "real": 2, "unet": 3}, names)
    assert list(titled) == ["real", "U-Net diffusion ‡", "DiffWave"]


def test_bars_in_words():
    verdicts = ["met", "met; the interval includes the bar", "missed"]
    said = compared.bars_sentence(pd.DataFrame({"verdict": verdicts}))
    assert said.startswith("The learned generators clear 2 of 3 bars. The 95 % interval includes")
    assert "in 1 of the verdicts" in said
