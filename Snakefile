# The study as a graph of jobs: trainings, pools, arms, closeness -> results and figure data of
# every section -> executed notebooks -> the book. `ecgrepro run` is the usual way in (see its
# --help); what each job needs and when it is done again is told by ecgrepro/workflow/jobs.py.
import sys
from pathlib import Path

from ecgrepro.workflow.jobs import RESOURCES, Graph

PROFILE, DATA, RUN = config["profile"], config["data"], Path(config["run_dir"])
GRAPH = Graph(PROFILE, DATA, RUN)
RECORDINGS = []
if DATA == "real":
    from ecgrepro.datasets import READERS, recordings_fingerprint  # slow to import

    RECORDINGS = [recordings_fingerprint(name) for name in READERS]
DO = (
    "{sys.executable:q} -m ecgrepro job {rule} {params.name:q} "
    "--profile {PROFILE:q} --data {DATA:q} --run-dir {RUN:q} --key {params.key} > {log:q} 2>&1"
)


def needs(kind):
    """The input function of a kind of job: what the jobs before it have made."""

    def inputs(wildcards):
        job = GRAPH.job(kind, wildcards.name)
        if job.kind == "section" and job.name.startswith("07_recipes/"):
            hospital = job.name.split("/")[1]
            checkpoints.recipe.get(name=hospital)
            tests = [p for one in GRAPH.confirmations(hospital) for p in GRAPH.outputs(one)]
            return [*GRAPH.inputs(job), *tests]
        return GRAPH.inputs(job)

    return inputs


def key(kind):
    """A job whose key changes is done again."""
    return lambda wildcards: GRAPH.key(GRAPH.job(kind, wildcards.name))


def marker(kind):
    """The file that says that a job is done."""
    return str(RUN / "jobs" / kind / "{name}.json")


def asked_for(kind):
    """What a job of a kind asks a cluster for."""
    needed = RESOURCES[kind]
    gpus = GRAPH.profile.gpus if needed.uses_gpu else 0
    return {"mem_mb": needed.mem_mb, "runtime": needed.runtime, "gpu": gpus}


def log_of(kind):
    """Where a job says how it goes."""
    return str(RUN / "logs" / kind / "{name}.log")


wildcard_constraints:
    name=r"[\w.-]+(/[\w.-]+)?",


rule book:
    input:
        lambda wildcards: GRAPH.inputs(GRAPH.jobs["book/index"]),
    output:
        RUN / "book" / "index.html",
    log:
        RUN / "logs" / "book.log",
    resources:
        **asked_for("book"),
    params:
        name="index",
        key=lambda wildcards: GRAPH.key(GRAPH.jobs["book/index"]),
    shell:
        DO


rule page:
    input:
        needs("page"),
    output:
        str(RUN / "notebooks" / "{name}.ipynb"),
    log:
        log_of("page"),
    resources:
        **asked_for("page"),
    params:
        name="{name}",
        key=key("page"),
    shell:
        DO


rule section:
    input:
        needs("section"),
    output:
        str(RUN / "results" / "{name}.json"),
        str(RUN / "figures" / "{name}.npz"),
    log:
        log_of("section"),
    threads: GRAPH.profile.threads
    resources:
        **asked_for("section"),
    params:
        name="{name}",
        key=key("section"),
    shell:
        DO


rule closeness:
    input:
        needs("closeness"),
    output:
        marker("closeness"),
    log:
        log_of("closeness"),
    threads: GRAPH.profile.threads
    resources:
        **asked_for("closeness"),
    params:
        name="{name}",
        key=key("closeness"),
    shell:
        DO


# Recipes are chosen by validation records; what is run on the test records depends on the choice.
checkpoint recipe:
    input:
        needs("recipe"),
    output:
        marker("recipe"),
    log:
        log_of("recipe"),
    threads: GRAPH.profile.threads
    resources:
        **asked_for("recipe"),
    params:
        name="{name}",
        key=key("recipe"),
    shell:
        DO


rule arms:
    input:
        needs("arms"),
    output:
        marker("arms"),
    log:
        log_of("arms"),
    threads: GRAPH.profile.threads
    resources:
        **asked_for("arms"),
    params:
        name="{name}",
        key=key("arms"),
    shell:
        DO


rule pool:
    input:
        needs("pool"),
    output:
        marker("pool"),
    log:
        log_of("pool"),
    priority: 20
    threads: GRAPH.profile.threads
    resources:
        **asked_for("pool"),
    params:
        name="{name}",
        key=key("pool"),
    shell:
        DO


# The longest jobs start first.
rule generator:
    input:
        needs("generator"),
    output:
        marker("generator"),
    log:
        log_of("generator"),
    priority: 30
    threads: GRAPH.profile.threads
    resources:
        **asked_for("generator"),
    params:
        name="{name}",
        key=key("generator"),
    shell:
        DO


rule classifier:
    input:
        needs("classifier"),
    output:
        marker("classifier"),
    log:
        log_of("classifier"),
    priority: 10
    threads: GRAPH.profile.threads
    resources:
        **asked_for("classifier"),
    params:
        name="{name}",
        key=key("classifier"),
    shell:
        DO


rule cohort:
    output:
        marker("cohort"),
    log:
        log_of("cohort"),
    priority: 40
    resources:
        **asked_for("cohort"),
    params:
        name="{name}",
        key=key("cohort"),
        recordings=RECORDINGS,
    shell:
        DO
