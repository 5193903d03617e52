"""A part of the real recordings, for tests in which minutes count."""

from pathlib import Path

import pandas as pd


def link_ptbxl(source: Path, target: Path, *, per_fold: int) -> Path:
    """PTB-XL cut to the first ``per_fold`` records of each fold: links, and a shorter table."""
    table = pd.read_csv(source / "ptbxl_database.csv", dtype=str)  # so written as it was read
    table = table.groupby("strat_fold").head(per_fold)
    target.mkdir(parents=True)
    table.to_csv(target / "ptbxl_database.csv", index=False)
    for name in table["filename_lr"]:
        for ending in (".hea", ".dat"):
            link = target / f"{name}{ending}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source / f"{name}{ending}")
    return target
