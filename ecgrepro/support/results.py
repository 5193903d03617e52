"""Results: tidy rows of numbers, each file with the provenance of what computed it.

A results file holds only what two runs of the same code on the same data have in common; how long
it took and when is kept by the executed notebook.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One number.

    ``value`` with the bounds ``low`` and ``high`` of its 95 % interval (None where there is none),
    computed from ``n`` records. Keys that do not apply are empty. ``comparison`` says what
    ``value`` is measured against: empty for a plain score, an arm's name for a paired difference,
    ``"floor"`` for real against real. ``p_value`` is that of a difference, corrected by Holm's
    method over the arms that were compared together, ``effect`` its size in standard deviations
    over seeds. ``note`` says why there is no value, or what
    it was made from if that is out of the ordinary.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    dataset: str = ""
    generator: str = ""
    arm: str = ""
    comparison: str = ""
    fraction: float | None = None
    rhythm: str = ""
    scope: str = ""
    seed: int | None = None
    p_value: float | None = None
    effect: float | None = None
    note: str = ""


def required(value: T | None) -> T:
    """A value that is optional by its type but cannot be missing here, such as a bound of a row.

    Examples
    --------
    >>> required(Result("macro_f1", 0.5, low=0.4).low)
    0.4
    """
    assert value is not None, "a value is missing that must be there"
    return value


COLUMNS = ("profile", "data", "section", *(f.name for f in fields(Result)))


def write_results(path: Path, rows: Iterable[Result], provenance: dict) -> Path:
    """Write rows and provenance as JSON; the file appears complete or not at all."""
    plain = [{k: _plain(v) for k, v in asdict(row).items()} for row in rows]
    text = json.dumps({"provenance": provenance, "results": plain}, indent=1, sort_keys=True)
    return write_whole(path, text + "\n")


def _plain(value: Any) -> Any:
    """Plain numbers for JSON, which has no NaN: a number that does not exist is null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | int) and not isinstance(value, bool):
        return value if math.isfinite(value) else None
    return value


def read_content(path: Path) -> dict:
    """The provenance and the rows of a results file, as JSON values.

    Raises
    ------
    EcgreproError
        It is no results file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("provenance", "results")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(
            f"{path} is not a results file ({error}): remove it and run again"
        ) from error


def read_results(folder: str | Path) -> pd.DataFrame:
    """All results below a folder as one table, in the order of their file names.

    Raises
    ------
    EcgreproError
        A file there is no results file.
    """
    import pandas as pd  # slow to import

    rows = []
    for path in sorted(Path(folder).rglob("*.json")):
        content = read_content(path)
        try:
            shared = {k: content["provenance"][k] for k in ("profile", "data", "section")}
            rows += [{**shared, **row} for row in content["results"]]
        except (KeyError, TypeError) as error:
            raise EcgreproError(
                f"{path} is not a results file ({error}): remove it and run again"
            ) from error
    return pd.DataFrame(rows, columns=COLUMNS)
