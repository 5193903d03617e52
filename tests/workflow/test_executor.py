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


def run(profile: Path, folder: Path, *more: str) -> dict:
    """Bring the augmentation of one hospital up to date; its results without provenance."""
    page = "04_augmentation/chapman"
    program = (
        "import sys; from pathlib import Path; from ecgrepro.workflow.runner import run_study\n"
        f"run_study({str(profile)!r}, 'simulated', directory=Path({str(folder)!r}), cores=2, "
        f"results={page!r}, snakemake=sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *more], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "results" / f"{page}.json").read_text())["results"]


@pytest.mark.slow
def test_a_cluster_runs_trainings_and_arms_as_jobs_and_finds_the_same(few, tmp_path):
    submit = tmp_path / "submit.sh"
    submit.write_text(SUBMIT.format(folder=tmp_path))
    submit.chmod(submit.stat().st_mode | stat.S_IXUSR)
    cluster = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(submit))
    spread = run(few, tmp_path / "spread", *cluster, "--jobs", "2")
    scripts = (tmp_path / "submitted").read_text().split()
    for kind in ("cohort", "generator", "pool", "arms", "section"):
        assert any(f".{kind}." in Path(script).name for script in scripts), kind
    assert spread == run(few, tmp_path / "here")
