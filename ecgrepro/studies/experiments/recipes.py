"""What is tried to make synthetic records help: arms, and the controls that they have to beat.

Every arm has the same number of updates in all, pre-training included. Pools are made from all
training records of a hospital whatever share of them the classifier is given: at a small share the
question is what a pool is worth to someone who has few records of their own.
"""

from dataclasses import replace

from ecgrepro.studies.arms import CONTROLS, REAL, Arm
from ecgrepro.studies.pretraining import other_hospital
from ecgrepro.studies.selection import AUTHENTIC, CONFIDENT
from ecgrepro.workflow.run import Run

SIMULATOR = "simulator"
TWIN = "(the same recipe)"  # ends the name of a recipe with the simulator's records


def controls(run: Run, fraction: float) -> list[Arm]:
    """Arms without a learned generator's records, training on the real records first."""
    simulated = [Arm("simulator x1", SIMULATOR, 1.0)] if _has_simulator(run) else []
    if not fraction:
        return simulated
    found = [Arm(REAL), *[Arm(f"real, {name}", control=name) for name in CONTROLS]]
    if simulated:
        found += [
            Arm("real + simulator x1", SIMULATOR, 1.0),
            Arm("real + simulator, balanced", SIMULATOR, balanced=True),
            Arm("pre-trained on simulator", start=SIMULATOR),
        ]
    return found


def recipes(run: Run, dataset: str, fraction: float) -> list[Arm]:
    """Everything that is tried with the records of the profile's ``helper``.

    At share 0 the classifier is trained on synthetic records alone.
    """
    name, settings = run.profile.helper, run.profile.helping
    most = max(run.profile.augmentation.ratios)
    added = "real + " if fraction else ""
    found = [Arm(f"{added}{name} x{r:g}", name, r) for r in run.profile.augmentation.ratios]
    found += [
        Arm(f"{added}{name} x{most:g}, guidance {scale:g}", name, most, guidance=scale)
        for scale in settings.guidance
    ]
    found += [
        Arm(f"{added}{name} x{most:g}, {keep} only", name, most, keep=keep)
        for keep in (CONFIDENT, AUTHENTIC)
    ]
    return found + (_with_real(run, dataset, name, most) if fraction else [])


def simulated_twin(run: Run, arm: Arm) -> Arm | None:
    """The same recipe with the records of the simulator, which has learned nothing.

    Filtered alike: a classifier of all real records that chooses samples tells something of them,
    whoever drew the samples.
    """
    if not _has_simulator(run):
        return None
    put = {what: SIMULATOR for what in ("generator", "start") if getattr(arm, what)}
    name = arm.name.replace(run.profile.helper, SIMULATOR)
    return replace(arm, name=f"{name} {TWIN}", guidance=None, **put)


def _with_real(run: Run, dataset: str, name: str, most: float) -> list[Arm]:
    """What needs real records beside the synthetic ones."""
    other = other_hospital(dataset)
    start = f"pre-trained on {name}"
    return [
        Arm(f"real + {name}, rare rhythms only", name, balanced=True),
        Arm(f"real + {name}, rare and confident only", name, balanced=True, keep=CONFIDENT),
        Arm(f"real + {name} x{most:g}, fading out", name, most, fading=True),
        Arm(start, start=name),
        Arm(f"{start}, gentle fine-tuning", start=name, gentle=True),
        Arm(f"real + {name} of {other}, rare rhythms only", name, balanced=True, hospital=other),
        Arm(f"{start} of {other}", start=name, hospital=other),
    ]


def _has_simulator(run: Run) -> bool:
    return SIMULATOR in run.profile.generators
