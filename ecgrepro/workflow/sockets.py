"""Notebook kernels that are spoken to through socket files, which no other process can take.

Jupyter's default is TCP ports that are free when a kernel is asked for; by the time it starts,
another process may have one of them, and the notebook fails.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitlets.config import Config

LONGEST = 100  # bytes of a socket's path; systems allow 104 or more


@contextmanager
def own_sockets() -> Iterator[Config]:
    """Jupyter settings of one kernel with sockets in a folder of its own.

    Where there are no such sockets, or the path of temporary files is too long for one, Jupyter's
    own settings.
    """
    with tempfile.TemporaryDirectory(prefix="ecgrepro-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "kernel"
        usable = sys.platform != "win32" and len(bytes(place)) <= LONGEST
        yield Config(KernelManager={"transport": "ipc", "ip": str(place)} if usable else {})
