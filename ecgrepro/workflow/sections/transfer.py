"""Section 05: pre-trained on synthetic records, fine-tuned on growing fractions of real ones."""

from ecgrepro.studies.arms import SCRATCH, Arm
from ecgrepro.studies.experiments.designs import transfer_arms
from ecgrepro.studies.experiments.transfer import transfer_results
from ecgrepro.workflow.products import arm_probabilities
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section


def compute(run: Run, dataset: str) -> Section:
    """Scores of every arm at every fraction, and differences to training from scratch."""
    profile, test = run.profile, run.splits(dataset)["test"]
    arms = transfer_arms(list(profile.generators), dataset)
    by_fraction = {
        fraction: {
            arm.name: arm_probabilities(run, dataset, arm, fraction)
            for arm in arms
            if fraction or arm.start
        }
        for fraction in profile.transfer.fractions
    }
    all_real = arm_probabilities(run, dataset, Arm(SCRATCH))
    rows = transfer_results(test, all_real, by_fraction, dataset, profile.resamples)
    return Section(rows)
