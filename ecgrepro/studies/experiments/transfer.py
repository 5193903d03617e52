"""Transfer: pre-train a classifier on synthetic records, fine-tune it on a share of real ones.

A classifier from scratch has as many updates as pre-training and fine-tuning have together: a gain
is never one of more training.
"""

from collections.abc import Sequence
from itertools import product

from ecgrepro.studies.arms import Arm, probabilities
from ecgrepro.studies.pretraining import other_hospital
from ecgrepro.studies.scoring import arm_results, corrected, curve, differences, patients_of
from ecgrepro.support.results import Result
from ecgrepro.workflow.grid import Cell, run_cells
from ecgrepro.workflow.run import HOSPITALS, Run

SCRATCH = "from scratch"
ALL_REAL = "from scratch on all real records"


def pretrained_arm(generator: str) -> str:
    """Name of the arm that is pre-trained on a generator's records, or on another hospital's."""
    real = " (real records)" if generator in HOSPITALS else ""
    return f"pre-trained on {generator}{real}"


def arms(run: Run, dataset: str) -> list[Arm]:
    """From scratch, pre-trained on each generator, and on the other hospital's real records."""
    sources = (*run.profile.generators, other_hospital(dataset))
    return [Arm(SCRATCH), *[Arm(pretrained_arm(name), start=name) for name in sources]]


def cells(run: Run, dataset: str) -> list[Cell]:
    """Every arm at every share with every seed, and training on all real records."""
    shares = product(arms(run, dataset), run.profile.transfer.fractions)
    wanted = [(Arm(SCRATCH), 1.0), *[(a, f) for a, f in shares if f or a.start]]
    return [Cell(dataset, a, seed, f) for a, f in wanted for seed in run.profile.seeds]


def transfer_results(run: Run, dataset: str) -> list[Result]:
    """Scores of every arm at every share, with differences to the classifier from scratch.

    At every share but all of them, each pre-trained arm is also compared with the classifier from
    scratch on all real records.
    """
    run_cells(run, cells(run, dataset))
    test, resamples = run.splits(dataset)["test"], run.profile.resamples
    all_real, rows = probabilities(run, dataset, Arm(SCRATCH)), []
    for fraction in run.profile.transfer.fractions:
        by_arm = {
            arm.name: probabilities(run, dataset, arm, fraction)
            for arm in arms(run, dataset)
            if fraction or arm.start
        }
        keys = {"dataset": dataset, "fraction": fraction}
        rows += arm_results(test, by_arm, SCRATCH, resamples=resamples, **keys)
        if fraction < 1:
            tuned = {name: stack for name, stack in by_arm.items() if name != SCRATCH}
            settings = {"patients": patients_of(test), "resamples": resamples}
            rows += differences(test, {ALL_REAL: all_real, **tuned}, ALL_REAL, settings, keys)
    return corrected(rows)


def share_curves(results: Sequence[Result]) -> dict[str, tuple[Sequence[float], ...]]:
    """Macro-F1 of each arm over the share of the real records, as `scoring.curve`."""
    scored = [r for r in results if r.metric == "macro_f1" and not r.comparison]
    names = dict.fromkeys(r.arm for r in scored)
    return {name: curve([r for r in scored if r.arm == name]) for name in names}
