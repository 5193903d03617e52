"""``ecgrepro train`` and ``ecgrepro sample``: what they make, what they refuse, kill and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
import yaml
from helpers.cohorts import assert_einthoven, millivolts
from helpers.commands import run

from ecgrepro import Cohort, EcgreproError, load_cohort, load_generator, make_generator
from ecgrepro.cli.generators import _merged, _settings
from ecgrepro.cli.options import read_folds
from ecgrepro.datasets.wfdb_export import export_wfdb
from ecgrepro.support.provenance import PROJECT

TINY = ["--set", "steps=3", "--set", "batch_size=4", "--set", "channels=8", "--set", "blocks=2",
        "--set", "sampling_steps=2"]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder that holds a cache and ``records``, a data set of one's own in mV."""
    home = tmp_path_factory.mktemp("cli")
    before = os.environ.get("ECGREPRO_CACHE")
    os.environ["ECGREPRO_CACHE"] = str(home / "cache")
    trained = make_generator("simulator").fit(millivolts(6, samples=1000))
    export_wfdb(trained.sample({"SR": 12, "SB": 10, "AFIB": 10}, seed=0), home / "records")
    yield home
    if before is None:
        del os.environ["ECGREPRO_CACHE"]
    else:
        os.environ["ECGREPRO_CACHE"] = before


def train(home, out, *more, model="diffwave"):
    settings = TINY if model == "diffwave" else ["--set", "hospital=chapman"]
    return run("train", model, "--dataset", home / "records", "--device", "cpu",
               "--out", out, *settings, *more)  # fmt: skip


@pytest.fixture(scope="module")
def model(home):
    """A simulator in mV: samples at once, of any number."""
    train(home, home / "model", "--scale", "mV", model="simulator")
    return home / "model"


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_train_then_sample(home, tmp_path):
    result = train(home, tmp_path / "m", "--scale", "mV")
    assert result.exit_code == 0, result.output
    assert "train folds 1,2,3,4,5,6,7: " in result.output
    assert "no training record of ST, AFL, SA, SVT" in result.output
    assert "trained diffwave: " in result.output and "parameters" in result.output
    assert "loss" in result.output and "next: ecgrepro sample" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["m"]  # checkpoints are gone
    command = result.output.split("next: ")[1].splitlines()[0].split()[1:]
    command = [part.replace("=100", "=3") for part in command]
    result = run(*command, "--device", "cpu")
    assert result.exit_code == 0 and "3 synthetic records" in result.output
    samples = tmp_path / "m-samples"
    name = command[command.index("--rhythm") + 1].split("=")[0]
    record = wfdb.rdrecord(str(samples / f"{name}_000002"), physical=False)
    assert_einthoven(record.d_signal.astype(int))
    assert record.units == ["mV"] * 12
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["m", "m-samples"]


def test_arrays_are_the_pool_itself(model, tmp_path):
    run("sample", model, "--rhythm", "AFIB=2", "--rhythm", "SR=3", "--seed", 7, "--format", "npy",
        "--out", tmp_path / "pool")  # fmt: skip
    opened = Cohort.open(tmp_path / "pool")
    expected = load_generator(model).sample({"AFIB": 2, "SR": 3}, seed=7)
    assert opened.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(opened.signals, expected.signals)


def test_options_reach_the_training(home, tmp_path):
    result = train(home, tmp_path / "m", "--train", "1-5,7", "--validation", "none", "--labels",
                   "rhythm4", "--seed", 4, "--fs", 125, "--set", "learning_rate=1e-3")  # fmt: skip
    assert "folds 1,2,3,4,5,7:" in result.output and "validation folds none: 0" in result.output
    found = load_generator(tmp_path / "m", device="cpu")
    assert found.settings.learning_rate == 1e-3 and found.seed == 4
    assert found.shape.fs == 125 and found.shape.samples == 1250 and found.shape.units == "z"
    assert found.shape.labels == "rhythm4"
    cohort = load_cohort(str(home / "records"), labels="rhythm4", fs=125)
    assert found.shape.fingerprint == cohort.split(train=[1, 2, 3, 4, 5, 7])["train"].fingerprint


def test_a_profile_gives_settings_labels_and_folds(home, tmp_path):
    profile = tmp_path / "tiny.yaml"
    smoke = yaml.safe_load((PROJECT / "profiles" / "smoke.yaml").read_text())
    diffwave = {"steps": 4, "channels": 16, "blocks": 2, "sampling_steps": 2}
    changes = {"labels": "rhythm4", "generators": {"diffwave": diffwave}}
    profile.write_text(yaml.safe_dump(smoke | changes))
    run("train", "diffwave", "--dataset", home / "records", "--profile", profile, "--device",
        "cpu", "--set", "batch_size=2", "--out", tmp_path / "m")  # fmt: skip
    found = load_generator(tmp_path / "m", device="cpu")
    assert found.settings.steps == 4 and found.settings.batch_size == 2
    assert found.settings.channels == 16 and found.shape.labels == "rhythm4"
    result = run("train", "simulator", "--dataset", home / "records", "--profile", profile,
                 "--set", "hospital=chapman", "--out", tmp_path / "s")  # fmt: skip
    assert "has no settings for simulator" in result.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "chanels=8"], "chanels: unknown key; allowed: .*channels"),
        (["--set", "learning_rate=-8"], "learning_rate: .*greater than 0"),
        (["--set", "channels"], "--set 'channels': expected KEY=VALUE"),
        (["--set", "steps=5"], "--set names steps twice"),
        (["--train", "1,11"], "--train '1,11': expected folds from 1 to 10"),
        (["--train", "1-8"], "a fold stands in two splits"),
        (["--scale", "volt"], "unknown scale 'volt'"),
        (["--labels", "rhythm9"], "unknown label map 'rhythm9'"),
        (["--root", "/tmp"], "give no root"),
        (["--profile", "huge"], "unknown profile 'huge'"),
        (["--device", "abacus"], "--device abacus cannot be used"),
    ],
)
def test_wrong_training_options_are_named(home, tmp_path, more, said):
    with pytest.raises(EcgreproError, match=said):
        train(home, tmp_path / "m", *more)
    assert list(tmp_path.iterdir()) == []


def test_unknown_generators_and_data_sets_are_named(home, tmp_path):
    with pytest.raises(EcgreproError, match="unknown generator 'wavegan': choose"):
        run("train", "wavegan", "--dataset", home / "records", "--out", tmp_path / "m")
    with pytest.raises(EcgreproError, match="unknown data set 'chapmann'"):
        run("train", "simulator", "--dataset", "chapmann", "--out", tmp_path / "m")


def test_folds_without_a_record(home, tmp_path):
    export_wfdb(make_generator("simulator").fit(millivolts(6, samples=1000)).sample({"SR": 1},
                seed=0), tmp_path / "one")  # fmt: skip
    fold = int(load_cohort(str(tmp_path / "one")).table["fold"].iloc[0])
    other = fold % 10 + 1
    with pytest.raises(EcgreproError, match=f"training folds {other}: it has the folds {fold}"):
        run("train", "simulator", "--dataset", tmp_path / "one", "--set", "hospital=chapman",
            "--train", other, "--validation", "none", "--out", tmp_path / "m")  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rhythm", "VT=3"], "unknown class 'VT': choose from SR, SB, AFIB"),
        (["--rhythm", "SVT=3"], "without a record of SVT: it can sample SR, SB, AFIB"),
        (["--rhythm", "SR=0"], "cannot sample 0 records of SR"),
        (["--rhythm", "SR=-5"], "cannot sample -5 records of SR"),
        (["--rhythm", "SR=1.5"], "--rhythm 'SR=1.5': expected CODE=NUMBER"),
        (["--rhythm", "SR"], "--rhythm 'SR': expected CODE=NUMBER"),
        (["--rhythm", "SR=1", "--rhythm", "SR=2"], "--rhythm names SR twice"),
        (["--rhythm", "SR=1", "--guidance", "-1"], "guidance must be a finite number"),
        (["--rhythm", "SR=1", "--guidance", "nan"], "guidance must be a finite number"),
    ],
)
def test_wrong_sampling_options_are_named(model, tmp_path, more, said):
    with pytest.raises(EcgreproError, match=said):
        run("sample", model, "--out", tmp_path / "s", *more)
    assert list(tmp_path.iterdir()) == []


def test_damaged_generators_are_refused(model, tmp_path):
    with pytest.raises(EcgreproError, match="not a saved generator"):
        run("sample", tmp_path, "--rhythm", "SR=1", "--out", tmp_path / "s")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in files(model).items():
        (copy / name).write_bytes(
            content.replace(b'"hospital": "chapman"', b'"hospital": "ptb-xl"')
        )
    with pytest.raises(EcgreproError, match="changed after it was saved"):
        run("sample", copy, "--rhythm", "SR=1", "--out", tmp_path / "s")


def test_nothing_is_overwritten_without_force(home, model, tmp_path):
    train(home, tmp_path / "m", model="simulator")
    before = files(tmp_path / "m")
    with pytest.raises(EcgreproError, match="m already exists and is not empty"):
        train(home, tmp_path / "m", "--scale", "mV", model="simulator")
    assert files(tmp_path / "m") == before
    train(home, tmp_path / "m", "--scale", "mV", "--force", model="simulator")
    assert load_generator(tmp_path / "m").shape.units == "mV"
    for form in ("npy", "wfdb", "npy"):
        asked = ("sample", model, "--out", tmp_path / "s", "--format", form, "--rhythm", "SR=2")
        if (tmp_path / "s").exists():
            with pytest.raises(EcgreproError, match="s already exists and is not empty"):
                run(*asked)
            assert run(*asked, "--force").exit_code == 0
        else:
            run(*asked)
        mark = {"npy": "cohort.json", "wfdb": "export.json"}[form]
        assert (tmp_path / "s" / mark).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "s"]


def test_force_on_a_folder_of_another_is_refused(home, model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(EcgreproError, match="holds thesis.tex"):
        train(home, tmp_path / "mine", "--force", model="simulator")
    with pytest.raises(EcgreproError, match="holds thesis.tex"):
        run("sample", model, "--rhythm", "SR=1", "--out", tmp_path / "mine", "--force")
    assert list(files(tmp_path / "mine")) == ["thesis.tex"]


def test_force_starts_anew_beside_unfinished_work_of_another_kind(model, tmp_path):
    generator = load_generator(model)
    generator.sample({"SR": 2}, seed=9, directory=tmp_path / "s.pool")
    asked = ("sample", model, "--out", tmp_path / "s", "--rhythm", "SR=1")
    with pytest.raises(EcgreproError, match=r"s\.pool already exists"):
        run(*asked)
    assert run(*asked, "--force").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_nan_in_training_data_is_said(home, tmp_path, monkeypatch):
    cohort = load_cohort(str(home / "records"))
    signals = np.array(cohort.signals)
    signals[:, 4, 9] = np.nan
    broken = replace(cohort, signals=signals)
    monkeypatch.setattr("ecgrepro.datasets.load_cohort", lambda *_, **__: broken)
    with pytest.raises(EcgreproError, match="record .* has values that are not finite"):
        train(home, tmp_path / "m", model="simulator")
    assert not (tmp_path / "m").exists()


def test_folds_are_spelled_in_several_ways():
    assert read_folds("--train", "1-3, 5,7-7") == [1, 2, 3, 5, 7]
    for wrong in ("", "0", "3-1", "x", "1-", "-2", "none"):
        with pytest.raises(EcgreproError, match="expected folds"):
            read_folds("--train", wrong)


def test_settings_are_nested_by_dots():
    given = ["steps=5", "prior.steps=7", "prior.learning_rate=1e-3", "sampler=heun", "minutes=null"]
    assert _settings(given) == {"steps": 5, "prior": {"steps": 7, "learning_rate": "1e-3"},
                                "sampler": "heun", "minutes": None}  # fmt: skip
    assert _merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    with pytest.raises(EcgreproError, match="prior.stepz: unknown key; allowed: steps, "):
        make_generator("timevqvae", _settings(["prior.stepz=1"]))


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "ecgrepro", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def kill_once(process: subprocess.Popen, ready) -> None:
    """Kill -9 as soon as ``ready()``, which must come before the end."""
    try:
        for _ in range(6000):
            if ready():
                break
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finish(*arguments) -> None:
    process = start(*arguments)
    _, said = process.communicate()
    assert process.returncode == 0, said


def recorded(path: Path) -> int:
    """Records that a progress file says are complete."""
    try:
        return json.loads(path.read_text())["records"]
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(home, tmp_path):
    longer = ["--set", "steps=80", "--set", "batch_size=4", "--set", "channels=8", "--set",
              "blocks=2", "--set", "checkpoint_minutes=0"]  # fmt: skip
    command = ["train", "diffwave", "--dataset", home / "records", "--device", "cpu", *longer]
    finish(*command, "--out", tmp_path / "whole")
    out = tmp_path / "killed"
    checkpoint = tmp_path / "killed.training" / "checkpoint.safetensors"
    kill_once(start(*command, "--out", out), checkpoint.exists)
    assert not out.exists()
    finish(*command, "--out", out)
    assert (out / "weights.safetensors").read_bytes() == (
        tmp_path / "whole" / "weights.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.slow
def test_a_killed_sampling_goes_on_to_the_same_bytes(model, tmp_path):
    """Killed while sampling, and again while exporting."""
    counts = {"SR": 150, "AFIB": 150}
    pool = load_generator(model).sample(counts, seed=1, batch_size=8)
    export_wfdb(pool, tmp_path / "whole")
    command = ["sample", model, "--rhythm", "AFIB=150", "--rhythm", "SR=150", "--seed", 1,
               "--batch-size", 8, "--out", tmp_path / "s"]  # fmt: skip
    progress = tmp_path / "s.pool.partial" / "progress.json"
    kill_once(start(*command), lambda: recorded(progress) > 0)
    done = recorded(progress)
    assert 0 < done < 300 and not (tmp_path / "s").exists()
    partial = tmp_path / "s.partial"
    kill_once(start(*command), (partial / "export.json").exists)
    assert not (tmp_path / "s").exists()
    finish(*command)
    assert files(tmp_path / "s") == files(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "whole"]
