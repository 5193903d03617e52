"""What Snakemake says while it runs a study, as a progress bar, a log and explained failures."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from ecgrepro.workflow.jobs import Graph, Job

FAILED = "job-failed:"  # begins the last line of the log of a job that ended with a clear error
_TAIL = 30  # lines of a log that are shown where there is no clear error
# What is counted: kinds of jobs, and what one training run or job of them is called.
_COUNTED = {"generator": "trainings", "classifier": "classifiers", "arms": "arms"}


class Progress:
    """Follows the events of one run of Snakemake.

    The bar counts work: a job that trains classifiers counts as many as it trains, any other one.
    Its estimate of the time left is that of the work done so far.

    Parameters
    ----------
    graph
        The jobs of the run.
    log
        An open file for everything that Snakemake says.
    """

    def __init__(self, graph: Graph, log: TextIO):
        self.graph, self.log = graph, log
        self.failures: list[str] = []
        self.tail: list[str] = []
        self.planned: list[str] = []  # of a dry run
        self._jobs: dict[int, tuple[Job, float]] = {}  # at work, by Snakemake's number
        self._done: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self.bar = tqdm(
            desc="study",
            mininterval=0.5,
            dynamic_ncols=True,
            disable=None,
            bar_format="{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}<{remaining}{postfix}",
        )

    def take(self, line: str) -> None:
        """One line of Snakemake's output: an event of our plugin, or anything else."""
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, KeyError, TypeError):
            self._write(line)
            return
        self._write(_readable(event))
        if kind == "job_info":
            self._started(event)
        elif kind == "job_finished":
            self._finished(event)
        elif kind == "job_error":
            self._failed(event)
        elif kind == "run_info":
            self._plan()
        elif kind == "progress":
            self._show()

    def _write(self, text: str) -> None:
        if text.strip():
            self.log.write(text.rstrip() + "\n")
            self.log.flush()
            self.tail = [*self.tail[-_TAIL:], text.rstrip()]

    def _job(self, event: dict[str, Any]) -> Job:
        name = (event.get("wildcards") or {}).get("name", "index")
        if event.get("rule_name") == "book":
            name = "index"
        return self.graph.job(event["rule_name"], name)

    def _started(self, event: dict[str, Any]) -> None:
        job = self._job(event)
        self._jobs[event["jobid"]] = job, time.monotonic()
        reason = textwrap.shorten(str(event.get("reason", "")), 160, placeholder=" …")
        self.planned.append(f"{job.id}: {reason}")
        trains = f", {count} to train" if (count := len(job.tasks)) > 1 else ""
        self.bar.write(f"  started {job.id}{trains}", file=sys.stderr)
        self._show()

    def _finished(self, event: dict[str, Any]) -> None:
        job, began = self._jobs.pop(event["job_id"], (None, 0.0))
        if job is None:
            return
        self._done[_counted(job)] += _size(job)
        seconds = time.monotonic() - began
        self.bar.write(f"  done    {job.id} in {seconds:.0f} s", file=sys.stderr)
        self.bar.update(_size(job))
        self._show()

    def _failed(self, event: dict[str, Any]) -> None:
        """Explain a failure; of the job, Snakemake tells its number, not its wildcards."""
        job, _ = self._jobs.pop(event["jobid"], (None, 0.0))
        if job is not None:
            logs = [Path(path) for path in event.get("log") or []]
            self.failures.append(explain_failure(job, logs))

    def _plan(self) -> None:
        """Snakemake has settled what there is to do: count it."""
        pending: dict[str, bool] = {}
        for job in self.graph.jobs.values():
            if self._is_pending(job, pending):
                self._total[_counted(job)] += _size(job)
        self.bar.total = self.bar.n + sum(self._total.values())
        self.bar.refresh()

    def _is_pending(self, job: Job, known: dict[str, bool]) -> bool:
        """Whether a job or one before it has to be done: not there, or its key has changed."""
        if job.id not in known:
            before = (self.graph.jobs[name] for name in job.needs)
            known[job.id] = any(self._is_pending(other, known) for other in before) or not all(
                path.exists() for path in self.graph.outputs(job)
            )
            if not known[job.id] and job.kind not in ("section", "page", "book"):
                known[job.id] = self.graph.done(job, "key") != self.graph.key(job)
        return known[job.id]

    def _show(self) -> None:
        counts = [f"{self._done[k]}/{n} {k}" for k, n in self._total.items() if k != "steps" and n]
        running = [job.id for job, _ in self._jobs.values()]
        self.bar.set_postfix_str("; ".join([*counts, *running]))


def _counted(job: Job) -> str:
    return _COUNTED.get(job.kind, "steps")


def _size(job: Job) -> int:
    return max(1, len(job.tasks))


def _readable(event: dict[str, Any]) -> str:
    if event["event"] == "job_info":
        name = (event.get("wildcards") or {}).get("name", "")
        reason = " ".join(str(event.get("reason", "")).split())
        return f"[{time.strftime('%H:%M:%S')}] {event['rule_name']} {name} ({reason})"
    return event["message"]


def explain_failure(job: Job, logs: list[Path]) -> str:
    """What a job that failed said last: its own error if it is a clear one, else its log's end."""
    for path in logs:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        for line in reversed(lines):
            if line.startswith(FAILED):
                return json.loads(line.removeprefix(FAILED))
        if lines:
            end = "\n".join(lines[-_TAIL:])
            return f"{job.id} failed; the end of its log {path}:\n{end}"
    return f"{job.id} failed without a word; most often for want of memory: run with fewer --cores"
