"""What building and opening a cohort costs, as ratios within one run.

    ECGREPRO_DATA=... python benchmarks/cohort.py [--repeats 3]

Reads every recording of a data set with a plain `wfdb.rdrecord` loop (one process), builds the
cohort with one process and with all cores, and opens it. Each is repeated, interleaved, and the
best time counts: the machine may be busy. Without recordings, simulated ones are used.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wfdb

from ecgrepro.datasets import READERS, load_cohort
from ecgrepro.datasets.cache import _cores

OPEN = """
import sys, time
from ecgrepro.datasets import load_cohort
start = time.perf_counter()
load_cohort(sys.argv[1], sys.argv[2])
print(time.perf_counter() - start)
"""


def wfdb_loop(root: Path, paths: list[str]) -> float:
    start = time.perf_counter()
    for path in paths:
        try:
            wfdb.rdrecord(str(root / path))
        except Exception as error:  # a header that wfdb cannot read is part of the data set
            print(f"  wfdb cannot read {path}: {error}", file=sys.stderr)
    return time.perf_counter() - start


def build(name: str, root: Path, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ECGREPRO_CACHE"] = cache
        start = time.perf_counter()
        load_cohort(name, root, jobs=jobs)
        return time.perf_counter() - start


def opening(name: str, root: Path) -> float:
    """Seconds to open a built cohort in a fresh process, imports not counted."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ECGREPRO_CACHE"] = cache
        load_cohort(name, root)
        command = [sys.executable, "-c", OPEN, name, str(root)]
        prints = [subprocess.run(command, capture_output=True, text=True).stdout for _ in range(3)]
    return min(map(float, prints))


def measure(name: str, root: Path, repeats: int) -> dict:
    index = READERS[name].index(root, READERS[name].scan(root))
    paths, cores = list(index.records["path"]), _cores()
    best = {"wfdb": float("inf"), "one": float("inf"), "all": float("inf")}
    for _ in range(repeats):
        best["wfdb"] = min(best["wfdb"], wfdb_loop(root, paths))
        best["one"] = min(best["one"], build(name, root, 1))
        best["all"] = min(best["all"], build(name, root, cores))
    return {
        "data": name,
        "records": len(paths),
        "cores": cores,
        "wfdb loop, ms per record": round(1e3 * best["wfdb"] / len(paths), 2),
        "one process over wfdb loop (above 1: faster than reading alone)": round(
            best["wfdb"] / best["one"], 2
        ),
        "all cores over one process": round(best["one"] / best["all"], 2),
        "opening, seconds": round(opening(name, root), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    data = os.environ.get("ECGREPRO_DATA")
    with tempfile.TemporaryDirectory() as scratch:
        if data:
            roots = {"ptb-xl": Path(data) / "ptb-xl", "chapman": Path(data) / "ecg-arrhythmia"}
        else:
            from ecgrepro.datasets.simulated import write_simulated

            roots = {
                h: write_simulated(Path(scratch) / h, h, records=1000, seed=0) for h in READERS
            }
        for name, root in roots.items():
            print(json.dumps(measure(name, root.absolute(), repeats), indent=1))


if __name__ == "__main__":
    main()
