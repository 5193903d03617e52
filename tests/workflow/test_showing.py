"""Pages only show: stored results need neither recordings nor torch; what is missing is made."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest
import yaml

from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import FOLDER, SECTIONS
from ecgrepro.workflow.sockets import own_sockets

POISONED = Path(__file__).parents[1] / "helpers" / "poisoned"


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
    path = os.pathsep.join(filter(None, [str(POISONED), os.environ.get("PYTHONPATH")]))
    empty = {"ECGREPRO_DATA": str(tmp_path), "ECGREPRO_CACHE": str(tmp_path), "PYTHONPATH": path}
    texts = shown(section, empty)
    assert "Recordings: **simulated**" in texts[0]
    assert not list(tmp_path.iterdir())  # nothing was made


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
