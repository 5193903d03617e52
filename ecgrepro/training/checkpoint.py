"""The checkpoint file of a training, and the signals that cause one to be written."""

import json
import signal
import threading
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ecgrepro.errors import EcgreproError
from ecgrepro.support.digests import tensors_digest
from ecgrepro.support.files import whole_file

CHECKPOINT = "checkpoint.safetensors"
_FORMAT = 3


class CheckpointStore:
    """The checkpoint of one training: tensors, with state and checksum in the file's header.

    Parameters
    ----------
    directory
        Folder of ``checkpoint.safetensors``; created if it does not exist.
    identity
        What identifies the training, as JSON values. A checkpoint with another identity is
        refused.

    Raises
    ------
    EcgreproError
        The folder cannot be created or read.
    """

    def __init__(self, directory: Path, identity: dict):
        self.path = directory / CHECKPOINT
        self.identity = json.dumps(identity | {"format": _FORMAT}, sort_keys=True)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for stale in directory.glob(f"{CHECKPOINT}.*.tmp"):
                stale.unlink(missing_ok=True)
        except OSError as error:
            raise EcgreproError(f"cannot keep checkpoints in {directory}: {error}") from error

    def save(self, state: dict, tensors: dict[str, Tensor]) -> None:
        """Replace the checkpoint, as a whole or not at all.

        Parameters
        ----------
        state
            JSON values.
        tensors
            On any device.

        Raises
        ------
        EcgreproError
            The file cannot be written; the checkpoint before it is kept.
        """
        # Copies: names that share memory, as tied weights do, are refused by safetensors.
        tensors = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
        facts = {"identity": self.identity, "state": json.dumps(state)}
        content = save(tensors, facts | {"sha256": tensors_digest(facts, tensors)})
        try:
            with whole_file(self.path, durable=True) as file:
                file.write(content)
        except OSError as error:
            kept = "the checkpoint before it is kept" if self.path.exists() else "nothing is kept"
            raise EcgreproError(
                f"cannot write the checkpoint {self.path}: {error.strerror or error}; {kept}. "
                "Free some space and start the training again: it continues from there"
            ) from error

    def restore(self) -> tuple[dict, dict[str, Tensor]] | None:
        """State and tensors of the checkpoint, on the CPU; None if there is none.

        Raises
        ------
        EcgreproError
            The file is unreadable, damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                facts = dict(file.metadata() or {})
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise self._refusal(f"is not a readable checkpoint ({error})") from error
        written = facts.pop("sha256", None)
        if written is None:
            raise self._refusal("is not a readable checkpoint (it has no checksum)")
        if written != tensors_digest(facts, tensors):
            raise self._refusal("is damaged (its SHA-256 is not the one written with it)")
        if facts["identity"] != self.identity:
            other = _difference(facts["identity"], self.identity)
            raise self._refusal(f"belongs to another training (other {other})")
        return json.loads(facts["state"]), tensors

    def _refusal(self, why: str) -> EcgreproError:
        return EcgreproError(
            f"{self.path} {why}; delete it to start anew, or choose another checkpoint directory"
        )


class Interrupts:
    """Context that records SIGTERM and SIGINT, so that the current step is completed first.

    Python delivers signals to the main thread only: in any other thread, or with
    ``enabled=False``, nothing is recorded.

    Attributes
    ----------
    received
        Number of the last signal, or None.
    """

    def __init__(self, *, enabled: bool):
        self.enabled = enabled and threading.current_thread() is threading.main_thread()
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


def end_by_signal(number: int) -> None:
    """End this process as the signal would have done."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _difference(theirs: str, ours: str) -> str:
    one, other = json.loads(theirs), json.loads(ours)
    return ", ".join(k for k in sorted(one | other) if one.get(k) != other.get(k))
