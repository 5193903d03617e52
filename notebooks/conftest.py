"""nbval over the stored notebooks: the run that they read from is brought up to date first."""

from contextlib import ExitStack

import nbval.kernel
from jupyter_client.manager import KernelManager

from ecgrepro.workflow.runner import run_study
from ecgrepro.workflow.sockets import own_sockets

SOCKETS = ExitStack()


def own_manager(**settings) -> KernelManager:
    """nbval's kernel manager with sockets of its own: pages are tested side by side."""
    return KernelManager(config=SOCKETS.enter_context(own_sockets()), **settings)


def pytest_configure(config):
    """Once, before any worker starts: the claims notebook reads the others' results."""
    nbval.kernel.KernelManager = own_manager
    if config.option.nbval and not hasattr(config, "workerinput"):
        run_study("smoke", "simulated")


def pytest_unconfigure():
    SOCKETS.close()
