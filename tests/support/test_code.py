import subprocess
import sys
import time

import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.code import Memory, code_fingerprint
from ecgrepro.support.syntax import Package

FILES = {
    "__init__.py": "",
    "work.py": '''
"""Work."""
import numpy as np
from toy.parts import helper, middle
from toy import parts


class Base:
    """What all have."""

    factor = 2

    def scale(self, x):
        return self.factor * x


class Model(Base):
    """A model."""

    width: int = 4

    def fit(self, x: int, rate=0.1):
        """Fit it."""
        # a comment
        return helper(x) + np.sum([rate, self.width])


def run(x):
    from toy.late import later

    return later(x) + middle(x)


def by_attribute(x):
    return parts.deep.LEVEL * x


def unrelated(x):
    return x - 1
''',
    "parts/__init__.py": "from toy.parts.near import helper, middle\nfrom toy.parts import deep\n",
    "parts/near.py": """
from toy.parts.far import LIMIT, far

TABLE = {"a": 1}
TABLE["b"] = 2
COUNT: int = 1
COUNT += 1
if COUNT > 1:
    EXTRA = 5


def helper(x):
    return far(x) + COUNT


def middle(x):
    return x + EXTRA


def idle():
    return LIMIT
""",
    "parts/far.py": """
from toy.parts import near

LIMIT = 3


def far(x, step=1):
    return x + step if x else near.middle(x)
""",
    "parts/deep.py": "LEVEL = 7\nOTHER = 8\n",
    "late.py": "def later(x):\n    return -x\n",
}
MODEL, RUN, ATTRIBUTE = "toy.work.Model", "toy.work.run", "toy.work.by_attribute"


@pytest.fixture
def toy(tmp_path):
    root = tmp_path / "toy"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def fingerprint(*names, data_files=None, **changes):
        """With a text in a file, named by its stem, replaced by another."""
        for stem, (old, new) in changes.items():
            file = next(root.rglob(f"{stem}.py"))
            text = file.read_text()
            assert old in text
            file.write_text(text.replace(old, new))
        found = Package(root, data_files).fingerprint(*names)
        for name, text in FILES.items():
            (root / name).write_text(text)
        return found

    fingerprint.root = root
    return fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"work": ('"""A model."""', '"""Another\n    text."""')},
        {"work": ('        """Fit it."""\n', "")},
        {"work": ("# a comment", "# another")},
        {"work": ("x: int, rate=0.1", "x, rate: float = 0.1")},
        {"work": ("width: int = 4", "width: float = 4")},
        {"work": ("helper(x) + np.sum(", "helper( x )\\\n  +  np.sum(")},
        {"work": ("return x - 1", "return x - 2")},
        {"late": ("-x", "x")},
        {"far": ("LIMIT = 3", "LIMIT = 4")},
        {"near": ("COUNT: int = 1", "COUNT = 1")},
        {"near": ("return LIMIT", "return 2 * LIMIT")},
        {"deep": ("LEVEL = 7", "LEVEL = 9")},
    ],
)  # fmt: skip
def test_what_does_not_matter_changes_nothing(toy, changes):
    assert toy(MODEL, **changes) == toy(MODEL)


@pytest.mark.parametrize(
    "changes",
    [
        {"work": ("factor = 2", "factor = 3")},  # of a base class
        {"work": ("(Base)", "(object)")},
        {"work": ("rate=0.1", "rate=0.2")},
        {"work": ("width: int = 4", "width: int = 5")},
        {"work": ("import numpy as np", "import torch as np")},
        {"near": ("far(x) + COUNT", "far(x) - COUNT")},  # through a re-export
        {"near": ("COUNT: int = 1", "COUNT: int = 2")},
        {"near": ("COUNT += 1", "COUNT += 2")},
        {"near": ('TABLE["b"] = 2', 'TABLE["b"] = 3')},  # a statement with an effect
        {"near": ("EXTRA = 5", "EXTRA = 6")},
        {"far": ("step=1", "step=2")},  # two modules away
        {"work": ("import helper, middle", "import middle as helper")},
    ],
)
def test_what_decides_the_outcome_counts(toy, changes):
    assert toy(MODEL, **changes) != toy(MODEL)


def test_an_import_inside_of_a_function_is_followed(toy):
    assert toy(RUN, late=("-x", "x")) != toy(RUN)
    assert toy(MODEL, late=("-x", "x")) == toy(MODEL)


def test_an_attribute_of_a_module_is_followed_to_what_it_names(toy):
    assert toy(ATTRIBUTE, deep=("LEVEL = 7", "LEVEL = 9")) != toy(ATTRIBUTE)
    assert toy(ATTRIBUTE, deep=("OTHER = 8", "OTHER = 9")) == toy(ATTRIBUTE)


def test_what_an_inner_name_stands_for_counts(toy):
    """`far` names `middle` through the module that imports it: a cycle."""
    changed = {"near": ("x + EXTRA", "x - EXTRA")}
    assert toy("toy.parts.far.far", **changed) != toy("toy.parts.far.far")


def test_a_module_stands_for_all_of_it_and_a_package_for_all_of_its_modules(toy):
    for name in ("toy.parts.deep", "toy.parts", "toy"):
        assert toy(name, deep=("OTHER = 8", "OTHER = 9")) != toy(name)
    assert toy("toy.parts.near", far=("LIMIT = 3", "LIMIT = 4")) != toy("toy.parts.near")


def test_a_name_may_be_that_of_a_re_export(toy):
    assert toy("toy.parts.helper", far=("step=1", "step=2")) != toy("toy.parts.helper")


def test_every_root_counts_in_any_order(toy):
    assert toy(MODEL, RUN) == toy(RUN, MODEL) != toy(MODEL)


def test_the_files_that_a_module_reads_count(toy):
    (toy.root / "style").write_text("a")
    files = {"toy.parts.far": ["style"]}
    one, other = toy(MODEL, data_files=files), toy(RUN, data_files={"toy.parts.deep": ["style"]})
    (toy.root / "style").write_text("b")
    assert toy(MODEL, data_files=files) != one
    assert toy(RUN, data_files={"toy.parts.deep": ["style"]}) == other


@pytest.mark.parametrize(
    "name",
    ["toy.nothing", "toy.work.nothing", "toy.work.Model.fit", "toy.work.np", "numpy", "x", ""],
)
def test_a_name_that_is_nothing_is_named(toy, name):
    with pytest.raises(EcgreproError, match=f"{name} is no module of the package toy"):
        toy(MODEL, name)


def test_a_broken_import_is_named(toy):
    with pytest.raises(EcgreproError, match=r"work\.py: helper is not there"):
        toy(MODEL, near=("def helper", "def renamed"))


def test_the_package_itself_is_read_fast_and_nothing_is_imported():
    code = (
        "import sys; from ecgrepro.support.code import code_fingerprint as f;"
        "f('ecgrepro.classifier.classifier.Classifier', 'ecgrepro.closeness.compare.compare');"
        "assert not {'torch', 'numpy', 'ecgrepro.classifier.classifier'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    began = time.process_time()
    assert code_fingerprint("ecgrepro") != code_fingerprint("ecgrepro.cohort")
    assert time.process_time() - began < 5


def test_what_has_not_changed_is_not_parsed_again(toy, tmp_path, monkeypatch):
    root, file = tmp_path / "toy", tmp_path / "cache" / "code.json"
    first = Memory(Package(root), file).fingerprint(RUN, MODEL)
    with monkeypatch.context() as patch:
        patch.setattr(Package, "fingerprint", None)
        assert Memory(Package(root), file).fingerprint(RUN, MODEL) == first
    late = root / "late.py"
    late.write_text(late.read_text().replace("-x", "-2 * x"))
    assert Memory(Package(root), file).fingerprint(RUN, MODEL) != first
    file.write_text("{")  # damaged: taken anew
    assert Memory(Package(root), file).fingerprint(MODEL)
    nowhere = file / "in a file"
    assert Memory(Package(root), nowhere).fingerprint(MODEL) == Package(root).fingerprint(MODEL)
