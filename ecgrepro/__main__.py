"""``python -m ecgrepro``: the command line."""

from ecgrepro.cli.main import main

main()
