"""How far long work in a notebook's kernel is, told to the process that executes the notebook.

A kernel's output goes into the notebook, not to the terminal, so the way is a small file.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

VARIABLE = "ECGREPRO_PROGRESS"  # of the environment: the file
POLL = 1.0  # seconds


def report(done: int, total: int, what: str) -> None:
    """Say that so much of the work is done, if anybody follows it."""
    _say(f"{done}/{total} {what}")


def clear() -> None:
    """What was reported is over."""
    _say("")


def _say(text: str) -> None:
    if path := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError):  # work goes on, seen or not
            Path(path).write_text(text)


@contextlib.contextmanager
def followed(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell`` with what processes that are started meanwhile report, once for each change."""
    ended = threading.Event()

    def follow(path: Path) -> None:
        last = ""
        while not ended.wait(POLL):
            if (now := path.read_text()) not in ("", last):
                tell(now)
                last = now

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress"
        path.touch()
        os.environ[VARIABLE] = str(path)
        thread = threading.Thread(target=follow, args=(path,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            ended.set()
            thread.join()
