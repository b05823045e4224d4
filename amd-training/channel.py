"""What happens to sound between a mouth and the caller: rooms, noises, stored audio, telephone channels. Arrays are float, 8 kHz.

Everything is drawn from the generator that is passed in, so a clip is a function of its seed. Companding follows G.711; GSM 06.10
is the real codec, by way of libsndfile; the other codecs are approximations and are named so.
"""

import io

import numpy as np
import soundfile
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

RATE = 8000


def db(x):
    return 10 ** (x / 20)


def active_rms(x):
    frames = x[: len(x) // 160 * 160].reshape(-1, 160)
    e = np.sqrt((frames**2).mean(1)) if len(frames) else np.zeros(1)
    live = e[e > e.max() * 0.12] if e.max() > 0 else e
    return float(np.sqrt((live**2).mean())) + 1e-9


def coloured(n, slope, rng):
    """Noise whose spectrum falls with `slope` (0 white, 1 pink, 2 brown in power per frequency)."""
    m = next_fast_len(n, real=True)
    spectrum = rfft(rng.standard_normal(m))
    f = np.maximum(np.fft.rfftfreq(m, 1 / RATE), 30.0)
    x = irfft(spectrum / f ** (slope / 2), m)[:n]
    return x / (np.sqrt((x**2).mean()) + 1e-12)


def swell(n, rng, period=2.0, depth_db=6.0):
    """A slow random gain."""
    knots = rng.normal(0, depth_db / 2, int(n / RATE / period) + 3)
    return db(np.interp(np.arange(n) / RATE / period, np.arange(len(knots)), knots))


def bursts(n, rng, rate_hz, low, high, length, ring=True):
    """Clinks and knocks: short decaying sounds at random times."""
    x = np.zeros(n)
    for _ in range(rng.poisson(rate_hz * n / RATE)):
        at, m = int(rng.integers(n)), int(RATE * length * rng.uniform(0.4, 1.6))
        t = np.arange(min(m, n - at)) / RATE
        tone = sum(np.sin(2 * np.pi * rng.uniform(low, high) * t + rng.uniform(0, 6)) for _ in range(3)) if ring else rng.standard_normal(len(t))
        x[at : at + len(t)] += tone * np.exp(-t / (length / 4)) * rng.uniform(0.2, 1.0)
    return x


def noise(kind, n, rng, bank):
    """Far-end background of unit level."""
    if kind in ("pink", "hiss", "brown"):
        x = coloured(n, {"hiss": 0.0, "pink": 1.0, "brown": 1.8}[kind], rng)
    elif kind == "car":
        x = coloured(n, 2.4, rng) * swell(n, rng, 3, 3) + 0.15 * coloured(n, 0.5, rng)
    elif kind == "street":
        x = coloured(n, 1.4, rng) * swell(n, rng, 1.5, 9)
        for _ in range(rng.poisson(n / RATE / 8)):
            at, m = int(rng.integers(n)), int(RATE * rng.uniform(0.15, 0.6))
            t = np.arange(min(m, n - at)) / RATE
            f = rng.uniform(280, 520)
            x[at : at + len(t)] += rng.uniform(0.5, 2) * np.sign(np.sin(2 * np.pi * f * t)) * np.hanning(len(t) + 2)[1:-1]
    elif kind == "kitchen":
        x = 0.4 * coloured(n, 1.0, rng) + 3 * bursts(n, rng, 1.5, 1200, 3500, 0.08) + 2 * bursts(n, rng, 0.7, 150, 500, 0.06, False)
    elif kind == "babble":
        x = np.zeros(n)
        for _ in range(int(rng.integers(3, 9))):
            x += np.roll(bank.stream(n, rng), int(rng.integers(n))) * rng.uniform(0.4, 1)
        x = room(x, rng.uniform(0.4, 0.9), rng, -3)
    elif kind == "tv":
        x = bank.stream(n, rng) * rng.uniform(0.4, 1) + bank.music(n, rng) * rng.uniform(0.1, 0.9)
        x = band(room(x, rng.uniform(0.3, 0.6), rng, -2), 250, 3000)
    elif kind == "music":
        x = room(bank.music(n, rng), rng.uniform(0.2, 0.6), rng, 0)
    else:
        raise ValueError(kind)
    return x / (np.sqrt((x**2).mean()) + 1e-9)


def room(x, rt60, rng, direct_db=6.0):
    """Reverberation by a generated impulse response: direct sound, a few reflections, a decaying tail."""
    n = int(RATE * rt60 * 1.1)
    t = np.arange(n) / RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * t / rt60)
    tail[: int(0.002 * RATE)] = 0
    tail = lfilter([1, rng.uniform(0.2, 0.8)], [1], tail)
    tail /= np.sqrt((tail**2).sum()) + 1e-9
    for _ in range(5):
        tail[min(n - 1, int(rng.uniform(0.001, 0.02) * RATE))] += rng.normal(0, 0.3)
    h = tail * db(-direct_db)
    h[0] += 1.0
    return fftconvolve(x, h)[: len(x)]


def band(x, low, high, order=4):
    return sosfilt(butter(order, [low, min(high, 3950)], "bandpass", fs=RATE, output="sos"), x)


def handset(x, rng):
    """Response of a microphone: two random resonances and a tilt."""
    for _ in range(2):
        f, g, q = rng.uniform(400, 3200), rng.normal(0, 5), rng.uniform(0.6, 2.5)
        a, w = 10 ** (g / 40), 2 * np.pi * f / RATE
        alpha = np.sin(w) / (2 * q)
        b0, b1, b2, a0, a1, a2 = 1 + alpha * a, -2 * np.cos(w), 1 - alpha * a, 1 + alpha / a, -2 * np.cos(w), 1 - alpha / a
        x = lfilter([b0 / a0, b1 / a0, b2 / a0], [1, a1 / a0, a2 / a0], x)
    k = rng.uniform(-0.45, 0.45)
    return lfilter([1, k], [1], x)


def varispeed(x, factor):
    """Plays faster or slower, with pitch: makes another speaker of a voice."""
    n = int(len(x) / factor)
    return np.interp(np.arange(n) * factor, np.arange(len(x)), x)


def compress(x, rng):
    """A slow compressor towards one level, as announcements are produced."""
    e = np.sqrt(np.maximum(lfilter([0.004], [1, -0.996], x**2), 1e-9))
    return x * (active_rms(x) / np.maximum(e, active_rms(x) * 0.05)) ** rng.uniform(0.3, 0.8)


def breath(n, rng):
    t = np.linspace(0, 1, n)
    return band(rng.standard_normal(n), 400, 2500, 2) * np.sin(np.pi * t) ** 2


def g711(x, law):
    """x in 16-bit units -> the same after companding."""
    if law == "ulaw":
        s, m = np.sign(x), np.minimum(np.abs(x), 32635) + 132
        e = np.floor(np.log2(m)).astype(int) - 7
        q = np.floor(m / 2.0 ** (e + 3))
        return s * ((q + 0.5) * 2.0 ** (e + 3) - 132)
    s, m = np.where(x >= 0, 1, -1), np.minimum(np.abs(x), 32767)
    e = np.maximum(np.floor(np.log2(np.maximum(m, 256))).astype(int) - 8, 0)
    step = np.where(m < 256, 16, 16 * 2.0 ** e)
    return s * (np.floor(m / step) + 0.5) * step


def gsm(x):
    """GSM 06.10 full rate. x in 16-bit units."""
    f = io.BytesIO()
    soundfile.write(f, np.clip(x, -32768, 32767).astype(np.int16), RATE, format="WAV", subtype="GSM610")
    f.seek(0)
    y, _ = soundfile.read(f, dtype="int16")
    out = np.zeros(len(x))
    out[: min(len(y), len(x))] = y[: len(x)]
    return out


def ima(x):
    f = io.BytesIO()
    soundfile.write(f, np.clip(x, -32768, 32767).astype(np.int16), RATE, format="WAV", subtype="IMA_ADPCM")
    f.seek(0)
    y, _ = soundfile.read(f, dtype="int16")
    out = np.zeros(len(x))
    out[: min(len(y), len(x))] = y[: len(x)]
    return out


def celp_like(x, rng):
    """Approximation of a low-rate speech codec: noise that follows the spectrum and the level of each frame."""
    e = np.sqrt(np.maximum(lfilter([0.02], [1, -0.98], x**2), 0))
    n = band(rng.standard_normal(len(x)), 500, 3400, 2)
    return band(x, 180, 3500) + n * e * db(-rng.uniform(13, 22))


def stored(x, rng):
    """What a voicemail system keeps of a recording. Returns the sound and the name of the codec."""
    kind = rng.choice(["none", "gsm", "ima", "celp", "ulaw"], p=[0.3, 0.25, 0.15, 0.15, 0.15])
    kind, y = str(kind), x * 32767
    if kind == "gsm":
        y = gsm(y)
    elif kind == "ima":
        y = ima(y)
    elif kind == "ulaw":
        y = g711(y, "ulaw")
    elif kind == "celp":
        return celp_like(x, rng), kind
    return y / 32767, kind


def comfort_noise(x, rng, truth):
    """Discontinuous transmission: quiet frames are replaced by noise of their level, or by silence."""
    frames = x[: len(x) // 160 * 160].reshape(-1, 160).copy()
    e = np.sqrt((frames**2).mean(1))
    floor = np.percentile(e, 15)
    quiet = e < max(floor * 2.2, 6)
    # A talkspurt holds on for some frames.
    hang = int(rng.integers(4, 12))
    keep = np.convolve(~quiet, np.ones(hang), "full")[: len(quiet)] > 0
    level = floor * db(rng.uniform(-6, 1)) if rng.random() < 0.8 else 0.0
    frames[~keep] = rng.standard_normal((int((~keep).sum()), 160)) * level
    truth["dtx"] = True
    return frames.reshape(-1)


def lossy(x, rng, rate, plc):
    frames = x[: len(x) // 160 * 160].reshape(-1, 160).copy()
    bad = False
    for n in range(1, len(frames)):
        bad = rng.random() < (0.4 if bad else rate)
        if bad:
            frames[n] = frames[n - 1] * 0.7 if plc == "repeat" else 0
    return frames.reshape(-1)


def telephone(x, rng, truth, level_db, line_db):
    """The line: level, band, line noise, codecs, comfort noise, loss. Returns 16-bit samples and completes the truth."""
    low, high = [(300, 3400), (120, 3750), (200, 3600), (80, 3900)][int(rng.choice(4, p=[0.5, 0.3, 0.15, 0.05]))]
    x = band(x, low, high)
    x = x * db(level_db)
    if line_db is not None:
        x = x + coloured(len(x), rng.choice([0.0, 0.5, 1.0]), rng) * db(line_db)
    x = np.clip(x, -1, 1) * 32767
    codec = []
    truth.update(dtx=False, loss=0.0, plc="")
    if rng.random() < 0.2:
        x = comfort_noise(x, rng, truth)
    if rng.random() < 0.28:
        kind = rng.choice(["gsm", "celp"], p=[0.75, 0.25])
        x = gsm(x) if kind == "gsm" else celp_like(x, rng)
        codec.append(str(kind))
    if rng.random() < 0.25:
        truth["loss"], truth["plc"] = float(rng.choice([0.01, 0.03, 0.06])), str(rng.choice(["zero", "repeat"]))
        x = lossy(x, rng, truth["loss"], truth["plc"])
    law = str(rng.choice(["ulaw", "alaw"]))
    x = g711(x, law)
    truth.update(codec="+".join(codec + [law]), band_hz=[low, high])
    return np.clip(np.round(x), -32768, 32767).astype(np.int16)
