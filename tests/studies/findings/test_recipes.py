"""What is said of chosen recipes."""

from ecgrepro.studies.arms import REAL
from ecgrepro.studies.experiments.recipes import ALL_REAL, CONFIRMED, TRIED
from ecgrepro.studies.findings.recipes import HARMS, HELPS, OPEN, share_curves, verdict
from ecgrepro.support.results import Result


def gains(*bounds):
    rows = [
        Result("macro_f1", sum(b[:2]) / 2, *b[:2], arm="a", comparison=f"c{i}", scope=CONFIRMED,
               p_value=b[2])
        for i, b in enumerate(bounds)
    ]  # fmt: skip
    rows += [Result("macro_f1", 0.9, arm="a", scope=CONFIRMED)]
    return verdict(rows)


def test_a_recipe_helps_only_if_it_beats_every_control():
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.04)) == HELPS
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.06)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.02, 0.1, 0.5)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.2, -0.1, 0.06)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.2, -0.1, 0.01)) == HARMS


def test_the_curves_over_shares_are_of_test_records_and_of_the_recipe_chosen_at_each():
    def row(arm, share, value, comparison="", scope=CONFIRMED):
        low, high = value - 0.1, value + 0.1
        return Result("macro_f1", value, low, high, arm=arm, fraction=share, comparison=comparison,
                      scope=scope)  # fmt: skip

    rows = [
        row("a", 0.0, 0.9, scope=TRIED), row("a", 0.0, 0.5), row(ALL_REAL, 0.0, 0.8),
        row("a", 0.0, -0.3, ALL_REAL), row("b", 0.1, 0.6), row(REAL, 0.1, 0.4),
        row("b, simulator (the same recipe)", 0.1, 0.45), row("b", 0.1, 0.2, REAL),
    ]  # fmt: skip
    found = share_curves(rows)
    drawn = {name: [list(axis) for axis in curve] for name, curve in found.items()}
    assert drawn.pop("chosen recipe") == [[0, 10], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7]]
    assert drawn.pop("the same recipe, simulator's records")[:2] == [[10], [0.45]]
    assert drawn.pop(REAL)[:2] == [[10], [0.4]]
    assert drawn == {ALL_REAL: [[0, 10], [0.8, 0.8]]}
