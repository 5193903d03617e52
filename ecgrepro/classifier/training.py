"""The classifier's training loop: a fixed number of updates, then the best weights seen.

Validation looks at a running average of the weights, and that average is what is kept: near the
end it hardly moves from look to look, so a lucky look costs little where a class has only a
handful of validation records.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ecgrepro.classifier.augmentation import AUGMENTATIONS, draw_batches
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.classifier.resnet import ResNet1d
from ecgrepro.classifier.scores import scores
from ecgrepro.errors import EcgreproError
from ecgrepro.training.ema import MovingAverage


def train_network(
    network: ResNet1d,
    config: ClassifierConfig,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    seed: int,
    order: Tensor | None = None,
) -> tuple[ResNet1d, list[dict]]:
    """Train ``network`` on its device and return the averaged one with the best validation.

    Parameters
    ----------
    train, validation
        Signals (records, samples, leads) and targets (records,), on the network's device.
    order
        Record indices of every batch (updates, batch size); shuffled passes if None.

    Returns
    -------
    network, history
        See :class:`ecgrepro.Classifier`; the entry of the weights kept has ``kept``.

    Raises
    ------
    EcgreproError
        If a loss is not finite.
    """
    signals, targets = train
    device = signals.device
    weights = balanced_weights(targets, network.head.out_features) if config.class_weights else None
    if order is None:
        order = draw_batches(len(signals), config.updates, config.batch_size, seed)
    chance = torch.Generator(device).manual_seed(seed)  # of the augmentation
    batch_of = AUGMENTATIONS[config.augment](signals)
    averaged = MovingAverage(network, config.averaging, buffers=True)
    optimizer = _optimizer(network, config)
    schedule = _schedule(optimizer, config)

    history, best, losses = [], None, []
    bar = tqdm(order.to(device), desc="classifier", unit="update", disable=None, leave=False)
    network.train()
    for update, batch in enumerate(bar, 1):
        with mixed_precision(config, device):
            logits = network(batch_of(batch, chance))
        loss = record_losses(logits, targets[batch], weights, config.label_smoothing).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        averaged.update(update - 1)
        losses.append(loss.detach())
        if update % config.evaluate_every == 0 or update == config.updates:
            loss = torch.stack(losses).mean().item()
            history.append(
                {"update": update, "loss": loss, **_validate(averaged.module, config, validation)}
            )
            losses.clear()
            _guard(history[-1], config)
            rank = (history[-1]["validation_macro_f1"], -history[-1]["validation_loss"])
            if best is None or rank > best[0]:
                weights_now = {k: v.clone() for k, v in averaged.module.state_dict().items()}
                best = rank, history[-1], weights_now
            bar.set_postfix_str(f"validation macro-F1 {rank[0]:.3f}", refresh=False)
    kept = averaged.module
    assert best is not None and isinstance(kept, ResNet1d)
    best[1]["kept"] = True
    kept.load_state_dict(best[2])
    return kept, history


def record_losses(
    logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float
) -> Tensor:
    """Smoothed cross-entropy of each record, (batch,), times the weight of its class, if any.

    Not cross_entropy's own weights: with label smoothing they also weigh the small share that each
    record gives to the other classes, so that a frequent class would be pulled to the rare ones;
    and its mean divides by the weights of the batch, so that a record counted otherwise in each.
    """
    losses = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")
    return losses if weights is None else losses * weights[targets]


def forward(function: Callable[[Tensor], Tensor], x: Tensor, config: ClassifierConfig) -> Tensor:
    """``function`` (a network in eval mode, or its ``embed``) of a batch, float32, no gradient."""
    with torch.inference_mode(), mixed_precision(config, x.device):
        return function(x).float()


def mixed_precision(config: ClassifierConfig, device: torch.device) -> torch.autocast:
    """Autocast to bfloat16, or nothing, as ``config.precision`` says."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Weight of each class, (classes,): inverse frequency, mean one over the records."""
    counts = torch.bincount(targets, minlength=classes).float()
    weights = len(targets) / (counts.count_nonzero() * counts)  # scikit-learn's "balanced"
    return torch.where(counts > 0, weights, 0.0)


@contextlib.contextmanager
def own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the CPU's and the device's generators, and put them back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.backends.cudnn.flags(deterministic=True):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def softmax(logits: Tensor) -> np.ndarray:
    """Rows of float64 that sum to one."""
    return torch.softmax(logits.double(), 1).cpu().numpy()


def _validate(
    network: nn.Module, config: ClassifierConfig, validation: tuple[Tensor, Tensor]
) -> dict:
    signals, targets = validation
    logits = torch.cat([forward(network, x, config) for x in signals.split(256)])
    names = [str(k) for k in range(logits.shape[1])]
    loss = F.cross_entropy(logits, targets).item()
    found = scores(softmax(logits), targets.cpu().numpy(), names) if math.isfinite(loss) else {}
    return {"validation_loss": loss, "validation_macro_f1": found.get("macro_f1", math.nan)}


def _guard(entry: dict, config: ClassifierConfig) -> None:
    if not (math.isfinite(entry["loss"]) and math.isfinite(entry["validation_loss"])):
        raise EcgreproError(
            f"the classifier's training diverged before update {entry['update']}: choose a "
            f"learning_rate below {config.learning_rate}"
        )


def _optimizer(network: ResNet1d, config: ClassifierConfig) -> torch.optim.Optimizer:
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim == 1]  # biases and batch norm
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _schedule(
    optimizer: torch.optim.Optimizer, config: ClassifierConfig
) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
    # One step more than there are updates: the last update still has a rate above its minimum.
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.updates + 1
    )
