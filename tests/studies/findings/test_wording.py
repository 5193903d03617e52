"""Numbers and marks in sentences and tables."""

import math

import pytest

from ecgrepro.studies.findings.wording import flagged, mark, marked_number, number
from ecgrepro.support.results import Result


def test_numbers_are_shown_with_their_interval():
    assert number(0.12345) == "0.123"
    assert number(0.5, 0.4, 0.6) == "0.500 [0.400, 0.600]"
    assert number(None) == number(math.nan) == "–"
    assert flagged("AFL", 9) == "AFL †" and flagged("AFL", 10) == "AFL"


@pytest.mark.parametrize(
    ("low", "high", "p_value", "expected"),
    [
        (0.1, 0.3, 0.01, "✓"), (-0.3, -0.1, 0.01, "✗"), (-0.1, 0.1, 0.01, ""),
        (0.1, 0.3, 0.06, ""), (0.1, 0.3, None, "✓"), (None, None, 0.01, ""),
    ],
)  # fmt: skip
def test_only_what_remains_after_correction_is_marked(low, high, p_value, expected):
    row = Result("macro_f1", 0.2, low, high, p_value=p_value)
    assert mark(row) == expected
    assert marked_number(row) == f"{number(0.2, low, high)} {expected}".strip()
