"""What a training shows while it runs: a progress bar, and scalars for TensorBoard."""

from pathlib import Path

from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.training.guard import TrainingState


class ProgressBar:
    """A progress bar over the budget, of steps or of minutes, with loss and time left.

    Parameters
    ----------
    title
        Stands before the bar.
    used
        Fraction of the budget that is used already.
    show
        Whether to show it; even then only on a terminal.
    """

    def __init__(self, title: str, used: float, *, show: bool):
        self._bar = tqdm(
            total=1.0,
            initial=used,
            desc=title,
            smoothing=0.05,
            disable=None if show else True,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def show(self, used: float, state: TrainingState) -> None:
        """Move the bar to the fraction ``used`` of the budget."""
        if not self._bar.disable:
            loss = "" if state.smooth is None else f", loss {state.smooth:.3f}"
            self._bar.set_postfix_str(f"step {state.step}{loss}", refresh=False)
            self._bar.update(min(used, 1.0) - self._bar.n)


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
