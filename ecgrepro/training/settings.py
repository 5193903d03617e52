"""Settings of a training. Reading them does not import PyTorch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Settings(BaseModel):
    """Base class of settings: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingSettings(Settings):
    """How a network is trained.

    Attributes
    ----------
    steps
        Budget of training steps.
    minutes
        Budget of time, if any. Training ends when either budget is used, and the learning rate
        decays accordingly, so the result depends on the speed of the machine.
    batch_size
        Records of a step.
    accumulate
        Number of micro-batches into which a batch is divided, if it does not fit into memory.
    learning_rate
        Peak of the schedule.
    warmup
        Fraction of the budget in which the learning rate rises to its peak.
    weight_decay
        Of matrices; biases and gains have none.
    clip_norm
        Upper bound of the gradient norm.
    ema
        Decay of the exponential moving average of weights.
    balance
        A record of a class of n records is drawn with weight n ** -balance: 0 draws records as
        they come, 1 every class equally often.
    validations
        How often the validation loss is computed.
    checkpoint_minutes
        Time between checkpoints.
    precision
        Of matrix products: ``"32-true"`` or ``"bf16-mixed"``.
    compile
        Whether to compile the network; worth it for long trainings on a GPU, ignored on a CPU.
    """

    steps: int = Field(default=1000, gt=0)
    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=16, gt=0)
    accumulate: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=6e-3, gt=0, allow_inf_nan=False)
    warmup: float = Field(default=0.05, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    clip_norm: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    balance: float = Field(default=0.5, ge=0, le=1)
    validations: int = Field(default=5, ge=0)
    checkpoint_minutes: float = Field(default=2.0, ge=0)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    compile: bool = False

    @field_validator("accumulate")
    @classmethod
    def _a_record_for_each_part(cls, value: int, info: ValidationInfo) -> int:
        size = info.data.get("batch_size", value)  # absent if it was wrong itself
        if value > size:
            raise ValueError(f"at most one part for each of the batch's {size} records")
        return value
