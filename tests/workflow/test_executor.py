"""The study over another executor than the local one: trainings and arms are jobs of their own."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

# A scheduler in a few lines: it starts the job script that it is given and prints a number.
SUBMIT = """#!/bin/sh
echo "$1" >> {folder}/submitted
nohup sh "$1" > /dev/null 2>&1 &
echo $!
"""


PAGE = "02_generators/chapman-unet"


@pytest.mark.slow
def test_a_cluster_runs_trainings_and_arms_as_jobs_and_finds_the_same(smoke_run, tmp_path):
    """What one page of the smoke run needs, by jobs that a cluster is given."""
    submit = tmp_path / "submit.sh"
    submit.write_text(SUBMIT.format(folder=tmp_path))
    submit.chmod(submit.stat().st_mode | stat.S_IXUSR)
    cluster = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(submit))
    program = (
        "import sys; from pathlib import Path; from ecgrepro.workflow.runner import run_study\n"
        f"run_study('smoke', 'simulated', directory=Path({str(tmp_path / 'run')!r}), cores=2, "
        f"results={PAGE!r}, snakemake=sys.argv[1:])"
    )
    often = ("--seconds-between-status-checks", "1")
    command = [sys.executable, "-c", program, *cluster, *often, "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    scripts = (tmp_path / "submitted").read_text().split()
    for kind in ("cohort", "classifier", "generator", "pool", "arms", "closeness", "section"):
        assert any(f".{kind}." in Path(script).name for script in scripts), kind

    def results(folder: Path) -> dict:
        return json.loads((folder / "results" / f"{PAGE}.json").read_text())["results"]

    assert results(tmp_path / "run") == results(smoke_run)
