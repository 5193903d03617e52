"""Put on a process's path: importing torch fails there."""

import sys


class Poison:
    """Finds torch first, and refuses it."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch must not be imported here")


sys.meta_path.insert(0, Poison())
