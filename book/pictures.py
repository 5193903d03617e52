"""Draw the README's picture from a run: the first synthetic record of each class.

python book/pictures.py runs/quick-real
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ecgrepro import plots
from ecgrepro.cohort import Cohort


def main() -> None:
    """Draw from the newest DiffWave pool of Chapman in the run that is named."""
    pools = Path(sys.argv[1], "artifacts").glob("pool-diffwave-chapman-*/cohort")
    pool = Cohort.open(max(pools, key=lambda path: path.stat().st_mtime))
    figure, axes = plt.subplots(2, 2, figsize=(15, 6.9), dpi=80)
    for axis, code in zip(axes.flat, pool.classes, strict=False):
        first = int(np.flatnonzero(pool.targets == pool.classes.index(code))[0])
        title = f"{code}, synthetic"
        plots.ecg_paper(pool.signals[first], pool.fs, pool.units, title=title, ax=axis)
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "_static" / "synthetic.png")


if __name__ == "__main__":
    main()
