"""Processes that a test starts and interrupts."""

import signal

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def restore_signals() -> None:
    """Let a child react to signals, as its ``preexec_fn``, whatever the tests ignore themselves.

    Commands in the background of a shell ignore SIGINT, those under nohup SIGHUP, and children
    inherit that.
    """
    for number in INTERRUPTING:
        signal.signal(number, signal.SIG_DFL)
