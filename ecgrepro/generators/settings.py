"""Settings of every generator, apart from the models: reading them does not need torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GeneratorSettings(BaseModel):
    """Base of every generator's settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingSettings(GeneratorSettings):
    """How long and how a generator is trained.

    ``steps`` is the budget; with ``minutes``, training ends at whichever comes first and the
    learning rate decays accordingly, which makes the result depend on the machine's speed.
    ``warmup`` is a share of the budget. ``ema`` is the decay of the average of weights.
    ``balance`` draws each record of a class of n records with a weight of n ** -balance: 0 as
    they come, 1 every class alike. ``validations`` is how often the validation loss is computed.
    """

    steps: int = Field(default=1000, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=6e-3, gt=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    balance: float = Field(default=0.5, ge=0, le=1)
    validations: int = Field(default=5, ge=0)
    checkpoint_minutes: float = Field(default=2.0, ge=0)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


class DiffWaveSettings(TrainingSettings):
    """DiffWave: the network's geometry, the diffusion process and its training.

    ``fold`` samples of all leads make one position, in the basis of their principal components,
    of which the network sees the first ``components``. ``fold=1, components=12, channels=64,
    blocks=30, cycle=10`` has the geometry of the published network.

    A sample is the estimate at ``sigma_min``. A brief training has learned the beats (sigma 1 to
    8 SD) but not the fine texture, so it should stop early, at about 0.6; a long one near 0.05.
    The other defaults are for two minutes on one CPU core.
    """

    fold: int = Field(default=10, gt=0)
    components: int = Field(default=48, gt=0)
    channels: int = Field(default=64, gt=0)
    blocks: int = Field(default=10, gt=0)
    cycle: int = Field(default=5, gt=0, le=12)
    embedding: int = Field(default=128, gt=0)
    label_dropout: float = Field(default=0.1, ge=0, lt=1)
    p_mean: float = 0.9
    p_std: float = Field(default=1.2, gt=0)
    sigma_min: float = Field(default=0.6, gt=0)
    sigma_max: float = Field(default=40.0, gt=0)
    sampler: Literal["euler", "heun", "dpmpp_2m"] = "dpmpp_2m"
    sampling_steps: int = Field(default=12, gt=0)
    guidance: float = Field(default=2.5, ge=0)
    rescale: float = Field(default=0.7, ge=0, le=1)


class SimulatorSettings(GeneratorSettings):
    """The simulator: whose recordings it imitates; by default those that it is fitted to."""

    hospital: Literal["ptb-xl", "chapman"] | None = None


SETTINGS: dict[str, type[GeneratorSettings]] = {
    "diffwave": DiffWaveSettings,
    "simulator": SimulatorSettings,
}
