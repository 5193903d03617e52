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
from collections.abc import Iterator
from pathlib import Path

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.profiles import is_file_name, load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.events import Progress
from ecgrepro.workflow.jobs import Graph, run_directory
from ecgrepro.workflow.pages import SECTIONS, find_page

MARKER = ".ecgrepro-run"  # says that a folder is a run's, and which; also the lock
PLUGINS = Path(__file__).with_name("plugins")


def run_study(
    profile: str,
    data: str,
    *,
    cores: int | None = None,
    directory: Path | None = None,
    page: str | None = None,
    results: str | None = None,
    snakemake: list[str] | None = None,
) -> Path | None:
    """Bring a run up to date and return its book.

    What is up to date stays; what a killed run left unfinished goes on. A dry run (``-n`` for
    Snakemake) prints what would be done, removes nothing and returns None.

    Parameters
    ----------
    cores
        Cores to use; by default all.
    page, results
        Only this executed page, or only the results of this page's section, ``01_data/ptb-xl``;
        then that file is returned.
    snakemake
        Further arguments for Snakemake, for example ``["--executor", "slurm"]``.

    Raises
    ------
    EcgreproError
        Something is wrong with the arguments, before any work starts; or a job failed; or the run
        was interrupted, by Ctrl-C or a signal.
    """
    if is_file_name(profile):
        profile = str(Path(profile).absolute())  # the jobs work in other folders
    settings = load_profile(profile, data)
    if data == "real":
        from ecgrepro.datasets import READERS, recordings_fingerprint  # slow to import

        for name in READERS:
            recordings_fingerprint(name)
    run_dir = (directory or run_directory(profile, data)).absolute()
    target = run_dir / "book" / "index.html"
    if page:
        target = run_dir / "notebooks" / f"{find_page(settings, page).name}.ipynb"
    elif results:
        target = run_dir / "results" / f"{find_page(settings, results).name}.json"
    dry = any(re.fullmatch(r"--dry.*|-[a-zA-Z]*n[a-zA-Z]*", word) for word in snakemake or [])
    command = _command(target, profile, data, run_dir, cores or os.cpu_count() or 1)
    default = run_dir == run_directory(profile, data)
    graph = Graph(profile, data, run_dir)
    # Notebooks are read here: what is wrong with one is told before any work starts.
    pages = {job.name for job in graph.jobs.values() if job.kind == "page"}
    try:
        with (
            _interruptible(),
            _claimed(run_dir, f"{settings.name} on {data} data", default) as lock,
        ):
            if not dry:
                _remove_stale_pages(run_dir, pages)
            progress = _follow([*command, *(snakemake or [])], graph, lock)
    except KeyboardInterrupt:
        raise EcgreproError("interrupted; the same command continues where it stopped") from None
    if dry:
        print("\n".join(progress.planned) or "nothing to be done")
    return target if target.exists() and not dry else None


def _command(target: Path, profile: str, data: str, run_dir: Path, cores: int) -> list[str]:
    config = {"profile": profile, "data": data, "run_dir": str(run_dir)}  # quoted: read as YAML
    return [
        *(sys.executable, "-m", "snakemake", str(target)),
        *("--snakefile", str(PROJECT / "Snakefile"), "--directory", str(run_dir)),
        *("--cores", str(cores), "--rerun-incomplete", "--nolock", "--logger", "ecgrepro"),
        "--config",
        *(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in config.items()),
    ]


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does; what is ignored (nohup) stays ignored."""

    def interrupt(number: int, frame: object) -> None:
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
    for folder, suffix in (("notebooks", ".ipynb"), ("results", ".json"), ("figures", ".npz")):
        for section in SECTIONS:
            for path in (run_dir / folder / section).glob(f"*{suffix}"):
                name = f"{section}/{path.stem}"
                if name not in current:
                    print(f"removed {path}: the profile has no page {name} now", file=sys.stderr)
                    path.unlink()


def _follow(command: list[str], graph: Graph, lock: int) -> Progress:
    """Run Snakemake, show its progress, and raise if a job failed.

    Snakemake and its jobs are a session of their own, so that they can be ended together, and
    Snakemake holds the run's lock as well.
    """
    path = graph.directory / "snakemake.log"
    with path.open("w") as file:
        progress = Progress(graph, file)
        with progress.bar:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **_environment()},
                start_new_session=True,
                pass_fds=[lock],
            )
            try:
                assert process.stdout is not None  # a pipe
                for line in process.stdout:
                    progress.take(line)
                status = process.wait()
            except BaseException:
                _end(process)
                raise
    if progress.failures:
        raise EcgreproError("\n\n".join(progress.failures) + "\nThe book was not built.")
    if status:
        said = "\n".join(progress.tail)
        raise EcgreproError(f"Snakemake failed; its log is {path}:\n{said}")
    return progress


def _end(process: subprocess.Popen) -> None:
    """End Snakemake and its jobs, gently first, and wait until none of them can write any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.communicate(timeout=10)  # also waits for the jobs, which share its output
            return


def _environment() -> dict[str, str]:
    """Folders for processes that work elsewhere, and the plugin that Snakemake is to find."""
    names = ("ECGREPRO_DATA", "ECGREPRO_CACHE")
    folders = {
        name: str(Path(os.environ[name]).absolute()) for name in names if os.environ.get(name)
    }
    path = os.pathsep.join(filter(None, (str(PLUGINS), os.environ.get("PYTHONPATH"))))
    return {**folders, "PYTHONPATH": path}
