"""The download against a server on this machine that misbehaves in every way it can."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from helpers.processes import restore_signals
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro.datasets import download as module
from ecgrepro.datasets.download import RELEASES, SUMS, download, parse_sums
from ecgrepro.errors import EcgreproError
from ecgrepro.support.digests import file_digest

PROJECT = Path(__file__).parents[2]
BIG = "records100/00000/00001_lr.dat"


def ptbxl_files(records: int = 4) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {"ptbxl_database.csv": b"ecg_id\n1\n", "LICENSE.txt": b"CC BY", "RECORDS": b"..."}
    for i in range(1, records + 1):
        for folder, end in (("records100", "lr"), ("records500", "hr")):
            stem = f"{folder}/00000/{i:05d}_{end}"
            files[f"{stem}.hea"] = f"{i:05d}_{end} 12 100 1000\n".encode()
            files[f"{stem}.dat"] = rng.bytes(300_000 if i == 1 else 24_000)
    return files


def chapman_files() -> dict[str, bytes]:
    files = {"ConditionNames_SNOMED-CT.csv": b"name\n", "LICENSE.txt": b"CC BY"}
    for number in (1, 2, 10646, 10647):
        stem = f"WFDBRecords/01/010/JS{number:05d}"
        files |= {f"{stem}.hea": b"header %d" % number, f"{stem}.mat": b"data %d" % number}
    return files | {"WFDBRecords/01/010/RECORDS": b"JS00001"}


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``faults[path]`` are the ways its next answers go wrong, in order."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(files)
        sums = [f"{hashlib.sha256(data).hexdigest()} {name}" for name, data in files.items()]
        self.files[SUMS] = "\n".join(sums).encode() + b"\n"
        self.faults = defaultdict(list)
        self.slow = 0.0  # seconds per 10 kB
        self.asked = []  # names, in order
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        faults = self.server.faults[name]
        fault = faults.pop(0) if faults else ""
        data = self.server.files.get(name)
        if data is None:
            return self.send_error(404)
        if fault.startswith(("5", "429", "403")):
            status, _, pause = fault.partition(" after ")
            self.send_response(int(status))
            self.send_header("Content-Length", "0")
            if pause:
                self.send_header("Retry-After", pause)
            return self.end_headers()
        if fault == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault == "truncate":  # a whole answer, of half the file
            data = data[: len(data) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "drop":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return None
        for at in range(0, len(data), 10_000):
            self.wfile.write(data[at : at + 10_000])
            self.wfile.flush()
            time.sleep(self.server.slow)
        return None


@contextmanager
def serving(files):
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(module, "TIMEOUTS", (2, 2))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(ptbxl_files()) as running:
        yield running


def fetched(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and not p.name.startswith(".")
    }


def wanted(server, *, without="records500") -> dict[str, bytes]:
    return {n: data for n, data in server.files.items() if not n.startswith(without)}


def test_a_clean_download_has_the_needed_files_and_no_others(server, tmp_path):
    root = tmp_path / "new" / "ptb-xl"
    assert download("ptb-xl", root, base_url=server.url) == root
    assert fetched(root) == wanted(server)


def test_the_other_rate(server, tmp_path):
    download("ptb-xl", tmp_path, rate=500, base_url=server.url)
    assert fetched(tmp_path) == wanted(server, without="records100")


def test_limit_takes_whole_records_in_order(server, tmp_path):
    download("ptb-xl", tmp_path, limit=2, base_url=server.url)
    records = [n for n in fetched(tmp_path) if n.startswith("records100")]
    assert sorted(Path(n).name for n in records) == [
        "00001_lr.dat", "00001_lr.hea", "00002_lr.dat", "00002_lr.hea",
    ]  # fmt: skip


def test_chapman_ends_at_js10646_unless_ningbo_is_wanted(tmp_path):
    with serving(chapman_files()) as server:
        download("chapman", tmp_path, base_url=server.url)
        assert {Path(n).stem for n in fetched(tmp_path) if n.endswith(".mat")} == {
            "JS00001", "JS00002", "JS10646",
        }  # fmt: skip
        download("chapman", tmp_path, ningbo=True, base_url=server.url)
        assert (tmp_path / "WFDBRecords/01/010/JS10647.mat").is_file()


def test_the_default_root_is_below_ecgrepro_data(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGREPRO_DATA", str(tmp_path))
    assert download("ptb-xl", base_url=server.url, limit=1) == tmp_path / "ptb-xl"


def test_complete_means_no_request_at_all(server, tmp_path, monkeypatch):
    download("ptb-xl", tmp_path, base_url=server.url)
    server.asked.clear()
    hashed = []
    monkeypatch.setattr(module, "file_digest", lambda f: hashed.append(f) or file_digest(f))
    download("ptb-xl", tmp_path, base_url=server.url)
    assert server.asked == [] and set(hashed) == {tmp_path / SUMS}


def test_a_touched_or_lost_file_is_fetched_again(server, tmp_path):
    download("ptb-xl", tmp_path, base_url=server.url)
    (tmp_path / BIG).write_bytes(b"damaged")
    (tmp_path / "RECORDS").unlink()
    server.asked.clear()
    download("ptb-xl", tmp_path, base_url=server.url)
    assert sorted(server.asked) == ["RECORDS", BIG]
    assert fetched(tmp_path) == wanted(server)


def test_verify_finds_damage_that_size_and_time_hide(server, tmp_path):
    download("ptb-xl", tmp_path, base_url=server.url)
    before = (tmp_path / BIG).stat()
    data = bytearray((tmp_path / BIG).read_bytes())
    data[5] ^= 1
    (tmp_path / BIG).write_bytes(data)
    os.utime(tmp_path / BIG, ns=(before.st_atime_ns, before.st_mtime_ns))
    download("ptb-xl", tmp_path, base_url=server.url)
    assert fetched(tmp_path) != wanted(server)
    download("ptb-xl", tmp_path, base_url=server.url, verify=True)
    assert fetched(tmp_path) == wanted(server)


def test_files_that_came_another_way_are_verified_and_kept(server, tmp_path):
    for name, data in wanted(server).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    download("ptb-xl", tmp_path, base_url=server.url)
    assert server.asked == [SUMS]


@pytest.mark.parametrize(
    "faults",
    [
        ["drop"],
        ["drop", "drop", "drop"],
        ["truncate"],
        ["corrupt"],
        ["500", "503", "429"],
        ["drop", "corrupt", "500", "truncate"],
    ],
    ids="+".join,
)
def test_every_fault_is_overcome(server, tmp_path, faults):
    for name in (BIG, "ptbxl_database.csv"):
        server.faults[name] = list(faults)
    download("ptb-xl", tmp_path, base_url=server.url)
    assert fetched(tmp_path) == wanted(server)


def test_many_faults_over_many_files(tmp_path):
    rng = np.random.default_rng(1)
    kinds = ["drop", "truncate", "corrupt", "500", ""]
    with serving(ptbxl_files(records=30)) as server:
        for name in server.files:
            server.faults[name] = list(rng.choice(kinds, rng.integers(0, 4)))
        server.faults[SUMS] = ["500", "drop"]
        download("ptb-xl", tmp_path, base_url=server.url, jobs=8)
        assert fetched(tmp_path) == wanted(server)


def test_what_a_killed_download_left_is_not_taken_for_whole(server, tmp_path):
    left = tmp_path / ".partial" / BIG
    left.parent.mkdir(parents=True)
    left.write_bytes(server.files[BIG][:1000])
    download("ptb-xl", tmp_path, base_url=server.url)
    assert fetched(tmp_path) == wanted(server)
    assert not (tmp_path / ".partial").exists()


def test_a_server_that_asks_for_a_pause_gets_it(server, tmp_path):
    pauses = []
    fetcher = module.Fetcher(server.url, tmp_path)
    fetcher.stop = SimpleNamespace(wait=pauses.append, is_set=lambda: False)
    server.faults["RECORDS"] = ["429 after 7", "503 after 9999", "503"]
    fetcher.fetch("RECORDS", None)
    assert pauses == [7, module.LONGEST_PAUSE, 0]


def test_a_server_that_cannot_be_reached(tmp_path):
    with pytest.raises(EcgreproError, match="check the network"):
        download("ptb-xl", tmp_path, base_url="http://127.0.0.1:9/")


def test_a_silent_server(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUTS", (0.2, 0.2))
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    with serving(ptbxl_files()) as server:
        server.slow = 0.5
        with pytest.raises(EcgreproError, match="not complete|cannot get"):
            download("ptb-xl", tmp_path, base_url=server.url, limit=1)


def test_a_wrong_address(server, tmp_path):
    with pytest.raises(EcgreproError, match="404"):
        download("ptb-xl", tmp_path, base_url=server.url + "elsewhere/")
    with pytest.raises(EcgreproError, match="lists no chapman recordings"):
        download("chapman", tmp_path, base_url=server.url)


def test_a_missing_file_is_named_and_the_rest_is_fetched(server, tmp_path):
    expected = wanted(server)
    del server.files[BIG]
    with pytest.raises(
        EcgreproError, match=f"1 of 11 files are missing.*{server.url}{BIG}.*404.*again"
    ):
        download("ptb-xl", tmp_path, base_url=server.url)
    expected.pop(BIG)
    assert fetched(tmp_path) == expected


def test_a_file_that_stays_wrong_is_reported_and_never_in_place(server, tmp_path):
    server.files[BIG] = b"not what the list says"
    with pytest.raises(EcgreproError, match=f"{BIG}: it does not match its published checksum"):
        download("ptb-xl", tmp_path, base_url=server.url)
    assert not (tmp_path / BIG).exists()


def test_a_lost_connection_ends_it_soon(tmp_path):
    with serving(ptbxl_files(records=60)) as server:
        for name in server.files:
            if name.startswith("records"):
                server.faults[name] = ["503"] * 100
        with pytest.raises(EcgreproError, match="503.*same command again"):
            download("ptb-xl", tmp_path, base_url=server.url)
        assert len(server.asked) < 25 * module.ATTEMPTS


def test_a_disk_that_is_too_small(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=module.RESERVE + 1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(EcgreproError, match="GB more in .* make room"):
        download("ptb-xl", tmp_path, base_url=server.url)
    assert server.asked == [SUMS]


def test_a_disk_that_fills_up_on_the_way(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(EcgreproError, match="No space left on device"):
        download("ptb-xl", tmp_path, base_url=server.url)


def test_a_root_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgreproError, match="cannot write to"):
        download("ptb-xl", tmp_path / "file" / "root", base_url=server.url)


def test_two_downloads_at_once(server, tmp_path):
    with module._locked(tmp_path), pytest.raises(EcgreproError, match="another download"):
        download("ptb-xl", tmp_path, base_url=server.url)


@pytest.mark.parametrize("argument", [{"rate": 250}, {"limit": 0}, {"jobs": 0}, {"jobs": 99}])
def test_arguments_are_checked_first(tmp_path, argument):
    with pytest.raises(EcgreproError, match=f"{next(iter(argument))} must be"):
        download("ptb-xl", tmp_path / "x", **argument)
    assert not (tmp_path / "x").exists()
    with pytest.raises(EcgreproError, match="choose one of 'ptb-xl', 'chapman'"):
        download("mimic", tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/passwd",
        "records100/../../evil",
        "a//b",
        "./x",
        "C:/x",
        "a\\..\\b",
        "x\x01y",
    ],
)
def test_names_that_lead_away_are_refused(server, tmp_path, name):
    server.files[SUMS] += f"{'0' * 64}  {name}\n".encode()
    with pytest.raises(EcgreproError, match="outside the data set|not a checksum"):
        download("ptb-xl", tmp_path / "root", base_url=server.url)
    assert set(fetched(tmp_path)) <= {f"root/{SUMS}"}


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_root(name):
    try:
        sums = parse_sums(f"{'0' * 64}  {name}", "list")
    except EcgreproError:
        return
    root = Path("/a/root")
    for accepted in sums:
        assert Path(os.path.normpath(root / accepted)).is_relative_to(root)


def test_a_link_that_leads_away_is_refused(server, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "records100").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EcgreproError, match="leads out of"):
        download("ptb-xl", tmp_path / "root", base_url=server.url)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_login_page_instead_of_the_list(server, tmp_path):
    server.files[SUMS] = b"<html>Please log in</html>"
    with pytest.raises(EcgreproError, match="login page"):
        download("ptb-xl", tmp_path, base_url=server.url)


def test_lists_in_all_forms_of_sha256sum():
    digest = "A" * 64
    text = f"{digest} one\n{digest}  two.txt\r\n\n{digest} *three/3\n"
    assert parse_sums(text, "list") == dict.fromkeys(["one", "two.txt", "three/3"], "a" * 64)


def test_another_list_than_the_known_one_warns_and_is_fetched_anew(server, tmp_path, monkeypatch):
    here = module.Release(server.url, RELEASES["ptb-xl"].table, "0" * 64)
    monkeypatch.setitem(RELEASES, "ptb-xl", here)
    for _ in range(2):
        with pytest.warns(UserWarning, match="not the list known"):
            download("ptb-xl", tmp_path)
    assert server.asked.count(SUMS) == 2


def test_only_https_addresses_are_built_in():
    assert all(r.url.startswith("https://physionet.org/files/") for r in RELEASES.values())


def start(server, root):
    code = "import sys; from ecgrepro.errors import EcgreproError\n"
    code += "from ecgrepro.datasets.download import download\n"
    code += "try: download('ptb-xl', sys.argv[1], base_url=sys.argv[2], jobs=2)\n"
    code += "except EcgreproError as error: sys.exit(str(error))\n"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), server.url],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        preexec_fn=restore_signals,
    )


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_killed_download_goes_on_where_it_was(server, tmp_path, kill):
    server.slow = 0.03
    process = start(server, tmp_path)
    wait_for(lambda: (tmp_path / "RECORDS").exists())
    parts = (tmp_path / ".partial" / BIG).parent

    def begun() -> bool:
        with contextlib.suppress(FileNotFoundError):  # a small one has just been finished
            return any(part.stat().st_size > 65_000 for part in parts.glob("*"))
        return False

    wait_for(begun)
    process.send_signal(kill)
    message = process.communicate(timeout=30)[1].decode()
    if kill == signal.SIGINT:
        assert "same command again" in message and "Traceback" not in message
    assert not (tmp_path / BIG).exists()
    journal = tmp_path / ".download-ptb-xl.txt"
    journal.write_text(journal.read_text() + "0a1b")  # a line cut short
    done = {name for name in fetched(tmp_path) if not name.startswith(".partial/")}
    assert done
    server.asked.clear()
    download("ptb-xl", tmp_path, base_url=server.url)
    assert fetched(tmp_path) == wanted(server)
    assert BIG in server.asked and done.isdisjoint(server.asked)
