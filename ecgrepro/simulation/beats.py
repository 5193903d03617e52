"""When the simulated heart beats: RR processes and atrial activity of the seven rhythms.

Rates overlap at the borders between rhythms as they do in a clinic, where a mean rate of 60 or
100/min is read from ten seconds: a classifier cannot be perfect, and must not be.

Sources: RR from respiration and slow waves, McSharry et al. 2003 (doi:10.1109/TBME.2003.808805);
fibrillatory waves with wandering frequency, Stridh and Sörnmo 2001 (doi:10.1109/10.900266).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgrepro.cohort.rhythms import RHYTHMS
from ecgrepro.errors import EcgreproError

MARGIN = 2.0  # beats are made this many seconds beyond both ends
# Sinus rates per minute: a border, the span from there, and the shape of a beta distribution.
SINUS_RATES = {
    "SR": (60, 40, 1.6, 1.9),
    "SA": (54, 38, 2.0, 2.4),
    "SB": (60, -21, 1.3, 2.2),
    "ST": (100, 52, 1.1, 2.4),
}


@dataclass(frozen=True)
class Beats:
    """The beats of one record.

    Attributes
    ----------
    times
        R-peak times in seconds, increasing, from before 0 to after the record's end.
    rhythm
        One of the seven rhythm codes.
    ventricular
        True for a ventricular premature beat, shape of ``times``.
    p_wave
        ``"sinus"``, ``"retrograde"``, ``"ectopic"`` or ``"none"``.
    p_offset
        Centre of the P wave relative to its R peak, in seconds.
    atrial_rate
        Frequency of flutter or fibrillatory waves in Hz; 0 where there are none.
    atrial_phase
        Phase of the flutter wave at time 0, radians.
    atrial_wander
        Relative spread of ``atrial_rate`` over time.
    breathing_rate, breathing_phase
        Respiration in Hz and radians: it moves sinus RR, QRS size and baseline together.
    """

    times: np.ndarray
    rhythm: str
    ventricular: np.ndarray
    p_wave: str = "sinus"
    p_offset: float = -0.155
    atrial_rate: float = 0.0
    atrial_phase: float = 0.0
    atrial_wander: float = 0.0
    breathing_rate: float = 0.25
    breathing_phase: float = 0.0

    @property
    def rr(self) -> np.ndarray:
        """The RR interval before each beat in seconds; the first repeats the second."""
        intervals = np.diff(self.times)
        return np.concatenate([intervals[:1], intervals])

    def within(self, seconds: float) -> np.ndarray:
        """R-peak times in [0, seconds)."""
        return self.times[(self.times >= 0) & (self.times < seconds)]


def make_beats(rhythm: str, rng: np.random.Generator, seconds: float, ectopy: float) -> Beats:
    """Beats of ``rhythm`` over ``seconds``; with probability ``ectopy`` one or two premature."""
    if rhythm not in RHYTHMS:
        raise EcgreproError(f"unknown rhythm {rhythm!r}: choose one of {', '.join(RHYTHMS)}")
    breathing_rate, breathing_phase = rng.uniform(0.16, 0.36), rng.uniform(0, 2 * np.pi)
    if rhythm == "AFIB":
        beats = _fibrillation(rng, seconds)
    elif rhythm == "AFL":
        beats = _flutter(rng, seconds)
    elif rhythm == "SVT":
        beats = _supraventricular(rng, seconds)
    else:
        beats = _sinus(rhythm, rng, seconds, breathing_rate, breathing_phase)
    beats = replace(beats, breathing_rate=breathing_rate, breathing_phase=breathing_phase)
    if rng.random() < ectopy and rhythm not in ("AFL", "SVT"):
        for _ in range(rng.integers(1, 3)):
            beats = _premature(beats, rng, seconds)
    return beats


def _beats(times: np.ndarray, rhythm: str, **facts: Any) -> Beats:
    return Beats(times, rhythm, np.zeros(len(times), bool), **facts)


def _sinus(
    rhythm: str, rng: np.random.Generator, seconds: float, breathing_rate: float, phase: float
) -> Beats:
    """Mean RR, respiratory wave, slow (0.1 Hz) wave and a little white noise."""
    border, span, a, b = SINUS_RATES[rhythm]
    # What a reader would measure differs a little from what was meant: the borders are soft.
    rate = border + span * rng.beta(a, b) + rng.normal(0, 1)
    mean = 60 / rate
    if rhythm == "SA":
        breathing = min(0.5 * (0.24 + rng.gamma(2.5, 0.08)), 0.32 * mean)
    else:
        breathing = min(abs(rng.normal(0, 0.016)) * mean**1.5, 0.05 * mean)
    slow = abs(rng.normal(0, 0.012)) * mean**1.5
    white = 0.004 + (0.012 if rhythm == "SA" else 0.004) * mean * rng.random()
    slow_phase = rng.uniform(0, 2 * np.pi)
    noise = rng.standard_normal(int((seconds + 2 * MARGIN) * 3.5))
    times = [-MARGIN + mean * rng.random()]
    for white_noise in noise:
        t = times[-1]
        if t > seconds + MARGIN:
            break
        wave = breathing * np.sin(2 * np.pi * breathing_rate * t + phase)
        wave += slow * np.sin(2 * np.pi * 0.1 * t + slow_phase)
        times.append(t + max(mean + wave + white * white_noise, 0.3))
    p_offset = -np.clip(rng.normal(0.158, 0.016), 0.12, 0.21) * mean**0.15
    return _beats(np.array(times), rhythm, p_offset=p_offset)


def _fibrillation(rng: np.random.Generator, seconds: float) -> Beats:
    """Independent gamma RR intervals: no memory, no pattern."""
    mean = 60 / np.clip(rng.lognormal(np.log(88), 0.27), 45, 165)
    spread = np.clip(rng.normal(0.2, 0.055), 0.07, 0.34)
    n = int((seconds + 2 * MARGIN) / mean * 2) + 10
    floor = 0.5 * mean  # the AV node's refractory period
    shape = ((1 - floor / mean) / spread) ** 2
    rr = np.maximum(floor + rng.gamma(shape, (mean - floor) / shape, n), 0.28)
    times = np.cumsum(rr) - MARGIN - mean * rng.random()
    return _beats(
        times[times < seconds + MARGIN],
        "AFIB",
        p_wave="none",
        atrial_rate=rng.uniform(4.5, 8.5),
        atrial_wander=rng.uniform(0.05, 0.14),
    )


def _flutter(rng: np.random.Generator, seconds: float) -> Beats:
    """Every second, third or fourth flutter wave is conducted, or a changing number."""
    rate = rng.uniform(240, 340) / 60
    block = rng.choice([2, 3, 4, 0], p=[0.42, 0.1, 0.24, 0.24])
    n = int((seconds + 2 * MARGIN) * rate)
    if block:
        ratios = np.full(n, block)
    else:  # the ratio holds for a beat or two, then changes
        ratios = rng.choice([2, 3, 4], p=[0.35, 0.3, 0.35], size=n)
        ratios = np.where(rng.random(n) < 0.3, np.roll(ratios, 1), ratios)
    waves = np.cumsum(ratios)
    start, delay = -MARGIN - rng.random() / rate, rng.uniform(0.0, 1 / rate)
    times = start + waves / rate + delay + rng.normal(0, 0.004 if block else 0.012, n)
    return _beats(
        times[times < seconds + MARGIN],
        "AFL",
        p_wave="none",
        atrial_rate=rate,
        atrial_phase=-2 * np.pi * rate * start,
        atrial_wander=0.0 if block else rng.uniform(0.0, 0.03),
    )


def _supraventricular(rng: np.random.Generator, seconds: float) -> Beats:
    """Regular and fast: AV-nodal (P hidden), AV re-entrant (P after QRS) or atrial (P before)."""
    mean = 60 / (143 + 87 * rng.beta(1.7, 2.4))
    slow, phase = 0.012 * rng.random(), rng.uniform(0, 2 * np.pi)
    n = int((seconds + 2 * MARGIN) / mean) + 3
    k = np.arange(n)
    rr = mean * (1 + slow * np.sin(2 * np.pi * 0.15 * mean * k + phase))
    rr += rng.normal(0, 0.003, n)
    p_wave, p_offset = [
        ("retrograde", rng.uniform(0.03, 0.06)),
        ("retrograde", rng.uniform(0.10, 0.14)),
        ("ectopic", -rng.uniform(0.11, 0.15)),
    ][rng.choice(3, p=[0.5, 0.33, 0.17])]
    times = np.cumsum(rr) - MARGIN - mean * rng.random()
    return _beats(times[times < seconds + MARGIN], "SVT", p_wave=p_wave, p_offset=p_offset)


def _premature(beats: Beats, rng: np.random.Generator, seconds: float) -> Beats:
    """One beat comes early: ventricular with a full pause, or atrial, which resets the node."""
    inside = np.flatnonzero((beats.times > 1) & (beats.times < seconds - 1))
    if len(inside) < 3:
        return beats
    k = rng.choice(inside)
    times, ventricular = beats.times.copy(), beats.ventricular.copy()
    rr = times[k] - times[k - 1]
    early = rr * rng.uniform(0.2, 0.42)
    if rr - early < 0.36 or ventricular[k - 1 : k + 2].any():
        return beats
    times[k] -= early
    if beats.p_wave == "none" or rng.random() < 0.55:
        ventricular[k] = True
    else:
        times[k + 1 :] -= 0.8 * early
    return replace(beats, times=times, ventricular=ventricular)
