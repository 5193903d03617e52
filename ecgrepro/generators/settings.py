"""Settings of the built-in generators. Reading them does not import PyTorch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ecgrepro.training.settings import Settings, TrainingSettings

GeneratorSettings = Settings  # base class of the settings of every generator


class DiffusionSettings(TrainingSettings):
    """Settings that all diffusion generators share: the process, its sampler, the patches.

    Attributes
    ----------
    process
        ``"edm"`` (Karras et al. 2022) or ``"ddpm"``, discrete as published with DiffWave.
    fold
        Consecutive samples, of all leads, that form one position of the network.
    components
        With EDM, number of principal components of a position that the network sees.
    label_dropout
        Probability with which the class is hidden in training, for guidance.
    p_mean, p_std
        Mean and standard deviation of log(sigma) in training, with EDM. The positions of beats
        are decided at levels of 5 to 40 SD, where a QRS complex of twelve leads is just visible,
        so most training is near there.
    sigma_min, sigma_max
        Range of levels of a sampler, with EDM. A sample is the estimate at ``sigma_min``. A brief
        training has not learned the fine texture and should stop at about 0.6.
    sampler
        Name of the sampler, see `ecgrepro.generators.diffusion.samplers`.
    sampling_steps
        Steps of the sampler. 25 take an eighth of the evaluations of 200 ancestral steps and came
        to 1.06 times their Fréchet distance (U-Net on 217 Chapman records, mean of few seeds; one
        pair: 1.10); 40 were no better.
    guidance
        Scale of classifier-free guidance; 1 is none.
    rescale
        How far guidance keeps the standard deviation of the unguided estimate, from 0 to 1.
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
    """Settings of DiffWave's network.

    Attributes
    ----------
    channels, blocks
        Width and number of residual blocks.
    cycle
        Dilations are 1, 2, 4, ... and start again after ``cycle`` blocks.
    embedding
        Width of the embedding of noise level and class.
    modulated
        Whether the embedding scales and shifts a layer norm of each block's input; otherwise it is
        added to the input, as published.
    """

    steps: int = Field(default=1500, gt=0)
    channels: int = Field(default=96, gt=0)
    blocks: int = Field(default=15, gt=0)
    cycle: int = Field(default=5, gt=0, le=12)
    embedding: int = Field(default=128, gt=0)
    modulated: bool = True


class TimeDiffusionSettings(DiffusionSettings):
    """Settings of Time-Diffusion's network.

    Attributes
    ----------
    channels, embedding
        Width of the blocks, and of the embedding of noise level and class.
    causal
        Whether a position sees only those before it, as in the package ``timediffusion``.
    """

    steps: int = Field(default=3000, gt=0)
    channels: int = Field(default=128, gt=0)
    embedding: int = Field(default=128, gt=0)
    causal: bool = False


class UNetSettings(DiffusionSettings):
    """Settings of the U-Net.

    Attributes
    ----------
    widths
        Channels at each resolution, the finest first.
    blocks
        Residual blocks at each resolution, on the way down and on the way up.
    head_width
        Channels of an attention head.
    embedding
        Width of the embedding of the conditions.
    pace
        Whether the network is also conditioned on heart rate and RR variability.
    guidance
        Of 1.5, 2 and 3, a scale of 2 brought the samples nearest to the training records, in the
        classifier's embeddings.
    """

    steps: int = Field(default=8000, gt=0)
    widths: tuple[Annotated[int, Field(gt=0)], ...] = Field(default=(96, 160, 224), min_length=1)
    blocks: int = Field(default=1, gt=0)
    head_width: int = Field(default=32, gt=0)
    embedding: int = Field(default=256, gt=0)
    pace: bool = True
    guidance: float = Field(default=2.0, ge=0)


class SimulatorSettings(GeneratorSettings):
    """Settings of the simulator.

    Attributes
    ----------
    hospital
        Whose recordings it imitates; by default those that it is fitted to.
    """

    hospital: Literal["ptb-xl", "chapman"] | None = None


class TokenizerSettings(TrainingSettings):
    """Settings of stage 1 of Time-VQVAE: bands, encoders, codebooks, decoders, and training.

    Attributes
    ----------
    n_fft
        Samples in a window of the Fourier transform, with hop ``n_fft / 4``.
    low_stride, high_stride
        Hops in a position of each band.
    low_levels, high_levels
        Codes at a position of each band.
    codes
        Number of codes in each codebook.
    code_width
        Length of a code's vector.
    width, blocks
        Width and number of residual blocks of encoders and decoders.
    codebook_decay
        Decay of the moving averages that the codes are.
    spectral
        Weight of the spectral loss.
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
    """Settings of stage 2 of Time-VQVAE: two transformers over codes, and their training.

    Attributes
    ----------
    low_width, low_layers, high_width, high_layers
        Width and number of layers of each band's transformer.
    heads
        Attention heads of both.
    dropout
        In both.
    label_dropout
        Probability with which the class is hidden in training, for guidance.
    shifts
        Number of time shifts within a position at which each record is learned.
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
    """Settings of Time-VQVAE: its two stages, and how codes are sampled.

    Attributes
    ----------
    tokenizer, prior
        Stage 1 and stage 2.
    sampling_steps
        Iterations that unmask the first level of a band.
    fine_steps
        Iterations that unmask each further level, at most ``sampling_steps``.
    temperature
        Of the distribution of codes.
    choice_temperature
        Scale of the noise on confidence, by which codes are chosen to be unmasked; 0 always
        unmasks the most confident.
    guidance
        Scale of classifier-free guidance; 1 is none.
    """

    tokenizer: TokenizerSettings = TokenizerSettings()
    prior: PriorSettings = PriorSettings()
    sampling_steps: int = Field(default=16, gt=0)
    fine_steps: int = Field(default=3, gt=0)
    temperature: float = Field(default=0.9, gt=0)
    choice_temperature: float = Field(default=1.0, ge=0)
    guidance: float = Field(default=2.0, ge=0)
