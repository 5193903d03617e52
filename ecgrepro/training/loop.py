"""The training loop that all generators' networks share, over Lightning Fabric.

The batch and every random number of step k come from generators seeded with (seed, k), and a
checkpoint holds weights, averaged weights, optimizer state and step. So an interrupted training
ends in the same weights as an uninterrupted one, on a CPU with the same number of threads.
"""

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ecgrepro.training.checkpoint import CHECKPOINT, CheckpointStore, Interrupts, end_by_signal
from ecgrepro.training.display import ProgressBar, TensorBoardLog
from ecgrepro.training.distributed import (
    Team,
    count_processes,
    launch,
    start_fabric,
    started_by_torchrun,
)
from ecgrepro.training.ema import MovingAverage
from ecgrepro.training.guard import DivergenceGuard, TrainingState
from ecgrepro.training.randomness import class_weights, preserve_rng_state, seed_step
from ecgrepro.training.schedule import budget_used, crosses_point, learning_rate, make_optimizer
from ecgrepro.training.settings import TrainingSettings

__all__ = ["CHECKPOINT", "choose_device", "train"]

Model = TypeVar("Model", bound=nn.Module)
_HISTORY_POINTS = 100
_VALIDATION = 2**40  # seeds of validation are those of steps that no training reaches


@dataclass
class _Job:
    """The arguments of `train`; `train` explains them."""

    model: nn.Module
    signals: Tensor
    targets: Tensor
    settings: TrainingSettings
    seed: int
    identity: dict
    validation: tuple[Tensor, Tensor] | None
    checkpoint_dir: str | Path | None
    device: str
    log_dir: str | Path | None
    title: str


def train(
    model: Model,
    signals: Tensor,
    targets: Tensor,
    settings: TrainingSettings,
    *,
    seed: int,
    identity: dict,
    validation: tuple[Tensor, Tensor] | None = None,
    checkpoint_dir: str | Path | None = None,
    device: str = "auto",
    devices: int | Literal["auto"] = "auto",
    log_dir: str | Path | None = None,
    title: str = "training",
) -> tuple[Model, list[dict]]:
    """Train ``model`` and return it with averaged weights, and the history.

    Several processes divide the batch of each step among them. The result is that of a single
    process, except for the noise that each draws for its own part. They are started here, also
    from a notebook; a script that calls this needs ``if __name__ == "__main__":``.

    Parameters
    ----------
    model
        A module whose forward is the loss: ``model(signals, targets, generator)`` -> scalar, a
        mean over records. It draws random numbers from ``generator``, on the model's device, or
        from PyTorch's global generators (dropout), which are seeded for each step and restored at
        the end. With ``settings.accumulate`` it draws for each micro-batch separately. For
        several processes it must be picklable, and each step must use every parameter that
        requires a gradient.
    signals, targets
        The training set: float32 of shape (records, leads, samples), and int64 class indices of
        shape (records,), or (records, columns) with the class in the first column. All of it is
        moved to the device.
    settings
        Budget, batch size, optimizer and so on.
    seed
        Seed of the batches and of all noise.
    identity
        What identifies the training (settings, data, architecture), as JSON values. A checkpoint
        with another identity is refused. The number of processes is not part of it.
    validation
        Signals and targets for the loss of the averaged weights, in eval mode and float32, with
        the same noise each time.
    checkpoint_dir
        Where to keep ``checkpoint.safetensors``. If there is one, training continues from it.
        SIGTERM and SIGINT then write a checkpoint before they end the training.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, or one GPU: ``"cuda:1"``.
    devices
        Number of processes, one for each GPU. ``"auto"``: every visible GPU that the batch has
        work for; one on a CPU. Ignored under torchrun, which has started them.
    log_dir
        Where to write scalars for TensorBoard: loss, validation_loss, learning_rate and
        gradient_norm, about a hundred times. Needs the package tensorboard.
    title
        Label of the progress bar.

    Returns
    -------
    model : torch.nn.Module
        In eval mode. Its parameters are averaged; its buffers (batch norm, codebooks) are those
        of the last step.
    history : list of dict
        Entries with ``step``, ``loss`` (mean since the entry before), ``seconds`` and, at some,
        ``validation_loss``.

    Raises
    ------
    EcgreproError
        The loss is not finite or explodes (nothing is saved then); the checkpoint is damaged, of
        another training or cannot be written; or ``devices`` are not available.
    """
    place = choose_device(device)
    count = count_processes(place, devices, most=settings.batch_size // settings.accumulate)
    job = _Job(
        model, signals, targets, settings, seed, identity, validation, checkpoint_dir, str(place),
        log_dir, title,
    )  # fmt: skip
    if count == 1 or started_by_torchrun():
        return cast(tuple[Model, list[dict]], _train_here(job, count))
    saves = checkpoint_dir is not None
    tensors, history = launch(_train_here, job, count, count=count, hold_signals=saves)
    trained = copy.deepcopy(model).to(place).eval()
    trained.load_state_dict(tensors)
    return trained, history


def choose_device(device: str) -> torch.device:
    """The device of that name; ``"auto"`` is a CUDA GPU if there is one, otherwise the CPU.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _train_here(job: _Job, count: int) -> tuple[nn.Module, list[dict]]:
    """Train in this process, one of ``count``."""
    fabric = start_fabric(torch.device(job.device), count, job.settings.precision)
    return _Training(job, fabric).run()


class _Training:
    """One training in one of its processes: `run` is the loop, the other methods its parts."""

    def __init__(self, job: _Job, fabric: Fabric):
        self.job, self.settings, self.fabric = job, job.settings, fabric
        self.team, self.device = Team(fabric), fabric.device
        self.network = job.model.to(self.device)
        self.average = MovingAverage(self.network, self.settings.ema)
        if self.settings.compile and self.device.type == "cuda":
            if torch.are_deterministic_algorithms_enabled():
                only = torch.is_deterministic_algorithms_warn_only_enabled()
                torch.use_deterministic_algorithms(True, warn_only=only)  # tells the compiler, too
            self.network.compile()  # in place: the names of its weights stay
        optimizer = make_optimizer(self.network, self.settings)
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
        self.signals, self.targets = job.signals.to(self.device), job.targets.to(self.device)
        self.weights = class_weights(self.targets, self.settings.balance)
        self.state, self.store = TrainingState(), None
        if job.checkpoint_dir is not None:
            self.store = CheckpointStore(Path(job.checkpoint_dir), job.identity)
            self._restore()
        self.guard = DivergenceGuard(self.state, every=32 if self.device.type == "cuda" else 1)

    def run(self) -> tuple[nn.Module, list[dict]]:
        """Train to the end of the budget; return the averaged model and the history."""
        settings, state, first = self.settings, self.state, self.team.rank == 0
        began, saved = time.monotonic() - state.seconds, time.monotonic()
        with (
            preserve_rng_state(self.device),
            ProgressBar(self.job.title, self._used(), show=first) as bar,
            Interrupts(enabled=self.store is not None) as interrupts,
            TensorBoardLog(self.job.log_dir if first else None, state.step) as log,
        ):
            while (before := self._used()) < 1:
                rate = learning_rate(settings, before)
                self._step(rate)
                state.step += 1
                # The first process decides by clock and signals: all must end at the same step.
                state.seconds, received = self.team.agree(
                    time.monotonic() - began, interrupts.received or 0
                )
                now = self._used()
                over = now >= 1
                validate = over or crosses_point(settings.validations, before, now)
                if validate or crosses_point(_HISTORY_POINTS, before, now):
                    log.write(self._record(validate=validate), rate, self.guard.norm)
                bar.show(now, state)
                due = time.monotonic() - saved >= 60 * settings.checkpoint_minutes
                if self.store and (due or over or received):
                    self._save()
                    saved = time.monotonic()
                if received:
                    end_by_signal(int(received))
        self.average.copy_buffers()
        return self.average.module, state.history

    def _used(self) -> float:
        """Fraction of the budget that is used."""
        return budget_used(self.settings, self.state.step, self.state.seconds)

    def _step(self, rate: float) -> None:
        """Update the weights once; raise if the training diverges."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        chosen, generator = self._batch()
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        parts = chosen.tensor_split(self.settings.accumulate)
        for i, part in enumerate(parts, 1):
            with self.fabric.no_backward_sync(self.model, enabled=i < len(parts)):
                loss = self.model(self.signals[part], self.targets[part], generator)
                # Gradients are averaged over processes and summed over micro-batches, so that
                # together they are the mean over the batch.
                loss = loss * (len(part) * self.team.size / self.settings.batch_size)
                self.fabric.backward(loss)
            total += loss.detach()
        norm = self.fabric.clip_gradients(
            self.model,
            self.optimizer,
            max_norm=self.settings.clip_norm,
            error_if_nonfinite=False,
        )
        assert norm is not None
        self.guard.note(self.state.step, rate, self.team.mean(total), norm)
        self.optimizer.step()
        self.average.update(self.state.step)

    def _batch(self) -> tuple[Tensor, torch.Generator]:
        """Indices of this process's part of the batch, and the generator for its noise."""
        seed, step, rank = self.job.seed, self.state.step, self.team.rank
        generator = seed_step(seed, step, self.device)
        chosen = torch.multinomial(
            self.weights, self.settings.batch_size, replacement=True, generator=generator
        )
        if self.team.size > 1:
            chosen = chosen.tensor_split(self.team.size)[rank]
        return chosen, seed_step(seed, step, self.device, rank) if rank else generator

    def _record(self, *, validate: bool) -> dict:
        """Append the mean loss since the last entry, and the validation loss, to the history."""
        self.guard.check()
        state = self.state
        entry = {
            "step": state.step,
            "loss": float(np.mean(state.losses)),
            "seconds": round(state.seconds, 3),
        }
        if validate and self.job.validation is not None and self.team.rank == 0:
            entry["validation_loss"] = self._validation_loss(*self.job.validation)
        state.losses.clear()
        state.history.append(entry)
        return entry

    @torch.no_grad()
    def _validation_loss(self, signals: Tensor, targets: Tensor) -> float:
        self.average.copy_buffers()
        total = 0.0
        for i, (x, y) in enumerate(zip(signals.split(64), targets.split(64), strict=True)):
            generator = seed_step(self.job.seed, _VALIDATION + i, self.device)
            loss = self.average.module(x.to(self.device), y.to(self.device), generator)
            total += loss.item() * len(x)
        return total / len(signals)

    def _save(self) -> None:
        """Write a checkpoint of everything that the next step depends on, unless it diverged."""
        self.guard.check()
        if self.team.rank:
            return
        self.average.copy_buffers()
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.average.module.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
        assert self.store is not None
        self.store.save(vars(self.state), tensors)

    def _restore(self) -> None:
        """Continue from the checkpoint, if there is one."""
        assert self.store is not None
        found = self.store.restore()
        if found is None:
            return
        state, tensors = found
        self.network.load_state_dict(_under("model.", tensors))
        self.average.module.load_state_dict(_under("averaged.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.state = TrainingState(**state)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
