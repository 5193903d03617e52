"""Pages only show: stored results need neither recordings nor torch; what is missing is made."""

import os
import subprocess
import sys

import nbclient
import nbformat
import pytest
import yaml

from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import FOLDER, SECTIONS
from ecgrepro.workflow.sockets import own_sockets

# On a process's path as `sitecustomize`: importing torch fails there.
POISON = """
import sys


class Poison:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch must not be imported here")


sys.meta_path.insert(0, Poison())
"""


def shown(section: str, environment: dict[str, str], **parameters: str) -> list[str]:
    """Texts that a notebook displays when it is executed with these parameters."""
    notebook = nbformat.read(FOLDER / f"{section}.ipynb", as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    with own_sockets() as config:
        client = nbclient.NotebookClient(notebook, kernel_name="python3", config=config,
                                         resources={"metadata": {"path": str(FOLDER)}})  # fmt: skip
        client.execute(env={**os.environ, **environment})
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return [o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_stored_page_needs_neither_recordings_nor_torch(section, tmp_path):
    poison, empty = tmp_path / "poison", tmp_path / "empty"
    poison.mkdir(), empty.mkdir()
    (poison / "sitecustomize.py").write_text(POISON)
    path = os.pathsep.join(filter(None, [str(poison), os.environ.get("PYTHONPATH")]))
    without = {"ECGREPRO_DATA": str(empty), "ECGREPRO_CACHE": str(empty), "PYTHONPATH": path}
    command = [sys.executable, "-c", "import torch"]
    assert subprocess.run(command, env=os.environ | without, capture_output=True).returncode
    texts = shown(section, without)
    assert "Recordings: **simulated**" in texts[0]
    assert not list(empty.iterdir())  # nothing was made


@pytest.mark.slow
def test_a_notebook_that_is_opened_alone_makes_what_it_shows(tmp_path):
    content = yaml.safe_load((PROJECT / "profiles" / "smoke.yaml").read_text())
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump(content | {"generators": {"unet": {"steps": 2}}}))
    own = {"run": "own", "profile": str(profile), "run_dir": str(tmp_path / "run")}
    texts = shown("01_data", {"ECGREPRO_CACHE": str(tmp_path / "cache")}, **own)
    assert any("Records found and dropped." in text for text in texts)
    assert (tmp_path / "run" / "results" / "01_data" / "ptb-xl.json").is_file()
    assert not list(tmp_path.glob("run/jobs/generator/*"))  # only what it needs
