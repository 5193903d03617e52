"""Processes that this package starts."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """End this process, started by multiprocessing, as soon as the one that started it has ended.

    A killed run must not go on writing beside the one that continues it.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
