"""What the closeness metrics cost on 5 000 x 5 000 records, against the reference libraries.

    python benchmarks/closeness.py [--records 5000] [--dimensions 128] [--repeats 3]

Each metric of the distribution and the fidelity family and its reference work on the same
embeddings by turns; the median of the turns' ratios counts. Then `compare` computes both families
with floors and the intervals of 200 half-samples. Peak memory is that of our work alone, in
processes of their own. Prints Markdown.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from ecgrepro.closeness.compare import compare
from ecgrepro.closeness.intervals import Budget
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.mmd import median_distance, mmd, sliced_wasserstein
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.cohort.cohort import Cohort

PROJECTIONS = 256


def embeddings(records: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    return tuple(rng.normal(size=(records, dimensions)) @ mix + s for s in (0.0, 0.1))


def ours(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Each of our metrics on the two sets."""
    return {
        "Fréchet distance": lambda: frechet_distance(x, y),
        "precision, recall, density, coverage": lambda: prdc(x, y, 5),
        "MMD² (three bandwidths)": lambda: mmd(x, y),
        "sliced Wasserstein distance": lambda: sliced_wasserstein(x, y, PROJECTIONS),
    }


def references(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same by scipy, prdc, scikit-learn and POT."""
    import ot
    from prdc import compute_prdc
    from scipy.linalg import sqrtm
    from sklearn.metrics.pairwise import rbf_kernel

    def frechet():
        a, b = np.cov(x.T), np.cov(y.T)
        return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)

    def kernel_means():
        width = median_distance(x, y)
        gammas = [1 / (2 * (s * width) ** 2) for s in (0.5, 1, 2)]
        sets = ((x, x), (y, y), (x, y))
        return [[rbf_kernel(a, b, gamma=g).sum() for a, b in sets] for g in gammas]

    return {
        "Fréchet distance": frechet,
        "precision, recall, density, coverage": lambda: compute_prdc(x, y, 5),
        "MMD² (three bandwidths)": kernel_means,
        "sliced Wasserstein distance": lambda: ot.sliced_wasserstein_distance(
            x, y, n_projections=PROJECTIONS, seed=0
        ),
    }


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def whole(x: np.ndarray, y: np.ndarray) -> None:
    """`compare` of both families: every value, floor and interval."""
    rng = np.random.default_rng(1)
    sets = (x, x + 0.1 * rng.normal(size=x.shape), y)
    cohorts = [points(one, name) for one, name in zip(sets, ("train", "test", "made"), strict=True)]
    compare(
        *cohorts,
        embed=lambda cohort: cohort.signals[:, 0],
        families=("distribution", "fidelity"),
        budget=Budget(records=len(x)),
    )


def points(x: np.ndarray, name: str) -> Cohort:
    """Embeddings as a cohort of one lead, every record its own patient."""
    number = np.arange(len(x)).astype(str)
    table = pd.DataFrame({"record_id": number, "patient_id": [f"{name}{i}" for i in number]})
    table = table.assign(source=name, rhythm="SR", fold=1, age=0.0, sex="", origin=name)
    return Cohort(x[:, None].astype(np.float32), table, fs=100, leads=("I",), fingerprint=name)


def main() -> None:
    """Print the table, or, in a process that measures memory, seconds and the peak in MiB."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", choices=("metrics", "compare"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    x, y = embeddings(options.records, options.dimensions)
    if options.memory:
        work = {
            "metrics": lambda: [f() for f in ours(x, y).values()],
            "compare": lambda: whole(x, y),
        }
        spent = seconds(work[options.memory])
        print(f"{spent:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")
        return
    print(f"| metric, {options.records} x {options.records} records of {options.dimensions} "
          "| ours, s | reference, s | reference / ours |\n| --- | --- | --- | --- |")  # fmt: skip
    others = references(x, y)
    for name, work in ours(x, y).items():
        pairs = [(seconds(work), seconds(others[name])) for _ in range(options.repeats)]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        gain = statistics.median(theirs / mine for mine, theirs in pairs)
        print(f"| {name} | {a:.2f} | {b:.2f} | {gain:.2f}x |", flush=True)
    print("\n| work in a process of its own | seconds | peak memory, MiB |\n| --- | --- | --- |")
    for name in ("metrics", "compare"):
        child = subprocess.run(
            [sys.executable, __file__, "--memory", name, "--records", str(options.records),
             "--dimensions", str(options.dimensions)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        spent, peak = child.stdout.split()
        said = {"metrics": "each metric once", "compare": "all with floors and intervals"}[name]
        print(f"| {said} | {spent} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
