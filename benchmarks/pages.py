"""How long the stored pages take to be executed again, and an up-to-date run to find nothing to do.

    python benchmarks/pages.py [--run-dir runs/smoke-simulated]

A page is executed in a kernel of its own, whose start counts. The idle run is that of
`ecgrepro run --profile smoke`, started once more when it is complete.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import nbclient
import nbformat

from ecgrepro.workflow.pages import FOLDER, SECTIONS
from ecgrepro.workflow.sockets import own_sockets


def page_seconds(section: str) -> float:
    notebook = nbformat.read(FOLDER / f"{section}.ipynb", as_version=4)
    began = time.perf_counter()
    where = {"metadata": {"path": str(FOLDER)}}
    with own_sockets() as config:
        client = nbclient.NotebookClient(
            notebook, kernel_name="python3", config=config, resources=where
        )
        client.execute()
    return time.perf_counter() - began


def idle_seconds(run_dir: Path | None) -> float:
    command = [sys.executable, "-m", "ecgrepro", "run", "--profile", "smoke"]
    command += ["--run-dir", str(run_dir)] if run_dir else []
    subprocess.run(command, check=True, capture_output=True)  # complete, and files in the cache
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path)
    chosen = parser.parse_args()
    for section in SECTIONS:
        print(f"{section:24} {page_seconds(section):5.1f} s")
    print(f"{'idle run':24} {idle_seconds(chosen.run_dir):5.1f} s")


if __name__ == "__main__":
    main()
