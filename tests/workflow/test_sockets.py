"""Kernels of notebooks: no port that another process could take before the kernel does."""

import tempfile
from pathlib import Path

import nbclient
import nbformat
import pytest

from ecgrepro.studies.profiles import load_profile
from ecgrepro.workflow import sockets as kernels
from ecgrepro.workflow.pages import execute, find_page
from ecgrepro.workflow.sockets import own_sockets


def connection(config) -> dict:
    """How a kernel under these settings is reached; it has to answer, too."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
    client = nbclient.NotebookClient(notebook, kernel_name="python3", config=config)
    with client.setup_kernel():
        found = client.km.get_connection_info()
        client.execute_cell(notebook.cells[0], 0)
    assert notebook.cells[0].outputs[0].text == "42\n"
    return found


def test_a_kernel_has_files_of_its_own_and_leaves_none():
    with own_sockets() as one, own_sockets() as other:
        found = connection(one)
        assert found["transport"] == "ipc" and found["ip"] == one.KernelManager.ip
        assert one.KernelManager.ip != other.KernelManager.ip
    assert not Path(one.KernelManager.ip).parent.exists()


def test_where_the_path_is_too_long_for_a_socket_ports_are_used(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with own_sockets() as config:
        assert connection(config)["transport"] == "tcp"


def test_pages_are_executed_over_own_sockets(monkeypatch, tmp_path):
    """The page's kernel is asked to start with our settings."""
    asked = []

    def refused(self, **_):
        asked.append((self.transport, self.ip))
        raise InterruptedError

    monkeypatch.setattr("jupyter_client.manager.AsyncKernelManager.start_kernel", refused)
    page = find_page(load_profile("smoke"), "01_data/chapman")
    with pytest.raises(InterruptedError):
        execute(page, profile="smoke", data="simulated", run_dir=tmp_path)
    assert asked[0][0] == "ipc" and len(asked[0][1]) < kernels.LONGEST
