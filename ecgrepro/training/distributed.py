"""One training over several processes, one for each GPU.

`launch` starts them from wherever the training is called, a notebook or the command line: fresh
processes that run the training only, where Lightning's own launcher would run the whole program
again in each (and every lock that it holds would be waited for). Under ``torchrun`` they exist
already, and `start_fabric` joins them.
"""

import json
import logging
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing import connection, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning_fabric.strategies.ddp import DDPStrategy
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import whole_file
from ecgrepro.support.processes import end_with_parent
from ecgrepro.training.checkpoint import Interrupts, end_by_signal

_WEIGHTS = "weights.safetensors"


def count_processes(device: torch.device, devices: int | str, most: int) -> int:
    """How many processes train: ``devices``, or with ``"auto"`` one for each GPU, up to ``most``.

    Raises
    ------
    EcgreproError
        If ``devices`` is not a positive number, or more than there are GPUs or than ``most``.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if devices == "auto":
        return max(1, min(gpus, most)) if device.index is None else 1
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise EcgreproError(f"devices must be 'auto' or a number of at least 1, not {devices!r}")
    if device.type == "cuda" and devices > (gpus if device.index is None else 1):
        there = f"{gpus} visible" if device.index is None else f"device {device} is one"
        raise EcgreproError(f"devices={devices} asks for more GPUs than there are ({there})")
    if devices > most:
        raise EcgreproError(
            f"devices={devices} is too many: batch_size divided by accumulate gives work to {most}"
        )
    return devices


def started_by_torchrun() -> bool:
    """Whether this process is one of several that torchrun started."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def start_fabric(device: torch.device, count: int, precision: str) -> Fabric:
    """Fabric of this process, one of ``count`` (torchrun overrules it), connected to the rest."""
    places, nodes, plugins = count, 1, [LightningEnvironment()]
    if started_by_torchrun():
        places = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes, plugins = int(os.environ["WORLD_SIZE"]) // places, []
    several = places * nodes > 1
    fabric = Fabric(
        accelerator=device.type,
        devices=places if device.index is None else [device.index],
        num_nodes=nodes,
        strategy=DDPStrategy() if several else "auto",
        precision=cast(Any, precision),
        plugins=cast(Any, plugins),
    )
    fabric.launch()
    return fabric


class Team:
    """The processes of a training, seen from one of them."""

    def __init__(self, fabric: Fabric):
        self.size, self.rank = fabric.world_size, fabric.global_rank
        # Clocks and signals go by the CPU: the GPU need not be waited for.
        self._group: Any = distributed.new_group(backend="gloo") if self.size > 1 else None

    def agree(self, *values: float) -> tuple[float, ...]:
        """The values of the first process, in all of them."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        distributed.broadcast(shared, 0, group=self._group)
        return tuple(shared.tolist())

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes; overwrites ``value``."""
        if self.size > 1:
            distributed.all_reduce(value)
            value /= self.size
        return value


def launch(
    function: Callable[..., tuple[torch.nn.Module, list[dict]]],
    *args: object,
    count: int,
    hold_signals: bool,
) -> tuple[dict[str, Tensor], list[dict]]:
    """Run ``function(*args)`` in ``count`` new processes; return the first one's result.

    Parameters
    ----------
    function, args
        Pickled. The function returns a module and its history.
    hold_signals
        Whether SIGTERM and SIGINT are left to the first process, which ends the others and
        itself when it has saved its work, before they end this one.

    Returns
    -------
    tensors, history
        The state of the module, on the CPU.

    Raises
    ------
    EcgreproError
        The first that a process raised; or if a process was killed.
    RuntimeError
        With the traceback, for any other exception.
    """
    # Plain pickle: multiprocessing's would put tensors in /dev/shm, tiny in many containers.
    job, port = pickle.dumps((function, args)), find_free_network_port()
    with TemporaryDirectory(prefix="ecgrepro-") as folder:
        spawn = get_context("spawn").Process
        team = [spawn(target=_work, args=(rank, count, port, job, folder)) for rank in range(count)]
        try:
            with Interrupts(enabled=hold_signals) as interrupts:
                for process in team:
                    process.start()
                failed = _wait(team, interrupts)
        finally:
            for process in team:
                if process.pid is not None:
                    process.kill()  # nothing, if it has ended: it may wait for one that failed
                    process.join()
        return _outcome(Path(folder), team, failed, interrupts.received)


def _wait(team: list, interrupts: Interrupts) -> int | None:
    """Until all processes have ended, or one has failed: return which."""
    told = False
    while running := [process for process in team if process.exitcode is None]:
        connection.wait([process.sentinel for process in running], timeout=0.2)
        for rank, process in enumerate(team):
            if process.exitcode:
                return rank
        if interrupts.received and not told:
            os.kill(team[0].pid, interrupts.received)
            told = True
    return None


def _work(rank: int, count: int, port: int, job: bytes, folder: str) -> None:
    """Run the job in this process; leave the outcome in ``folder``."""
    end_with_parent()  # or it would go on writing checkpoints beside the one that continues it
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        function, args = pickle.loads(job)
        module, history = function(*args)
        outcome = {"history": history}
        if rank == 0:
            state = module.state_dict()
            state = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in state.items()}
            save_file(state, Path(folder, _WEIGHTS))
    except KeyboardInterrupt:
        outcome = {"signal": int(signal.SIGINT)}
    except SystemExit as end:
        outcome = {"signal": int(cast(int, end.code)) - 128}
    except EcgreproError as error:
        outcome = {"error": str(error)}
    except Exception:
        outcome = {"traceback": traceback.format_exc()}
    with whole_file(Path(folder, f"{rank}.json")) as file:
        file.write(json.dumps(outcome).encode())
    if distributed.is_initialized() and "history" in outcome:
        distributed.destroy_process_group()
    if "error" in outcome or "traceback" in outcome:
        raise SystemExit(1)


def _outcome(
    folder: Path, team: list, failed: int | None, received: int | None
) -> tuple[dict[str, Tensor], list[dict]]:
    """Return or raise what the processes left; the one that failed first tells why."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    found = {int(path.stem): json.loads(path.read_text()) for path in files}
    for outcome in found.values():
        if "error" in outcome:
            raise EcgreproError(outcome["error"])
    if received:
        end_by_signal(received)
    if failed is not None and team[failed].exitcode < 0:
        name = signal.Signals(-team[failed].exitcode).name
        raise EcgreproError(
            f"training process {failed} of {len(team)} was ended by {name}; if nobody sent it, "
            "the machine may be short of memory"
        )
    for rank, outcome in found.items():
        if "traceback" in outcome:
            raise RuntimeError(f"training process {rank} failed:\n{outcome['traceback']}")
        if "signal" in outcome:
            end_by_signal(outcome["signal"])
    return load_file(folder / _WEIGHTS), found[0]["history"]
