"""Pools on disk: the same as in memory, continued after a stop, refused where they differ."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import sines as cohort
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.base import Generator, record_seeds
from ecgrepro.generators.pool import discard, partial_of

COUNTS = {"SR": 7, "AFIB": 5}


class Noise(Generator):
    """White noise; ``stop`` or ``spoil`` at a record, counted over all classes."""

    name = "simulator"

    def __init__(self, stop=None, spoil=None):
        super().__init__()
        self.stop, self.spoil, self.drawn = stop, spoil, 0

    def _fit(self, *_):
        pass

    def _draw(self, plan, *, seed, guidance, steps):
        size = (self.shape.channels, self.shape.samples)
        rngs = record_seeds(plan, self.shape.classes, seed)
        signals = np.stack([rng.standard_normal(size, np.float32) for rng in rngs])
        self.drawn += len(plan)
        if self.stop is not None and self.drawn > self.stop:
            raise KeyboardInterrupt
        if self.spoil is not None and self.drawn > self.spoil:
            signals[self.spoil - self.drawn, 3, 5] = np.nan
        return signals

    def _state(self):
        return {}

    def _restore(self, tensors):
        pass


# For programs of their own: this folder, and that of the helpers.
PATHS = f"{Path(__file__).parent}:{Path(__file__).parents[1]}"


def noise(**options) -> Noise:
    return Noise(**options).fit(cohort(samples=50))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_on_disk_as_in_memory(tmp_path):
    inside = noise().sample(COUNTS, seed=3)
    outside = noise().sample(COUNTS, seed=3, batch_size=5, directory=tmp_path / "pool")
    assert isinstance(outside.signals, np.memmap)
    np.testing.assert_array_equal(outside.signals, inside.signals)
    pd.testing.assert_frame_equal(outside.table, inside.table)
    assert outside.fingerprint == inside.fingerprint and outside.report == inside.report
    assert set(contents(tmp_path / "pool")) == {"cohort.json", "signals.npy", "table.csv"}
    assert contents(inside.save(tmp_path / "saved")) == contents(tmp_path / "pool")
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


@settings(deadline=None, max_examples=20)
@given(
    counts=st.dictionaries(st.sampled_from(["SR", "SB", "AFIB"]), st.integers(1, 9), min_size=1),
    batch_size=st.integers(1, 30),
)
def test_any_batch_size_gives_the_same_pool(counts, batch_size):
    pool = noise().sample(counts, seed=1, batch_size=batch_size)
    assert {code: n for code, n in pool.counts().items() if n} == counts
    assert pool.table["record_id"].is_unique
    whole = noise().sample({"SR": 9, "SB": 9, "AFIB": 9}, seed=1)
    wanted = list(pool.table["record_id"])
    expected = whole.signals[whole.table["record_id"].isin(wanted).to_numpy()]
    np.testing.assert_array_equal(pool.signals, expected)


@pytest.mark.parametrize("stop", [0, 1, 4, 6, 11])
def test_goes_on_where_it_was_stopped(tmp_path, stop):
    whole = noise().sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        noise(stop=stop).sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "pool")
    assert not (tmp_path / "pool").exists()
    again = noise()
    pool = again.sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "pool")
    assert again.drawn == 12 - stop // 2 * 2
    assert contents(tmp_path / "pool") == contents(tmp_path / "whole")
    assert pool.fingerprint == whole.fingerprint


def test_torn_writes_after_the_last_complete_record_do_no_harm(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        noise(stop=6).sample(COUNTS, seed=3, batch_size=3, directory=tmp_path / "pool")
    for name in ("signals.npy", "digests.bin"):
        with open(tmp_path / "pool.partial" / name, "ab") as file:
            file.write(b"torn" * 100)
    pool = noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")
    assert pool.fingerprint == noise().sample(COUNTS, seed=3).fingerprint


def test_killed_in_the_last_steps(tmp_path):
    """After the facts were written: before and after ``progress.json`` is removed."""
    expected = noise().sample(COUNTS, seed=3)
    with pytest.raises(KeyboardInterrupt):
        noise(stop=11).sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "pool")
    partial = partial_of(tmp_path / "pool")
    expected.write_facts(partial)
    pool = noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")
    assert pool.fingerprint == expected.fingerprint
    (tmp_path / "pool").rename(partial)
    again = noise()
    pool = again.sample(COUNTS, seed=3, directory=tmp_path / "pool")
    assert again.drawn == 0 and pool.fingerprint == expected.fingerprint


def test_a_finished_pool_is_opened_and_any_other_refused(tmp_path):
    first = noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")
    again = noise()
    assert again.sample(COUNTS, seed=3, directory=tmp_path / "pool").fingerprint == (
        first.fingerprint
    )
    assert again.drawn == 0
    for change in ({"seed": 4}, {"steps": 9}, {"guidance": 1.5}):
        with pytest.raises(EcgreproError, match="pool already exists"):
            noise().sample(COUNTS, **{"seed": 3, "directory": tmp_path / "pool"} | change)
    (tmp_path / "mine").mkdir()
    with pytest.raises(EcgreproError, match="mine already exists"):
        noise().sample(COUNTS, seed=3, directory=tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 4}, "other seed:"),
        ({"counts": {"SR": 8}}, "other counts:"),
        ({"steps": 9, "guidance": 2}, "other guidance, steps:"),
        ({"data": 1}, "other weights:"),
    ],
)
def test_an_unfinished_pool_of_anything_else_is_refused(tmp_path, change, said):
    with pytest.raises(KeyboardInterrupt):
        noise(stop=4).sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "pool")
    other = Noise().fit(cohort(samples=50, seed=change.pop("data", 0)))
    asked = {"counts": COUNTS, "seed": 3, "directory": tmp_path / "pool"} | change
    with pytest.raises(EcgreproError, match=f"unfinished sampling with {said}"):
        other.sample(**asked)


def test_discard_removes_other_pools_only(tmp_path):
    directory = tmp_path / "pool"
    mine = noise().plan(COUNTS, seed=3).identity
    other = noise().plan(COUNTS, seed=4).identity
    with pytest.raises(KeyboardInterrupt):
        noise(stop=4).sample(COUNTS, seed=3, batch_size=2, directory=directory)
    discard(directory, mine)
    assert partial_of(directory).exists()
    discard(directory, other)
    assert not partial_of(directory).exists()
    noise().sample(COUNTS, seed=3, directory=directory)
    discard(directory, mine)
    assert directory.exists()
    discard(directory, other)
    assert not directory.exists()


@pytest.mark.parametrize("damage", ["short", "no json", "lost", "foreign"])
def test_a_damaged_unfinished_pool_is_refused(tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        noise(stop=6).sample(COUNTS, seed=3, batch_size=2, directory=tmp_path / "pool")
    partial = tmp_path / "pool.partial"
    if damage == "short":
        signals = partial / "signals.npy"
        signals.write_bytes(signals.read_bytes()[:500])
    elif damage == "no json":
        (partial / "progress.json").write_text("{")
    elif damage == "lost":
        (partial / "digests.bin").unlink()
    else:
        (partial / "progress.json").unlink()
        (partial / "thesis.tex").write_text("years of work")
    with pytest.raises(EcgreproError, match=r"pool\.partial"):
        noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")
    assert partial.exists()


def test_two_processes_do_not_write_one_pool(tmp_path):
    import filelock

    partial = tmp_path / "pool.partial"
    partial.mkdir()
    with (
        filelock.FileLock(partial / "lock"),
        pytest.raises(EcgreproError, match="another process is sampling"),
    ):
        noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")


@pytest.mark.parametrize("on_disk", [False, True])
def test_values_that_are_not_finite_name_the_record(tmp_path, on_disk):
    where = {"directory": tmp_path / "pool"} if on_disk else {}
    with pytest.raises(EcgreproError, match="not finite in record 2 of AFIB"):
        noise(spoil=9).sample(COUNTS, seed=3, batch_size=5, **where)
    assert not (tmp_path / "pool").exists()


def test_a_full_disk_is_said_and_continued(tmp_path):
    """With a limit on the size of files, in a process of its own."""
    program = (
        "import resource, signal, sys; sys.path[:0] = sys.argv[1].split(chr(58))\n"
        "from test_pool import COUNTS, noise\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from ecgrepro.errors import EcgreproError\n"
        "try: noise().sample(COUNTS, seed=3, batch_size=2, directory=sys.argv[2])\n"
        "except EcgreproError as error: print(error)\n"
    )
    where = [PATHS, str(tmp_path / "pool")]
    done = subprocess.run(
        [sys.executable, "-c", program, *where], capture_output=True, text=True, check=True
    )
    assert "cannot write the samples" in done.stdout and "File too large" in done.stdout
    pool = noise().sample(COUNTS, seed=3, directory=tmp_path / "pool")
    assert pool.fingerprint == noise().sample(COUNTS, seed=3).fingerprint


def peak_memory(records: int, directory: Path) -> int:
    """Peak resident memory, kB, of a process that samples ``records`` into ``directory``."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1].split(chr(58))\n"
        "from test_pool import noise\n"
        "n = int(sys.argv[2]) // 2\n"
        "noise().sample({'SR': n, 'AFIB': n}, seed=0, directory=sys.argv[3])\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
    )
    arguments = [PATHS, str(records), str(directory)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_pool(tmp_path):
    few, many = peak_memory(2_000, tmp_path / "few"), peak_memory(50_000, tmp_path / "many")
    size = (tmp_path / "many" / "signals.npy").stat().st_size / 1024
    assert size > 0.25 * few  # so that holding the pool would show
    assert many < 1.1 * few
    assert len(Cohort.open(tmp_path / "many")) == 50_000


def test_report_says_what_was_sampled(tmp_path):
    noise().sample(COUNTS, seed=3, guidance=2, directory=tmp_path / "pool")
    said = json.loads((tmp_path / "pool" / "cohort.json").read_text())["report"]["sampled"]
    assert said["counts"] == COUNTS and said["seed"] == 3 and said["guidance"] == 2
    assert said["generator"] == "simulator" and len(said["weights"]) == 64
