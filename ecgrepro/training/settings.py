"""Settings of a training, apart from it: reading them does not need torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Settings(BaseModel):
    """Base of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingSettings(Settings):
    """How long and how a network is trained.

    ``steps`` is the budget; with ``minutes``, training ends at whichever comes first and the
    learning rate decays accordingly, which makes the result depend on the machine's speed.
    ``batch_size`` is that of a step; ``accumulate`` divides it into so many parts, one after
    another, for a network whose whole batch does not fit into memory. ``warmup`` is a share of
    the budget. ``weight_decay`` is for matrices, not for biases and gains. ``ema`` is the decay of
    the average of weights. ``balance`` draws each record of a class of n records with a weight of
    n ** -balance: 0 as they come, 1 every class alike. ``validations`` is how often the validation
    loss is computed. ``compile`` is for long trainings on a GPU; on a CPU it does nothing.
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
