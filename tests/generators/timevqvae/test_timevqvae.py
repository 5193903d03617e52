"""Time-VQVAE: bands, codes and masks, and the generator end to end on small signals."""

import math

import numpy as np
import pytest
import torch
from helpers.cohorts import sines as cohort

import ecgrepro.generators.timevqvae.generator as timevqvae
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.settings import TokenizerSettings
from ecgrepro.generators.timevqvae.prior import (
    Prior,
    guided_logits,
    mask_codes,
    masked_share,
    pack,
    unmask,
    unpack,
)
from ecgrepro.generators.timevqvae.tokenizer import BandSplit, Codebooks, Tokenizer, TokenizerLoss

SMALL = {
    "tokenizer": {"steps": 12, "batch_size": 8, "codes": 32, "width": 24,
                  "code_width": 8, "blocks": 1},
    "prior": {"steps": 12, "batch_size": 8, "low_width": 32, "low_layers": 2, "high_width": 32,
              "high_layers": 1, "heads": 2, "shifts": 2},
    "sampling_steps": 4,
    "fine_steps": 2,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def fitted():
    torch.set_num_threads(1)
    generator = make_generator("timevqvae", SMALL, seed=3, device="cpu")
    return generator.fit(cohort(), validation=cohort(6, seed=1))


def merged(**changes):
    """SMALL with some keys of its stages changed."""
    return {k: v | changes.get(k, {}) if isinstance(v, dict) else v for k, v in SMALL.items()} | {
        k: v for k, v in changes.items() if not isinstance(v, dict)
    }


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n_fft", [4, 8, 16])
@pytest.mark.parametrize("samples", [1000, 203])
def test_bands_add_up_to_the_record(n_fft, samples):
    split = BandSplit(n_fft, samples)
    x = torch.randn(3, 5, samples)
    bands = split(x)
    for band, frames in bands.items():
        assert frames.shape == (3, split.frames, split.features(band, 5))
    back = sum(split.inverse(band, frames) for band, frames in bands.items())
    torch.testing.assert_close(back, x, atol=1e-5, rtol=0)


def test_the_low_band_is_the_slow_part():
    t = torch.arange(1000) / 100
    split = BandSplit(8, 1000)
    for hertz, least, most in ((1, 0.4, 0.5), (30, 0, 0.01)):  # a Hann window has 2/3 in bin 0
        x = torch.sin(2 * math.pi * hertz * t)[None, None]
        low = split.inverse("low", split(x)["low"])
        assert least <= low.square().mean() / x.square().mean() < most


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_tokens_cover_a_record_of_any_length(stride):
    s = TokenizerSettings(low_stride=stride, high_stride=stride, width=16, codes=8)
    tokenizer = Tokenizer(3, 141, s)
    tokenizer.start(torch.randn(9, 3, 141), 0)
    TokenizerLoss(tokenizer, spectral=0)(torch.randn(4, 3, 141), torch.zeros(4), gen())
    x = torch.randn(1, 3, 141)  # a batch of one
    codes = tokenizer.eval().encode(x)
    frames = tokenizer.split.frames
    assert codes["high"].shape == (1, -(-frames // stride), s.high_levels)
    assert tokenizer.decode(codes).shape == x.shape


def test_codebooks_leave_less_over_at_each_level_and_pass_gradients_straight_through():
    torch.manual_seed(0)
    books = Codebooks(4, 16, 3, decay=0.9)
    z = torch.randn(8, 50, 4, requires_grad=True)
    for _ in range(20):
        books(z)
    books.eval()
    quantized, codes, _ = books(z)
    left, tables, total = [z.square().mean().item()], books.tables(), 0
    for i in range(3):
        total = total + tables[i][codes[..., i]]
        left.append((z - total).square().mean().item())
    assert left == sorted(left, reverse=True)
    torch.testing.assert_close(quantized, books.lookup(codes))
    quantized.sum().backward()
    torch.testing.assert_close(z.grad, torch.ones_like(z))


def test_codes_follow_in_training_and_stay_in_evaluation():
    tokenizer = Tokenizer(2, 120, TokenizerSettings(width=16, codes=8))
    x, y = torch.randn(16, 2, 120), torch.zeros(16)
    tokenizer.start(x, 0)
    loss = TokenizerLoss(tokenizer, spectral=0.5).eval()
    before = {k: v.clone() for k, v in loss.state_dict().items()}
    assert loss(x, y, gen()) == loss(x, y, gen())
    assert all(torch.equal(v, before[k]) for k, v in loss.state_dict().items())
    loss.train()(torch.randn(16, 2, 120), y, gen())
    changed = {k for k, v in loss.state_dict().items() if not torch.equal(v, before[k])}
    assert sum(k.endswith("embed") for k in changed) == 6  # three levels of two bands


def test_a_tokenizer_starts_as_principal_components():
    """Without codes in between, components as many as numbers lose nothing."""
    torch.manual_seed(0)
    s = TokenizerSettings(code_width=8 * 16, low_stride=2, high_stride=2, width=8, codes=4)
    tokenizer = Tokenizer(2, 160, s)
    x = torch.randn(40, 2, 160)
    tokenizer.start(x, 0)
    split = tokenizer.split
    back = sum(
        split.inverse(band, tokenizer.bands[band].decode(tokenizer.bands[band].encode(frames)))
        for band, frames in split(x).items()
    )
    torch.testing.assert_close(back, x, atol=1e-3, rtol=0)


def test_cosine_masks_64_percent_on_average():
    assert masked_share(torch.tensor(0.0)) == 1
    assert abs(masked_share(torch.tensor(1.0))) < 1e-6
    codes = torch.randint(8, (4000, 50, 2), generator=gen())
    seen, levels, masked = mask_codes(codes, gen(1))
    assert abs(masked.float().mean() - 2 / math.pi) < 0.02
    assert masked.any(1).all()
    for level in (0, 1):
        mine = levels == level
        assert 0.45 < mine.float().mean() < 0.55
        assert torch.equal(seen[mine][..., level] == -1, masked[mine])
        assert (seen[mine][..., :level] >= 0).all()
        assert (seen[mine][..., level + 1 :] == -1).all()
    kept = seen >= 0
    assert torch.equal(seen[kept], codes[kept])


def test_pack_and_unpack():
    codes = {"low": torch.arange(12).view(2, 3, 2), "high": torch.arange(10).view(2, 5, 1)}
    found = unpack(pack(codes), {"low": (3, 2), "high": (5, 1)})
    assert all(torch.equal(found[band], codes[band]) for band in codes)


@pytest.mark.parametrize("steps", [[1, 1], [3, 1], [12, 4], [40, 40]])
def test_unmasking_fills_every_position_once(steps):
    seen = []

    def logits(codes, level):
        seen.append((level, codes.clone()))
        return torch.zeros(*codes.shape[:2], 7)

    rngs = [np.random.default_rng(i) for i in range(3)]
    codes = unmask(logits, (20, 2), steps, rngs, temperature=1, choice_temperature=4)
    assert codes.shape == (3, 20, 2)
    assert ((codes >= 0) & (codes < 7)).all()
    assert [level for level, _ in seen] == [0] * steps[0] + [1] * steps[1]
    for _, before in seen:  # what is drawn stays
        known = before >= 0
        assert torch.equal(codes[known], before[known])
    assert (seen[steps[0]][1][..., 0] >= 0).all()


def test_unmasking_draws_from_the_given_distribution():
    p = torch.tensor([0.5, 0.3, 0.2, 0.0])
    rngs = [np.random.default_rng(i) for i in range(50)]
    codes = unmask(
        lambda codes, level: p.log().expand(*codes.shape[:2], 4),
        (100, 1), [1], rngs, temperature=1, choice_temperature=1,
    )  # fmt: skip
    share = torch.bincount(codes.flatten(), minlength=4) / codes.numel()
    torch.testing.assert_close(share, p, atol=0.02, rtol=0)


def test_guidance_is_for_sampling_and_1_is_none():
    torch.manual_seed(0)
    prior = Prior(
        [torch.randn(6, 4)] * 2, 10, 4, width=16, layers=1, heads=2, dropout=0.0
    )  # fmt: skip
    codes = torch.randint(-1, 6, (3, 10, 2))
    labels, level = torch.tensor([0, 1, 2]), 1
    levels = torch.full((3,), level)
    plain = prior.logits(prior(codes, levels, labels), level)
    none = prior.logits(prior(codes, levels, torch.full((3,), 3)), level)
    for guidance in (0.0, 1.0, 2.5):
        found = guided_logits(prior, labels, 3, guidance, None)(codes, level)
        torch.testing.assert_close(found, none + guidance * (plain - none))
    assert torch.equal(guided_logits(prior, labels, 3, 1.0, None)(codes, level), plain)


def test_a_prior_does_not_see_what_is_masked():
    torch.manual_seed(0)
    prior = Prior([torch.randn(6, 4)] * 2, 8, 2, width=16, layers=1, heads=2, dropout=0.0)
    seen, levels, _ = mask_codes(torch.randint(6, (5, 8, 2)), gen())
    labels = torch.zeros(5, dtype=torch.int64)
    hidden = prior(seen, levels, labels)
    assert hidden.shape == (5, 8, 16)
    assert torch.isfinite(hidden).all()
    assert torch.equal(prior(seen.clone(), levels, labels), hidden)


def test_fit_and_sample(fitted):
    pool = fitted.sample({"AFIB": 2, "SR": 3}, seed=5)
    assert pool.signals.shape == (5, 12, 200)
    assert [e["stage"] for e in fitted.history] == ["tokenizer"] * 12 + ["prior"] * 12
    assert {"step", "loss", "seconds", "validation_loss"} <= fitted.history[-1].keys()


def test_facts_tell_the_health_of_the_codes(fitted):
    facts = fitted.facts
    assert facts["parameters"] > 10_000
    assert facts["training_seconds"] > 0
    assert facts["evaluations"] == 2 * 2 * (4 + 2 + 2)  # two bands, and guidance twice
    assert fitted.evaluations(guidance=1) == 2 * (4 + 2 + 2)
    for key in ("codebook_perplexity", "codes_used"):
        assert {band: len(v) for band, v in facts[key].items()} == {"low": 3, "high": 3}
    for band in ("low", "high"):
        assert all(1 <= v <= 32 for v in facts["codebook_perplexity"][band])
        assert all(0.1 < v <= 1 for v in facts["codes_used"][band])
        assert 1 <= facts["prior_perplexity"][band] < 100
    assert set(facts["reconstruction_error"]) == set(fitted.shape.leads)
    assert all(0 < v < 2 for v in facts["reconstruction_error"].values())


def test_pool_does_not_depend_on_batch_size_or_on_other_classes(fitted):
    counts = {"SR": 3, "SB": 2, "AFIB": 60}
    whole = fitted.sample(counts, seed=1, batch_size=64)
    small = fitted.sample(counts, seed=1, batch_size=7)
    np.testing.assert_allclose(whole.signals, small.signals, atol=1e-3)
    alone = fitted.sample({"SB": 2}, seed=1, batch_size=1)
    np.testing.assert_allclose(alone.signals, whole.signals[3:5], atol=1e-3)
    assert fitted.sample({"SB": 2}, seed=2).fingerprint != alone.fingerprint


def test_guidance_and_steps_change_the_samples(fitted):
    base = fitted.sample({"SR": 2}, seed=0)
    for change in ({"guidance": 3.0}, {"steps": 8}):
        assert not np.allclose(fitted.sample({"SR": 2}, seed=0, **change).signals, base.signals)


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    loaded = load_generator(tmp_path / "model", device="cpu")
    assert loaded.history == fitted.history
    assert loaded.facts == fitted.facts
    assert loaded.settings == fitted.settings
    counts = {"SR": 2, "AFIB": 1}
    assert loaded.sample(counts, seed=9).fingerprint == fitted.sample(counts, seed=9).fingerprint


def test_weights_of_another_geometry_are_refused(fitted, tmp_path):
    directory = fitted.save(tmp_path / "model")
    path = directory / "generator.json"
    path.write_text(path.read_text().replace('"width": 24', '"width": 32'))
    with pytest.raises(EcgreproError, match="do not belong together"):
        load_generator(directory)


class Killed(Exception):
    pass


@pytest.mark.parametrize("stage", ["tokenizer", "prior"])
def test_an_interrupted_training_ends_in_the_same_weights(stage, fitted, tmp_path, monkeypatch):
    """Killed at step 8 of a stage, after a checkpoint at every step."""
    settings = merged(tokenizer={"checkpoint_minutes": 0.0}, prior={"checkpoint_minutes": 0.0})
    loss = {"tokenizer": TokenizerLoss, "prior": timevqvae.PriorLoss}[stage]
    forward, calls = loss.forward, []

    def dying(self, *args):
        if torch.is_grad_enabled():
            calls.append(1)
        if len(calls) == 8:
            raise Killed
        return forward(self, *args)

    def fit():
        generator = make_generator("timevqvae", settings, seed=3, device="cpu")
        return generator.fit(cohort(), validation=cohort(6, seed=1), checkpoint_dir=tmp_path)

    monkeypatch.setattr(loss, "forward", dying)
    with pytest.raises(Killed):
        fit()
    monkeypatch.setattr(loss, "forward", forward)
    again, whole = fit()._state(), fitted._state()
    assert (tmp_path / "stage2" / "checkpoint.safetensors").exists()
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[k], whole[k]) for k in whole)


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    settings = merged(tokenizer={"steps": 2}, prior={"steps": 2})
    make_generator("timevqvae", settings, device="cpu").fit(cohort(), checkpoint_dir=tmp_path)
    with pytest.raises(EcgreproError, match="other data"):
        make_generator("timevqvae", settings, device="cpu").fit(
            cohort(seed=1), checkpoint_dir=tmp_path
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codes": 64}, "codes: unknown key; allowed: tokenizer, prior, sampling_steps"),
        ({"prior": {"stepz": 3}}, "prior.stepz: unknown key"),
        ({"tokenizer": {"high_stride": 3}}, "tokenizer.high_stride: .*given: 3"),
        ({"tokenizer": {"codes": 1}}, "tokenizer.codes: .*greater than 1.*given: 1"),
        ({"guidance": -1}, "guidance: .*given: -1"),
        ({"prior": {"low_width": 100, "heads": 8}}, "low_width .*multiple of .*heads"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(EcgreproError, match=message):
        make_generator("timevqvae", wrong)


BRIEF = {
    "tokenizer": {"steps": 60, "batch_size": 8, "codes": 64, "width": 32, "blocks": 1,
                  "low_stride": 4},
    "prior": {"steps": 150, "batch_size": 12, "low_width": 48, "low_layers": 2, "high_width": 32,
              "high_layers": 1, "heads": 2, "shifts": 2, "learning_rate": 4e-3},
    "sampling_steps": 8,
}  # fmt: skip


@pytest.mark.slow
def test_one_record_repeated_is_overfitted():
    record = cohort(1)
    many = record.select([0] * 8)
    settings = BRIEF | {"prior": BRIEF["prior"] | {"shifts": 1, "dropout": 0}}
    generator = make_generator("timevqvae", settings, device="cpu").fit(many)
    drawn = generator.sample({"SR": 3}, seed=0).signals
    assert np.abs(drawn - record.signals).mean() < 0.15


@pytest.mark.slow
def test_learns_the_frequency_of_each_class():
    """Sines of 1, 2 and 4 Hz: samples have the frequency of their class."""
    generator = make_generator("timevqvae", BRIEF, device="cpu").fit(cohort(90))
    pool = generator.sample({"SR": 10, "SB": 10, "AFIB": 10}, seed=0)
    peak = np.abs(np.fft.rfft(pool.signals[:, 5])).argmax(1) / 2  # Hz
    wanted = pool.table["rhythm"].map({"SR": 2.0, "SB": 1.0, "AFIB": 4.0}).to_numpy()
    assert (peak == wanted).mean() > 0.8


def test_another_prior_takes_over_a_trained_tokenizer(tmp_path):
    settings = merged(tokenizer={"steps": 3}, prior={"steps": 2})
    first = make_generator("timevqvae", settings, device="cpu")
    first.fit(cohort(), checkpoint_dir=tmp_path)
    (tmp_path / "stage2" / "checkpoint.safetensors").unlink()
    longer = merged(tokenizer={"steps": 3}, prior={"steps": 3}, guidance=3.0)
    second = make_generator("timevqvae", longer, device="cpu")
    second.fit(cohort(), checkpoint_dir=tmp_path)
    seconds = [
        [e["seconds"] for e in g.history if e["stage"] == "tokenizer"] for g in (first, second)
    ]
    assert seconds[0] == seconds[1]
