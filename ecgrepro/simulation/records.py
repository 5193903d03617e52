"""A physiological simulator of 12-lead ECGs: the knowledge-driven source of recordings.

The heart is a dipole. Each wave of a beat (P, Q, R, S, T) is a sum of Gaussians in the phase of
the cycle, each with a direction in space (McSharry et al. 2003, doi:10.1109/TBME.2003.808805;
Sameni et al. 2007, doi:10.1155/2007/43407; Clifford et al. 2010,
doi:10.1088/0967-3334/31/5/001), in the closed form of the latter two. Widths and places follow the
RR interval as in ECGSYN: QRS and PR hardly, the T wave with a power of it. The dipole reaches I,
II and V1-V6 through the Dower matrix; III, aVR, aVL and aVF follow by Einthoven and Goldberger.
Noise is added to the nine electrodes, so that those relations hold for it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from ecgrepro.cohort.leads import TWELVE
from ecgrepro.errors import EcgreproError
from ecgrepro.simulation.beats import Beats, make_beats
from ecgrepro.simulation.noise import ELECTRODES, Noise, electrode_noise

VERSION = 1  # raised whenever the same seed gives other recordings

# Rows I, II, V1-V6; columns x (left), y (inferior), z (posterior). Dower 1980, as used by
# Sameni et al. 2007.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# Offset from the R peak (P: from the centre of P; T: at an RR of one second) and width in seconds,
# dipole in mV. The septum first, then both ventricles, then the base.
P = np.array([[-0.018, 0.018, 0.036, 0.085, -0.055], [0.020, 0.021, 0.062, 0.050, 0.040]])
QRS = np.array(
    [
        [-0.026, 0.0075, -0.15, 0.02, -0.22],
        [-0.010, 0.0090, 0.30, 0.26, -0.18],
        [0.004, 0.0110, 1.02, 0.55, 0.44],
        [0.026, 0.0100, -0.10, -0.10, 0.74],
    ]
)
T = np.array(
    [
        [0.120, 0.050, 0.02, 0.01, -0.02],  # the ST segment
        [0.258, 0.052, 0.18, 0.12, -0.12],
        [0.292, 0.033, 0.14, 0.10, -0.08],
    ]
)
RIGHT_BUNDLE = np.array([[0.055, 0.017, -0.42, 0.02, -0.62]])  # the late, anterior R'
LEFT_BUNDLE = np.array(
    [
        [-0.035, 0.019, 0.45, 0.22, 0.30],
        [0.000, 0.020, 0.55, 0.25, 0.72],
        [0.035, 0.020, 0.55, 0.15, 0.42],
        [0.060, 0.012, 0.0, 0.0, 0.0],
    ]
)
RETROGRADE_P = np.array([-0.01, -1.0, -0.35]) * 0.09

FLUTTER_HARMONICS = np.arange(1, 6, dtype=np.float32)


@dataclass(frozen=True)
class Hospital:
    """What differs between the recordings of two hospitals.

    ``axis`` is the shift of the QRS axis in degrees, ``chest`` the gain of V1-V6; the rest are
    shares of records: premature beats, bundle branch blocks, flat or inverted T waves.
    """

    axis: float
    chest: float
    ectopy: float
    right_bundle: float
    left_bundle: float
    abnormal_t: float
    noise: Noise


HOSPITALS = {
    "ptb-xl": Hospital(
        axis=-4.0,
        chest=0.92,
        ectopy=0.04,
        right_bundle=0.04,
        left_bundle=0.03,
        abnormal_t=0.20,
        noise=Noise(drift=0.030, muscle=0.007, mains=0.004, mains_hz=50, spread=0.5, motion=0.10),
    ),
    "chapman": Hospital(
        axis=4.0,
        chest=1.15,
        ectopy=0.05,
        right_bundle=0.05,
        left_bundle=0.01,
        abnormal_t=0.14,
        noise=Noise(drift=0.016, muscle=0.010, mains=0.002, mains_hz=60, spread=0.8, motion=0.16),
    ),
}


@dataclass(frozen=True)
class Heart:
    """What was simulated beside the signal: the beats and the form of the ventricular complex."""

    beats: Beats
    conduction: str  # "normal", "right bundle" or "left bundle"
    t_wave: str  # "normal" or "abnormal"


def simulate_records(
    rhythms: Sequence[str],
    *,
    hospital: str,
    seed: int,
    fs: float = 500,
    seconds: float = 10,
    first: int = 0,
) -> np.ndarray:
    """Simulate one record for each rhythm.

    Parameters
    ----------
    rhythms
        Rhythm codes (``ecgrepro.cohort.rhythms.RHYTHMS``), one per record.
    hospital
        ``"ptb-xl"`` or ``"chapman"``: statistics of noise and morphology.
    seed
        Record ``i`` depends on ``seed``, ``hospital``, its rhythm and ``first + i`` only, so that
        records may be made in any chunks. At another ``fs`` it is the same heart and noise.
    fs
        Sampling frequency in Hz, at least 50.
    seconds
        Length of each record, at least 4.
    first
        Number of the first record.

    Returns
    -------
    numpy.ndarray
        Shape (records, 12, samples), float32, mV, leads in the order of ``ecgrepro.cohort.LEADS``.

    Raises
    ------
    EcgreproError
        For an unknown rhythm or hospital, or an ``fs`` or ``seconds`` out of range.
    """
    _check(hospital, fs, seconds)
    signals = np.empty((len(rhythms), 12, round(fs * seconds)), np.float32)
    with threadpool_limits(1):  # the products are too small to share among threads
        for i, rhythm in enumerate(rhythms):
            signals[i] = simulate_record(rhythm, hospital, seed, first + i, fs, seconds)[0]
    return signals


def simulate_record(
    rhythm: str, hospital: str, seed: int, number: int, fs: float = 500, seconds: float = 10
) -> tuple[np.ndarray, Heart]:
    """Record ``number`` of :func:`simulate_records`, shape (12, samples), and its heart."""
    _check(hospital, fs, seconds)
    style = HOSPITALS[hospital]
    key = (list(HOSPITALS).index(hospital), number)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    beats = make_beats(rhythm, rng, seconds, style.ectopy)
    t = np.arange(round(fs * seconds), dtype=np.float32) / np.float32(fs)
    dipole, conduction, t_wave = _ventricles(beats, style, rng, t)
    dipole += _atria(beats, rng, t)
    breath = np.sin(2 * np.pi * beats.breathing_rate * t + beats.breathing_phase)
    dipole *= 1 + np.float32(abs(rng.normal(0, 0.05))) * breath
    leads = _lead_field(style, rng) @ dipole
    noise = electrode_noise(style.noise, rng, t, fs, breath)
    leads += ELECTRODES.astype(np.float32) @ noise
    return TWELVE.astype(np.float32) @ leads, Heart(beats, conduction, t_wave)


def _check(hospital: str, fs: float, seconds: float) -> None:
    if hospital not in HOSPITALS:
        raise EcgreproError(f"unknown hospital {hospital!r}: choose one of {', '.join(HOSPITALS)}")
    if not fs >= 50 or not seconds >= 4:
        raise EcgreproError(f"fs must be at least 50 Hz and seconds 4, not {fs} and {seconds}")


def _gaussians(
    t: np.ndarray, centers: np.ndarray, waves: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """The dipole of a group of waves, shape (3, samples).

    Each sample takes the beat whose group is nearest: the Gaussians have died out half-way.
    ``waves`` has rows (offset, width, x, y, z); ``scale`` stretches offset and width per beat.
    """
    if not len(centers):
        return np.zeros((3, len(t)), np.float32)
    seam = np.searchsorted(t, (centers[1:] + centers[:-1]) / 2)
    counts = np.diff(np.concatenate([[0], seam, [len(t)]]))
    scale, centers, waves = (a.astype(np.float32) for a in (scale, centers, waves))
    phase = (t - np.repeat(centers, counts)) / np.repeat(scale, counts)
    z = (phase - waves[:, :1]) / waves[:, 1:2]
    return waves[:, 2:].T @ np.exp(-0.5 * z * z)


def _ventricles(
    beats: Beats, style: Hospital, rng: np.random.Generator, t: np.ndarray
) -> tuple[np.ndarray, str, str]:
    """QRS and T of all beats: one form for the record, another for ventricular beats."""
    qrs, wave_t, conduction, t_wave = _morphology(style, rng)
    rr = beats.rr
    # The T wave follows the recent rate more than the last interval (QT hysteresis).
    scale = (0.3 * rr + 0.7 * np.median(rr)) ** 0.42
    normal = ~beats.ventricular
    dipole = _complexes(t, beats.times[normal], qrs, wave_t, scale[normal])
    early = beats.times[~normal]
    direction = rng.normal([0.3, 0.3, 0.0], 0.7)
    direction *= rng.uniform(1.0, 1.7) / np.linalg.norm(direction)
    if len(early):
        qrs = np.array([[-0.02, 0.030, *direction], [0.045, 0.026, *(-0.35 * direction[::-1])]])
        wave_t = np.array([[0.27, 0.055, *(-0.35 * direction)]])
        dipole += _complexes(t, early, qrs, wave_t, scale[~normal])
    return dipole, conduction, t_wave


def _complexes(
    t: np.ndarray, times: np.ndarray, qrs: np.ndarray, wave_t: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    middle = wave_t[-1, 0]
    wave_t = wave_t - np.array([middle, 0, 0, 0, 0])
    return _gaussians(t, times, qrs, np.ones(len(times))) + _gaussians(
        t, times + middle * scale, wave_t, scale
    )


def _morphology(
    style: Hospital, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str, str]:
    """One person's QRS and T waves."""
    qrs, wave_t = QRS.copy(), T.copy()
    conduction, t_wave = "normal", "normal"
    block, flat, hypertrophy = rng.random(3)
    if block < style.right_bundle:
        conduction, qrs = "right bundle", np.concatenate([qrs, RIGHT_BUNDLE])
        wave_t[1:, 2:] += [0.06, 0.0, 0.13]
    elif block < style.right_bundle + style.left_bundle:
        conduction, qrs = "left bundle", LEFT_BUNDLE.copy()
        wave_t[1:, 2:] = [-0.15, -0.03, -0.26]
        wave_t[0, 2:] = [-0.08, -0.02, -0.14]
    if hypertrophy < 0.06:
        qrs[:, 2:] *= rng.uniform(1.3, 1.7)
        flat = flat / 2
    wave_t[:, 2:] *= rng.lognormal(0, 0.3)
    if flat < style.abnormal_t and conduction == "normal":
        t_wave = "abnormal"
        wave_t[1:, 2:] *= rng.uniform(-0.7, 0.35)
        wave_t[0, 2:] += rng.normal([-0.04, -0.03, 0.04], 0.04)
    axis, turn = np.deg2rad(rng.normal([style.axis, 0], [22, 13]))
    own_axis, own_turn = np.deg2rad(rng.normal(0, 14, 2))
    qrs[:, 2:] = _rotate(qrs[:, 2:], axis, turn)
    wave_t[:, 2:] = _rotate(wave_t[:, 2:], 0.5 * axis + own_axis, 0.5 * turn + own_turn)
    qrs[:, 2:] = qrs[:, 2:] * rng.lognormal(0, 0.15, (len(qrs), 1)) + rng.normal(
        0, 0.03, (len(qrs), 3)
    )
    qrs[:, :2] *= rng.lognormal(0, 0.08)
    wave_t[:, :2] *= np.clip(rng.normal(1, 0.05), 0.88, 1.14)
    size = 0.95 * rng.lognormal(0, 0.22)
    qrs[:, 2:] *= size
    wave_t[:, 2:] *= np.sqrt(size)
    return qrs, wave_t, conduction, t_wave


def _rotate(vectors: np.ndarray, axis: float, turn: float) -> np.ndarray:
    """Turn dipoles in the frontal plane (positive: towards inferior-right), then horizontally."""
    x, y, z = vectors.T
    x, y = x * np.cos(axis) - y * np.sin(axis), x * np.sin(axis) + y * np.cos(axis)
    x, z = x * np.cos(turn) - z * np.sin(turn), x * np.sin(turn) + z * np.cos(turn)
    return np.stack([x, y, z], axis=1)


def _atria(beats: Beats, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """P waves, flutter waves or fibrillatory waves, shape (3, samples)."""
    if beats.rhythm == "AFIB":
        return _fibrillatory_waves(beats, rng, t)
    if beats.rhythm == "AFL":
        return _flutter_waves(beats, rng, t)
    p = P.copy()
    if beats.p_wave == "retrograde":
        p[:, 2:] = RETROGRADE_P * rng.uniform(0.5, 1.2)
    else:
        spread = 70 if beats.p_wave == "ectopic" else 10
        p[:, 2:] = _rotate(p[:, 2:], *np.deg2rad(rng.normal(0, spread, 2)))
    p[:, 2:] *= rng.lognormal(0, 0.28)
    p[:, :2] *= rng.lognormal(0, 0.1)
    times = beats.times[~beats.ventricular]
    return _gaussians(t, times + beats.p_offset, p, np.ones(len(times)))


def _wandering_phase(
    rate: float, wander: float, rng: np.random.Generator, t: np.ndarray
) -> np.ndarray:
    """Phase of an oscillation whose frequency wanders by the share ``wander``."""
    slow = rng.uniform(0.08, 0.5, 2)[:, None]
    start = rng.uniform(0, 2 * np.pi, 2)[:, None]
    swing = wander * rate / slow * np.sin((2 * np.pi * slow * t + start).astype(np.float32))
    return (2 * np.pi * rate * t + swing.sum(0)).astype(np.float32)


def _flutter_waves(beats: Beats, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """A sawtooth: slowly down, fast up in II, III, aVF (reversed in one of six); upright in V1."""
    phase = _wandering_phase(beats.atrial_rate, beats.atrial_wander, rng, t)
    phase += np.float32(beats.atrial_phase)
    k = FLUTTER_HARMONICS[:, None]
    harmonics = np.exp(np.complex64(1j) * k * phase)
    weights = np.exp(-0.5 * (FLUTTER_HARMONICS - 1)) / FLUTTER_HARMONICS
    analytic = weights @ harmonics
    saw, bump = analytic.imag, (analytic * np.exp(1j * rng.uniform(-0.6, 0.6))).real
    inferior = np.where(rng.random() < 1 / 6, -1.0, 1.0) * rng.lognormal(np.log(0.10), 0.32)
    lateral, anterior = rng.normal(0.1, 0.12) * inferior, rng.lognormal(np.log(0.045), 0.35)
    return np.stack([lateral * saw, inferior * saw, -anterior * bump]).astype(np.float32)


def _fibrillatory_waves(beats: Beats, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """Three sawtooth-like sources with wandering frequency and size, largest in V1."""
    size = rng.lognormal(np.log(0.055), 0.45)
    waves = np.zeros((3, len(t)), np.float32)
    for share in (1.0, 0.6, 0.5):
        rate = beats.atrial_rate * rng.uniform(0.88, 1.14)
        phase = _wandering_phase(rate, beats.atrial_wander, rng, t)
        slow = np.float32(2 * np.pi * rng.uniform(0.1, 0.6))
        swell = 1 + np.float32(0.5) * np.sin(slow * t + np.float32(rng.uniform(0, 6.3)))
        wave = swell * (np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase))
        direction = share * size * rng.normal([-0.5, 0.45, -0.6], 0.25)
        waves += direction.astype(np.float32)[:, None] * wave
    return waves


def _lead_field(style: Hospital, rng: np.random.Generator) -> np.ndarray:
    """The Dower matrix of one body: chest electrodes are never placed quite the same."""
    field = DOWER * rng.lognormal(0, 0.1, (8, 1))
    field[2:] = style.chest * field[2:] + rng.normal(0, 0.05, (6, 3))
    return field.astype(np.float32)
