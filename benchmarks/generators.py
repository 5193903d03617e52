"""What training and sampling the generators cost, as ratios within one run.

    python benchmarks/generators.py [--parts step sampler record peer] [--repeats 5] [--threads 1]

step     a training step of each network, in fp32 and bf16, against its plain fp32 form
         (tests/helpers/oracles.py), both with AdamW and an average of weights; and its share of the
         measured matmul ceiling
sampler  records per second with the default sampler against 200 ancestral steps
record   seconds per record of every generator against a plain DiffWave of 30 x 64 and 200 steps
peer     steps per second of our U-Net against that of the package ecgen, of a similar size

Untrained weights serve, and of 200 like steps a few are timed. What is compared takes turns, and
the median of the turns' ratios counts: the machine may be busy. With one thread, CPU time is
measured, otherwise wall time. The work is 12 leads x 1000 samples, in batches of 32. Prints
Markdown. The peer is skipped unless it is installed:

    pip install --no-deps --target runs/ecgen ecgen==1.1.0 && export PYTHONPATH=runs/ecgen
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.generators import GENERATORS, make_generator
from ecgrepro.generators.base import Generator
from ecgrepro.generators.diffusion.diffwave import PUBLISHED
from ecgrepro.generators.diffusion.generator import DenoisingGenerator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.oracles import plain

BATCH = 32
DIFFUSION = ("diffwave", "timediffusion", "unet")
BRIEF = {"steps": 1, "validations": 0}
SETTINGS = {
    "simulator": {},
    "timevqvae": {"tokenizer": BRIEF | {"steps": 4}, "prior": BRIEF},
}
RECORDS = 8  # sampled at once
TIMED = 10  # of 200 ancestral steps, which are alike
TIMED_PLAIN = 2


def cohort(n: int = BATCH) -> Cohort:
    """Noise of 12 x 1000 in the classes SR and AFIB."""
    signals = np.random.default_rng(0).standard_normal((n, 12, 1000), np.float32)
    names = [f"r{i}" for i in range(n)]
    facts = {"source": "chapman", "fold": 1, "age": 50.0, "sex": "", "origin": "real"}
    rhythms = ["SR", "AFIB"] * (n // 2)
    table = pd.DataFrame({"record_id": names, "patient_id": names, "rhythm": rhythms} | facts)
    return Cohort(signals=signals, table=table, fs=100, name="noise")


class Bench:
    """Timings on one device, by turns."""

    def __init__(self, device: str, repeats: int):
        self.device, self.repeats = torch.device(device), repeats
        self.cpu_time = device == "cpu" and torch.get_num_threads() == 1

    def seconds(self, work: Callable[[], object]) -> float:
        clock = time.thread_time if self.cpu_time else time.perf_counter
        self._wait()
        began = clock()
        work()
        self._wait()
        return clock() - began

    def turns(self, *works: Callable[[], object]) -> list[list[float]]:
        """Seconds of each work in each turn, after one that does not count."""
        for work in works:
            work()
        turns = [[self.seconds(work) for work in works] for _ in range(self.repeats)]
        return [list(column) for column in zip(*turns, strict=True)]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def generator(self, name: str, **changes) -> Generator:
        """A generator of this size that was hardly trained."""
        settings = SETTINGS.get(name, BRIEF) | changes
        return make_generator(name, settings, device=self.device.type).fit(cohort())

    def ceiling(self, dtype: torch.dtype) -> float:
        """Floating-point operations per second of a large matrix product."""
        n = 8192 if self.device.type == "cuda" else 1536
        a, b = (torch.randn(n, n, device=self.device, dtype=dtype) for _ in range(2))
        [seconds] = self.turns(lambda: a @ b)
        return 2 * n**3 / min(seconds)


def ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def median_ms(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.1f}"


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)


def training_step(
    loss: nn.Module,
    data: tuple[Tensor, Tensor],
    *,
    fused: bool,
    precision: str,
    device: torch.device,
):
    """One step of AdamW on a fixed batch, and of the average of weights."""
    parameters = list(loss.parameters())
    average = [p.detach().clone() for p in parameters]
    facts = {"fused": True} if fused else {"fused": False, "foreach": False}
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, **facts)
    signals, labels = (part.to(device) for part in data)
    chance = torch.Generator(device).manual_seed(0)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            value = loss(signals, labels, chance)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            if fused:
                torch._foreach_lerp_(average, parameters, 0.01)
            else:
                for a, p in zip(average, parameters, strict=True):
                    a.mul_(0.99).add_(p, alpha=0.01)

    return step


def untrained_loss(generator: DenoisingGenerator) -> nn.Module:
    patch = generator.shape.channels * generator.settings.fold
    return generator._build(torch.eye(patch), torch.ones(patch))


def steps(bench: Bench) -> None:
    ceilings = {p: bench.ceiling(d) for p, d in
                (("fp32", torch.float32), ("bf16", torch.bfloat16))}  # fmt: skip
    rows = []
    for name in DIFFUSION:
        generator = bench.generator(name)
        facts = {"device": bench.device}
        fast = {p: untrained_loss(generator).to(bench.device) for p in ceilings}
        slow = untrained_loss(generator)
        slow.denoiser.network = plain(slow.denoiser.network)
        data = generator._tensors(cohort())
        slow = training_step(slow.to(bench.device), data, fused=False, precision="fp32", **facts)
        works = [training_step(m, data, fused=True, precision=p, **facts) for p, m in fast.items()]
        with FlopCounterMode(display=False) as counter:
            works[0]()
        operations = counter.get_total_flops()
        seconds = dict(zip(["plain", *ceilings], bench.turns(slow, *works), strict=True))
        gains = {p: ratio(seconds["plain"], seconds[p]) for p in ceilings}
        best = max(gains, key=gains.get)
        share = operations / statistics.median(seconds[best]) / ceilings[best]
        size = sum(p.numel() for p in fast["fp32"].parameters())
        rows.append(
            [name, f"{size / 1e6:.2f} M", median_ms(seconds["plain"])]
            + [f"{median_ms(seconds[p])} ({gains[p]:.2f}x)" for p in ceilings]
            + [best, f"{gains[best]:.2f}x", f"{100 * share:.0f} %"]
        )
    head = ["network", "parameters", "plain fp32, ms", "fp32, ms", "bf16, ms", "best", "gain"]
    table("Training step", [*head, "of the matmul ceiling"], rows)
    shown = ", ".join(f"{p} {c / 1e9:.0f} GFLOP/s" for p, c in ceilings.items())
    print(f"\nMatmul ceiling: {shown}.")


def samplers(bench: Bench) -> None:
    rows = []
    counts = {"SR": RECORDS}
    for name in DIFFUSION:
        quick = bench.generator(name)
        slow = copy.copy(quick)
        slow.settings = quick.settings.model_copy(update={"sampler": "ancestral"})
        fast, ancestral = bench.turns(
            lambda g=quick: g.sample(counts, seed=0, batch_size=RECORDS),
            lambda g=slow: g.sample(counts, seed=0, batch_size=RECORDS, steps=TIMED),
        )
        ancestral = [t * 200 / TIMED for t in ancestral]
        s = quick.settings
        rows.append(
            [name, f"{s.sampler}, {s.sampling_steps} steps", str(quick.evaluations())]
            + [f"{RECORDS / statistics.median(t):.2f}" for t in (fast, ancestral)]
            + [f"{ratio(ancestral, fast):.1f}x"]
        )
    head = ["generator", "default sampler", "evaluations", "records/s", "ancestral 200, records/s"]
    table("Sampler", [*head, "gain"], rows)


def records(bench: Bench) -> None:
    published = bench.generator("diffwave", **{**PUBLISHED, "blocks": 30, "batch_size": 1})
    published.denoiser.network = plain(published.denoiser.network).to(bench.device).eval()
    few, whole = 4, PUBLISHED["sampling_steps"]

    def slow() -> None:
        published.sample({"SR": few}, seed=0, batch_size=few, steps=TIMED_PLAIN)

    generators = {name: bench.generator(name) for name in GENERATORS}
    works = [
        lambda g=g: g.sample({"SR": RECORDS}, seed=0, batch_size=RECORDS)
        for g in generators.values()
    ]
    plain_seconds, *seconds = bench.turns(slow, *works)
    plain_record = [t / few * whole / TIMED_PLAIN for t in plain_seconds]
    rows = [["plain DiffWave 30 x 64, 200 ancestral steps",
             f"{statistics.median(plain_record):.3f}", "1x"]]  # fmt: skip
    for name, times in zip(generators, seconds, strict=True):
        each = [t / RECORDS for t in times]
        gain = ratio(plain_record, each)
        rows.append([name, f"{statistics.median(each):.4f}", f"{gain:.0f}x"])
    table("Record", ["generator", "seconds per record", "gain"], rows)


def peer(bench: Bench) -> None:
    try:
        from ecgen.nn.backbones.unet1d import UNet1d
        from ecgen.processes.ddpm import DDPMProcess
    except ImportError as error:
        print(f"\n### Peer\n\nSkipped: ecgen 1.1.0 is not installed ({error}); see --help.")
        return

    class Peer(nn.Module):
        """Its training loss: v-prediction on a cosine schedule, as its defaults are."""

        def __init__(self):
            super().__init__()
            self.network, self.process = UNet1d(12, base_channels=40), DDPMProcess()

        def forward(self, signals: Tensor, labels: Tensor, chance: torch.Generator) -> Tensor:
            noise = torch.randn(signals.shape, generator=chance, device=signals.device)
            pair = self.process.training_pair(signals, noise)
            error = (self.network(pair.xt, pair.t) - pair.target).square().flatten(1).mean(1)
            return (pair.weight * error).mean()

    rows, works, sizes, names = [], [], [], []
    for name, model, fused in (
        ("ecgen 1.1.0 UNet1d, 40 channels", Peer(), False),
        ("unet", untrained_loss(bench.generator("unet")), True),
    ):
        model = model.to(bench.device)
        names.append(name)
        sizes.append(sum(p.numel() for p in model.parameters()))
        works.append(training_step(model, fused=fused, precision="fp32", device=bench.device))
    seconds = bench.turns(*works)
    for name, size, times in zip(names, sizes, seconds, strict=True):
        gain = ratio(seconds[0], times)
        rate = 1 / statistics.median(times)
        rows.append([name, f"{size / 1e6:.2f} M", f"{rate:.2f}", f"{gain:.1f}x"])
    table("Peer", ["network, fp32", "parameters", "training steps/s", "gain"], rows)


PARTS = {"step": steps, "sampler": samplers, "record": records, "peer": peer}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of the CPU; all cores without")
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=chosen)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    bench = Bench(args.device, args.repeats)
    what = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    clock = "CPU time" if bench.cpu_time else "wall time"
    print(f"{what}, {torch.get_num_threads()} threads, torch {torch.__version__}, {clock}, "
          f"{args.repeats} turns, batches of {BATCH} x 12 x 1000")  # fmt: skip
    for part in dict.fromkeys(args.parts):
        PARTS[part](bench)


if __name__ == "__main__":
    main()
