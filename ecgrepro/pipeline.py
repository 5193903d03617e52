"""Running the study: a thin front to Snakemake that shows progress and explains failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
from tqdm import tqdm

from ecgrepro.datasets import READERS, recordings_fingerprint
from ecgrepro.errors import EcgreproError
from ecgrepro.notebooks import STATUS, find_page, pages, tell
from ecgrepro.profiles import load_profile
from ecgrepro.provenance import PROJECT, commit, versions

DONE = "page-done:"
FAILED = "page-failed:"
_STEPS = re.compile(r"(\d+) of (\d+) steps \(\d+%\) done")


def run_directory(profile: str, data: str) -> Path:
    """Where a run goes by default: ``runs/<profile>-<data>`` in the checkout."""
    return PROJECT / "runs" / f"{load_profile(profile).name}-{data}"


def run_study(
    profile: str,
    data: str,
    *,
    cores: int | None = None,
    directory: Path | None = None,
    page: str | None = None,
    snakemake: list[str] | None = None,
) -> Path:
    """Bring a run up to date and return its book (or the executed page, if ``page`` is given).

    What is up to date stays; what a killed run left unfinished goes on.

    Parameters
    ----------
    cores
        Cores to use; by default all.
    snakemake
        Further arguments for Snakemake, for example ``["--executor", "slurm"]``.

    Raises
    ------
    EcgreproError
        Something is wrong with the arguments, before any work starts; or a notebook failed.
    """
    settings = load_profile(profile, data)
    if data == "real":
        for name in READERS:
            recordings_fingerprint(name)
    run_dir = (directory or run_directory(profile, data)).absolute()
    target = run_dir / "book" / "index.html"
    if page:
        target = run_dir / "notebooks" / f"{find_page(settings, page).name}.ipynb"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "failed").mkdir(exist_ok=True)
    except OSError as error:
        raise EcgreproError(f"cannot write to {run_dir}: {error.strerror}") from error
    lock = filelock.FileLock(run_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise EcgreproError(
            f"another run is at work in {run_dir}: wait for it or end it"
        ) from error
    with lock:
        _remove_stale_pages(run_dir, {page.name for page in pages(settings)})
        command = [sys.executable, "-m", "snakemake", str(target)]
        command += ["--snakefile", str(PROJECT / "Snakefile"), "--directory", str(run_dir)]
        command += ["--cores", str(cores or os.cpu_count()), "--rerun-incomplete", "--nolock"]
        command += ["--config", f"profile={profile}", f"data={data}", f"run_dir={run_dir}"]
        _follow([*command, *(snakemake or [])], run_dir)
    return target


def _remove_stale_pages(run_dir: Path, current: set[str]) -> None:
    """Remove pages and results that the profile no longer has; book and claims read them all."""
    for folder, suffix in (("notebooks", ".ipynb"), ("results", ".json")):
        for path in (run_dir / folder).rglob(f"*{suffix}"):
            name = path.relative_to(run_dir / folder).with_suffix("").as_posix()
            if name not in current:
                print(f"removed {path}: the profile has no page {name} now", file=sys.stderr)
                path.unlink()


def _follow(command: list[str], run_dir: Path) -> None:
    """Run Snakemake, turn what it prints into a progress bar, and raise if a step failed."""
    log, failures, tail = run_dir / "snakemake.log", [], []
    bar = tqdm(
        desc="study",
        mininterval=0.5,
        dynamic_ncols=True,
        disable=None,
        bar_format="{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}<{remaining}{postfix}",
    )
    at: dict[str, str] = {}
    with bar, log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **_absolute_folders()},
        )
        try:
            for line in process.stdout:
                file.write(line)
                tail = [*tail[-30:], line]
                _show(line.strip(), bar, at, failures)
        except KeyboardInterrupt:
            raise EcgreproError("interrupted; the same command goes on where it was") from None
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # Snakemake ends its jobs, then itself
        status = process.wait()
    if failures:
        raise EcgreproError("\n\n".join(failures) + "\nThe book was not built.")
    if status:
        raise EcgreproError(f"Snakemake failed; its log is {log}:\n{''.join(tail)}")


def _absolute_folders() -> dict[str, str]:
    """The folders named by environment variables, for processes that work elsewhere."""
    names = ("ECGREPRO_DATA", "ECGREPRO_CACHE")
    return {name: os.path.abspath(os.environ[name]) for name in names if os.environ.get(name)}


def _show(line: str, bar: tqdm, at: dict[str, str], failures: list[str]) -> None:
    """Take one line of output into the bar (current cells), the printed list, or the failures."""
    if line.startswith(STATUS):
        name, cell = line.split()[1:3]
        if name not in at:
            bar.write(f"  started {name}", file=sys.stderr)
        at[name] = cell
    elif line.startswith(DONE):
        name, seconds = line.split()[1:3]
        at.pop(name, None)
        bar.write(f"  done    {name} in {seconds} s", file=sys.stderr)
    elif line.startswith(FAILED):
        failures.append(json.loads(line.removeprefix(FAILED)))
    elif found := _STEPS.search(line):
        bar.n, bar.total = int(found[1]), int(found[2])
    elif found := re.fullmatch(r"total\s+(\d+)", line):
        bar.total = int(found[1])
        bar.write(f"{bar.total} steps to do", file=sys.stderr)
    else:
        return
    bar.set_postfix_str("; ".join(f"{name} cell {cell}" for name, cell in at.items()))


def page_step(name: str, profile: str, data: str, run_dir: Path) -> None:
    """One step of the graph: execute a page and say how it went on standard output."""
    from ecgrepro.notebooks import execute

    started = time.perf_counter()
    try:
        execute(
            find_page(load_profile(profile, data), name),
            profile=profile,
            data=data,
            run_dir=run_dir,
        )
    except EcgreproError as error:
        tell(f"{FAILED} {json.dumps(str(error))}")
        raise
    tell(f"{DONE} {name} {time.perf_counter() - started:.0f}")


def book_step(run_dir: Path) -> None:
    """The last step of the graph: render the book, with the run's provenance for its prose."""
    from ecgrepro.book import build

    facts = {}
    for path in sorted((run_dir / "results").rglob("*.json")):
        facts = json.loads(path.read_text())["provenance"]
    found, dirty = commit()
    facts = {
        "profile": facts["profile"],
        "data": facts["data"],
        "commit": found,
        "dirty": dirty,
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }
    (run_dir / "run.json").write_text(json.dumps(facts, indent=1))
    started = time.perf_counter()
    try:
        build(run_dir)
    except EcgreproError as error:
        tell(f"{FAILED} {json.dumps(str(error))}")
        raise
    tell(f"{DONE} book {time.perf_counter() - started:.0f}")
