"""Trains the net that hears kinds of phrases, and writes `media-engine/src/amd/net.bin`. The same net runs in `media-engine/src/amd/net.rs`.

    net.py mel               mel bands of all clips, by the engine's own code
    net.py fit [MINUTES]     trains on the split `net`; prints its hearing on the split `trees`
    net.py more [MINUTES [RATE]]  goes on with the weights that were saved last, with a rate of learning that falls from RATE (1.5e-3) to 1e-5
    net.py parity            compares the engine's net (weights of 8 bits) with the trainer's on some clips
    net.py check             figures of the weights that were written last, on `trees` and `held`

A step is 40 ms. Two targets at each step: what answered the call (the class of the clip), and of each kind of phrase whether one has
just been completed. From the middle of a phrase to its end nothing is asked. What actors and readers say is nobody's kind: there the
kinds of persons are not asked either. Heard through other vocal tracts, rooms and lines, and spoken at other paces: mel bands are
shifted and tilted, time is stretched, stretches and bands are blanked; a part of what the layers say is left out. Beside the clips, each epoch has as many sketches: phrases of the bank laid one after another as bands, with
pauses, beeps, an echo and a band of their own, so that every phrase is heard in many places.
"""

import json, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clips import Bank, Speaker
from sources import BANK, CACHE
from texts import KIND_OF, KINDS, SPLITS
from train import CLASSES, HERE, TOOL, extract, label

OUT = HERE.parent / "media-engine/src/amd/net.bin"
SAVED = CACHE / "net.npz"
MELS, STACK, WIDTH, HIDDEN, TAPS, SPACINGS, OUTPUTS = 30, 4, 80, 96, 5, (1, 2, 4), 32
NK, NC = len(KINDS), len(CLASSES)
# Longest part of a clip that is taught, in steps of 40 ms, and the lengths that batches are padded to.
LENGTHS = (125, 200, 300)
BATCH = 32
# Share of the units that are left out in training.
LEFT_OUT = 0.15
# Kinds that a person says.
PERSON_KINDS = np.array([k in ("hello", "name", "help", "talk") for k in KINDS])


def through_engine(pieces):
    """Mel bands of sounds, by the engine's code."""
    child = subprocess.Popen([TOOL, "--mel"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    rows = []
    for x in pieces:
        x = np.ascontiguousarray(x, "<i2")
        child.stdin.write(np.uint32(len(x)).tobytes() + x.tobytes())
        child.stdin.flush()
        n = int(np.frombuffer(child.stdout.read(4), "<u4")[0])
        rows.append(np.frombuffer(child.stdout.read(n * MELS), np.uint8).reshape(n, MELS))
    child.stdin.close()
    child.wait()
    return rows


def shard_mel(base):
    out = CACHE / "mel" / base.parent.name / f"{base.name}.npz"
    if out.exists():
        return
    truth = [json.loads(line) for line in base.with_suffix(".jsonl").read_text().splitlines()]
    pcm = np.load(base.with_suffix(".npy"), mmap_mode="r")
    rows = through_engine([pcm[t["at"] : t["at"] + t["n"]] for t in truth])
    np.savez(out, rows=np.concatenate(rows), counts=[len(r) for r in rows])


def bank_mel(voice):
    """Mel bands of the phrases of a voice of the net's split."""
    out = CACHE / "mel" / "bank" / f"{voice['voice']}.npz"
    if out.exists():
        return
    rows = through_engine([voice["pcm"][p["at"] : p["at"] + p["n"]] for p in voice["phrases"]])
    np.savez(out, rows=np.concatenate(rows), counts=[len(r) for r in rows])


class Sketches:
    """Clips without a channel: bands of phrases, laid one after another."""

    def __init__(self):
        self.bank, self.rng, self.mels = Bank("net"), np.random.default_rng(16), {}
        for v in self.bank.voices:
            f = CACHE / "mel" / "bank" / f"{v['voice']}.npz"
            if f.exists():
                d = np.load(f)
                self.mels[v["voice"]] = dict(zip((p["at"] for p in v["phrases"]), np.split(d["rows"], np.cumsum(d["counts"])[:-1])))

    def plan(self, kind):
        rng = self.rng
        pick = lambda *rows: list(rows[int(rng.integers(len(rows)))])
        if kind == "human":
            return pick(["hello"], ["hello"], ["named"], ["business"], ["business"], ["talk"], ["talk", "talk"], ["hello", "wait"], ["business", "named"]) \
                + ["wait"] * int(rng.integers(0, 3))
        if kind == "machine":
            return pick(["short"], ["carrier"], ["carrier", "carrier"], ["full"], ["vm_open", "vm_close"], ["vm_open", "vm_mid", "vm_close"], ["vm_open", "vm_mid", "vm_close"],
                        ["vm_open", "vm_mid", "vm_mid", "vm_close"], ["vm_mid", "vm_close"], ["vm_close"])
        if kind == "screening":
            return ["screen"] * int(rng.integers(1, 4))
        return ["ivr_open"] * int(rng.random() < 0.8) + ["ivr_opt"] * int(rng.integers(1, 4))

    def clip(self):
        rng = self.rng
        kind = str(rng.choice(["human", "machine", "screening", "ivr"], p=[0.44, 0.31, 0.12, 0.13]))
        shares = {"lines": 0.11, "reading": 0.09, "letters": 0.04, "prompts": 0.08} if kind == "human" else {"prompts": 0.18, "reading": 0.05}
        who = Speaker(self.bank, rng, shares)
        x, at, speech = np.full((2 * LENGTHS[-1], MELS), -110.0, np.float32), int(rng.gamma(2.0, 20)), []
        pause = rng.uniform(6, 40)
        for role in self.plan(kind):
            after = role == "wait"
            at += int(rng.uniform(50, 200)) if after else 0
            start, chosen = at, who.choose(role)
            for p in chosen:
                m = self.mels[who.voice["voice"]][p["at"]].astype(np.float32) / 2 - 110
                m = m[np.minimum((np.arange(int(len(m) / who.speed)) * who.speed).astype(int), len(m) - 1)]
                m = m[: max(0, len(x) - at)] + rng.normal(0, 1.5)
                x[at : at + len(m)] = m
                at += len(m) + (int(rng.integers(0, 8)) if len(chosen) > 1 else 0)
            speech.append({"start_ms": start * 20, "end_ms": at * 20, "role": chosen[0]["role"]})
            at += int(pause * rng.uniform(0.6, 1.5))
        if rng.random() < {"human": 0.02, "machine": 0.6, "screening": 0.35, "ivr": 0.05}[kind]:
            b, n = int(rng.integers(8, 26)), int(rng.uniform(6, 50))
            x[at : at + n, b] = x.max() + rng.uniform(-12, 4)
            at += n
        end = min(at + int(rng.uniform(60, 200)), len(x))
        x = x[: end // 2 * 2]
        if rng.random() < 0.45:
            fall = rng.uniform(1.0, 8.0) * np.arange(len(x))[:, None]
            x = np.maximum(x, np.maximum.accumulate(x - rng.uniform(0, 10) + fall, 0) - fall)
        if rng.random() < 0.8:
            centre = 700 * (np.exp(np.linspace(0.0953, 1.894, MELS + 2)[1:-1]) - 1)
            x = x - np.clip((rng.uniform(100, 330) - centre) * 0.15, 0, 30) - np.clip((centre - rng.uniform(3300, 3800)) * 0.08, 0, 30)
        return {"class": kind, "accept": [kind], "speech": speech, "speech_onset_ms": speech[0]["start_ms"]}, np.clip((x + 110) * 2, 0, 255).astype(np.uint8)

    def some(self, count):
        truth, rows = zip(*(self.clip() for _ in range(count)))
        return pack(truth, rows)


def mel():
    jobs = []
    for split in SPLITS:
        (CACHE / "mel" / split).mkdir(parents=True, exist_ok=True)
        jobs += [p.with_suffix("") for p in sorted((CACHE / "clips" / split).glob("*.jsonl"))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(shard_mel, jobs))
        (CACHE / "mel" / "bank").mkdir(exist_ok=True)
        list(pool.map(bank_mel, Bank("net").voices))


def load(split, most=None):
    truth, rows = [], []
    for f in sorted((CACHE / "mel" / split).glob("*.npz"))[:most]:
        d = np.load(f)
        truth += [json.loads(line) for line in (CACHE / "clips" / split / f"{f.stem}.jsonl").read_text().splitlines()]
        rows += np.split(d["rows"], np.cumsum(d["counts"])[:-1])
    return truth, rows


def targets(t, steps):
    """Class, its weight at each step, kinds and their weights at each step."""
    at = (np.arange(steps) + 1) * 0.04
    onset = (t["speech_onset_ms"] or 0) / 1000
    weight = np.where(at < onset + 0.2, 0.2, 1.0).astype(np.float32)
    kinds, asked = np.zeros((steps, NK), np.float32), np.ones((steps, NK), np.float32)
    for said in t["speech"]:
        start, end = said["start_ms"] / 1000, said["end_ms"] / 1000
        kind = KIND_OF.get(said["role"])
        if kind is None:
            asked[(at >= start) & (at < end + 1.0)] *= np.where(PERSON_KINDS, 0.0, 1.0 if said["role"] == "word" or t["class"] == "human" else 0.0)
            continue
        unsure = (at >= start + 0.5 * (end - start)) & (at < end - 0.06)
        done = (at >= end - 0.06) & (at < end + 0.7)
        asked[unsure, kind] = 0.0
        asked[done, kind] = 3.0
        kinds[done, kind] = 1.0
    return weight, kinds, asked


def pack(truth, rows):
    """Clips by length: mel frames as bytes, class, targets."""
    out = {n: [] for n in LENGTHS}
    for t, r in zip(truth, rows):
        steps = min(len(r) // 2, LENGTHS[-1])
        room = next(n for n in LENGTHS if n >= steps)
        frames = np.zeros((2 * room, MELS), np.uint8)
        frames[: 2 * steps] = r[: 2 * steps]
        weight, kinds, asked = np.zeros(room, np.float32), np.zeros((room, NK), np.uint8), np.zeros((room, NK), np.float16)
        w, k, a = targets(t, steps)
        weight[:steps], kinds[:steps], asked[:steps] = w, k, a
        out[room].append((frames, label(t), weight, kinds, asked))
    return {n: [np.stack([row[k] for row in rows]) for k in range(5)] for n, rows in out.items() if rows}


def seed_params(key):
    def dense(i, o, gain=1.0):
        nonlocal key
        key, k = jax.random.split(key)
        return {"w": jax.random.normal(k, (i, o)) * gain / np.sqrt(i), "b": jnp.zeros(o)}

    p = {"first": dense(STACK * MELS, WIDTH, 1.4), "blocks": []}
    for _ in SPACINGS:
        p["blocks"].append({"taps": dense(TAPS, WIDTH), "dense": dense(WIDTH, WIDTH)})
    return p | {"input": dense(WIDTH, 3 * HIDDEN), "state": dense(HIDDEN, 3 * HIDDEN, 0.8), "last": dense(HIDDEN, NK + NC)}


def normal(db):
    """Bands against the loudest level so far, which falls by 1 dB a second."""
    loudest = db.max(-1)
    n = jnp.arange(loudest.shape[1]) * 0.02
    reference = jnp.maximum(jax.lax.cummax(loudest + n, axis=1) - n, -50.0 - 0.02 - n)
    return jnp.maximum((db - reference[..., None]) / 20.0 + 1.5, -1.5)


def forward(p, db, drop=None, key=None):
    """Bands in dB, clips x frames x bands -> outputs of each step. With a key, a part of what the layers say is left out."""
    keys = None if key is None else jax.random.split(key)
    # The same units of a clip at all steps: what is left out does not come back a step later.
    out = lambda x, n: x if keys is None else x * jax.random.bernoulli(keys[n], 1 - LEFT_OUT, (x.shape[0], 1, x.shape[2])) / (1 - LEFT_OUT)
    x = normal(db)
    if drop is not None:
        x = jnp.where(drop, -1.5, x)
    b, frames, _ = x.shape
    x = jnp.pad(x, ((0, 0), (2, 0), (0, 0)))
    # Step n sees frames 2n-2 to 2n+1: two pairs, the older one first.
    pairs = x.reshape(b, frames // 2 + 1, 2 * MELS)
    x = jnp.concatenate([pairs[:, :-1], pairs[:, 1:]], -1)
    dense = lambda q, x: x @ q["w"] + q["b"]
    x = jax.nn.relu(dense(p["first"], x))
    for block, spacing in zip(p["blocks"], SPACINGS):
        mixed = block["taps"]["b"]
        for tap in range(TAPS):
            mixed = mixed + block["taps"]["w"][tap] * jnp.pad(x, ((0, 0), (tap * spacing, 0), (0, 0)))[:, : x.shape[1]]
        x = x + jax.nn.relu(dense(block["dense"], mixed))
    inputs = jnp.swapaxes(dense(p["input"], out(x, 0)), 0, 1)

    def step(h, a):
        s = dense(p["state"], h)
        r = jax.nn.sigmoid(a[:, :HIDDEN] + s[:, :HIDDEN])
        z = jax.nn.sigmoid(a[:, HIDDEN : 2 * HIDDEN] + s[:, HIDDEN : 2 * HIDDEN])
        h = (1 - z) * jnp.tanh(a[:, 2 * HIDDEN :] + r * s[:, 2 * HIDDEN :]) + z * h
        return h, h

    _, hs = jax.lax.scan(step, jnp.zeros((b, HIDDEN)), inputs)
    return dense(p["last"], out(jnp.swapaxes(hs, 0, 1), 1))


def perturbed(db, key):
    """Other vocal tracts, lines and losses: shifted and tilted bands; blanked bands and stretches (given back as a mask)."""
    b, frames, _ = db.shape
    k = jax.random.split(key, 8)
    at = jnp.arange(MELS, dtype=jnp.float32)
    # A shift that grows and fades over the bands, as a longer or shorter vocal tract does.
    shift = jax.random.normal(k[0], (b, 1)) * 1.0 * jnp.sin(np.pi * (at[None] + 3) / (MELS + 6)) ** 0.7
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(jnp.clip(at[None] + shift, 0, MELS - 1)[:, :, None] - at[None, None]))
    db = jnp.einsum("btm,bom->bto", db, weights)
    knots = jax.random.normal(k[1], (b, 5)) * 3.0
    curve = jnp.maximum(0.0, 1.0 - jnp.abs(at[None] / (MELS - 1) * 4 - jnp.arange(5.0)[:, None]))
    db = db + (knots @ curve)[:, None]
    # A floor of noise.
    floor = db.max((1, 2)) - jax.random.uniform(k[2], (b,), minval=22.0, maxval=90.0)
    noise = floor[:, None, None] + jax.random.normal(k[3], db.shape) * 2.5
    db = jnp.maximum(db, noise)
    low = jax.random.randint(k[4], (b, 1), 0, MELS)
    drop = (at[None] >= low) & (at[None] < low + jax.random.randint(k[5], (b, 1), 0, 5))
    t = jnp.arange(frames)[None]
    start = jax.random.randint(k[6], (b, 2), 0, frames)
    gap = ((t[..., None] >= start[:, None]) & (t[..., None] < start[:, None] + jax.random.randint(k[7], (b, 2), 0, 9)[:, None])).any(-1)
    return db, drop[:, None, :] | gap[:, :, None]


CLASS_WEIGHTS = jnp.array([1.0, 1.0, 1.3, 1.3, 1.3, 1.0, 1.0])


def loss(p, key, frames, classes, weight, kinds, asked):
    key, pace, left = jax.random.split(key, 3)
    # Paces from four fifths to five quarters.
    steps = weight.shape[1]
    at = (jnp.arange(steps)[None] * jnp.exp(jax.random.uniform(pace, (len(weight), 1), minval=-0.22, maxval=0.22))).astype(int)
    there, at = at < steps, jnp.minimum(at, steps - 1)
    weight, frames = jnp.take_along_axis(weight, at, 1) * there, frames.reshape(len(frames), steps, 2 * MELS)
    kinds, asked, frames = (jnp.take_along_axis(x, at[..., None], 1) for x in (kinds, asked, frames))
    asked = asked * there[..., None]
    db, drop = perturbed(frames.reshape(len(frames), 2 * steps, MELS).astype(jnp.float32) / 2 - 110, key)
    out = forward(p, db, drop, left)
    said, what = out[..., :NK], out[..., NK:]
    asked, kinds = asked.astype(jnp.float32), kinds.astype(jnp.float32)
    bce = optax.sigmoid_binary_cross_entropy(said, kinds) * asked
    log = jax.nn.log_softmax(what)
    ce = -jnp.take_along_axis(log, classes[:, None, None].repeat(out.shape[1], 1), -1)[..., 0] * weight * CLASS_WEIGHTS[classes][:, None]
    return bce.sum() / weight.sum() * 0.5 + 0.4 * ce.sum() / weight.sum()


def quantised(w):
    """8 bits with a scale for each output."""
    scale = np.maximum(np.abs(w).max(0), 1e-8) / 127
    return scale.astype(np.float32), np.clip(np.round(w / scale), -127, 127).astype(np.int8)


def export(p):
    p = jax.tree.map(np.asarray, p)
    parts = [b"tandemN1"]

    def put(q, outputs=None):
        w, b = q["w"], q["b"]
        if outputs:
            w, b = np.pad(w, ((0, 0), (0, outputs - w.shape[1]))), np.pad(b, (0, outputs - len(b)))
        scale, small = quantised(w)
        parts.extend([scale.astype("<f4").tobytes(), b.astype("<f4").tobytes(), small.tobytes()])

    put(p["first"])
    for block in p["blocks"]:
        put(block["taps"])
        put(block["dense"])
    put(p["input"])
    put(p["state"])
    put(p["last"], OUTPUTS)
    OUT.write_bytes(b"".join(parts))


@jax.jit
def outputs(p, frames):
    return forward(p, frames.astype(jnp.float32) / 2 - 110)


def check(p, split, most=10):
    """How well each kind is told (area under the curve over clips of its strongest moment), and the class at the end of speech."""
    truth, rows = load(split, most)
    best, said, right, sides = [], [], [], []
    for n in range(0, len(rows), 50):
        part = rows[n : n + 50]
        frames = np.zeros((50, 2 * LENGTHS[-1], MELS), np.uint8)
        for k, r in enumerate(part):
            frames[k, : len(r)] = r[: 2 * LENGTHS[-1]]
        out = np.asarray(outputs(p, frames))
        for k, (t, r) in enumerate(zip(truth[n : n + 50], part)):
            o = out[k, : len(r) // 2]
            best.append(o[:, :NK].max(0))
            said.append({KIND_OF.get(s["role"]) for s in t["speech"]})
            if t["class"] in ("human", "machine", "screening", "ivr") and t["greeting_end_ms"] is not None:
                at = min(len(o) - 1, int((t["greeting_end_ms"] + 600) / 40))
                right.append(int(o[at, NK:].argmax() == label(t)))
                sides.append(int((o[at, NK:].argmax() == 0) == (t["class"] == "human")))
    best = np.array(best)
    aucs = {}
    for k, name in enumerate(KINDS):
        mine = np.array([k in s for s in said])
        if 0 < mine.sum() < len(mine):
            order = best[:, k].argsort().argsort()
            aucs[name] = round(float((order[mine].mean() - (mine.sum() - 1) / 2) / (len(mine) - mine.sum())), 3)
    print(f"net: {split}: class {np.mean(right):.3f} person or not {np.mean(sides):.3f} kinds {aucs}", flush=True)


def fit(minutes, more=False, rate=2.5e-3):
    data, sketches = pack(*load("net")), Sketches()
    clips = sum(len(d[0]) for d in data.values())
    print("net:", {n: len(d[0]) for n, d in data.items()}, len(sketches.mels), flush=True)
    p = saved() if more else seed_params(jax.random.PRNGKey(15))
    rng = np.random.default_rng(18 if more else 15)
    # The rate falls with the time that is used, so that a run of any length ends well.
    rule = optax.inject_hyperparams(lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=5e-3)))(rate=2e-3)
    state = rule.init(p)

    @jax.jit
    def update(p, mean, state, key, *batch):
        value, grads = jax.value_and_grad(loss)(p, key, *batch)
        change, state = rule.update(grads, state, p)
        p = optax.apply_updates(p, change)
        return p, jax.tree.map(lambda a, b: 0.995 * a + 0.005 * b, mean, p), state, value

    began, key, mean, total, epoch, done = time.time(), jax.random.PRNGKey(3 if more else 1), p, [], 0, 0
    while time.time() - began < minutes * 60:
        sets = [data, sketches.some(clips)]
        order = [{n: rng.permutation(len(d[0])) for n, d in part.items()} for part in sets]
        jobs = [(which, n, k) for which, part in enumerate(sets) for n, d in part.items() for k in range(len(d[0]) // BATCH)]
        for j in rng.permutation(len(jobs)):
            which, n, k = jobs[j]
            mine = np.sort(order[which][n][k * BATCH : (k + 1) * BATCH])
            share = min(1.0, (time.time() - began) / (minutes * 60))
            state.hyperparams["rate"] = jnp.asarray(rate * min(1.0, (done + 1) / 150) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-5)
            key, sub = jax.random.split(key)
            p, mean, state, value = update(p, mean, state, sub, *(d[mine] for d in sets[which][n]))
            done += 1
            total.append(float(value))
            if share >= 1:
                break
        epoch += 1
        print(f"net: epoch {epoch} loss {np.mean(total):.4f} {time.time() - began:.0f} s", flush=True)
        total = []
        if epoch % 3 == 0:
            check(mean, "trees", 6)
        save(SAVED, mean)
    export(mean)
    for split in ("net", "trees", "held"):
        check(mean, split)


def parity():
    """Largest and usual distance of the log odds at the end of clips."""
    truth, rows = load("held", 1)
    pcm = np.load(sorted((CACHE / "clips/held").glob("*.npy"))[0], mmap_mode="r")
    p, far = saved(), []
    for t, r in list(zip(truth, rows))[:20]:
        r = r[: len(r) // 10 * 10]
        out = np.asarray(forward(p, r[None].astype(np.float32) / 2 - 110))[0]
        mine = np.clip(np.concatenate([out[:, :NK].max(0), out[-1, NK:]]), -8, 8)
        engine = extract([pcm[t["at"] : t["at"] + 160 * len(r)]], 200)[0][-1][-NK - NC :]
        far.append(np.abs(mine - engine))
    far = np.array(far)
    print(f"net: the engine's net and the trainer's differ by {np.median(far):.3f} log odds, at most by {far.max():.2f}")
    sys.exit(int(np.median(far) > 0.1 or far.max() > 1.5))


def save(path, p):
    leaves, _ = jax.tree.flatten(p)
    np.savez(path, *map(np.asarray, leaves))


def saved():
    d = np.load(SAVED)
    return jax.tree.unflatten(jax.tree.structure(seed_params(jax.random.PRNGKey(0))), [d[f"arr_{n}"] for n in range(len(d.files))])


def main():
    if sys.argv[1] == "mel":
        mel()
    if sys.argv[1] == "fit":
        fit(float(sys.argv[2]) if len(sys.argv) > 2 else 45)
    if sys.argv[1] == "more":
        minutes, rate = (sys.argv[2:] + ["45", "1.5e-3"][len(sys.argv) - 2 :])[:2]
        fit(float(minutes), True, float(rate))
    if sys.argv[1] == "parity":
        parity()
    if sys.argv[1] == "export":
        export(saved())
    if sys.argv[1] == "check":
        for split in ("trees", "held"):
            check(saved(), split)


if __name__ == "__main__":
    main()
