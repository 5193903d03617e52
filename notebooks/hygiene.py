"""What a stored notebook must not hold: times, paths of a machine, cells that did not run.

Usage: ``python notebooks/hygiene.py notebooks/*.ipynb``; exits with 1 and a line for each finding.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

METADATA = {"kernelspec", "language_info"}  # of the notebook
CELL_METADATA = {"tags", "mystnb"}
PLACE = re.compile(r"(?<![\w.])(?:/home/|/root/|/tmp/|/Users/|/work/|[A-Z]:\\)\S*")
TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")


def findings(notebook: dict) -> Iterator[str]:
    """What is wrong with a notebook, a sentence each."""
    if extra := sorted(set(notebook["metadata"]) - METADATA):
        yield f"the notebook's metadata hold {', '.join(extra)}"
    ran = 0
    for number, cell in enumerate(notebook["cells"]):
        where = f"cell {number}"
        if extra := sorted(set(cell["metadata"]) - CELL_METADATA):
            yield f"{where}: its metadata hold {', '.join(extra)}"
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip():
            ran += 1
            if cell["execution_count"] != ran:
                yield f"{where}: not executed, or not in order: run the whole notebook"
        for text in _texts(cell):
            for what, pattern in (("a path of a machine", PLACE), ("a time", TIME)):
                if found := pattern.search(text):
                    yield f"{where}: {what}: {found[0][:60]}"


def _texts(cell: dict) -> Iterator[str]:
    """Its source and the text of its outputs."""
    yield "".join(cell["source"])
    for output in cell.get("outputs", []):
        yield "".join(output.get("text", ""))
        yield "".join(output.get("traceback", ""))
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield "".join(content)


def main(paths: list[str]) -> int:
    """Check notebooks; the number of those with findings."""
    wrong = 0
    for path in paths:
        found = list(findings(json.loads(Path(path).read_text(encoding="utf-8"))))
        wrong += bool(found)
        for line in found:
            print(f"{path}: {line}")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
