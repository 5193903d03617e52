"""What a training is made of, apart from the loop: budget, chance, average, guard, display."""

import contextlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.training.settings import TrainingSettings

_BETAS = (0.9, 0.99)


@dataclass
class State:
    """What, beside tensors, a checkpoint holds."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # since the last history entry
    smooth: float | None = None
    lowest: float = math.inf
    history: list[dict] = field(default_factory=list)


def progress(settings: TrainingSettings, step: int, seconds: float) -> float:
    """The part of the budget that is used, 1 at its end."""
    part = step / settings.steps
    if settings.minutes is not None:
        part = max(part, seconds / (60 * settings.minutes))
    return part


def passed(points: int, before: float, after: float) -> bool:
    """Whether one of so many evenly spaced points of the budget lies in (before, after]."""
    return int(after * points + 1e-9) > int(before * points + 1e-9)


def learning_rate(settings: TrainingSettings, part: float) -> float:
    """Linear warm-up, then half a cosine to 0, by the ``part`` of the budget that is used."""
    warm = (part + 1 / settings.steps) / settings.warmup if settings.warmup else 1.0
    return settings.learning_rate * min(1.0, warm) * (1 + math.cos(math.pi * part)) / 2


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW that decays matrices, not biases and gains: those have no reason to be near 0."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=_BETAS,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def class_weights(targets: Tensor, balance: float) -> Tensor:
    """Sampling weight of each record, (records,): n ** -balance in a class of n records.

    ``targets`` are class indices, (records,), or have them in the first of several columns.
    """
    targets = targets if targets.ndim == 1 else targets[:, 0].long()
    counts = torch.bincount(targets).float()
    return counts[targets] ** -balance


def step_generator(
    seed: int, step: int, device: torch.device | str, rank: int = 0
) -> torch.Generator:
    """The generator of one step in one process: the same for the same (seed, step, rank)."""
    return torch.Generator(device).manual_seed(_seeds(seed, step, rank)[0])


def seed_step(seed: int, step: int, device: torch.device, rank: int = 0) -> torch.Generator:
    """The step's generator, as `step_generator`; torch's own, for dropout, are seeded too."""
    generators, torchs = _seeds(seed, step, rank)  # two seeds: two streams of chance
    torch.default_generator.manual_seed(torchs)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(torchs)
    return torch.Generator(device).manual_seed(generators)


def own_chance(device: torch.device) -> contextlib.AbstractContextManager:
    """Puts torch's own generators back, at the end, as they were."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _seeds(seed: int, step: int, rank: int) -> list[int]:
    mixed = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint64)
    return [int(word) for word in mixed]


class Guard:
    """Follows loss and gradient norm; raises where they are not finite or the loss explodes.

    Values of ``every`` steps are looked at together, because each look waits for a GPU. So
    `check` comes before anything is kept.
    """

    def __init__(self, state: State, *, every: int):
        self.state, self.every, self.norm = state, every, math.nan
        self._pending: list[tuple[int, float, Tensor, Tensor]] = []

    def note(self, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        """Take loss and gradient norm of a step, before its update where ``every`` is 1."""
        self._pending.append((step, rate, loss, norm))
        if len(self._pending) >= self.every:
            self.check()

    def check(self) -> None:
        """Look at what was noted since the last check.

        Raises
        ------
        EcgreproError
            With the step and its learning rate.
        """
        if not self._pending:
            return
        steps, rates, losses, norms = zip(*self._pending, strict=True)
        self._pending = []
        values = torch.stack([*losses, *norms]).tolist()
        n = len(steps)
        for step, rate, loss, norm in zip(steps, rates, values[:n], values[n:], strict=True):
            state = self.state
            smooth = loss if state.smooth is None else 0.95 * state.smooth + 0.05 * loss
            if not math.isfinite(loss) or (step > 20 and smooth > 10 * abs(state.lowest)):
                raise _diverged(step, f"loss {loss:.4g}", rate)
            if not math.isfinite(norm):
                raise _diverged(step, f"gradient norm {norm}", rate)
            state.smooth, state.lowest = smooth, min(state.lowest, smooth)
            state.losses.append(loss)
            self.norm = norm


def _diverged(step: int, what: str, rate: float) -> EcgreproError:
    return EcgreproError(
        f"training diverged at step {step}: {what}, learning rate {rate:.3g}; these weights "
        "are not saved. Lower learning_rate, or check the training data for outliers"
    )


class Bar:
    """A progress bar over the budget, be it of steps or of minutes, with loss and time left."""

    def __init__(self, title: str, part: float, *, show: bool):
        self._bar = tqdm(
            total=1.0,
            initial=part,
            desc=title,
            smoothing=0.05,
            disable=None if show else True,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def show(self, part: float, state: State) -> None:
        """Move to ``part`` of the budget."""
        if not self._bar.disable:
            loss = "" if state.smooth is None else f", loss {state.smooth:.3f}"
            self._bar.set_postfix_str(f"step {state.step}{loss}", refresh=False)
            self._bar.update(min(part, 1.0) - self._bar.n)


class TensorBoardLog:
    """Scalars for TensorBoard in ``directory``; nothing at all if that is None.

    Raises
    ------
    EcgreproError
        If tensorboard is not installed, or the directory cannot be written.
    """

    def __init__(self, directory: str | Path | None, step: int):
        self._writer = None
        if directory is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            # What an interrupted training logged after its last checkpoint comes again.
            self._writer = SummaryWriter(str(directory), purge_step=step + 1)
        except ImportError as error:
            raise EcgreproError(
                "log_dir needs the package tensorboard: pip install 'ecgrepro[log]', or train "
                "without log_dir"
            ) from error
        except OSError as error:
            raise EcgreproError(f"cannot log to {directory}: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._writer is not None:
            self._writer.close()

    def write(self, entry: dict, rate: float, norm: float) -> None:
        """Log one entry of the history, with the learning rate and gradient norm of its step."""
        if self._writer is not None:
            values = {k: v for k, v in entry.items() if k not in ("step", "seconds")}
            values |= {"learning_rate": rate, "gradient_norm": norm}
            for name, value in values.items():
                self._writer.add_scalar(name, value, entry["step"])
