"""Opening a run."""

import pytest

from ecgrepro import EcgreproError
from ecgrepro.workflow.run import Run


def test_what_a_run_does_not_know_is_named_with_what_it_knows(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    with pytest.raises(EcgreproError, match="unknown dataset 'mit': choose one of ptb-xl"):
        run.cohort("mit")
    with pytest.raises(EcgreproError, match="unknown data 'fake'"):
        Run("smoke", "fake", tmp_path)


def test_opening_a_run_changes_nothing(tmp_path):
    import torch

    before = torch.get_num_threads()
    Run("paper", "simulated", tmp_path / "run")
    assert torch.get_num_threads() == before and not (tmp_path / "run").exists()
