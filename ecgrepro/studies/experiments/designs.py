"""The arms of each experiment. Read without torch and scipy: the graph of jobs is made of them."""

from collections.abc import Sequence
from itertools import product

from ecgrepro.studies.arms import (
    ACROSS,
    HOSPITALS,
    MERGED,
    REAL,
    SCRATCH,
    Arm,
    Task,
    other_hospital,
)
from ecgrepro.studies.profiles import Augmentation


def augmentation_arms(settings: Augmentation, generators: Sequence[str]) -> list[Arm]:
    """Real records only, the controls, then each generator at each ratio and balanced."""
    arms = [Arm(REAL)]
    arms += [Arm(f"real, {name}", control=name) for name in settings.controls]
    for name in generators:
        arms += [Arm(f"real + {name} x{ratio:g}", name, ratio) for ratio in settings.ratios]
        if settings.balanced:
            arms.append(Arm(f"real + {name}, balanced", name, balanced=True))
    return arms


def pretrained_arm(source: str) -> str:
    """Name of the arm that is pre-trained on a generator's records, or on another hospital's."""
    real = " (real records)" if source in HOSPITALS else ""
    return f"pre-trained on {source}{real}"


def transfer_arms(generators: Sequence[str], dataset: str) -> list[Arm]:
    """From scratch, pre-trained on each generator, and on the other hospital's real records."""
    sources = (*generators, other_hospital(dataset))
    return [Arm(SCRATCH), *[Arm(pretrained_arm(name), start=name) for name in sources]]


def transfer_tasks(
    generators: Sequence[str], dataset: str, fractions: Sequence[float], seeds: Sequence[int]
) -> list[Task]:
    """Every arm at every fraction with every seed, and training on all real records."""
    pairs = product(transfer_arms(generators, dataset), fractions)
    wanted = [(Arm(SCRATCH), 1.0), *[(a, f) for a, f in pairs if f or a.start]]
    return [Task(dataset, a, seed, f) for a, f in wanted for seed in seeds]


def away_arm(home: str) -> Arm:
    """Trained and selected on the other hospital's real records alone."""
    return Arm(ACROSS, trained_in=other_hospital(home))


def crossing_tasks(seeds: Sequence[int]) -> list[Task]:
    """Training runs of `merged.crossing_results`."""
    wanted = [(MERGED, Arm(REAL))]
    wanted += [(home, arm) for home in HOSPITALS for arm in (Arm(REAL), away_arm(home))]
    return [Task(name, arm, seed) for name, arm in wanted for seed in seeds]


def tstr_arm(generator: str) -> Arm:
    """Trained on synthetic records alone, as many as there are real ones; at fraction 0."""
    return Arm(f"{generator} only", generator, ratio=1)
