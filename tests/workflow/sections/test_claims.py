"""What the section of the claims takes for evidence."""

import json

import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.results import Result
from ecgrepro.workflow.results import write_section
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section
from ecgrepro.workflow.sections.claims import compute

FACTS = {"profile": "smoke", "data": "full real"}


def test_without_results_nothing_is_judged(tmp_path):
    with pytest.raises(EcgreproError, match="no results in .*: run the study first"):
        compute(Run("smoke", "simulated", tmp_path))


def test_worked_examples_verdicts_and_recipes_are_no_evidence(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    found = Section([Result("coverage", 1.0)])
    for section in ("03_closeness_explained", "06_claims", "07_helping"):
        write_section(run.directory, f"{section}/all", found, FACTS)
    with pytest.raises(EcgreproError, match="no results in"):
        compute(run)
    write_section(run.directory, "03_closeness/all", found, FACTS)
    judged = compute(run)
    assert judged.facts["results"] == 1
    assert [row.metric for row in judged.rows] == ["C1", "C2", "C3", "C4", "C5"]
    assert [verdict["claim"] for verdict in judged.facts["verdicts"]] == [
        row.metric for row in judged.rows
    ]


def test_a_section_that_uses_no_recordings_says_so(tmp_path):
    section = Section([], provenance={"data": "simulated"})
    path, _ = write_section(tmp_path, "03_closeness_explained/all", section, FACTS)
    provenance = json.loads(path.read_text())["provenance"]
    assert provenance["data"] == "simulated" and provenance["profile"] == "smoke"
