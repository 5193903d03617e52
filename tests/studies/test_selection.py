"""Which records are drawn, filled up, repeated and kept."""

import numpy as np
import pytest
from helpers.cohorts import a_cohort
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro import EcgreproError
from ecgrepro.studies.arms import AUTHENTIC, CONFIDENT
from ecgrepro.studies.selection import (
    CONFIDENCE,
    at_least,
    draw,
    filter_pool,
    missing_counts,
    oversample,
    subsample_patients,
)


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
def test_larger_fractions_contain_smaller_ones_and_every_rhythm(one, other, seed):
    train = a_cohort(n=140)
    small, large = (subsample_patients(train, f, seed) for f in sorted([one, other]))
    ids = [set(part.table["record_id"]) for part in (small, large)]
    assert ids[0] <= ids[1]
    first = train.table.groupby("patient_id")["rhythm"].first()
    assert set(small.table["rhythm"]) >= set(first)
    whole = small.table.groupby("patient_id").size()
    assert (whole == train.table.groupby("patient_id").size()[whole.index]).all()


def test_the_whole_fraction_is_the_training_set_itself():
    train = a_cohort()
    assert subsample_patients(train, 1.0, 0).fingerprint == train.fingerprint


@given(st.dictionaries(st.sampled_from(["SR", "AFIB", "SVT"]), st.integers(0, 9), min_size=1))
def test_oversampling_makes_every_rhythm_as_common_as_the_commonest(counts):
    pool = a_cohort(n=140)
    if not any(counts.values()):
        return
    train = draw(pool, counts, 1)
    found = oversample(train, 0)
    most = max(counts.values())
    assert {r: n for r, n in found.counts().items() if n} == {
        r: most for r, n in counts.items() if n
    }
    assert set(found.table["record_id"]) == set(train.table["record_id"])


def test_what_a_rhythm_lacks_is_limited_by_the_pool():
    assert missing_counts({"SR": 9, "SB": 2, "ST": 0}, {"SR": 5, "SB": 4, "ST": 5}) == {
        "SR": 0,
        "SB": 4,
    }


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), min_size=1), st.floats(0, 1))
def test_the_best_stay_and_a_tenth_of_each_rhythm_in_any_case(records, least):
    score, targets = map(np.array, zip(*records, strict=True))
    kept = at_least(score.copy(), least, targets)
    assert kept[score >= least].all()
    for target in set(targets):
        own = targets == target
        many = max((score[own] >= least).sum(), -(-own.sum() // 10))
        assert kept[own].sum() == many
        assert not (~kept[own]).any() or score[own][kept[own]].min() >= score[own][~kept[own]].max()


class Judge:
    """Is sure of every other record, and embeds records by their first two samples."""

    def predict_proba(self, cohort):
        sure = np.arange(len(cohort)) // 7 % 2 == 0
        own = np.where(sure, CONFIDENCE, CONFIDENCE - 0.01)
        found = np.repeat((1 - own[:, None]) / 6, 7, axis=1)
        found[np.arange(len(cohort)), cohort.targets] = own
        return found

    def embed(self, cohort):
        return np.asarray(cohort.signals[:, 0, :2], np.float64)


def test_a_confident_pool_holds_the_records_that_the_judge_is_sure_of():
    pool = a_cohort(n=140)
    kept = filter_pool(pool, CONFIDENT, Judge(), a_cohort())
    assert list(kept.table["record_id"]) == [str(i) for i in range(140) if i // 7 % 2 == 0]


def test_an_authentic_pool_holds_no_copy_of_a_training_record():
    train, others = a_cohort(n=70), a_cohort(n=70, seed=1)
    copies = train.signals + 1e-4
    pool = a_cohort(n=140)
    pool.signals[:70], pool.signals[70:] = copies, 3 * others.signals
    kept = filter_pool(pool, AUTHENTIC, Judge(), train)
    copied = kept.table["record_id"].astype(int) < 70
    assert (~copied).sum() > 20 and not copied.any()
