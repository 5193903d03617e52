import subprocess
import sys
import time

import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.digests import file_digest, json_digest
from ecgrepro.support.files import partial_of, whole_file, whole_folder, write_state, write_whole
from ecgrepro.support.locks import exclusive, exclusive_or_refused


@pytest.mark.parametrize("held", [False, True])
def test_a_file_appears_whole_or_what_was_there_is_kept(tmp_path, held):
    path = tmp_path / "x"
    with whole_file(path, durable=True, held=held) as file:
        file.write(b"one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), whole_file(path, held=held) as file:
        file.write(b"tw")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_held_file_is_written_over(tmp_path):
    (tmp_path / "state.json.tmp").write_text('{"a very long')
    write_state(tmp_path / "state.json", {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_text_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EcgreproError, match="cannot write .*x: .*free some space or name another"):
        write_whole(tmp_path / "file" / "x", "text")
    assert write_whole(tmp_path / "new" / "x", "é").read_bytes() == "é".encode()


@pytest.mark.parametrize("held", [False, True])
def test_a_folder_appears_whole_or_not_at_all(tmp_path, held):
    place = tmp_path / "deep" / "folder"
    with pytest.raises(ValueError), whole_folder(place, held=held) as folder:
        (folder / "a").touch()
        raise ValueError
    assert not list(place.parent.iterdir())
    with whole_folder(place, held=held) as folder:
        (folder / "a").touch()
        assert not place.exists()
    with whole_folder(place, replace=True, held=held) as folder:
        (folder / "b").touch()
    assert [p.name for p in place.iterdir()] == ["b"] and list(place.parent.iterdir()) == [place]


def test_what_a_killed_process_left_of_a_held_folder_goes(tmp_path):
    partial_of(tmp_path / "x").mkdir()
    (partial_of(tmp_path / "x") / "old").touch()
    with whole_folder(tmp_path / "x", held=True) as folder:
        (folder / "new").touch()
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["new"]


HOLD = (
    "import sys, time; from pathlib import Path; from ecgrepro.support.locks import exclusive\n"
    "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(1)"
)


def test_a_lock_is_waited_for_or_refused(tmp_path, capsys):
    target = tmp_path / "deep" / "target"
    command = [sys.executable, "-c", HOLD, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        began = time.monotonic()
        lock = target.with_name("target.lock")
        with (
            pytest.raises(EcgreproError, match="in use"),
            exclusive_or_refused(lock, "in use"),
        ):
            pass
        with exclusive(target):
            assert time.monotonic() - began > 0.2
    assert "another process is making target: waiting" in capsys.readouterr().err
    with exclusive_or_refused(lock, "in use"):
        pass


def test_digests_are_of_content_not_of_spelling(tmp_path):
    assert json_digest({"b": 1, "a": (1, 2)}) == json_digest({"a": [1, 2], "b": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 1.0})
    (tmp_path / "x").write_bytes(b"")
    assert file_digest(tmp_path / "x").startswith("e3b0c44298fc1c14")
