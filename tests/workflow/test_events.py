"""What Snakemake says, as progress, a log and explained failures."""

import io
import json
import logging
import sys
from collections import deque
from pathlib import Path
from types import MappingProxyType

import pytest

from ecgrepro import EcgreproError
from ecgrepro.workflow.events import FAILED, Progress, explain_failure
from ecgrepro.workflow.jobs import Graph
from ecgrepro.workflow.runner import PLUGINS, run_study


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    return Graph("smoke", "simulated", tmp_path_factory.mktemp("run"))


@pytest.fixture
def progress(graph) -> Progress:
    return Progress(graph, io.StringIO())


def line(event: str, **facts) -> str:
    return json.dumps({"event": event, "level": "INFO", "message": f"about {event}", **facts})


def started(number: int, kind: str, name: str) -> str:
    """As Snakemake says it: the book has no name of its own."""
    wildcards = {} if kind == "book" else {"name": name}
    reason = "Missing output files:\n  marker.json"
    return line("job_info", jobid=number, rule_name=kind, wildcards=wildcards, reason=reason)


def test_arms_and_trainings_are_counted(progress, graph, capsys):
    """A job counts as much as it trains; what is there already does not, but for what is stale."""
    done = ("cohort/chapman", "cohort/ptb-xl", "generator/chapman-unet-seed0")
    for job in (graph.jobs[name] for name in (*done, "generator/ptb-xl-unet-seed0")):
        (marker,) = graph.outputs(job)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"key": graph.key(job) if job.id in done else "another"}))
    arms = sum(len(job.tasks) for job in graph.jobs.values() if job.kind == "arms")
    trainings = sum(job.kind == "generator" for job in graph.jobs.values()) - 1
    progress.take(line("run_info"))
    transfer = graph.jobs["arms/05_transfer-chapman-0"]
    progress.take(started(4, "arms", transfer.name))
    assert f"0/{arms} arms" in progress.bar.postfix and transfer.id in progress.bar.postfix
    assert f"0/{trainings} trainings" in progress.bar.postfix
    progress.take(line("job_finished", job_id=4))
    assert f"{len(transfer.tasks)}/{arms} arms" in progress.bar.postfix
    assert transfer.id not in progress.bar.postfix
    progress.take(started(5, "generator", "ptb-xl-unet-seed0"))
    progress.take(line("job_finished", job_id=5))
    assert f"1/{trainings} trainings" in progress.bar.postfix
    said = capsys.readouterr().err
    assert f"started {transfer.id}, {len(transfer.tasks)} to train" in said
    assert "done    generator/ptb-xl-unet-seed0 in 0 s" in said
    assert not progress.failures


def test_every_kind_of_job_is_known(progress, graph):
    for number, job in enumerate(graph.jobs.values()):
        progress.take(started(number, job.kind, job.name))
    assert [text.split(":")[0] for text in progress.planned] == list(graph.jobs)
    assert progress.planned[0].endswith(": Missing output files: marker.json")


def failed(progress: Progress, log: Path, kind="section", name="01_data/chapman") -> str:
    """What is said of a job that fails; Snakemake tells its number, not its name."""
    progress.take(started(7, kind, name))
    progress.take(line("job_error", jobid=7, rule_name=kind, log=[str(log)]))
    (failure,) = progress.failures
    return failure


def test_a_clear_error_is_all_that_is_shown(progress, tmp_path):
    log = tmp_path / "x.log"
    clear = "cannot write /x: No space left on device;\nfree some space"
    log.write_text(f"loading\n{FAILED}{json.dumps(clear)}\nTerminated\n")
    assert failed(progress, log) == clear


def test_without_a_clear_error_the_end_of_the_log_is_shown(progress, tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(100)) + b"ValueError: \xff\n")
    said = failed(progress, log)
    assert said.startswith(f"section/01_data/chapman failed; the end of its log {log}:\nline 71")
    assert "line 70\n" not in said and "ValueError" in said.splitlines()[-1]


def test_a_job_that_says_nothing_is_named(progress, tmp_path):
    said = failed(progress, tmp_path / "none.log", "arms", "real-chapman-0")
    assert "arms/real-chapman-0 failed without a word" in said and "memory" in said


def test_the_first_log_that_says_something_explains(graph, tmp_path):
    empty, full = tmp_path / "empty.log", tmp_path / "full.log"
    empty.touch()
    full.write_text(f'{FAILED}"no recordings"\n')
    job = graph.jobs["cohort/chapman"]
    assert explain_failure(job, [tmp_path / "none.log", empty, full]) == "no recordings"


@pytest.mark.parametrize(
    "text",
    ["Building DAG of jobs...", "", "3", "null", "[1]", '"text"', "{}", '{"level": "INFO"}',
     '{"event": "job_info"', "Traceback (most recent call last):", "\x00"],
)  # fmt: skip
def test_lines_that_are_no_events_are_kept_in_the_log(progress, text):
    progress.take(f"{text}\n")
    assert progress.log.getvalue().strip() == text.strip()
    assert not progress.failures and not progress.planned


def test_events_of_no_interest_and_of_unknown_jobs_pass(progress):
    for text in (line("shellcmd"), line("job_finished", job_id=99), line("progress", done=1)):
        progress.take(text)
    progress.take(json.dumps({"event": None, "level": "INFO", "message": "Nothing to be done"}))
    progress.take(line("job_error", jobid=99, rule_name="arms", log=[]))
    assert "Nothing to be done" in progress.tail and not progress.failures


def test_the_end_of_what_was_said_is_kept(progress):
    for i in range(100):
        progress.take(f"line {i}\n")
    assert progress.tail[-1] == "line 99" and len(progress.tail) < 40
    assert progress.log.getvalue().count("\n") == 100


@pytest.fixture
def handler(monkeypatch):
    """The logger plugin, as Snakemake makes it."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    from snakemake_logger_plugin_ecgrepro import LogHandler

    yield LogHandler(None, None)
    sys.modules.pop("snakemake_logger_plugin_ecgrepro")


def emitted(handler, capsys, message, **facts) -> dict:
    record = logging.LogRecord("snakemake", logging.INFO, __file__, 1, message, (), None)
    vars(record).update(facts)
    handler.handle(record)
    (text,) = capsys.readouterr().out.splitlines()
    return json.loads(text)


def test_the_plugin_says_an_event_in_one_line_of_json(handler, capsys):
    from snakemake_interface_logger_plugins.common import LogEvent

    wildcards = MappingProxyType({"name": "chapman"})  # Snakemake's own kinds are no JSON either
    logs = deque(["/run/logs/cohort/chapman.log"])
    found = emitted(
        handler, capsys, "rule\ncohort é", event=LogEvent.JOB_INFO, jobid=3, rule_name="cohort",
        wildcards=wildcards, reason="Missing", log=logs, shellcmd="secret",
    )  # fmt: skip
    assert found == {
        "event": "job_info", "level": "INFO", "message": "rule\ncohort é", "jobid": 3,
        "rule_name": "cohort", "wildcards": {"name": "chapman"}, "reason": "Missing",
        "log": ["/run/logs/cohort/chapman.log"],
    }  # fmt: skip


@pytest.mark.parametrize("message", ["Building DAG of jobs...", None, ValueError("no such rule")])
def test_the_plugin_passes_on_what_is_no_event(handler, capsys, message):
    found = emitted(handler, capsys, message)
    assert found["event"] is None and found["level"] == "INFO"
    assert found["message"] == ("" if message is None else str(message))


def test_what_the_plugin_says_is_understood(handler, capsys, progress):
    from snakemake_interface_logger_plugins.common import LogEvent

    facts = {"event": LogEvent.JOB_INFO, "jobid": 3, "rule_name": "cohort", "reason": "Missing",
             "wildcards": {"name": "chapman"}}  # fmt: skip
    progress.take(json.dumps(emitted(handler, capsys, "Rule: cohort", **facts)))
    assert progress.planned == ["cohort/chapman: Missing"]


@pytest.mark.slow
def test_a_job_that_fails_ends_the_run_with_its_own_words(tmp_path, monkeypatch):
    """From the job's process through its log, Snakemake and the plugin."""
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EcgreproError, match=r"cache.*\nThe book was not built") as failure:
        run_study(
            "smoke", "simulated", cores=1, directory=tmp_path / "run", results="01_data/chapman"
        )
    said = str(failure.value)
    assert "Traceback" not in said and "has no job" not in said and FAILED not in said
    assert list((tmp_path / "run" / "logs" / "cohort").glob("*.log"))
