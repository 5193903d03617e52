"""Section 07: recipes chosen on validation records, and confirmed on test records."""

from ecgrepro.studies.arms import Arm, Task
from ecgrepro.studies.experiments.recipe_search import (
    best_recipe,
    confirmation_results,
    corrected_together,
    validation_results,
)
from ecgrepro.studies.experiments.recipes import Search, opponents, recipes
from ecgrepro.support.results import Result
from ecgrepro.workflow.products import arm_outcome, arm_probabilities
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section


def compute(run: Run, dataset: str) -> Section:
    """Every recipe on the validation records; the chosen ones and their opponents on the test."""
    profile, search = run.profile, Search.of(run.profile)
    tried, best = _tried(run, dataset), choose(run, dataset)
    test, confirmed = run.splits(dataset)["test"], []
    for fraction, recipe in best.items():
        found = {
            arm.name: arm_probabilities(run, dataset, arm, share)
            for arm, share in opponents(search, fraction, recipe)
        }
        confirmed += confirmation_results(
            test, found, recipe.name, dataset, fraction, profile.resamples
        )
    confirmed = corrected_together(confirmed)
    rows = []
    for fraction in best:
        rows += [*tried[fraction], *[row for row in confirmed if row.fraction == fraction]]
    return Section(rows)


def choose(run: Run, dataset: str) -> dict[float, Arm]:
    """The best recipe at each fraction, by validation records and with seeds of their own."""
    search = Search.of(run.profile)
    return {
        fraction: best_recipe(recipes(search, dataset, fraction), rows)
        for fraction, rows in _tried(run, dataset).items()
    }


def _tried(run: Run, dataset: str) -> dict[float, list[Result]]:
    helping, search = run.profile.helping, Search.of(run.profile)
    validation = run.splits(dataset)["validation"]
    found = {}
    for fraction in helping.fractions:
        outcomes = {
            arm.name: [
                arm_outcome(run, Task(dataset, arm, seed, fraction)).validation
                for seed in helping.seeds
            ]
            for arm in recipes(search, dataset, fraction)
        }
        found[fraction] = validation_results(validation, outcomes, dataset, fraction)
    return found
