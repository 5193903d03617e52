"""Running the study: a thin front to Snakemake that shows progress and explains failures."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.profiles import is_file_name, load_profile
from ecgrepro.support.provenance import PROJECT, commit, versions
from ecgrepro.workflow.pages import SECTIONS, STATUS, find_page, pages, tell

DONE = "page-done:"
FAILED = "page-failed:"
MARKER = ".ecgrepro-run"  # says that a folder is a run's, and which; also the lock
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
) -> Path | None:
    """Bring a run up to date and return its book (or the executed page, if ``page`` is given).

    What is up to date stays; what a killed run left unfinished goes on. A dry run (``-n`` for
    Snakemake) prints what would be done, removes nothing and returns None.

    Parameters
    ----------
    cores
        Cores to use; by default all.
    snakemake
        Further arguments for Snakemake, for example ``["--executor", "slurm"]``.

    Raises
    ------
    EcgreproError
        Something is wrong with the arguments, before any work starts; or a notebook failed; or
        the run was interrupted, by Ctrl-C or a signal.
    """
    if is_file_name(profile):
        profile = str(Path(profile).absolute())  # the steps work in other folders
    settings = load_profile(profile, data)
    if data == "real":
        from ecgrepro.datasets import READERS, recordings_fingerprint  # slow to import

        for name in READERS:
            recordings_fingerprint(name)
    run_dir = (directory or run_directory(profile, data)).absolute()
    target = run_dir / "book" / "index.html"
    if page:
        target = run_dir / "notebooks" / f"{find_page(settings, page).name}.ipynb"
    dry = any(re.fullmatch(r"--dry.*|-[a-zA-Z]*n[a-zA-Z]*", word) for word in snakemake or [])
    command = [sys.executable, "-m", "snakemake", str(target)]
    command += ["--snakefile", str(PROJECT / "Snakefile"), "--directory", str(run_dir)]
    command += ["--cores", str(cores or os.cpu_count()), "--rerun-incomplete", "--nolock"]
    config = {"profile": profile, "data": data, "run_dir": str(run_dir)}  # quoted: read as YAML
    command += [
        "--config",
        *(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in config.items()),
    ]
    default = run_dir == run_directory(profile, data)
    try:
        with (
            _interruptible(),
            _claimed(run_dir, f"{settings.name} on {data} data", default) as lock,
        ):
            if not dry:
                _remove_stale_pages(run_dir, {page.name for page in pages(settings)})
            log = _follow([*command, *(snakemake or [])], run_dir, lock)
    except KeyboardInterrupt:
        raise EcgreproError("interrupted; the same command goes on where it was") from None
    if dry:
        print(log.read_text())
    return target if target.exists() and not dry else None


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does; what is ignored (nohup) stays ignored."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _claimed(run_dir: Path, run: str, default: bool) -> Iterator[int]:
    """Hold a folder for one run; the lock's descriptor, for a child that is to hold it as well.

    The lock lives until its last holder ends. A folder that holds anything else, or another run,
    is refused, for pages that the profile does not have are removed; ``default`` folders are ours.
    """
    marker, real = run_dir / MARKER, run_dir.resolve()
    if real == PROJECT.resolve() or real in PROJECT.resolve().parents:
        raise EcgreproError(f"{run_dir} holds the project itself: give a run a folder of its own")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not default and not marker.exists() and any(run_dir.iterdir()):
            raise EcgreproError(
                f"{run_dir} holds files that are no run's: give an empty or a new folder"
            )
        lock = os.open(marker, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise EcgreproError(f"cannot write to {run_dir}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = marker.read_text().strip()
        if found and found != run:
            raise EcgreproError(
                f"{run_dir} holds a run of {found}, not of {run}: give another folder"
            )
        marker.write_text(f"{run}\n")
        (run_dir / "failed").mkdir(exist_ok=True)
        yield lock
    except BlockingIOError as error:
        raise EcgreproError(
            f"another run is at work in {run_dir}: wait for it or end it"
        ) from error
    finally:
        os.close(lock)


def _remove_stale_pages(run_dir: Path, current: set[str]) -> None:
    """Remove pages and results that the profile no longer has; book and claims read them all."""
    for folder, suffix in (("notebooks", ".ipynb"), ("results", ".json")):
        for section in SECTIONS:
            for path in (run_dir / folder / section).glob(f"*{suffix}"):
                name = f"{section}/{path.stem}"
                if name not in current:
                    print(f"removed {path}: the profile has no page {name} now", file=sys.stderr)
                    path.unlink()


def _follow(command: list[str], run_dir: Path, lock: int) -> Path:
    """Run Snakemake, turn what it prints into a progress bar, and raise if a step failed.

    Returns the log of what it printed. Snakemake and its jobs are a session of their own, so that
    they can be ended together, and Snakemake holds the run's lock as well.
    """
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
            start_new_session=True,
            pass_fds=[lock],
        )
        try:
            for line in process.stdout:
                file.write(line)
                tail = [*tail[-30:], line]
                _show(line.strip(), bar, at, failures)
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    if failures:
        raise EcgreproError("\n\n".join(failures) + "\nThe book was not built.")
    if status:
        raise EcgreproError(f"Snakemake failed; its log is {log}:\n{''.join(tail)}")
    return log


def _end(process: subprocess.Popen) -> None:
    """End Snakemake and its jobs, gently first, and wait until none of them can write any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.communicate(timeout=10)  # also waits for the jobs, which share its output
            return


def _absolute_folders() -> dict[str, str]:
    """The folders named by environment variables, for processes that work elsewhere."""
    names = ("ECGREPRO_DATA", "ECGREPRO_CACHE")
    return {name: os.path.abspath(os.environ[name]) for name in names if os.environ.get(name)}


def _show(line: str, bar: tqdm, at: dict[str, str], failures: list[str]) -> None:
    """Take one line of output into the bar (current cells), the printed list, or the failures."""
    if line.startswith(STATUS):
        name, cell = line.removeprefix(STATUS).split(maxsplit=1)
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


def page_step(name: str, profile: str, data: str, run_dir: Path, threads: int) -> None:
    """One step of the graph: execute a page and say how it went on standard output."""
    from ecgrepro.workflow.pages import execute

    settings, started = load_profile(profile, data), time.perf_counter()
    try:
        execute(
            find_page(settings, name),
            profile=profile,
            data=data,
            run_dir=run_dir,
            workers=max(1, threads // settings.threads),
        )
    except EcgreproError as error:
        tell(f"{FAILED} {json.dumps(str(error))}")
        raise
    tell(f"{DONE} {name} {time.perf_counter() - started:.0f}")


def book_step(run_dir: Path) -> None:
    """The last step of the graph: render the book, with the run's provenance for its prose."""
    from ecgrepro.workflow.book import build

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
