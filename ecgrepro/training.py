"""The training loop that every deep generator shares, over Lightning Fabric.

The batch and all chance of step k come from a generator seeded with (seed, k), and a checkpoint
holds weights, averaged weights, optimizer and step. A training that was killed therefore ends, on
a CPU with the same number of threads, in the same weights as one that was not.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.generators.settings import TrainingSettings

CHECKPOINT = "checkpoint.safetensors"
_BETAS = (0.9, 0.99)
_HISTORY_POINTS = 100


@dataclass
class _State:
    """What, beside tensors, a checkpoint holds."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # since the last history entry
    smooth: float | None = None
    lowest: float = math.inf
    history: list[dict] = field(default_factory=list)


def train(
    model: nn.Module,
    signals: Tensor,
    targets: Tensor,
    settings: TrainingSettings,
    *,
    seed: int,
    identity: dict,
    validation: tuple[Tensor, Tensor] | None = None,
    checkpoint_dir: str | Path | None = None,
    device: str = "auto",
    title: str = "training",
) -> tuple[nn.Module, list[dict]]:
    """Train ``model`` and return it with averaged weights, and the history.

    Parameters
    ----------
    model
        A module whose forward is the loss: ``model(signals, targets, generator)`` -> scalar. All
        its chance comes from ``generator``, on the model's device.
    signals, targets
        The training set, (records, leads, samples) float32 and (records,) int64. It is moved to
        the device as a whole.
    identity
        What the training is of (settings, data, architecture), JSON. A checkpoint of anything
        else is refused.
    validation
        Signals and targets for the loss of the averaged weights, with the same noise each time.
    checkpoint_dir
        Where to keep ``checkpoint.safetensors``. If there is one, training continues from it.
        With it, SIGTERM and SIGINT write a checkpoint before they end the training.

    Returns
    -------
    model, history
        History entries have ``step``, ``loss`` (the mean since the entry before), ``seconds``
        and, at some, ``validation_loss``.

    Raises
    ------
    EcgreproError
        If the loss is not finite or explodes (nothing is saved then), or if the checkpoint is
        damaged or of another training.
    """
    accelerator = choose_device(device).type
    fabric = Fabric(accelerator=accelerator, devices=1, precision=settings.precision)
    averaged = AveragedModel(model, multi_avg_fn=_average(settings.ema)).to(fabric.device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=_BETAS,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    model, optimizer = fabric.setup(model, optimizer)
    signals, targets = signals.to(fabric.device), targets.to(fabric.device)
    weights = class_weights(targets, settings.balance)
    state, store = _State(), None
    if checkpoint_dir is not None:
        store = CheckpointStore(Path(checkpoint_dir), identity)
        state = store.restore(model, averaged, optimizer) or state

    every = max(1, settings.steps // _HISTORY_POINTS)
    marks = _validation_steps(settings) if validation else set()
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    bar = tqdm(total=settings.steps, initial=state.step, desc=title, unit="step", disable=None)
    with bar, _Interrupts(enabled=store is not None) as interrupts:
        while (part := progress(settings, state.step, state.seconds)) < 1:
            rate = learning_rate(settings, part)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chance = step_generator(seed, state.step, fabric.device)
            chosen = torch.multinomial(
                weights, settings.batch_size, replacement=True, generator=chance
            )
            loss = model(signals[chosen], targets[chosen], chance)
            _guard(state, loss.item(), rate)
            optimizer.zero_grad()
            fabric.backward(loss)
            norm = fabric.clip_gradients(
                model, optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False
            )
            _guard_gradient(state, norm.item(), rate)
            optimizer.step()
            averaged.update_parameters(model.module)
            state.step += 1
            state.seconds = time.monotonic() - began
            over = progress(settings, state.step, state.seconds) >= 1
            if state.step % every == 0 or state.step in marks or over:
                check = validation if state.step in marks or over else None
                entry = _record(state, averaged, check, seed)
                bar.set_postfix(loss=f"{entry['loss']:.3f}", refresh=False)
            bar.update()
            due = time.monotonic() - saved >= 60 * settings.checkpoint_minutes
            if store and (due or over or interrupts.received):
                store.save(state, model, averaged, optimizer)
                saved = time.monotonic()
                interrupts.end_if_received()
    return averaged.module, state.history


def choose_device(device: str) -> torch.device:
    """``"auto"``: a CUDA GPU if there is one, otherwise the CPU; or a device by name."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def progress(settings: TrainingSettings, step: int, seconds: float) -> float:
    """The part of the budget that is used, 1 at its end."""
    part = step / settings.steps
    if settings.minutes is not None:
        part = max(part, seconds / (60 * settings.minutes))
    return part


def learning_rate(settings: TrainingSettings, part: float) -> float:
    """Linear warm-up, then half a cosine to 0, by the ``part`` of the budget that is used."""
    warm = (part + 1 / settings.steps) / settings.warmup if settings.warmup else 1.0
    return settings.learning_rate * min(1.0, warm) * (1 + math.cos(math.pi * part)) / 2


def class_weights(targets: Tensor, balance: float) -> Tensor:
    """Sampling weight of each record, (records,): n ** -balance in a class of n records."""
    counts = torch.bincount(targets).float()
    return counts[targets] ** -balance


def step_generator(seed: int, step: int, device: torch.device | str) -> torch.Generator:
    """The generator of one training step: the same for the same (seed, step)."""
    mixed = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(mixed)


def _average(decay: float) -> Callable:
    """Exponential moving average of weights that forgets the random start quickly."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - now)

    return update


def _validation_steps(settings: TrainingSettings) -> set[int]:
    n = settings.validations
    return {settings.steps * (i + 1) // n for i in range(n)} if n else set()


def _guard(state: _State, loss: float, rate: float) -> None:
    """Follow the loss; raise where it is not finite or ten times its best."""
    smooth = loss if state.smooth is None else 0.95 * state.smooth + 0.05 * loss
    if not math.isfinite(loss) or (state.step > 20 and smooth > 10 * state.lowest):
        raise _diverged(state, f"loss {loss:.4g}", rate)
    state.smooth, state.lowest = smooth, min(state.lowest, smooth)
    state.losses.append(loss)


def _guard_gradient(state: _State, norm: float, rate: float) -> None:
    """Raise before a gradient that is not finite reaches the weights."""
    if not math.isfinite(norm):
        raise _diverged(state, f"gradient norm {norm}", rate)


def _diverged(state: _State, what: str, rate: float) -> EcgreproError:
    return EcgreproError(
        f"training diverged at step {state.step}: {what}, learning rate {rate:.3g}; these weights "
        "are not saved. Lower learning_rate, or check the training data for outliers"
    )


@torch.no_grad()
def _record(
    state: _State, averaged: AveragedModel, validation: tuple[Tensor, Tensor] | None, seed: int
) -> dict:
    """Append the mean loss since the last entry, and the validation loss, to the history."""
    entry = {
        "step": state.step,
        "loss": float(np.mean(state.losses)),
        "seconds": round(state.seconds, 3),
    }
    if validation is not None:
        device = next(averaged.parameters()).device
        total = 0.0
        parts = list(zip(*(t.split(64) for t in validation), strict=True))
        for i, (signals, targets) in enumerate(parts):
            chance = step_generator(seed, 2**40 + i, device)
            loss = averaged.module(signals.to(device), targets.to(device), chance)
            total += loss.item() * len(signals)
        entry["validation_loss"] = total / len(validation[0])
    state.losses.clear()
    state.history.append(entry)
    return entry


class CheckpointStore:
    """One checkpoint file, replaced as a whole: tensors, and facts in its JSON header."""

    def __init__(self, directory: Path, identity: dict):
        self.path = directory / CHECKPOINT
        self.identity = json.dumps(identity, sort_keys=True)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for stale in directory.glob(f"{CHECKPOINT}.partial-*"):
                stale.unlink(missing_ok=True)
        except OSError as error:
            raise EcgreproError(f"cannot keep checkpoints in {directory}: {error}") from error

    def save(self, state: _State, model, averaged: AveragedModel, optimizer) -> None:
        """Write everything that the next step depends on."""
        tensors = {f"model.{k}": v for k, v in model.module.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in averaged.state_dict().items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        facts = {"identity": self.identity, "state": json.dumps(vars(state))}
        partial = self.path.with_name(f"{CHECKPOINT}.partial-{os.getpid()}")
        try:
            save_file(tensors, partial, metadata=facts)
            partial.replace(self.path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise EcgreproError(f"cannot write the checkpoint {self.path}: {error}") from error

    def restore(self, model, averaged: AveragedModel, optimizer) -> _State | None:
        """Load the checkpoint into the three, if there is one."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                facts = file.metadata()
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise EcgreproError(
                f"{self.path} is not a readable checkpoint ({error}); delete it to start anew"
            ) from error
        if facts.get("identity") != self.identity:
            raise EcgreproError(
                f"{self.path} belongs to another training ({_difference(facts, self.identity)}); "
                "delete it to start anew, or choose another checkpoint directory"
            )
        model.module.load_state_dict(_under("model.", tensors))
        averaged.load_state_dict(_under("averaged.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": slots, "param_groups": groups})
        return _State(**json.loads(facts["state"]))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _difference(facts: dict, identity: str) -> str:
    theirs, ours = json.loads(facts.get("identity") or "{}"), json.loads(identity)
    keys = [k for k in sorted(theirs | ours) if theirs.get(k) != ours.get(k)]
    return "other " + ", ".join(keys)


class _Interrupts:
    """Notes SIGTERM and SIGINT while it is entered, so that a step is never cut in two."""

    def __init__(self, *, enabled: bool):
        main = threading.current_thread() is threading.main_thread()
        self.enabled = enabled and main
        self.received: int | None = None

    def __enter__(self):
        if self.enabled:
            signals = (signal.SIGTERM, signal.SIGINT)
            self.before = {s: signal.signal(s, self._note) for s in signals}
        return self

    def __exit__(self, *_):
        if self.enabled:
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame) -> None:
        self.received = number

    def end_if_received(self) -> None:
        """End as the signal would have done."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)
