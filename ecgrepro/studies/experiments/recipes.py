"""Recipes by which synthetic records might help, and the controls that they have to beat.

Every arm has the same number of updates in all, pre-training included. Pools are made from all
training records of a hospital, whatever fraction of them the classifier is given: at a small
fraction the question is what a pool is worth to someone who has few records.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecgrepro.studies.arms import (
    AUTHENTIC,
    CONFIDENT,
    CONTROLS,
    REAL,
    SIMULATOR,
    Arm,
    other_hospital,
)
from ecgrepro.studies.profiles import Profile

TRIED = "validation"  # scope of the results that recipes are chosen by
CONFIRMED = "test"  # scope of the results that claims rest on
SAME_RECIPE = "(the same recipe)"  # ends the name of a recipe with the simulator's records
ALL_REAL = f"{REAL}, all records"  # what training without real records is compared with


@dataclass(frozen=True)
class Search:
    """What recipes are made of.

    Attributes
    ----------
    generator
        The learned generator whose records are to help.
    ratios
        Synthetic records for each real one.
    guidance
        Scales of classifier-free guidance.
    simulator
        Whether the simulator is among the run's generators.
    """

    generator: str
    ratios: Sequence[float]
    guidance: Sequence[float]
    simulator: bool

    @classmethod
    def of(cls, profile: Profile) -> "Search":
        """The search of a profile."""
        return cls(
            profile.recipe_generator,
            profile.augmentation.ratios,
            profile.recipes.guidance,
            SIMULATOR in profile.generators,
        )


def controls(search: Search, fraction: float) -> list[Arm]:
    """Arms without a learned generator's records; training on the real records is the first."""
    simulated = [Arm("simulator x1", SIMULATOR, 1.0)] if search.simulator else []
    if not fraction:
        return simulated
    arms = [Arm(REAL), *[Arm(f"real, {name}", control=name) for name in CONTROLS]]
    if simulated:
        arms += [
            Arm("real + simulator x1", SIMULATOR, 1.0),
            Arm("real + simulator, balanced", SIMULATOR, balanced=True),
            Arm("pre-trained on simulator", start=SIMULATOR),
        ]
    return arms


def recipes(search: Search, dataset: str, fraction: float) -> list[Arm]:
    """All recipes; at fraction 0 the classifier is trained on synthetic records alone."""
    name, most = search.generator, max(search.ratios)
    added = "real + " if fraction else ""
    arms = [Arm(f"{added}{name} x{r:g}", name, r) for r in search.ratios]
    arms += [
        Arm(f"{added}{name} x{most:g}, guidance {scale:g}", name, most, guidance=scale)
        for scale in search.guidance
    ]
    arms += [
        Arm(f"{added}{name} x{most:g}, {keep} only", name, most, keep=keep)
        for keep in (CONFIDENT, AUTHENTIC)
    ]
    return arms + (_with_real(dataset, name, most) if fraction else [])


def _with_real(dataset: str, name: str, most: float) -> list[Arm]:
    """Recipes that need real records beside the synthetic ones."""
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


def simulated_twin(search: Search, arm: Arm) -> Arm | None:
    """The same recipe with the records of the simulator, which has learned nothing.

    It is filtered alike: a classifier of all real records that chooses samples tells something of
    those records, whoever drew the samples.
    """
    if not search.simulator:
        return None
    replaced = {what: SIMULATOR for what in ("generator", "start") if getattr(arm, what)}
    name = arm.name.replace(search.generator, SIMULATOR)
    return replace(arm, name=f"{name} {SAME_RECIPE}", guidance=None, **replaced)


def opponents(search: Search, fraction: float, chosen: Arm) -> list[tuple[Arm, float]]:
    """Arms that are run on the test records, each with its fraction: the chosen recipe is first.

    Beside the controls there is the recipe itself with the simulator's records. Without real
    records the chosen recipe is compared with training on all of them.
    """
    beaten = controls(search, fraction)
    twin = simulated_twin(search, chosen)
    if twin and not any(replace(arm, name=twin.name) == twin for arm in beaten):
        beaten.append(twin)
    if fraction:
        return [(arm, fraction) for arm in (chosen, *beaten)]
    return [(chosen, 0.0), (Arm(ALL_REAL), 1.0), *[(arm, 0.0) for arm in beaten]]
