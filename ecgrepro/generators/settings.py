"""Settings of every generator, apart from the models: reading them does not need torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgrepro.training.settings import Settings, TrainingSettings

GeneratorSettings = Settings  # what those of every generator are


class DiffusionSettings(TrainingSettings):
    """What the diffusion generators share: the process, its sampler, and how signals enter.

    ``process`` is ``"edm"``, the modern one, or ``"ddpm"``, discrete as DiffWave was published.
    ``fold`` samples of all leads make one position; for EDM in the basis of their principal
    components, of which the network sees the first ``components``.

    ``p_mean``, ``p_std``, ``sigma_min`` and ``sigma_max`` are EDM's: levels in training, and
    between which a sampler works. Where the beats stand should be settled at levels of 5 to 40 SD,
    where a QRS complex of twelve leads is just visible, so training dwells there. A sample is the
    estimate at ``sigma_min``; a brief training has not learned the fine texture and should stop at
    about 0.6.

    ``sampling_steps``: 25, an eighth of the evaluations of 200 ancestral steps, came to 1.06 times
    their Fréchet distance (U-Net on 217 Chapman records, mean of few seeds; one pair: 1.10). 40
    steps came no nearer.
    ``guidance`` is the scale of classifier-free guidance (1 is none), ``rescale`` how far the
    spread is drawn back.
    """

    batch_size: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0, allow_inf_nan=False)
    ema: float = Field(default=0.999, ge=0, lt=1)
    process: Literal["edm", "ddpm"] = "edm"
    fold: int = Field(default=10, gt=0)
    components: int = Field(default=48, gt=0)
    label_dropout: float = Field(default=0.1, ge=0, lt=1)
    p_mean: float = 1.2
    p_std: float = Field(default=1.4, gt=0)
    sigma_min: float = Field(default=0.1, gt=0)
    sigma_max: float = Field(default=80.0, gt=0)
    sampler: Literal["ancestral", "ddim", "euler", "heun", "dpmpp_2m"] = "dpmpp_2m"
    sampling_steps: int = Field(default=25, gt=0)
    guidance: float = Field(default=1.5, ge=0)
    rescale: float = Field(default=0.7, ge=0, le=1)


class DiffWaveSettings(DiffusionSettings):
    """DiffWave: the network's geometry.

    ``modulated``: noise level and class scale and shift a layer norm of each block's input;
    without, they are added to it, as published.
    """

    steps: int = Field(default=1500, gt=0)
    channels: int = Field(default=96, gt=0)
    blocks: int = Field(default=15, gt=0)
    cycle: int = Field(default=5, gt=0, le=12)
    embedding: int = Field(default=128, gt=0)
    modulated: bool = True


class TimeDiffusionSettings(DiffusionSettings):
    """Time-Diffusion: the network's geometry.

    ``causal``: a position sees only those before it, as in the package of that name.
    """

    steps: int = Field(default=3000, gt=0)
    channels: int = Field(default=128, gt=0)
    embedding: int = Field(default=128, gt=0)
    causal: bool = False


class UNetSettings(DiffusionSettings):
    """The U-Net: the network's geometry.

    ``pace``: it is conditioned on heart rate and RR variability, too. Of ``guidance`` 1.5, 2 and 3
    the classifier's embeddings of samples were at 2 nearest to those of the training records.
    """

    steps: int = Field(default=8000, gt=0)
    widths: tuple[Annotated[int, Field(gt=0)], ...] = Field(default=(96, 160, 224), min_length=1)
    blocks: int = Field(default=1, gt=0)
    head_width: int = Field(default=32, gt=0)
    embedding: int = Field(default=256, gt=0)
    pace: bool = True
    guidance: float = Field(default=2.0, ge=0)


class SimulatorSettings(GeneratorSettings):
    """The simulator: whose recordings it imitates; by default those that it is fitted to."""

    hospital: Literal["ptb-xl", "chapman"] | None = None


class TokenizerSettings(TrainingSettings):
    """Stage 1 of Time-VQVAE: bands, encoders, codebooks, decoders, and their training.

    ``n_fft`` samples make a window of the Fourier transform, of hop ``n_fft / 4``. A position of
    a band is ``stride`` hops; ``levels`` codes of ``codes`` make one position. ``width``
    is that of encoders and decoders, ``code_width`` that of a code's vector.
    """

    steps: int = Field(default=400, gt=0)
    batch_size: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    ema: float = Field(default=0.98, ge=0, lt=1)
    n_fft: Literal[4, 8, 16] = 8
    low_stride: Literal[1, 2, 4, 8, 16] = 8
    high_stride: Literal[1, 2, 4, 8, 16] = 4
    low_levels: int = Field(default=3, gt=0)
    high_levels: int = Field(default=3, gt=0)
    codes: int = Field(default=256, gt=1)
    code_width: int = Field(default=32, gt=0)
    width: int = Field(default=128, gt=0)
    blocks: int = Field(default=3, gt=0)
    codebook_decay: float = Field(default=0.95, ge=0, lt=1)
    spectral: float = Field(default=0.3, ge=0)


class PriorSettings(TrainingSettings):
    """Stage 2 of Time-VQVAE: the two transformers over codes, and their training.

    ``width`` and ``layers`` are of the low band's and the high band's transformer.
    ``label_dropout`` is how often the class is hidden, ``shifts`` how many shifts of each record
    within a position are learned.
    """

    steps: int = Field(default=1400, gt=0)
    batch_size: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.03, ge=0)
    low_width: int = Field(default=128, gt=0)
    low_layers: int = Field(default=4, gt=0)
    high_width: int = Field(default=128, gt=0)
    high_layers: int = Field(default=2, gt=0)
    heads: int = Field(default=4, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    label_dropout: float = Field(default=0.2, ge=0, lt=1)
    shifts: int = Field(default=4, gt=0)

    @model_validator(mode="after")
    def _even_heads(self):
        for key in ("low_width", "high_width"):
            if getattr(self, key) % (2 * self.heads):
                raise ValueError(
                    f"{key} {getattr(self, key)} is not a multiple of {2 * self.heads}, twice heads"
                )
        return self


class TimeVQVAESettings(GeneratorSettings):
    """Time-VQVAE: its two stages, and how codes are drawn.

    ``sampling_steps`` iterations unmask the first level of a band, ``fine_steps`` each of the
    others. ``choice_temperature`` is how much chance has a say in which codes are kept first.
    """

    tokenizer: TokenizerSettings = TokenizerSettings()
    prior: PriorSettings = PriorSettings()
    sampling_steps: int = Field(default=16, gt=0)
    fine_steps: int = Field(default=3, gt=0)
    temperature: float = Field(default=0.9, gt=0)
    choice_temperature: float = Field(default=1.0, ge=0)
    guidance: float = Field(default=2.0, ge=0)


SETTINGS: dict[str, type[GeneratorSettings]] = {
    "diffwave": DiffWaveSettings,
    "timediffusion": TimeDiffusionSettings,
    "unet": UNetSettings,
    "simulator": SimulatorSettings,
    "timevqvae": TimeVQVAESettings,
}
