r"""Draw the README's picture: the first synthetic record of each class of a pool.

ecgrepro train unet --dataset chapman --labels rhythm4 --out models/unet
ecgrepro sample models/unet --rhythm SR=1 --rhythm SB=1 --rhythm GSVT=1 --rhythm AFIB=1 \\
    --format npy --out pool
python book/pictures.py pool
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.figures import ecg


def main() -> None:
    """Draw from the pool that is named."""
    pool = Cohort.open(sys.argv[1])
    figure, axes = plt.subplots(2, 2, figsize=(15, 6.9), dpi=80)
    for axis, code in zip(axes.flat, pool.classes, strict=False):
        first = int(np.flatnonzero(pool.targets == pool.classes.index(code))[0])
        title = f"{code}, synthetic"
        ecg.ecg_paper(pool.signals[first], pool.fs, pool.units, title=title, ax=axis)
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "_static" / "synthetic.png")


if __name__ == "__main__":
    main()
