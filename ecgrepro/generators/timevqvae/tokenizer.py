"""Stage 1 of Time-VQVAE: encodes a record as codes in two frequency bands, and decodes them.

The short-time Fourier transform of a record is split into its lowest bin and the others. Each band
has an encoder, codebooks of several levels and a decoder. The record is the sum of the two decoded
bands. Leads are channels throughout: a code describes all leads.
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from ecgrepro.generators.layers import Convolve
from ecgrepro.generators.settings import TokenizerSettings

BANDS = ("low", "high")


class BandSplit(nn.Module):
    """Short-time Fourier transform of all leads in two bands, and its inverse.

    Parameters
    ----------
    n_fft
        Samples in a Hann window, with hop ``n_fft // 4``. Bin 0 is the low band.
    samples
        Samples of a record.
    """

    window: Tensor

    def __init__(self, n_fft: int, samples: int):
        super().__init__()
        self.n_fft, self.hop, self.samples = n_fft, n_fft // 4, samples
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def frames(self) -> int:
        """Number of windows in a record."""
        return self.samples // self.hop + 1

    def features(self, band: str, leads: int) -> int:
        """Features of a frame; bin 0 of a real signal has no imaginary part."""
        return leads if band == "low" else leads * self.n_fft

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Frames of both bands: x (B, C, T) -> low (B, F, C) and high (B, F, C * n_fft)."""
        spectrum = torch.stft(
            x.flatten(0, 1),
            self.n_fft,
            self.hop,
            window=self.window,
            return_complex=True,
        ).unflatten(0, x.shape[:2])  # (B, C, bins, F)
        low, high = spectrum[:, :, 0].real, torch.view_as_real(spectrum[:, :, 1:])
        return {
            "low": low.transpose(1, 2).contiguous(),
            "high": high.permute(0, 3, 1, 2, 4).flatten(2),
        }

    def inverse(self, band: str, frames: Tensor) -> Tensor:
        """The part of the record that is in one band: (B, F, features) -> (B, C, T)."""
        bins = self.n_fft // 2
        if band == "low":
            low = frames.transpose(1, 2)[:, :, None]  # (B, C, 1, F)
            spectrum = F.pad(torch.complex(low, torch.zeros_like(low)), (0, 0, 0, bins))
        else:
            high = frames.unflatten(2, (-1, bins, 2)).permute(0, 2, 3, 1, 4)  # (B, C, bins, F, 2)
            spectrum = F.pad(torch.view_as_complex(high.contiguous()), (0, 0, 1, 0))
        x = torch.istft(
            spectrum.flatten(0, 1), self.n_fft, self.hop, window=self.window, length=self.samples
        )
        return x.unflatten(0, spectrum.shape[:2])


class Snake(nn.Module):
    """The periodic activation x + sin²(ax) / a, with a learned by channel (Ziyin et al. 2020).

    It is computed by the cosine of the double angle, which takes fewer passes over memory.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.log_rate = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> the same shape."""
        half = 0.5 * torch.exp(-self.log_rate)  # 1 / 2a
        return torch.addcmul(x + half, torch.cos(x / half), -half)


class ResidualBlock(nn.Module):
    """x + conv(Snake(conv(x))); the first convolution is dilated, the second has kernel 1."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.layers = nn.Sequential(
            Convolve(channels, channels, 3, dilation),
            Snake(channels),
            Convolve(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> the same shape."""
        return x + self.layers(x)


class Codebooks(nn.Module):
    """Residual vector quantization: each level codes the remainder of the levels before.

    A level is a `VectorQuantize` whose codes are moving averages, initialized by k-means with the
    first training batch. A code that is hardly used is replaced by a vector of the batch.

    Parameters
    ----------
    width
        D, the length of a code's vector.
    codes, levels
        Number of codes in a level, and of levels.
    decay
        Of the moving averages.
    """

    def __init__(self, width: int, codes: int, levels: int, decay: float):
        super().__init__()
        self.levels = nn.ModuleList(
            VectorQuantize(
                width,
                codes,
                decay=decay,
                kmeans_init=True,
                threshold_ema_dead_code=1,
                rotation_trick=False,
                sync_codebook=False,
            )
            for _ in range(levels)
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize z (B, T, D).

        Returns
        -------
        quantized : Tensor
            (B, T, D), with straight-through gradient.
        codes : Tensor
            (B, T, levels).
        loss : Tensor
            Commitment loss: mean square of the remainder, averaged over levels.
        """
        total, commitment, codes = torch.zeros_like(z), z.new_zeros(()), []
        for level in self.levels:
            chosen = level((z - total).detach())
            level.zero.requires_grad_(False)  # or a copy of it on a GPU is not a leaf
            total = total + chosen[0].detach()
            codes.append(chosen[1])
            commitment = commitment + F.mse_loss(z, total)
        return z + (total - z).detach(), torch.stack(codes, dim=-1), commitment / len(self.levels)

    def lookup(self, codes: Tensor) -> Tensor:
        """Decode codes (B, T, levels) to the sum of their vectors, (B, T, D)."""
        return cast(Tensor, sum(F.embedding(codes[..., i], t) for i, t in enumerate(self.tables())))

    def tables(self) -> list[Tensor]:
        """Vectors of each level, (codes, D)."""
        return [cast(Tensor, level.codebook) for level in self.levels]


def _network(into: int, width: int, out: int, blocks: int) -> nn.Sequential:
    """Residual blocks, (B, T, into) -> (B, T, out); initially the output is zero."""
    last = Convolve(width, out, 1)
    nn.init.zeros_(last.convolution.weight)
    nn.init.zeros_(cast(Tensor, last.convolution.bias))
    return nn.Sequential(
        Convolve(into, width, 1),
        *(ResidualBlock(width, 2**i) for i in range(blocks)),
        Snake(width),
        last,
    )


class BandTokenizer(nn.Module):
    """Encoder, codebooks and decoder of one band.

    A position is a patch of ``stride`` frames. Encoder and decoder add the output of residual
    blocks, initially zero, to a projection on the first principal components of the patches.

    Parameters
    ----------
    features, frames
        Features of a frame, and frames of a record.
    s
        Settings of the tokenizer.
    stride
        Frames of a patch.
    levels
        Codes at a position.
    """

    basis: Tensor
    scale: Tensor

    def __init__(self, features: int, frames: int, s: TokenizerSettings, stride: int, levels: int):
        super().__init__()
        self.frames, self.positions, self.stride = frames, -(-frames // stride), stride
        size = stride * features
        self.encoder = _network(size, s.width, s.code_width, s.blocks)
        self.codebooks = Codebooks(s.code_width, s.codes, levels, s.codebook_decay)
        self.decoder = _network(s.code_width, s.width, size, s.blocks)
        self.register_buffer("basis", torch.zeros(size, s.code_width))
        self.register_buffer("scale", torch.ones(()))  # of the components

    def patches(self, frames: Tensor) -> Tensor:
        """(B, F, features) -> (B, positions, size); the last patch is padded with zeros."""
        missing = self.positions * self.stride - self.frames
        return F.pad(frames, (0, 0, 0, missing)).unflatten(1, (-1, self.stride)).flatten(2)

    @torch.no_grad()
    def start(self, frames: Tensor) -> None:
        """Initialize principal components and codes from frames (B, F, features)."""
        x = self.patches(frames).flatten(0, 1).double()
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        kept = min(self.basis.shape)
        self.basis[:, :kept] = vectors.flip(1)[:, :kept].float()
        self.scale.copy_((values[-kept:].sum() / kept).clamp(min=1e-12).sqrt())
        self.codebooks.train()(self.encode(frames))

    def encode(self, frames: Tensor) -> Tensor:
        """(B, F, features) -> (B, positions, D)."""
        x = self.patches(frames) / self.scale
        return x @ self.basis + self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """(B, positions, D) -> (B, F, features)."""
        x = (z @ self.basis.T + self.decoder(z)) * self.scale
        return x.unflatten(2, (self.stride, -1)).flatten(1, 2)[:, : self.frames]


class Tokenizer(nn.Module):
    """Encodes records (B, C, T) as codes of both bands, and decodes them.

    Parameters
    ----------
    leads, samples
        C and T.
    s
        Settings of the tokenizer.
    """

    def __init__(self, leads: int, samples: int, s: TokenizerSettings):
        super().__init__()
        self.split = BandSplit(s.n_fft, samples)
        strides = {"low": s.low_stride, "high": s.high_stride}
        levels = {"low": s.low_levels, "high": s.high_levels}
        bands = nn.ModuleDict(
            {
                band: BandTokenizer(
                    self.split.features(band, leads),
                    self.split.frames,
                    s,
                    strides[band],
                    levels[band],
                )
                for band in BANDS
            }
        )
        self.bands = cast(dict[str, BandTokenizer], bands)

    def start(self, x: Tensor, seed: int) -> None:
        """Initialize what gradients do not learn, from training records (B, C, T)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for band, frames in self.split(x).items():
                self.bands[band].start(frames)

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """Records (B, C, T) -> codes of each band, (B, positions, levels)."""
        return {
            band: self.bands[band].codebooks(self.bands[band].encode(frames))[1]
            for band, frames in self.split(x).items()
        }

    def decode(self, codes: dict[str, Tensor]) -> Tensor:
        """Codes of each band, (B, positions, levels) -> records (B, C, T)."""
        records = sum(
            self.split.inverse(band, tokenizer.decode(tokenizer.codebooks.lookup(codes[band])))
            for band, tokenizer in self.bands.items()
        )
        return cast(Tensor, records)


class TokenizerLoss(nn.Module):
    """Training loss of stage 1.

    The sum of mean squared error in the low band, mean absolute error in the high band, spectral
    loss and commitment loss.

    Parameters
    ----------
    tokenizer
        The model that is trained.
    spectral
        Weight of the spectral loss.
    """

    SCALES = (16, 64)  # samples in a window of the spectral loss

    def __init__(self, tokenizer: Tokenizer, *, spectral: float):
        super().__init__()
        self.tokenizer, self.spectral = tokenizer, spectral

    def forward(self, signals: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of signals (B, C, T), a scalar; ``targets`` and ``generator`` are not used."""
        split = self.tokenizer.split
        loss: Any = 0.0
        whole: Any = 0.0
        for band, frames in split(signals).items():
            tokenizer = self.tokenizer.bands[band]
            z, _, commitment = tokenizer.codebooks(tokenizer.encode(frames))
            error = split.inverse(band, tokenizer.decode(z) - frames)
            square = error.square()
            distance = square if band == "low" else (square + 1e-4).sqrt()  # smooth at 0
            loss, whole = loss + commitment + distance.mean(), whole + error
        if self.spectral:
            loss = loss + self.spectral * self._spectral(signals, signals + whole)
        return loss

    def _spectral(self, real: Tensor, decoded: Tensor) -> Tensor:
        """Spectral loss: mean absolute difference of magnitudes, over several window lengths."""
        both = torch.stack([real, decoded]).flatten(0, 2)  # (2 * B * C, T)
        total: Any = 0.0
        for n in self.SCALES:
            window = torch.hann_window(n, device=both.device)
            spectrum = torch.stft(both, n, n // 2, window=window, return_complex=True)
            power = torch.view_as_real(spectrum).square().sum(-1)
            a, b = (power + 1e-4).sqrt().chunk(2)
            total = total + (a - b).abs().mean() / math.sqrt(n)
        return total / len(self.SCALES)
