"""Results as tables."""

from ecgrepro.report.tables import markdown_rows, results_frame
from ecgrepro.support.results import Result


def test_results_become_rows_with_their_number_as_it_is_shown():
    frame = results_frame([Result("m", 0.5, 0.4, 0.6)])
    assert frame["shown"].tolist() == ["0.500 [0.400, 0.600]"]
    assert markdown_rows(frame[["metric", "value"]]).splitlines()[2] == "| m | 0.5 |"
