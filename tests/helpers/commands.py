"""Commands in this process."""

from typer.testing import CliRunner

from ecgrepro import EcgreproError
from ecgrepro.cli.main import app


def run(*arguments):
    """The command in this process; what the user can mend is raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, EcgreproError):
        raise result.exception
    return result
