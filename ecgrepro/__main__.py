"""``python -m ecgrepro``: the command line."""

from ecgrepro.cli import main

main()
