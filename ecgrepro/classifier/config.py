"""Settings of the rhythm classifier, apart from it: reading them does not need torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Positive = Annotated[int, Field(ge=1)]
OddKernel = Annotated[int, Field(ge=1, le=101)]


class ClassifierConfig(BaseModel):
    """Architecture and training of a :class:`ecgrepro.classifier.classifier.Classifier`.

    Attributes
    ----------
    widths
        Channels of each stage; the stem has those of the first. Every stage halves the length.
    blocks
        Residual blocks per stage.
    kernels
        Odd kernel sizes of the two convolutions of a block.
    stem_kernel, stem_stride
        First convolution, over the leads.
    dropout
        Probability that a pooled feature is dropped in training.
    updates
        Optimizer updates: the budget in which arms of the study are equal.
    batch_size
        Records per update.
    learning_rate
        Peak rate of AdamW.
    weight_decay
        Of AdamW, on convolution kernels and the head's matrix only.
    schedule
        ``one-cycle`` (warm-up over 30 % of the updates, then cosine; Smith & Topin 2018) or
        ``cosine``.
    label_smoothing
        Share of the target that is spread over all classes.
    class_weights
        Weigh each record by the inverse frequency of its class in the training set.
    augment
        What is done to each training batch: ``none``; ``crop``, a random shift in time as in
        the published benchmarks; ``classical``, also gain, noise and lead dropout (see
        `ecgrepro.classifier.augmentation`).
    averaging
        Decay of the running average of the weights.
    evaluate_every
        Updates between two looks at the validation records.
    precision
        ``32``, or ``bf16`` for automatic mixed precision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: Annotated[tuple[Positive, ...], Field(min_length=1)] = (32, 64, 64, 128)
    blocks: Positive = 1
    kernels: tuple[OddKernel, OddKernel] = (5, 3)
    stem_kernel: OddKernel = 15
    stem_stride: Annotated[int, Field(ge=1, le=10)] = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    updates: Positive = 800
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    class_weights: bool = False
    augment: Literal["none", "crop", "classical"] = "classical"
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.98
    evaluate_every: Positive = 25
    precision: Literal["32", "bf16"] = "32"

    @field_validator("stem_kernel", "kernels")
    @classmethod
    def _odd(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        if any(size % 2 == 0 for size in (value if isinstance(value, tuple) else (value,))):
            raise ValueError("kernel sizes must be odd, so that the length is kept")
        return value

    @property
    def architecture(self) -> dict:
        """The settings that the weights' shapes depend on."""
        return self.model_dump(
            include={"widths", "blocks", "kernels", "stem_kernel", "stem_stride"}
        )
