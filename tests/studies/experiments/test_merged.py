"""Why merging helps: hospitals told apart, and crossed."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cohorts import a_cohort

from ecgrepro import Cohort
from ecgrepro.studies.arms import ACROSS, BOTH, WITHIN
from ecgrepro.studies.experiments import merged


def of(hospital: str, n: int = 140) -> Cohort:
    cohort = a_cohort(n=n, seed=len(hospital))
    return replace(cohort, table=cohort.table.assign(source=hospital))


class Judge:
    """Embeds records by their first samples, of the second hospital shifted."""

    def embed(self, cohort):
        shift = (cohort.table["source"] == "chapman").to_numpy()[:, None]
        return np.asarray(cohort.signals[:, 0, :4], np.float64) + 3 * shift


def test_hospitals_are_told_apart_by_rhythm_and_over_all():
    both = Cohort.concat([of("ptb-xl"), of("chapman").select(np.arange(140) % 7 < 6)])
    shift = {row.rhythm: row for row in merged.source_shift(both, Judge())}
    assert 0.9 < shift[""].low <= shift[""].value <= shift[""].high <= 1 and shift[""].n > 10
    assert all(row.value is not None or "too few" in row.note for row in shift.values())
    rare = both.classes[6]
    assert shift[rare].value is None and shift[rare].n == 0
    assert set(shift) == {"", *both.classes}


def test_hospitals_are_crossed():
    """At home, in the other hospital and in both: each by the test records of each hospital."""
    tests = {home: of(home, 70) for home in ("ptb-xl", "chapman")}
    right = {home: np.stack([np.eye(7)[test.targets]] * 2) for home, test in tests.items()}
    wrong = {home: np.roll(stack, 1, axis=2) for home, stack in right.items()}
    rows = merged.crossing_results(tests, right, wrong, right, resamples=100)
    found = {(r.dataset, r.arm, r.comparison): r.value for r in rows if r.metric == "macro_f1"}
    for home in ("ptb-xl", "chapman"):
        assert [found[home, arm, ""] for arm in (WITHIN, ACROSS, BOTH)] == [1, 0, 1]
        assert found[home, ACROSS, WITHIN] == -1 and found[home, BOTH, WITHIN] == 0


def test_the_standard_error_of_an_area_is_that_of_repeated_draws():
    draws, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
        draws.append(np.mean(first[:, None] > second))
        errors.append(merged._auc_standard_error(first, second))
    assert np.mean(errors) == pytest.approx(np.std(draws), rel=0.1)
