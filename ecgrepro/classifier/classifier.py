"""The rhythm classifier: a 1-D residual network with scikit-learn's manners.

The whole training set lies on the device as one tensor and batches are gathered from it by index;
the order of all records over the whole run is drawn before the first update. The weights kept are
those of the best validation macro-F1 (ties: the lower validation loss), so that every arm of the
study has the same number of updates and the same choice of model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.classifier.resnet import ResNet1d
from ecgrepro.classifier.training import forward, preserve_rng_state, softmax, train_network
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import whole_folder

FORMAT = 1  # of a saved classifier
CHUNK = 256  # records that are read and predicted at a time


class Classifier:
    """Rhythm classifier over 12-lead records.

    Parameters
    ----------
    config
        Architecture and training; the defaults if None.
    seed
        Of the initial weights, the order of records, dropout and augmentation. The same seed,
        device, number of threads and versions give the same bytes.
    device
        A torch device; the GPU where there is one if None.

    Attributes
    ----------
    classes
        Class codes in the order of the probabilities' columns, after fitting.
    updates, best_update
        Optimizer updates made, and the one whose weights were kept.
    history
        One dict per look at the validation records: ``update``, ``loss`` (mean training loss
        since the look before), ``validation_loss``, ``validation_macro_f1``; the look whose
        weights were kept also has ``kept``.
    missing_classes
        Classes of the label map without a training record.
    """

    def __init__(
        self,
        config: ClassifierConfig | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
    ):
        self.config = config or ClassifierConfig()
        self.seed = seed
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.classes: tuple[str, ...] = ()
        self.labels = ""
        self.signal: dict = {}  # leads, fs, units and samples of the training records
        self.updates = 0
        self.best_update = 0
        self.history: list[dict] = []
        self.missing_classes: tuple[str, ...] = ()
        self.network: ResNet1d | None = None

    def fit(
        self,
        train: Cohort,
        validation: Cohort,
        initial: Classifier | None = None,
        order: Tensor | None = None,
    ) -> Classifier:
        """Train on ``train``, keeping the weights with the best macro-F1 on ``validation``.

        Parameters
        ----------
        train, validation
            Cohorts of one label map, fs, leads, units and length; neither empty.
        initial
            A fitted classifier of the same architecture to start from (transfer). Its head is
            drawn anew if its classes are others.
        order
            Record indices of every batch, (updates, batch size), for example those of
            `classifier.augmentation.draw_fading`; by default one shuffled pass after another.

        Raises
        ------
        EcgreproError
            If a cohort is empty, holds a value that is not finite, or differs from the other or
            from what ``initial`` was fitted on; or if the training diverges.
        """
        for part, cohort in (("training", train), ("validation", validation)):
            if not len(cohort):
                raise EcgreproError(f"the {part} cohort {cohort.name!r} has no record")
        self.classes, self.labels = train.classes, train.labels
        self.signal = _signal_facts(train)
        names = f"the validation cohort {validation.name!r}", f"the training cohort {train.name!r}"
        _compare(names[0], {"labels": validation.labels}, names[1], {"labels": train.labels})
        _compare(names[0], _signal_facts(validation), names[1], self.signal)
        self.missing_classes = tuple(code for code, n in train.counts().items() if not n)
        wanted = (self.config.updates, self.config.batch_size)
        if order is not None and tuple(order.shape) != wanted:
            raise EcgreproError(f"order must have shape {wanted}, not {tuple(order.shape)}")
        data = self._on_device(train), self._on_device(validation)
        with preserve_rng_state(self.seed, self.device):
            network = self._start(initial)
            self.network, self.history = train_network(
                network, self.config, *data, self.seed, order
            )
        self.updates = self.history[-1]["update"]  # as many as the loop has counted
        self.best_update = next(seen["update"] for seen in self.history if "kept" in seen)
        return self

    def predict_proba(self, cohort: Cohort) -> np.ndarray:
        """Class probabilities, float64 of shape (records, classes), rows sum to one."""
        return softmax(self._apply(self._checked(cohort), cohort))

    def predict(self, cohort: Cohort) -> np.ndarray:
        """The most probable class code of each record, shape (records,)."""
        return np.array(self.classes)[self.predict_proba(cohort).argmax(1)]

    def embed(self, cohort: Cohort) -> np.ndarray:
        """Pooled features before the head, float32 of shape (records, 2 * widths[-1])."""
        return self._apply(self._checked(cohort).embed, cohort).numpy()

    def save(self, directory: str | Path) -> Path:
        """Write ``weights.safetensors`` and ``classifier.json``: complete or not at all.

        A classifier that was saved there before is replaced; anything else is left alone and
        raises.
        """
        if self.network is None:
            raise EcgreproError("this classifier has not been fitted: call fit before save")
        directory = Path(directory)
        if directory.exists() and not (directory / "classifier.json").is_file():
            raise EcgreproError(f"{directory} exists and holds no classifier: choose another place")
        try:
            with whole_folder(directory, replace=True) as partial:
                weights = {k: v.contiguous().cpu() for k, v in self.network.state_dict().items()}
                save_file(weights, partial / "weights.safetensors")
                (partial / "classifier.json").write_text(json.dumps(self._facts(), indent=1))
        except (OSError, SafetensorError) as error:
            raise EcgreproError(f"cannot write the classifier to {directory}: {error}") from error
        return directory

    @classmethod
    def load(cls, directory: str | Path, device: str | torch.device | None = None) -> Classifier:
        """Read a saved classifier; what is missing, cut short or of another version raises."""
        directory = Path(directory)
        try:
            facts = json.loads((directory / "classifier.json").read_text())
            if facts["format"] != FORMAT:
                raise EcgreproError(
                    f"{directory} holds a classifier of format {facts['format']}; this version "
                    f"reads format {FORMAT}: fit and save it again"
                )
            self = cls(ClassifierConfig(**facts["config"]), facts["seed"], device)
            for name in ("classes", "missing_classes"):
                setattr(self, name, tuple(facts[name]))
            for name in ("labels", "updates", "best_update", "history"):
                setattr(self, name, facts[name])
            self.signal = {**facts["signal"], "leads": tuple(facts["signal"]["leads"])}
            with preserve_rng_state(0, torch.device("cpu")):
                self.network = self._build()
            self.network.load_state_dict(load_file(directory / "weights.safetensors"))
        except FileNotFoundError as error:
            raise EcgreproError(
                f"{directory} holds no classifier: {error.filename or error} is missing"
            ) from error
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise EcgreproError(f"{directory} is not a complete classifier: {error}") from error
        except RuntimeError as error:  # names or shapes other than the network's
            raise EcgreproError(
                f"the weights in {directory} are of another architecture than its "
                f"classifier.json: {error}"
            ) from error
        self.network.to(self.device).eval()
        return self

    def _build(self) -> ResNet1d:
        return ResNet1d(
            len(self.signal["leads"]),
            len(self.classes),
            dropout=self.config.dropout,
            **self.config.architecture,
        )

    def _start(self, initial: Classifier | None) -> ResNet1d:
        """The network to train: new, or with the weights of ``initial``."""
        network = self._build()
        if initial is not None:
            if initial.network is None:
                raise EcgreproError("the initial classifier has not been fitted")
            if initial.config.architecture != self.config.architecture:
                raise EcgreproError(
                    f"the initial classifier's architecture is {initial.config.architecture}, "
                    f"this one's {self.config.architecture}"
                )
            _compare("the initial classifier", initial.signal, "the training cohort", self.signal)
            weights = initial.network.state_dict()
            if initial.classes != self.classes:
                weights = {k: v for k, v in weights.items() if not k.startswith("head.")}
            network.load_state_dict(weights, strict=False)
        layout = torch.channels_last
        return network.to(self.device, memory_format=layout)  # pyright: ignore[reportCallIssue]

    def _on_device(self, cohort: Cohort) -> tuple[Tensor, Tensor]:
        signals = torch.cat([chunk.to(self.device) for chunk in _chunks(cohort)])
        return signals, torch.from_numpy(cohort.targets).to(self.device)

    def _apply(self, function: Callable[[Tensor], Tensor], cohort: Cohort) -> Tensor:
        """``function`` of all signals, float32, reading and keeping one chunk at a time."""
        chunks = (chunk.to(self.device) for chunk in _chunks(cohort))
        outputs = [forward(function, chunk, self.config).cpu() for chunk in chunks]
        return torch.cat(outputs)

    def _checked(self, cohort: Cohort) -> ResNet1d:
        """The network; raise unless it was fitted on records like those of ``cohort``."""
        if self.network is None:
            raise EcgreproError("this classifier has not been fitted: call fit first")
        facts = _signal_facts(cohort)
        _compare(f"cohort {cohort.name!r}", facts, "the classifier's training cohort", self.signal)
        return self.network

    def _facts(self) -> dict:
        return {
            "format": FORMAT,
            "config": self.config.model_dump(),
            "seed": self.seed,
            "labels": self.labels,
            "classes": self.classes,
            "missing_classes": self.missing_classes,
            "signal": self.signal,
            "updates": self.updates,
            "best_update": self.best_update,
            "history": self.history,
        }


def _signal_facts(cohort: Cohort) -> dict:
    """What two cohorts must have in common, JSON-ready."""
    return {
        "leads": tuple(cohort.leads),
        "fs": float(cohort.fs),
        "units": cohort.units,
        "samples": int(cohort.signals.shape[2]),
    }


def _compare(name: str, facts: dict, reference_name: str, reference: dict) -> None:
    for key, value in facts.items():
        if value != reference[key]:
            raise EcgreproError(
                f"{name} and {reference_name} differ in {key}: {value} and {reference[key]}"
            )


def _chunks(cohort: Cohort) -> Iterator[Tensor]:
    """The signals as float32 (records, samples, leads), a few at a time; not finite raises."""
    for start in range(0, max(len(cohort), 1), CHUNK):  # one empty chunk if there is no record
        chunk = np.asarray(cohort.signals[start : start + CHUNK], np.float32)
        bad = np.flatnonzero(~np.isfinite(chunk).all((1, 2)))
        if len(bad):
            record = cohort.table["record_id"].iloc[start + bad[0]]
            raise EcgreproError(
                f"record {record} of cohort {cohort.name!r} holds values that are not finite: "
                "leave it out"
            )
        yield torch.from_numpy(chunk.transpose(0, 2, 1).copy())
