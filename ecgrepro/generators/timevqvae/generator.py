"""Time-VQVAE (Lee et al. 2023, arXiv 2303.04743), class-conditional.

Stage 1 (`tokenizer`) encodes a record as codes of a low and a high frequency band. Stage 2
(`prior`) learns the distribution of codes given the class, and samples from it.

Our changes: encoders and decoders start as principal components, which a brief training does not
reach from random weights; their output is not normalized, so that a code has an amplitude; a
position has several levels of codes, sampled one after the other; the transformers have rotary
position embeddings, so that a rhythm does not depend on where it starts; each record is learned at
several shifts within a position. Corrections to the public implementation: the cosine gives the
fraction that is masked, not the fraction that is kept; guidance is used for sampling only; unused
codes are reset.
"""

import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.leads import INDEPENDENT
from ecgrepro.generators.base import Generator, record_seeds
from ecgrepro.generators.settings import TimeVQVAESettings
from ecgrepro.generators.timevqvae.prior import Prior, PriorLoss, guided_logits, pack, unmask
from ecgrepro.generators.timevqvae.tokenizer import BANDS, Tokenizer, TokenizerLoss
from ecgrepro.training.loop import choose_device, train
from ecgrepro.training.randomness import step_generator

CHUNK = 64  # records that are encoded together
STARTERS = 256  # records that initialize principal components and k-means
Pair = tuple[Tensor, Tensor]  # signals and targets


class TimeVQVAEGenerator(Generator):
    """Class-conditional Time-VQVAE as a generator; see `TimeVQVAESettings`.

    A checkpoint folder has a subfolder for each stage. Entries of ``history`` name their
    ``stage``. ``facts`` also have ``codebook_perplexity`` and ``codes_used`` (by band and level),
    ``reconstruction_error`` (by lead) and ``prior_perplexity`` (by band).
    """

    name = "timevqvae"
    settings: TimeVQVAESettings

    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        data = self._tensors(cohort)
        check = self._tensors(validation) if validation is not None else None
        folder = Path(checkpoint_dir) if checkpoint_dir is not None else None
        self.tokenizer, first = self._fit_tokenizer(data, check, folder)
        packed = self._encode_shifted(data[0], self.settings.prior.shifts), data[1]
        checked = (self._encode_shifted(check[0], 1), check[1]) if check else None
        self.priors, second = self._fit_priors(packed, checked, folder)
        self.history = first + second
        modules = (self.tokenizer, self.priors)
        self.facts = {
            "parameters": sum(p.numel() for module in modules for p in module.parameters()),
            "training_seconds": round(first[-1]["seconds"] + second[-1]["seconds"], 3),
            "evaluations": self.evaluations(),
            **self._code_statistics(data[0], check[0] if check else data[0]),
            "prior_perplexity": self._prior_perplexity(*(checked or packed)),
        }

    def evaluations(self, steps: int | None = None, guidance: float | None = None) -> int:
        """Number of evaluations of a transformer for one sample, over both bands and all levels.

        Parameters
        ----------
        steps, guidance
            Iterations of the first level and guidance scale; by default those of the settings.
        """
        count = sum(map(sum, self._iterations(steps).values()))
        return (
            count if (self.settings.guidance if guidance is None else guidance) == 1 else 2 * count
        )

    def _fit_tokenizer(
        self, data: Pair, check: Pair | None, folder: Path | None
    ) -> tuple[Tokenizer, list[dict]]:
        s = self.settings.tokenizer
        tokenizer = self._build_tokenizer()
        tokenizer.start(data[0][:: -(-len(data[0]) // STARTERS)], self.seed)
        trained, history = train(
            TokenizerLoss(tokenizer, spectral=s.spectral),
            *data,
            s,
            seed=self.seed,
            identity=self._stage("tokenizer"),
            validation=check,
            checkpoint_dir=folder / "stage1" if folder else None,
            device=self.device,
            title=f"{self.name} tokenizer on {self._fitted().source}",
        )
        return trained.tokenizer.eval(), [{**entry, "stage": "tokenizer"} for entry in history]

    def _fit_priors(
        self, data: Pair, check: Pair | None, folder: Path | None
    ) -> tuple[nn.ModuleDict, list[dict]]:
        trained, history = train(
            self._loss(self._build_priors(self.tokenizer)),
            *data,
            self.settings.prior,
            seed=self.seed,
            identity=self._stage("tokenizer", "prior"),
            validation=check,
            checkpoint_dir=folder / "stage2" if folder else None,
            device=self.device,
            title=f"{self.name} prior on {self._fitted().source}",
        )
        return trained.priors.eval(), [{**entry, "stage": "prior"} for entry in history]

    def _stage(self, *stages: str) -> dict:
        """Identity of a training that depends only on the settings of ``stages``.

        So another prior can use the checkpoint of the same tokenizer.
        """
        settings = {
            stage: getattr(self.settings, stage).model_dump(mode="json") for stage in stages
        }
        return self._identity() | {"settings": settings}

    def _build_tokenizer(self) -> Tokenizer:
        """An untrained tokenizer; the same seed gives the same one."""
        shape = self._fitted()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return Tokenizer(shape.channels, shape.samples, self.settings.tokenizer)

    def _build_priors(self, tokenizer: Tokenizer) -> nn.ModuleDict:
        """Untrained priors for the codes of ``tokenizer``; the same seed gives the same ones."""
        s, classes = self.settings.prior, len(self._fitted().classes) + 1
        tables = {k: [t.cpu() for t in b.codebooks.tables()] for k, b in tokenizer.bands.items()}
        widths = {"low": (s.low_width, s.low_layers), "high": (s.high_width, s.high_layers)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return nn.ModuleDict(
                {
                    band: Prior(
                        tables[band],
                        tokenizer.bands[band].positions,
                        classes,
                        width=widths[band][0],
                        layers=widths[band][1],
                        heads=s.heads,
                        dropout=s.dropout,
                        coarse=tables["low"] if band == "high" else None,
                    )
                    for band in BANDS
                }
            )

    def _loss(self, priors: nn.ModuleDict) -> PriorLoss:
        return PriorLoss(
            priors,
            self._code_shapes(),
            null=len(self._fitted().classes),
            label_dropout=self.settings.prior.label_dropout,
        )

    @property
    def _device(self) -> torch.device:
        return self.tokenizer.split.window.device

    def _code_shapes(self) -> dict[str, tuple[int, int]]:
        """Number of positions and of levels of each band."""
        bands = self.tokenizer.bands
        return {band: (bands[band].positions, len(bands[band].codebooks.levels)) for band in BANDS}

    @torch.no_grad()
    def _encode_shifted(self, signals: Tensor, shifts: int) -> Tensor:
        """Encode signals at several shifts within a position: packed codes (records, shifts, n)."""
        s = self.settings.tokenizer
        span = max(s.low_stride, s.high_stride) * self.tokenizer.split.hop  # samples
        packed = []
        for part in signals.split(CHUNK):
            moved = [_shifted(part, i * span // shifts).to(self._device) for i in range(shifts)]
            packed.append(torch.stack([pack(self.tokenizer.encode(x)) for x in moved], dim=1))
        return torch.cat(packed).cpu()

    def _iterations(self, steps: int | None) -> dict[str, list[int]]:
        """Iterations that unmask each level of each band."""
        s = self.settings
        first = steps or s.sampling_steps
        fine = min(first, s.fine_steps)
        return {
            band: [first] + [fine] * (levels - 1)
            for band, levels in (("low", s.tokenizer.low_levels), ("high", s.tokenizer.high_levels))
        }

    @torch.no_grad()
    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        s, shape = self.settings, self._fitted()
        device = self._device
        rngs = list(record_seeds(plan, shape.classes, seed))
        labels = torch.tensor([shape.classes.index(code) for code, _ in plan], device=device)
        codes: dict[str, Tensor] = {}
        for band, iterations in self._iterations(steps).items():
            logits = guided_logits(
                cast(Prior, self.priors[band]),
                labels,
                len(shape.classes),
                s.guidance if guidance is None else guidance,
                codes.get("low"),
            )
            codes[band] = unmask(
                logits,
                self._code_shapes()[band],
                iterations,
                rngs,
                temperature=s.temperature,
                choice_temperature=s.choice_temperature,
                device=device,
            )
        return self.tokenizer.decode(codes).float().cpu().numpy()

    @torch.no_grad()
    def _code_statistics(self, signals: Tensor, held_out: Tensor) -> dict:
        """Use of the codes by the training records, and reconstruction error on held-out records.

        Perplexity is exp of the entropy of a level's codes. The reconstruction error of a lead is
        the root mean square difference, in SD of the lead.
        """
        device = self._device
        perplexity: dict[str, list[float]] = {}
        used: dict[str, list[float]] = {}
        parts = [self.tokenizer.encode(x.to(device)) for x in signals.split(CHUNK)]
        for band in BANDS:
            codes = torch.cat([part[band] for part in parts]).flatten(0, 1)  # (N * T, levels)
            n = self.settings.tokenizer.codes
            share = torch.stack([c.bincount(minlength=n) for c in codes.unbind(1)]) / len(codes)
            entropy = -torch.xlogy(share, share).sum(1)
            perplexity[band] = [round(v, 2) for v in entropy.exp().tolist()]
            used[band] = [round(v, 4) for v in (share > 0).float().mean(1).tolist()]
        squares = torch.zeros(signals.shape[1], device=device)
        for part in held_out.split(CHUNK):
            x = part.to(device)
            decoded = self.tokenizer.decode(self.tokenizer.encode(x))
            squares += (decoded - x).square().mean(2).sum(0)
        errors = (squares / len(held_out)).sqrt().tolist()
        shape = self._fitted()
        names = shape.leads if shape.units == "z" else INDEPENDENT
        return {
            "codebook_perplexity": perplexity,
            "codes_used": used,
            "reconstruction_error": {
                name: round(v, 4) for name, v in zip(names, errors, strict=True)
            },
        }

    @torch.no_grad()
    def _prior_perplexity(self, packed: Tensor, targets: Tensor) -> dict[str, float]:
        """Perplexity of masked codes by band: exp of their cross-entropy."""
        device = self._device
        loss = self._loss(self.priors)
        total = dict.fromkeys(BANDS, 0.0)
        count = dict.fromkeys(BANDS, 0)
        for i, (x, y) in enumerate(zip(packed.split(CHUNK), targets.split(CHUNK), strict=True)):
            generator = step_generator(self.seed, 2**41 + i, device)
            for band, found in loss.losses(x.to(device), y.to(device), generator).items():
                total[band] += found.sum().item()
                count[band] += len(found)
        return {band: round(math.exp(total[band] / count[band]), 3) for band in BANDS}

    def _state(self) -> dict[str, Tensor]:
        parts = {"tokenizer": self.tokenizer, "priors": self.priors}
        return {
            f"{name}.{k}": v.detach().cpu().contiguous()
            for name, module in parts.items()
            for k, v in module.state_dict().items()
        }

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        device = choose_device(self.device)
        tokenizer = self._build_tokenizer()
        tokenizer.load_state_dict(_under("tokenizer.", tensors))
        self.tokenizer = tokenizer.to(device).eval()
        priors = self._build_priors(tokenizer)
        priors.load_state_dict(_under("priors.", tensors))
        self.priors = priors.to(device).eval()


def _shifted(x: Tensor, samples: int) -> Tensor:
    """Shift records (B, C, T) by ``samples``; the samples before the start are mirrored."""
    return F.pad(x, (samples, 0), mode="reflect")[..., : x.shape[-1]] if samples else x


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
