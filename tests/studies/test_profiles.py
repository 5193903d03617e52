import pytest
import yaml

from ecgrepro import EcgreproError
from ecgrepro.generators.registry import GENERATORS, learned_generators, paper_generators
from ecgrepro.studies.profiles import FOLDER, load_profile, profile_names


@pytest.fixture
def smoke():
    return yaml.safe_load((FOLDER / "smoke.yaml").read_text())


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_of_the_project_is_valid(name):
    assert load_profile(name).name == name


def write(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generator": {}}, r"generator: unknown key; allowed: name, description, labels"),
        ({"folds": {"train": [1], "validation": [1], "test": [2]}}, "a fold stands in two splits"),
        ({"folds": {"train": [0], "validation": [1], "test": [2]}}, r"folds.train.0: .*given: 0"),
        ({"folds": {"training": [1]}}, "folds.training: unknown key; allowed: train, validation"),
        ({"labels": "rhythm5"}, r"labels: .*'rhythm7' or 'rhythm4' \(given: 'rhythm5'"),
        ({"real": {"classifier": {"update": 3}}}, "key real, .*\n  classifier.update: unknown key"),
        ({"real": {"seeds": 3}}, "key real, .*\n  seeds: .*given: 3"),
        ({"seeds": [-1]}, "seeds.0: .*given: -1"),
        ({"seeds": ["one"]}, "seeds.0: .*given: 'one'"),
        ({"generators": {"gan": {}}}, "generators.gan.*'diffwave'"),
        ({"generators": {"diffwave": {"stepz": 3}}}, "diffwave, .*:\n  stepz: unknown key"),
        ({"generators": {"diffwave": {"steps": -3}}}, "diffwave, .*:\n  steps: .*given: -3"),
        ({"classifier": {"updates": "many"}}, "classifier.updates: .*given: 'many'"),
        ({"classifier": {"depth": 3}}, "classifier.depth: unknown key; allowed: widths"),
        ({"transfer": {"fractions": [1.5], "pretrain_updates": 1}}, "transfer.fractions.0"),
        ({"description": None}, "description"),
        ({"name": "../mine"}, r"name: .*hyphens only.*given: '../mine'"),
        ({"generators": {"unet": {"widths": [0]}}}, "unet, .*:\n  widths.0: .*given: 0"),
        ({"generators": {"unet": {}, "simulator": {"x": 3}}}, "simulator, .*:\n  x: unknown key"),
        ({"generators": {"timevqvae": {"prior": {"x": 1}}}}, "prior.x: unknown key; allowed: st"),
        ({"quality": {"record": 20}}, "quality.record: unknown key; allowed: per_class, records"),
        ({"quality": {"records": 9}}, "quality.records: .*10 .given: 9"),
        ({"quality": {"guidance": [1, -2]}}, "quality.guidance.1: .*given: -2"),
        ({"quality": {"guidance": [1, 1.0]}}, "quality.guidance: .*twice"),
        ({"quality": {"steps": [0]}}, "quality.steps.0: .*given: 0"),
        ({"quality": {"ancestral_steps": 1}}, "quality.ancestral_steps: .*given: 1"),
        ({"quality": {"published": {"minutes": 1}}}, "published.minutes: unknown key; allowed: st"),
        ({"quality": {"published": {"sampling_steps": 201}}}, "published.sampling_steps: .*201"),
        ({"generators": {"diffwave": {"p_mean": float("nan")}}}, "diffwave.p_mean: .*finite.*nan"),
        ({"generators": {"diffwave": {"steps": True}}}, "diffwave.steps: must be a number"),
        ({"generators": {"diffwave": {1: 2}}}, "diffwave, .*:\n  1: Keys should be strings"),
        ({"classifier": {"weight_decay": float("inf")}}, "classifier.weight_decay: .*finite"),
        ({"classifier": {"widths": ["16"]}}, r"classifier.widths.0: .*given: '16'"),
        ({"classifier": {"class_weights": "no"}}, "class_weights: must be true or false"),
        ({"seeds": [0, 1, 0]}, "seeds: .*twice"),
        ({"seeds": [True]}, "seeds.0: must be a number"),
        ({"resamples": "500"}, "resamples: must be a finite number .given: '500'"),
        ({"augmentation": {"ratios": [1, 1.0]}}, "ratios: .*twice"),
        ({"augmentation": {"ratios": [float("inf")]}}, "ratios.0: .*100"),
        ({"transfer": {"fractions": [0, 1, 1], "pretrain_updates": 1}}, "fractions: .*twice"),
        ({"real": {"real": {}}}, "real: .*cannot hold real"),
        ({1: 2}, "1: Keys should be strings"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_what_is_allowed(tmp_path, smoke, change, said):
    with pytest.raises(EcgreproError, match=said):
        load_profile(write(tmp_path, {**smoke, **change}))


def test_what_differs_on_real_recordings_is_merged(tmp_path, smoke):
    path = write(tmp_path, {**smoke, "real": {"labels": "rhythm4", "classifier": {"updates": 27}}})
    plain, real = load_profile(path), load_profile(path, "real")
    assert (plain.labels, real.labels) == ("rhythm7", "rhythm4")
    assert real.classifier.updates == 27 and real.classifier.widths == plain.classifier.widths
    assert plain.classifier.updates == smoke["classifier"]["updates"]
    with pytest.raises(EcgreproError, match="unknown data 'fake'"):
        load_profile(path, "fake")


def test_a_missing_key_is_named(tmp_path, smoke):
    del smoke["seeds"]
    with pytest.raises(EcgreproError, match="seeds: missing"):
        load_profile(write(tmp_path, smoke))


@pytest.mark.parametrize("text", ["- a list", "a: [", ""])
def test_what_is_not_a_profile_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(EcgreproError, match="mine.yaml"):
        load_profile(path)


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(EcgreproError, match="mine.yaml is not text in UTF-8"):
        load_profile(tmp_path / "mine.yaml")


def test_an_integer_may_stand_for_a_number(tmp_path, smoke):
    assert load_profile(write(tmp_path, {**smoke, "augmentation": {"ratios": [2]}}))


def test_every_generator_has_a_title_and_is_in_every_profile():
    assert set(paper_generators()) < set(learned_generators()) < set(GENERATORS)
    for entry in GENERATORS.values():
        assert entry.in_paper != ("not in the paper" in entry.title)
    for name in profile_names():
        assert list(load_profile(name).generators) == list(GENERATORS)


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(EcgreproError, match="unknown profile 'huge': choose one of .*quick"):
        load_profile("huge")
