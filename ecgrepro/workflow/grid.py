"""Running the arms of a study in parallel processes.

An arm is finished work on disk (`workflow.artifacts`), so the processes return nothing: whoever
asks for an arm afterwards reads it. After a kill what was finished stays, and no arm is run twice,
not even by two processes at once.
"""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import torch
from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.arms import Arm, run_arm
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.pretraining import pretrained
from ecgrepro.studies.synthesis import synthetic_pool
from ecgrepro.workflow.progress import report
from ecgrepro.workflow.run import HOSPITALS, MERGED, Run


@dataclass(frozen=True)
class Cell:
    """One classifier of a study's grid."""

    dataset: str
    arm: Arm
    seed: int
    fraction: float = 1.0


def run_cells(run: Run, cells: Iterable[Cell]) -> None:
    """Run what is not finished of ``cells``, in as many processes as the run has workers.

    What several cells share comes first, so that no process waits for another: pools and
    classifiers that filter them, then pre-trained classifiers. With one worker nothing is done
    here: each arm is run when it is asked for.

    Raises
    ------
    EcgreproError
        The first error of an arm, when those that have begun are done; others are left out then. Or
        a process was ended.
    """
    cells = list(dict.fromkeys(cells))
    if run.workers == 1 or not cells:
        return
    stages = _pools(cells), _starts(cells), [(run_arm, _arguments(cell)) for cell in cells]
    context = get_context("spawn")
    facts = (run.source, run.data, run.directory)
    count = context.Value("i", 0)
    finished, total = 0, sum(map(len, stages))
    with (
        ProcessPoolExecutor(run.workers, context, _open, (*facts, count)) as team,
        tqdm(total=total, desc="arms", unit="arm", disable=None) as bar,
    ):
        for stage in stages:
            waiting = [team.submit(_work, function, arguments) for function, arguments in stage]
            try:
                for done in as_completed(waiting):
                    done.result()
                    bar.update()
                    finished += 1
                    report(finished, total, "arms")
            except BaseException as error:
                for one in waiting:
                    one.cancel()
                if isinstance(error, BrokenExecutor):
                    raise EcgreproError(
                        "a process that ran arms was ended, most often for want of memory: run "
                        "again with fewer --cores; finished arms are kept"
                    ) from error
                raise


def _arguments(cell: Cell) -> tuple:
    return cell.dataset, cell.arm, cell.seed, cell.fraction


def _pools(cells: list[Cell]) -> list[tuple]:
    """Synthetic pools and filtering classifiers of the cells, each once."""
    wanted = {}
    for cell in cells:
        arm, own = cell.arm, HOSPITALS if cell.dataset == MERGED else (cell.dataset,)
        for hospital in (arm.hospital,) if arm.hospital else own:
            for name in filter(None, (arm.generator, arm.start)):
                if name not in HOSPITALS:
                    wanted[synthetic_pool, (hospital, name, arm.guidance)] = None
            if arm.keep:
                wanted[real_classifier, (hospital,)] = None
    return list(wanted)


def _starts(cells: list[Cell]) -> list[tuple]:
    """Pre-trained classifiers of the cells, each once."""
    found = {(c.dataset, c.arm.start, c.seed, c.arm.hospital): None for c in cells if c.arm.start}
    return [(pretrained, arguments) for arguments in found]


_run: Run | None = None  # of a worker process


def _open(profile: str, data: str, directory: Path, count) -> None:
    """Open the run in a worker process; with several GPUs of a kind each has its own in turn."""
    global _run
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _run = Run(profile, data, directory)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if alike := [i for i, name in enumerate(names) if name == names[0]]:  # it is part of a result
        with count.get_lock():
            torch.cuda.set_device(alike[count.value % len(alike)])
            count.value += 1


def _work(function, arguments: tuple) -> None:
    function(_run, *arguments)


def _end_with_parent() -> None:
    """A killed study must not go on beside the one that continues it."""
    parent_process().join()
    os._exit(1)
