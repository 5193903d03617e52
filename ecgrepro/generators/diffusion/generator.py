"""The base of all diffusion generators: trains a denoiser and samples from it.

A subclass adds a network and its settings; `diffwave.py` is the shortest example.
"""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.generators.base import Generator, record_seeds
from ecgrepro.generators.diffusion.denoiser import (
    Denoiser,
    DenoisingLoss,
    DiscreteDenoiser,
    PatchDenoiser,
    guided,
    principal_components,
)
from ecgrepro.generators.diffusion.samplers import SAMPLERS
from ecgrepro.generators.settings import DiffusionSettings
from ecgrepro.training.loop import choose_device, train


class DenoisingGenerator(Generator):
    """A class-conditional diffusion model as a generator; see `DiffusionSettings`."""

    settings: DiffusionSettings

    @abstractmethod
    def _network(self, features: int, classes: int) -> nn.Module:
        """The untrained network, see `Denoiser`; ``classes`` includes the null label."""

    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        signals, self.seen = self._tensors(cohort)
        loss = self._build(*principal_components(signals, self.settings.fold))
        trained, self.history = train(
            loss,
            signals,
            self.seen,
            self.settings,
            seed=self.seed,
            identity=self._identity(),
            validation=self._tensors(validation) if validation is not None else None,
            checkpoint_dir=checkpoint_dir,
            device=self.device,
            title=f"{self.name} on {self._fitted().source}",
        )
        self.denoiser = trained.denoiser.eval()
        self.facts = {
            "parameters": sum(p.numel() for p in trained.parameters()),
            "training_seconds": self.history[-1][
                "seconds"
            ],  # includes the time before an interruption
            "evaluations": self.evaluations(),
        }

    def evaluations(self, steps: int | None = None, guidance: float | None = None) -> int:
        """Number of evaluations of the network for one sample.

        Parameters
        ----------
        steps, guidance
            Sampler steps and guidance scale; by default those of the settings.
        """
        s = self.settings
        steps = steps or s.sampling_steps
        steps = 2 * steps - 1 if s.sampler == "heun" else steps
        return steps if (s.guidance if guidance is None else guidance) == 1 else 2 * steps

    def _build(self, components: Tensor, variances: Tensor) -> DenoisingLoss:
        """An untrained model for the shape and settings; the same seed gives the same model."""
        s, shape = self.settings, self._fitted()
        patch = shape.channels * s.fold
        kept = min(s.components, patch) if s.process == "edm" else patch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self._network(kept, len(shape.classes) + 1)
        denoiser = self._denoiser(network, components, variances, kept)
        return DenoisingLoss(denoiser, null=self._null(), label_dropout=s.label_dropout)

    def _null(self) -> Tensor:
        """The null label, which stands for any class."""
        return torch.tensor(len(self._fitted().classes))

    def _labels(self, plan: list[tuple[str, int]], rngs: list[np.random.Generator]) -> Tensor:
        """Labels of the records (class, number) of ``plan``; ``rngs`` has a generator for each."""
        return torch.tensor([self._fitted().classes.index(code) for code, _ in plan])

    def _denoiser(
        self, network: nn.Module, components: Tensor, variances: Tensor, kept: int
    ) -> Denoiser:
        """The denoiser of the settings' process around ``network``."""
        s = self.settings
        if s.process == "ddpm":
            return DiscreteDenoiser(network, fold=s.fold)
        levels = {k: getattr(s, k) for k in ("p_mean", "p_std", "sigma_min", "sigma_max")}
        return PatchDenoiser(network, components, variances, fold=s.fold, kept=kept, **levels)

    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        s, shape = self.settings, self._fitted()
        size = (shape.channels, shape.samples)
        rngs = list(record_seeds(plan, shape.classes, seed))
        device = next(self.denoiser.parameters()).device

        labels = self._labels(plan, rngs).to(device)

        def draw_noise() -> Tensor:
            noise = np.stack([rng.standard_normal(size, np.float32) for rng in rngs])
            return torch.from_numpy(noise).to(device)

        denoise = guided(
            self.denoiser,
            labels,
            self._null().to(device),
            scale=s.guidance if guidance is None else guidance,
            rescale=s.rescale,
        )
        sigmas = self.denoiser.sampling_levels(steps or s.sampling_steps)
        start = self.denoiser.start(draw_noise(), sigmas[0])
        more = {"draw_noise": draw_noise} if s.sampler == "ancestral" else {}
        return SAMPLERS[s.sampler](denoise, start, sigmas, **more).float().cpu().numpy()

    def _state(self) -> dict[str, Tensor]:
        return {k: v.cpu().contiguous() for k, v in self.denoiser.state_dict().items()}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        patch = self._fitted().channels * self.settings.fold
        basis = [
            tensors.get("components", torch.eye(patch)),
            tensors.get("variances", torch.ones(patch)),
        ]
        denoiser = self._build(*basis).denoiser
        denoiser.load_state_dict(tensors)
        self.denoiser = denoiser.to(choose_device(self.device)).eval()
