"""Generates labelled clips of what a caller hears from the answer on, from the bank of phrases (sources.py).

    clips.py [--net N] [--trees N] [--held N]    writes clips/SPLIT/SHARD.npy (int16 end to end) and SHARD.jsonl (truth, one clip a line)

A clip is a function of its seed; shards that exist are kept. The truth has the fields of the development set's `truth.jsonl`
and `at`, the sample where the clip begins in its shard. The ranges of persons and machines overlap on purpose: persons in quiet
rooms on clean lines, greetings recorded in noisy rooms, the same voices in both roles. Each stretch of speech in the truth has the role
of its text (`texts.py`), `rec` where a recorded person says something of no role, `word` where a set of prompts holds a single word.
"""

import argparse, json, multiprocessing, zlib

import numpy as np

import channel as ch
from channel import RATE, db
from sources import BANK, CACHE
from texts import SPLITS

SHARD = 100
MIX = {"human": 0.4, "machine": 0.28, "screening": 0.08, "ivr": 0.09, "sit": 0.03, "fax": 0.012, "busy": 0.012, "ringback": 0.016, "music": 0.05,
       "silence": 0.025}


# How often a synthesiser speaks: the few natural ones more often than their number.
SYNTHETIC = {"espeak": 0.55, "festival": 0.15, "flite": 0.08, "piper": 0.12, "hibari": 0.1, "pico": 0.3}


class Bank:
    """The phrases of one split."""

    def __init__(self, split):
        self.voices = []
        for f in sorted(BANK.glob("*.json")):
            v = json.loads(f.read_text())
            if v["split"] == split:
                v["pcm"] = np.load(f.with_suffix(".npy"), mmap_mode="r")
                self.voices.append(v)
        pieces = np.load(BANK / "music.npy", mmap_mode="r")
        cuts = [0, len(pieces) // 2, len(pieces) * 3 // 4, len(pieces)]
        self.pieces = pieces[cuts[SPLITS.index(split)] : cuts[SPLITS.index(split) + 1]]
        self.synthetic = {kind: [v for v in self.voices if v["kind"] == kind] for kind in SYNTHETIC}
        self.recorded = {of: [v for v in self.voices if v.get("of") == of] for of in ("prompts", "reading", "lines", "letters")}

    def pcm(self, voice, phrase):
        return voice["pcm"][phrase["at"] : phrase["at"] + phrase["n"]].astype(np.float64) / 32767

    def stream(self, n, rng):
        """Running speech of one voice."""
        voice = self.voices[int(rng.integers(len(self.voices)))]
        out, at = np.zeros(n), 0
        while at < n:
            p = self.pcm(voice, voice["phrases"][int(rng.integers(len(voice["phrases"])))])[: n - at]
            out[at : at + len(p)] += p
            at += len(p) + int(rng.uniform(0.05, 0.6) * RATE)
        return out

    def music(self, n, rng):
        if rng.random() < 0.15:
            return synthetic_music(n, rng)
        x = np.tile(self.pieces[int(rng.integers(len(self.pieces)))].astype(np.float64) / 32767, 3)
        at = int(rng.integers(len(x) // 2))
        return x[at : at + n]


def synthetic_music(n, rng):
    """Chords and a tune, for a cheap music on hold."""
    x, root = np.zeros(n), rng.uniform(110, 260)
    at = 0
    while at < n:
        m = int(RATE * rng.choice([0.25, 0.5, 1.0]))
        t = np.arange(min(m, n - at)) / RATE
        for k in rng.choice([0, 3, 4, 7, 10, 12, 15, 19], 3):
            f = root * 2 ** (k / 12)
            x[at : at + len(t)] += sum(np.sin(2 * np.pi * f * h * t) / h for h in (1, 2, 3)) * np.exp(-t * rng.uniform(0.5, 4))
        at += m
    return x * 0.05


class Clip:
    """A timeline that grows: sounds are laid on it, and the truth is written down."""

    def __init__(self, rng):
        self.x, self.rng = np.zeros(RATE * 60), rng
        self.speech, self.tones, self.end = [], [], 0.0

    def lay(self, x, at):
        n = int(at * RATE)
        x = x[: max(0, len(self.x) - n)]
        self.x[n : n + len(x)] += x
        self.end = max(self.end, (n + len(x)) / RATE)

    def say(self, x, at, said, after=False):
        text, role = said
        self.lay(x, at)
        self.speech.append({"start_ms": int(at * 1000), "end_ms": int((at + len(x) / RATE) * 1000) - 20, "text": text, "role": role, "after": after})
        return at + len(x) / RATE

    def tone(self, kind, freqs, at, length, level=0.1):
        t = np.arange(int(length * RATE)) / RATE
        x = sum(np.sin(2 * np.pi * f * t) for f in freqs) * level / len(freqs)
        edge = min(int(0.005 * RATE), len(x) // 4) + 1
        x[:edge] *= np.linspace(0, 1, edge)
        x[-edge:] *= np.linspace(1, 0, edge)
        self.lay(x, at)
        self.tones.append({"kind": kind, "freqs": [round(f, 1) for f in freqs], "start_ms": int(at * 1000), "end_ms": int((at + length) * 1000)})
        return at + length


class Speaker:
    """A voice with its own pace: gives phrases by role, whether it is synthesised or recorded."""

    LENGTHS = {"hello": (0.18, 1.1), "wait": (0.18, 1.2), "named": (0.5, 1.9), "business": (1.4, 4.5), "talk": (2.5, 9.0), "vm_open": (0.8, 3.0), "vm_mid": (1.0, 4.0),
               "vm_close": (1.0, 4.5), "short": (0.6, 2.2), "carrier": (1.8, 6.0), "full": (2.0, 6.0), "screen": (1.6, 5.0), "ivr_open": (0.9, 3.5), "ivr_opt": (1.2, 5.0),
               "intercept": (1.8, 6.0)}

    # What a set of prompts says in the place of a personal greeting.
    PROMPTS = {"vm_open": "carrier", "vm_mid": "carrier", "short": "vm_close"}

    def __init__(self, bank, rng, shares):
        """A voice: `shares` are the probabilities of kinds of recorded people; the rest is synthetic."""
        kinds = [kind for kind in SYNTHETIC if bank.synthetic[kind]]
        weights = np.array([SYNTHETIC[kind] for kind in kinds])
        draw, pool = rng.random(), bank.synthetic[str(rng.choice(kinds, p=weights / weights.sum()))]
        for of, share in shares.items():
            if 0 <= draw < share and bank.recorded[of]:
                pool = bank.recorded[of]
            draw -= share
        self.bank, self.rng, self.said, self.voice = bank, rng, set(), pool[int(rng.integers(len(pool)))]
        # Another speed with its pitch is nearly another speaker; of the few who speak prompts many are made.
        wide = 0.13 if self.voice.get("of") == "prompts" or self.voice["kind"] in ("piper", "hibari") else 0.08
        self.speed = float(np.clip(rng.normal(1, wide), 0.75, 1.3)) if rng.random() < 0.75 else 1.0

    def choose(self, role):
        """Phrases that are said one after another for a role: one, or short pieces of a recorded person joined to the usual length."""
        rng, v = self.rng, self.voice
        rows = [p for p in v["phrases"] if p["role"] == role]
        if not rows and v.get("of") == "prompts":
            rows = [p for p in v["phrases"] if p["role"] == self.PROMPTS.get(role)]
        low, high = self.LENGTHS[role]
        if rows:
            if v["kind"] == "recorded":
                rows = [p for p in rows if p["n"] / RATE > min(low, 0.6)] or rows
            rows = [p for p in rows if p["at"] not in self.said] or rows
            p = rows[int(rng.integers(len(rows)))]
            self.said.add(p["at"])
            return [p]
        said = [p for p in v["phrases"] if p["role"] in ("rec", "word")]
        rows = [p for p in said if low <= p["n"] / RATE <= high]
        if rows and (high <= 2 or rng.random() < 0.7):
            return [rows[int(rng.integers(len(rows)))]]
        want, parts = rng.uniform(low, min(high, low + 2.5)), []
        short = [p for p in said if p["n"] / RATE <= high] or said
        while sum(p["n"] for p in parts) / RATE < want:
            parts.append(short[int(rng.integers(len(short)))])
        return parts

    def phrase(self, role):
        """Samples, and what is said with its role."""
        chosen, parts = self.choose(role), []
        for p in chosen:
            parts += [self.bank.pcm(self.voice, p), np.zeros(int(self.rng.uniform(0.0, 0.16) * RATE))]
        return ch.varispeed(np.concatenate(parts[:-1]), self.speed), ("+".join(p["text"] for p in chosen), chosen[0]["role"])


def ringback_tail(clip, rng, share):
    """The last piece of the ringing tone, where an answer is reported early."""
    if rng.random() > share:
        return 0.0
    freqs = [[425.0], [440.0, 480.0], [400.0, 450.0]][int(rng.integers(3))]
    return clip.tone("ringback_tail", freqs, 0.0, rng.uniform(0.2, 1.3), rng.uniform(0.02, 0.12))


def human(clip, bank, rng):
    sub = str(rng.choice(["hello", "named", "business", "talk", "double", "delayed", "tone_trap"], p=[0.36, 0.14, 0.2, 0.13, 0.08, 0.05, 0.04]))
    who = Speaker(bank, rng, {"lines": 0.11, "reading": 0.09, "letters": 0.04, "prompts": 0.08})
    at = ringback_tail(clip, rng, 0.1)
    at += rng.uniform(2.0, 5.0) if sub == "delayed" else float(np.clip(rng.gamma(2.2, 0.35), 0.06, 2.4))
    onset, loud = at, rng.uniform(0, 3.0)
    vary = lambda x: x * db(rng.normal(0, loud))
    role = {"delayed": "hello", "tone_trap": "hello", "double": "hello"}.get(sub, sub)
    x, text = who.phrase(role)
    at = clip.say(vary(x), at, text)
    if sub == "double" or (sub == "business" and rng.random() < 0.25) or (sub == "talk" and rng.random() < 0.4):
        at += rng.uniform(0.3, 1.3) if sub == "double" else rng.uniform(0.15, 0.9)
        x, text = who.phrase("wait" if sub == "double" else "named" if sub == "business" else "talk")
        at = clip.say(vary(x), at, text)
    greeting_end = at
    if sub == "tone_trap":
        kind = str(rng.choice(["oven", "key", "doorbell"]))
        f = [rng.uniform(900, 2800)] if kind == "oven" else [rng.choice([697, 770, 852, 941.0]), rng.choice([1209, 1336, 1477.0])] if kind == "key" else [rng.uniform(500, 900)]
        t = at + rng.uniform(0.3, 2.0)
        for _ in range(int(rng.integers(1, 5))):
            t = clip.tone(kind, [float(v) for v in f], t, rng.uniform(0.07, 0.4), rng.uniform(0.01, 0.06)) + rng.uniform(0.1, 0.6)
    waiting = at
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        waiting += rng.uniform(1.4, 5.0)
        x, text = who.phrase("wait")
        waiting = clip.say(vary(x), waiting, text, True)
    clip.length = max(waiting, greeting_end) + rng.uniform(2.4, 5.0)
    n = int(clip.length * RATE)
    x = clip.x[:n]
    if rng.random() < 0.55:
        x = ch.room(x, float(rng.uniform(0.12, 0.7)), rng, rng.uniform(-2, 12))
    if rng.random() < 0.6:
        x = ch.handset(x, rng)
    x = x * ch.swell(n, rng, rng.uniform(0.5, 2.0), rng.uniform(0, 5))
    if rng.random() < 0.45:  # lifting and handling the receiver
        m = int(rng.uniform(0.02, 0.35) * RATE)
        t0 = int(rng.uniform(0, max(0.02, onset - 0.1)) * RATE)
        knock = ch.band(ch.bursts(m, rng, rng.uniform(8, 40), 100, 900, 0.03, False), 100, 2500, 2)[: n - t0]
        x[t0 : t0 + len(knock)] += knock * rng.uniform(0.02, 0.2)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 4))):
            m, t0 = int(rng.uniform(0.25, 0.7) * RATE), int(rng.uniform(0, clip.length - 0.8) * RATE)
            x[t0 : t0 + m] += ch.breath(m, rng) * rng.uniform(0.003, 0.03)
    return x, sub, who, greeting_end


BEEP_KINDS = ["single", "dual", "chirp", "double", "triple"]


def beep(clip, at, rng, truth, loud):
    kind = str(rng.choice(BEEP_KINDS, p=[0.68, 0.12, 0.08, 0.08, 0.04]))
    f, length = float(rng.uniform(380, 2500)), float(np.clip(rng.lognormal(-1.0, 0.6), 0.1, 1.6))
    level, start = 0.1 * db(loud), at
    mark = len(clip.tones)
    if kind == "single":
        freqs = [f]
        at = clip.tone("beep", freqs, at, length, level * 1.4)
    elif kind == "dual":
        freqs = [f, f * rng.uniform(1.15, 1.6)]
        at = clip.tone("beep", freqs, at, length, level * 1.8)
    elif kind == "chirp":
        freqs = [f]
        t = np.arange(int(length * RATE)) / RATE
        end = f * rng.uniform(0.6, 1.8)
        x = np.sin(2 * np.pi * (f * t + (end - f) * t**2 / (2 * length))) * level * 1.4
        x[:40] *= np.linspace(0, 1, 40)
        x[-40:] *= np.linspace(1, 0, 40)
        clip.lay(x, at)
        at += length
    else:
        freqs = [f]
        pulses = 2 if kind == "double" else 3
        for k in range(pulses):
            at = clip.tone("beep", [f * (1.25**k if rng.random() < 0.3 else 1)], at, min(length, 0.3), level * 1.4) + rng.uniform(0.05, 0.2)
    del clip.tones[mark:]
    truth.update(beep_start_ms=int(start * 1000), beep_end_ms=int(at * 1000), beep_freq_hz=[round(v, 1) for v in freqs], beep_kind=kind, beep_rel_db=round(loud, 1))
    return at


def produced(x, clip, rng, personal, bank):
    """A played prompt: recorded in some room, produced, stored, gated or not."""
    n = len(x)
    if personal and rng.random() < 0.4:
        x = ch.room(x, float(rng.uniform(0.12, 0.6)), rng, rng.uniform(0, 12))
    if personal and rng.random() < 0.5:
        x = ch.handset(x, rng)
    first = min((s["start_ms"] for s in clip.speech), default=0) / 1000
    last = max((s["end_ms"] for s in clip.speech), default=0) / 1000
    if rng.random() < (0.4 if personal else 0.12):
        # The recording's own background begins and ends with it.
        kind = str(rng.choice(["pink", "hiss", "brown", "street", "babble", "car", "kitchen"], p=[0.35, 0.25, 0.2, 0.06, 0.05, 0.06, 0.03]))
        a, b = int(max(0, first - rng.uniform(0, 0.4)) * RATE), min(n, int((last + rng.uniform(0, 0.5)) * RATE))
        if b > a + 800:
            x[a:b] += ch.noise(kind, b - a, rng, bank) * 0.1 * db(-rng.uniform(12, 40))
    if rng.random() < 0.45:
        x = ch.compress(x, rng)
    kind = "none"
    if rng.random() < 0.7:
        x, kind = ch.stored(x, rng)
    if rng.random() < 0.4:
        # Pauses of the system itself are digital silence.
        e = np.repeat(np.sqrt((x[: n // 160 * 160].reshape(-1, 160) ** 2).mean(1)), 160)
        quiet = np.convolve(e > 0.003, np.ones(1600), "same") <= 0
        x[: len(quiet)][quiet] = 0
    return x, kind


def machine(clip, bank, rng, truth):
    sub = str(rng.choice(["personal", "short", "carrier", "long", "music_bed", "late_beep", "no_beep", "full", "beep_only"],
                         p=[0.31, 0.22, 0.16, 0.06, 0.05, 0.06, 0.06, 0.04, 0.04]))
    who = Speaker(bank, rng, {"prompts": 0.17, "reading": 0.07})
    at = ringback_tail(clip, rng, 0.18)
    at += float(np.clip(rng.gamma(2.0, 0.45), 0.02, 3.0))
    if sub == "beep_only":
        end = beep(clip, at, rng, truth, rng.uniform(-10, 0))
        clip.length = end + rng.uniform(2, 4)
        return clip.x[: int(clip.length * RATE)], sub, who, None
    plan = {"short": ["short"], "carrier": ["carrier"] * int(rng.integers(1, 4)), "full": ["full"],
            "long": ["vm_open", "vm_mid", "vm_mid", "vm_mid", "vm_close", "vm_close"]}.get(sub)
    if plan is None:
        plan = ["vm_open"] + ["vm_mid"] * int(rng.choice([0, 1, 2], p=[0.25, 0.55, 0.2])) + ["vm_close"] * int(rng.choice([0, 1, 2], p=[0.12, 0.7, 0.18]))
    vary, pause = rng.uniform(0, 2.0), rng.uniform(0.12, 0.75)
    for n, role in enumerate(plan):
        x, text = who.phrase(role)
        at = clip.say(x * db(rng.normal(0, vary)), at, text)
        if n + 1 < len(plan):
            at += pause * rng.uniform(0.6, 1.5)
    end, first = at, clip.speech[0]["start_ms"] / 1000
    has_beep = sub not in ("no_beep", "full") and not (sub == "carrier" and rng.random() < 0.25)
    loud = rng.uniform(-15, 2)
    bx = clip.x.copy()
    clip.x[:] = 0
    if has_beep:
        at = beep(clip, at + (rng.uniform(2.0, 4.5) if sub == "late_beep" else rng.uniform(0.05, 1.6)), rng, truth, loud)
    clip.length = at + rng.uniform(1.5, 4.0)
    n = int(clip.length * RATE)
    personal = sub not in ("carrier", "full")
    if sub == "music_bed":
        a, b = int(max(0, first - rng.uniform(0, 1.2)) * RATE), min(n, int((end + rng.uniform(0, 1)) * RATE))
        bx[a:b] += bank.music(b - a, rng) * db(-rng.uniform(6, 20))
    x, truth["stored"] = produced(bx[:n], clip, rng, personal, bank)
    truth["message_start_ms"] = int(at * 1000)
    return x + clip.x[:n], sub, who, end


def screening(clip, bank, rng, truth):
    who = Speaker(bank, rng, {"prompts": 0.17, "reading": 0.03})
    at = ringback_tail(clip, rng, 0.12) + float(np.clip(rng.gamma(2.0, 0.35), 0.05, 2.5))
    for n in range(int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))):
        x, text = who.phrase("screen")
        at = clip.say(x, at + (rng.uniform(0.15, 0.7) if n else 0), text)
    end, sub = at, "prompt"
    if rng.random() < 0.45:
        sub = "prompt_tone"
        at = clip.tone("prompt", [float(rng.uniform(400, 1600))], at + rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.5), rng.uniform(0.03, 0.12))
    if rng.random() < 0.25:
        x, text = who.phrase("screen")
        at = clip.say(x, at + rng.uniform(3, 5.5), text, True)
    clip.length = at + rng.uniform(3.5, 6.0)
    x, truth["stored"] = produced(clip.x[: int(clip.length * RATE)], clip, rng, False, bank)
    return x, sub, who, end


def ivr(clip, bank, rng, truth):
    who = Speaker(bank, rng, {"prompts": 0.25, "reading": 0.03})
    at = ringback_tail(clip, rng, 0.08) + float(np.clip(rng.gamma(1.8, 0.35), 0.03, 2.5))
    sub, pause = str(rng.choice(["menu", "queue"], p=[0.75, 0.25])), rng.uniform(0.3, 1.2)
    if rng.random() < 0.12:
        m = rng.uniform(0.3, 1.6)
        clip.lay(bank.music(int(m * RATE), rng) * 0.3, at)  # a jingle
        at += m
    for n in range(int(rng.integers(2, 6))):
        x, text = who.phrase("ivr_open" if n == 0 else "ivr_opt")
        at = clip.say(x, at + (pause * rng.uniform(0.6, 1.4) if n else 0), text)
    end = at
    clip.length = at + rng.uniform(1.0, 4.0)
    if sub == "queue":
        m = rng.uniform(4, 9)
        clip.lay(bank.music(int(m * RATE), rng) * db(-rng.uniform(0, 12)), at + rng.uniform(0.1, 0.8))
        clip.length = at + m
    x, truth["stored"] = produced(clip.x[: int(clip.length * RATE)], clip, rng, False, bank)
    return x, sub, who, end


def sit(clip, bank, rng, truth):
    sub, who, end = str(rng.choice(["tones_recording", "tones_only", "recording_only"], p=[0.6, 0.2, 0.2])), Speaker(bank, rng, {"prompts": 0.25}), None
    at = rng.uniform(0.02, 1.2)
    if sub != "recording_only":
        for low, high in [(913.8, 985.2), (1370.6, 1428.5), (1776.7, 1776.7)]:
            at = clip.tone("sit", [low if rng.random() < 0.5 else high], at, float(rng.choice([0.276, 0.38, 0.33])), 0.1)
        at += rng.uniform(0.1, 1.0)
    if sub != "tones_only":
        for n in range(int(rng.integers(1, 3))):
            x, text = who.phrase("intercept")
            at = clip.say(x, at + (rng.uniform(0.2, 0.8) if n else 0), text)
        end = at
    clip.length = at + rng.uniform(1.5, 4)
    x, truth["stored"] = produced(clip.x[: int(clip.length * RATE)], clip, rng, False, bank)
    truth["accept"] = ["sit", "machine"] if sub == "recording_only" else ["sit"]
    return x, sub, who, end


RINGS = [([440.0, 480.0], 2.0, 4.0), ([425.0], 1.0, 4.0), ([400.0, 450.0], 0.4, 0.2), ([425.0], 1.5, 3.0), ([440.0], 1.7, 3.3)]
BUSIES = [([480.0, 620.0], 0.5, 0.5), ([425.0], 0.5, 0.5), ([425.0], 0.2, 0.2), ([400.0], 0.375, 0.375), ([480.0, 620.0], 0.25, 0.25)]


def signal(clip, bank, rng, kind):
    at, sub = rng.uniform(0.02, 1.5), "various"
    clip.length = rng.uniform(7, 14)
    if kind in ("busy", "ringback"):
        freqs, on, off = (BUSIES if kind == "busy" else RINGS)[int(rng.integers(5))]
        if kind == "ringback" and rng.random() < 0.4:
            at = 0.0
        while at < clip.length:
            at = clip.tone(kind, freqs, at, on, 0.1) + off
    else:
        sub = str(rng.choice(["cng", "ced", "ansam"]))
        if sub == "cng":
            while at < clip.length:
                at = clip.tone(sub, [1100.0], at, 0.5, 0.1) + 3.0
        else:
            clip.tone(sub, [2100.0], at, rng.uniform(2.6, 4), 0.1)
    return clip.x[: int(clip.length * RATE)], sub


def make(seed, split, bank):
    """One clip: 16-bit samples and its truth."""
    rng = np.random.default_rng([15, SPLITS.index(split), seed])
    kind = str(rng.choice(list(MIX), p=np.array(list(MIX.values())) / sum(MIX.values())))
    clip, truth, who, end = Clip(rng), {"beep_start_ms": None, "beep_end_ms": None, "beep_freq_hz": [], "beep_kind": "", "beep_rel_db": None, "message_start_ms": None,
                                        "stored": "none"}, None, None
    if kind == "human":
        x, sub, who, end = human(clip, bank, rng)
    elif kind in ("machine", "screening", "ivr", "sit"):
        x, sub, who, end = {"machine": machine, "screening": screening, "ivr": ivr, "sit": sit}[kind](clip, bank, rng, truth)
    elif kind in ("busy", "ringback", "fax"):
        x, sub = signal(clip, bank, rng, kind)
    else:
        clip.length, sub = rng.uniform(8, 14), "various"
        n = int(clip.length * RATE)
        x = bank.music(n, rng) if kind == "music" else np.zeros(n)
        if kind == "silence" and rng.random() < 0.2:
            x[: int(0.3 * RATE)] += ch.bursts(int(0.3 * RATE), rng, 10, 100, 900, 0.03, False)[: int(0.3 * RATE)] * 0.05
        if kind == "silence" and rng.random() < 0.2:
            for t0 in np.arange(0.5, clip.length - 1, rng.uniform(2, 3.5)):
                m = int(0.6 * RATE)
                x[int(t0 * RATE) : int(t0 * RATE) + m] += ch.breath(m, rng) * 0.02
    n = len(x)
    # The background at the far end goes on all the time; under a machine it is noise of the line or of the room of a tape.
    share = {"human": 0.55, "silence": 0.7}.get(kind, 0.28)
    noise, snr = "none", None
    if rng.random() < share:
        kinds = (["pink", "hiss", "brown", "car", "street", "kitchen", "babble", "tv", "music"], [0.2, 0.06, 0.08, 0.1, 0.2, 0.06, 0.14, 0.1, 0.06]) if kind in ("human", "silence") \
            else (["pink", "hiss", "brown", "street", "babble"], [0.5, 0.3, 0.12, 0.05, 0.03])
        noise = str(rng.choice(kinds[0], p=kinds[1]))
        snr = float(rng.uniform(7, 36) if kind == "human" else rng.uniform(12, 42))
        ground = 0.1 if kind == "silence" else ch.active_rms(x)
        x = x + ch.noise(noise, n, rng, bank) * ground * db(-snr)
    level = float(rng.uniform(-36, -9))
    gain = level - 20 * np.log10(0.1 if kind == "silence" else ch.active_rms(x))
    line = float(rng.choice([-50.0, -58.0, -65.0, -72.0, -78.0], p=[0.05, 0.15, 0.3, 0.3, 0.2])) if rng.random() < 0.7 else None
    pcm = ch.telephone(x, rng, truth, gain, line)
    # Some clips are answered late or in the middle of the first word.
    cut = 0
    if kind != "human" and clip.speech and rng.random() < 0.06:
        cut = int((clip.speech[0]["start_ms"] / 1000 + rng.uniform(-0.05, 0.15)) * RATE)
    if cut > 0:
        pcm = pcm[cut:]
        ms = cut * 1000 // RATE
        for row in clip.speech + clip.tones:
            row["start_ms"], row["end_ms"] = max(0, row["start_ms"] - ms), max(0, row["end_ms"] - ms)
        for key in ("beep_start_ms", "beep_end_ms", "message_start_ms"):
            if truth[key] is not None:
                truth[key] = max(0, truth[key] - ms)
        end = None if end is None else max(0.0, end - cut / RATE)
    pcm = pcm[: len(pcm) // 160 * 160]
    truth = {"clip": f"{split[0]}{seed:05d}", "class": kind, "subclass": sub, "accept": truth.pop("accept", [kind]), "lang": who.voice["lang"] if who else "",
             "duration_ms": len(pcm) * 1000 // RATE, "speech_onset_ms": min((s["start_ms"] for s in clip.speech), default=None),
             "greeting_end_ms": None if end is None else int(end * 1000), "other_tones": clip.tones, "speech": clip.speech, "voice": who.voice["voice"] if who else "",
             "kind": who.voice.get("of", who.voice["kind"]) if who else "", "level_dbfs": round(level, 1), "noise": noise, "snr_db": snr, "line_noise_dbfs": line, **truth}
    return pcm, truth


BANKS = {}


def shard(job):
    number, split, count = job
    base = CACHE / "clips" / split / f"{number:03d}"
    if base.with_suffix(".jsonl").exists():
        return
    if split not in BANKS:
        BANKS[split] = Bank(split)
    parts, lines, at = [], [], 0
    for seed in range(number * SHARD, number * SHARD + count):
        pcm, truth = make(seed, split, BANKS[split])
        parts.append(pcm)
        lines.append(json.dumps({"at": at, "n": len(pcm), **truth}, ensure_ascii=False))
        at += len(pcm)
    np.save(base.with_suffix(".npy"), np.concatenate(parts))
    base.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")


def main():
    ap = argparse.ArgumentParser()
    for split, count in zip(SPLITS, (7000, 3000, 1500)):
        ap.add_argument(f"--{split}", type=int, default=count)
    totals = vars(ap.parse_args())
    jobs = []
    for split, total in totals.items():
        (CACHE / "clips" / split).mkdir(parents=True, exist_ok=True)
        jobs += [(n, split, min(SHARD, total - n * SHARD)) for n in range((total + SHARD - 1) // SHARD)]
    # All splits grow together, so that a run that is cut short is of use.
    jobs.sort(key=lambda job: (job[0] + 1) * SHARD / totals[job[1]])
    with multiprocessing.Pool(2) as pool:
        for n, _ in enumerate(pool.imap_unordered(shard, jobs)):
            if n % 20 == 19:
                print(f"clips: {n + 1} of {len(jobs)} shards", flush=True)


if __name__ == "__main__":
    main()
