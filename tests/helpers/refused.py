"""A ``sitecustomize`` that hides packages which the wheel does not declare.

The test writes the names of the hidden modules into ``REFUSED`` beside a copy of this file.
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path


class Hiding:
    """Python's own search for modules, which does not find some."""

    def __init__(self, names):
        self.names = frozenset(names)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in self.names
        return None if hidden else PathFinder.find_spec(name, path, target)

    find_distributions = staticmethod(PathFinder.find_distributions)  # versions of packages
    invalidate_caches = staticmethod(PathFinder.invalidate_caches)


if (listed := Path(__file__).with_name("REFUSED")).is_file():
    sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding(listed.read_text().split())
