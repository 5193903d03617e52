"""Where files go that can be made again."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """``$ECGREPRO_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("ECGREPRO_CACHE") or platformdirs.user_cache_dir("ecgrepro"))
