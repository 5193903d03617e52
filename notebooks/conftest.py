"""nbval over the stored notebooks, which show results that come with the project."""

from contextlib import ExitStack

import nbval.kernel
from jupyter_client.manager import KernelManager

from ecgrepro.workflow.sockets import own_sockets

SOCKETS = ExitStack()


def own_manager(**settings) -> KernelManager:
    """nbval's kernel manager with sockets of its own: pages are tested side by side."""
    return KernelManager(config=SOCKETS.enter_context(own_sockets()), **settings)


def pytest_configure():
    nbval.kernel.KernelManager = own_manager


def pytest_unconfigure():
    SOCKETS.close()
