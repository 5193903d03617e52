"""nbval over the stored notebooks: the run that they read from is brought up to date first."""

from ecgrepro.pipeline import run_study


def pytest_configure(config):
    """Once, before any worker starts: the claims notebook reads the others' results."""
    if config.option.nbval and not hasattr(config, "workerinput"):
        run_study("smoke", "simulated")
