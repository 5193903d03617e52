"""The one exception that the package raises on purpose."""


class EcgreproError(Exception):
    """Something the user can mend: the message names what was wrong and the way out.

    The command line prints the message alone, without a traceback, and exits with status 1.
    """
