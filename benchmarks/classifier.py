"""What a run of the classifier costs, as ratios within one run.

    python benchmarks/classifier.py [--parts loop seeds processes] [--updates 40] [--repeats 5]

loop       an update of `ecgrepro.classifier` against the straightforward loop: a DataLoader over
           records that are augmented one by one, Conv1d, an average of weights kept by hand
seeds      an update of five seeds trained together (torch.func.vmap over stacked weights) against
           five one after the other
processes  whole runs per minute, validation included: one process, then one for each core

The network, the batch of 32 and the work of an update are those of the study; records are noise of
12 leads x 1000 samples. What is compared takes turns, and the median of the turns' ratios counts:
the machine may be busy. One thread each, so CPU time is measured, but for whole runs. On a GPU wall
time is measured, and bf16 beside fp32. Prints Markdown.
"""

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.utils.data import DataLoader, Dataset

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.classifier.resnet import ResNet1d
from ecgrepro.cohort.cohort import Cohort

SEEDS = 5
RECORDS = 1500  # as many as a part of PTB-XL has for training
VALIDATION = 190
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def cohort(n: int) -> Cohort:
    """Noise of 12 x 1000 in four classes."""
    signals = np.random.default_rng(n).standard_normal((n, 12, 1000), np.float32)
    names = [f"r{i}" for i in range(n)]
    facts = {"source": "noise", "fold": 1, "age": 50.0, "sex": "", "origin": "real"}
    rhythms = [("SR", "SB", "GSVT", "AFIB")[i % 4] for i in range(n)]
    table = pd.DataFrame({"record_id": names, "patient_id": names, "rhythm": rhythms} | facts)
    return Cohort(signals=signals, table=table, fs=100, labels="rhythm4", name="noise")


class Records(Dataset):
    """One record at a time, augmented as in the study, with tensors of its own."""

    def __init__(self, cohort: Cohort):
        self.signals, self.targets = cohort.signals, cohort.targets

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x = torch.from_numpy(self.signals[i].copy())
        shift = int(torch.randint(-100, 101, ()))
        x = torch.roll(x, shift, 1)
        x[:, :shift] = 0
        noise = 0.1 * torch.rand(()) * x.std(1, keepdim=True) * torch.randn_like(x)
        kept = torch.rand(12, 1) >= 0.1
        return (x * 0.8 * (1.25 / 0.8) ** torch.rand(12, 1) + noise) * kept, int(self.targets[i])


def plain_network(network: ResNet1d) -> nn.Module:
    """The same network in the usual form: Conv1d over (B, C, T), copied weights not needed."""

    def turned(module: nn.Module) -> nn.Module:
        if isinstance(module, nn.Conv2d):
            return nn.Conv1d(
                module.in_channels, module.out_channels, module.kernel_size[1],
                module.stride[1], module.padding[1], bias=False,
            )  # fmt: skip
        if isinstance(module, nn.BatchNorm2d):
            return nn.BatchNorm1d(module.num_features)
        if isinstance(module, nn.AvgPool2d):
            return nn.AvgPool1d(module.kernel_size[1], ceil_mode=True)
        for name, child in module.named_children():
            setattr(module, name, turned(child))
        return module

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = turned(copy.deepcopy(network.body)), nn.Linear(network.width, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            return self.head(torch.cat([x.mean(-1), x.amax(-1)], 1))

    return Plain()


def study_updates(data: Cohort, config: ClassifierConfig) -> Callable[[], object]:
    """All updates of a run, with one look at a few validation records at its end."""
    few = data.select(np.arange(8))
    return lambda: Classifier(config, seed=0, device=DEVICE).fit(data, few)


def plain_updates(data: Cohort, config: ClassifierConfig) -> Callable[[], object]:
    """As many updates of the straightforward loop."""

    def work() -> None:
        network = plain_network(a_network()).to(DEVICE)
        average = copy.deepcopy(network)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        loader, done = DataLoader(Records(data), config.batch_size, shuffle=True), 0
        while done < config.updates:
            for x, y in loader:
                loss = F.cross_entropy(network(x.to(DEVICE)), y.to(DEVICE))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    for kept, now in zip(average.parameters(), network.parameters(), strict=True):
                        kept.mul_(0.98).add_(now, alpha=0.02)
                loss.item()  # for a progress bar
                done += 1
                if done == config.updates:
                    return

    return work


def a_network(**changes) -> ResNet1d:
    config = ClassifierConfig(**changes)
    return ResNet1d(12, 4, dropout=0.0, **config.architecture).to(DEVICE)


def one_after_another(x: Tensor, y: Tensor) -> Callable[[], object]:
    networks = [a_network() for _ in range(SEEDS)]

    def work() -> None:
        for network in networks:
            F.cross_entropy(network(x), y).backward()

    return work


def all_together(x: Tensor, y: Tensor) -> Callable[[], object]:
    networks = [_without_running_statistics(a_network()) for _ in range(SEEDS)]
    weights, buffers = stack_module_state(networks)

    def loss(own: dict, state: dict) -> Tensor:
        return F.cross_entropy(functional_call(networks[0], (own, state), (x,)), y)

    gradients = vmap(grad(loss))
    return lambda: gradients(weights, buffers)


def _without_running_statistics(network: nn.Module) -> nn.Module:
    """Batch norm by the batch alone: vmap allows no change in place."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return network


def seconds(work: Callable[[], object]) -> float:
    clock = time.perf_counter if DEVICE == "cuda" else time.thread_time
    _wait()
    began = clock()
    work()
    _wait()
    return clock() - began


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def turns(repeats: int, *works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each work in each turn, after one that does not count."""
    for work in works:
        work()
    found = [[seconds(work) for work in works] for _ in range(repeats)]
    return [list(column) for column in zip(*found, strict=True)]


def ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def one_run(seed: int) -> None:
    torch.set_num_threads(1)
    Classifier(ClassifierConfig(), seed=seed).fit(cohort(RECORDS), cohort(VALIDATION))


def runs_per_minute(workers: int, runs: int) -> float:
    """Whole runs of the study's classifier in so many processes, their start not counted."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as team:
        list(team.map(time.sleep, [1] * workers))
        began = time.perf_counter()
        list(team.map(one_run, range(runs)))
        return 60 * runs / (time.perf_counter() - began)


def loop_part(arguments: argparse.Namespace) -> None:
    data, rows = cohort(RECORDS), []
    for precision in ("32", "bf16") if DEVICE == "cuda" else ("32",):
        config = ClassifierConfig(updates=arguments.updates, precision=precision)
        slow, fast = turns(
            arguments.repeats, plain_updates(data, config), study_updates(data, config)
        )
        each = [1e3 * statistics.median(s) / arguments.updates for s in (slow, fast)]
        rows.append([precision, *(f"{ms:.1f}" for ms in each), f"{ratio(slow, fast):.2f}"])
    head = ["precision", "straightforward, ms/update", "study, ms/update", "times as fast"]
    table("An update", head, rows)


def seeds_part(arguments: argparse.Namespace) -> None:
    if DEVICE == "cuda":
        print("\nSeeds together: not measured, torch.func.vmap has no batch norm of a GPU's layout")
        return
    x, y = torch.randn(32, 1000, 12, device=DEVICE), torch.arange(32, device=DEVICE) % 4
    apart, together = turns(4 * arguments.repeats, one_after_another(x, y), all_together(x, y))
    shown = [f"{1e3 * statistics.median(s):.1f}" for s in (apart, together)]
    head = ["one after another, ms", "together, ms", "times as fast together"]
    table(
        f"Forward and backward of {SEEDS} seeds", head, [[*shown, f"{ratio(apart, together):.2f}"]]
    )


def processes_part(arguments: argparse.Namespace) -> None:
    cores = os.cpu_count()
    found = {workers: runs_per_minute(workers, 2 * workers) for workers in sorted({1, cores})}
    rows = [[str(w), f"{n:.1f}", f"{n / found[1]:.2f}"] for w, n in found.items()]
    table("Whole runs of 800 updates", ["processes", "runs per minute", "times one process"], rows)


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)


PARTS = {"loop": loop_part, "seeds": seeds_part, "processes": processes_part}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} cores"
    print(f"torch {torch.__version__}, {device}")
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
