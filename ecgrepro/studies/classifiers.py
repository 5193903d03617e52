"""The classifier of a run that judges: trained on real records only."""

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.workflow.run import Run

CLASSIFIER = "ecgrepro.classifier.classifier.Classifier"  # the code that trains one


def real_classifier(run: Run, dataset: str) -> Classifier:
    """The classifier trained on a data set's real training folds, with the first seed.

    It judges synthetic records (rhythm agreement) and embeds records for closeness; it has never
    seen a synthetic record.
    """
    settings, seed = run.profile.classifier, run.profile.seeds[0]
    parts = run.splits(dataset)

    def make(folder):
        classifier = Classifier(settings, seed=seed)
        classifier.fit(parts["train"], parts["validation"]).save(folder / "model")

    made_from = {"classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("classifier", dataset, made_from, [CLASSIFIER], make)
    return Classifier.load(place / "model")
