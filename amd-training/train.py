"""Trains the forest on the split `trees`, whose voices the net (net.py) never heard, chooses the thresholds of the policy, and reports.

    train.py features            features of all clips (by the engine's own code, amd-features)
    train.py fit                 trains, writes media-engine/src/amd/forest.txt and report.json
    train.py report              the figures of the hold-out again, after a change of thresholds
    train.py parity              compares the engine's forest with the trainer's on a clip
    train.py dev DEV_FOLDER      scores the development clips in place with its score.py
    train.py line                fits the hint at a business (media-engine/src/amd/line.rs), and prints how often it is right
    train.py tune [DRAWS [MODE…]] searches thresholds for the policy
    train.py studies             leave-one-synthesiser-out and ablations (slower)

Rows are taken at every 200 ms of a clip. A row's label is the class of its clip.
"""

import json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightgbm
import numpy as np
import soundfile

from policy import BURSTS, MODES, decide
from sources import CACHE

HERE = Path(__file__).parent
FOREST = HERE.parent / "media-engine/src/amd/forest.txt"
TOOL = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "features/target")) / "release/amd-features"
CLASSES = ["human", "machine", "screening", "ivr", "music", "silence", "other"]
STEP = 200
LIMIT_S = 16.0
# Person or not, over clips with speech; and what else it may be, over all clips.
PERSON = {"objective": "binary", "num_leaves": 20, "learning_rate": 0.08, "min_data_in_leaf": 120, "feature_fraction": 0.4, "bagging_fraction": 0.6,
          "bagging_freq": 1, "lambda_l2": 8.0, "max_bin": 63, "num_threads": 2, "verbose": -1, "seed": 15}
PERSON_ROUNDS = 200
PARAMS = {"objective": "multiclass", "num_class": len(CLASSES), "num_leaves": 12, "learning_rate": 0.14, "min_data_in_leaf": 150, "feature_fraction": 0.5,
          "bagging_fraction": 0.6, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63, "num_threads": 2, "verbose": -1, "seed": 15}
ROUNDS = 50


def label(truth):
    if truth["class"] == "sit" and "machine" in truth["accept"]:
        return CLASSES.index("machine")
    return CLASSES.index(truth["class"]) if truth["class"] in CLASSES else CLASSES.index("other")


def names():
    lines = subprocess.run([TOOL, "--names"], check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[0].split(), {r.split()[0]: range(int(r.split()[1]), int(r.split()[2])) for r in lines[1:]}


def extract(clips, step=STEP, score=False):
    """Features of clips (lists of int16) by the engine's code: one array of rows for each clip."""
    count = len(names()[0]) + (len(CLASSES) if score else 0)
    child = subprocess.Popen([TOOL, str(step)] + ["--score"] * score, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out = []
    for pcm in clips:
        pcm = np.ascontiguousarray(pcm, "<i2")
        child.stdin.write(np.uint32(len(pcm)).tobytes() + pcm.tobytes())
        child.stdin.flush()
        rows = int(np.frombuffer(child.stdout.read(4), "<u4")[0])
        out.append(np.frombuffer(child.stdout.read(rows * count * 4), "<f4").reshape(rows, count))
    child.stdin.close()
    child.wait()
    return out


def shard_features(base):
    out = CACHE / "features" / base.parent.name / f"{base.name}.npz"
    if out.exists():
        return
    truth = [json.loads(line) for line in base.with_suffix(".jsonl").read_text().splitlines()]
    pcm = np.load(base.with_suffix(".npy"), mmap_mode="r")
    rows = extract([pcm[t["at"] : t["at"] + t["n"]] for t in truth])
    np.savez(out, rows=np.concatenate(rows), counts=[len(r) for r in rows])


def features():
    jobs = []
    for split in ("trees", "held"):
        (CACHE / "features" / split).mkdir(parents=True, exist_ok=True)
        jobs += [p.with_suffix("") for p in sorted((CACHE / "clips" / split).glob("*.jsonl"))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(shard_features, jobs))


def load(split):
    """Truth and rows of every clip of a split."""
    truth, rows = [], []
    for f in sorted((CACHE / "features" / split).glob("*.npz")):
        d = np.load(f)
        mine = [json.loads(line) for line in (CACHE / "clips" / split / f"{f.stem}.jsonl").read_text().splitlines()]
        truth += mine
        rows += np.split(d["rows"], np.cumsum(d["counts"])[:-1])
    return truth, rows


def flat(truth, rows):
    """Rows, labels and weights for training. What comes long after the moment of decision counts for less."""
    x, y, w, side = [], [], [], []
    for n, (t, r) in enumerate(zip(truth, rows)):
        r = r[: int(LIMIT_S * 1000 / STEP)]
        if not len(r):
            continue
        at = (np.arange(len(r)) + 1) * STEP / 1000
        onset = (t["speech_onset_ms"] or 0) / 1000
        end = (t["greeting_end_ms"] or 6000) / 1000
        until = end + 2.0 if t["class"] == "human" else max(onset + 6.0, min(end, onset + 8) + 1.5)
        weight = np.where(at < onset + 0.3, 0.3, np.where(at <= until, 1.0, 0.25))
        # Every other row is enough: neighbours say nearly the same.
        half = slice(n % 2, None, 2)
        r, weight = r[half], weight[half]
        x.append(r)
        y.append(np.full(len(r), label(t)))
        w.append(weight / max(weight.sum(), 1e-6) * 12)
        side.append(np.full(len(r), t["class"] in SIDE or label(t) == 1))
    return np.concatenate(x), np.concatenate(y), np.concatenate(w), np.concatenate(side)


class Model:
    """The two forests: where there is speech, the odds of a person are the geometric mean of both."""

    def __init__(self, person, kind, columns=None):
        self.person, self.kind, self.columns = person, kind, columns

    def predict(self, x):
        y = x if self.columns is None else x[:, self.columns]
        p = self.kind.predict(y)
        speech = x[:, BURSTS] >= 1
        if speech.any():
            rest = p[speech]
            odds = np.log(np.maximum(rest[:, 0], 1e-6) / np.maximum(1 - rest[:, 0], 1e-6))
            h = 1 / (1 + np.exp(-(self.person.predict(y[speech], raw_score=True) + odds) / 2))
            rest[:, 1:] *= ((1 - h) / np.maximum(1 - rest[:, 0], 1e-6))[:, None]
            rest[:, 0] = h
            p[speech] = rest
        return p

    def save(self):
        self.person.save_model(str(CACHE / "person.txt"))
        self.kind.save_model(str(CACHE / "kind.txt"))

    @staticmethod
    def saved():
        return Model(lightgbm.Booster(model_file=str(CACHE / "person.txt")), lightgbm.Booster(model_file=str(CACHE / "kind.txt")))


def fit(truth, rows, columns=None, quick=False):
    x, y, w, side = flat(truth, rows)
    z = x if columns is None else x[:, columns]
    # Handling of the receiver is what this generator makes of it; the forest must not lean on it.
    z[:, names()[0].index("click") if columns is None else []] = 0
    mine = side & (x[:, BURSTS] >= 1)
    person = lightgbm.train(PERSON, lightgbm.Dataset(z[mine], (y[mine] == 0).astype(int), weight=w[mine]), 60 if quick else PERSON_ROUNDS)
    w = w * np.array([1, 1, 1, 1, 2, 1, 1])[y]
    kind = lightgbm.train(PARAMS, lightgbm.Dataset(z, y, weight=w), 16 if quick else ROUNDS)
    return Model(person, kind, columns)


def probabilities(model, rows):
    counts = [len(r) for r in rows]
    p = model.predict(np.concatenate(rows))
    return np.split(p, np.cumsum(counts)[:-1])


def export(model):
    """Writes the forest: of each tree its class, its splits `feature threshold low high` (negative: leaf -1-n), its leaf values."""
    feature_names, _ = names()
    lines = ["# Weights of the answer classifier, written by amd-training/train.py; see amd-training/CARD.md.",
             "# tree CLASS (7: person against all); splits as feature:threshold:low:high, where value <= threshold goes low and -1-n is leaf n; then the leaves.",
             "classes " + " ".join(CLASSES)]
    for at in range(0, len(feature_names), 10):
        lines.append("features " + " ".join(feature_names[at : at + 10]))
    trees = [(n % len(CLASSES), info) for n, info in enumerate(model.kind.dump_model()["tree_info"])]
    trees += [(len(CLASSES), info) for info in model.person.dump_model()["tree_info"]]
    for number, info in trees:
        splits, leaves = [], []

        def walk(node):
            if "leaf_value" in node:
                leaves.append(node["leaf_value"])
                return -len(leaves)
            at = len(splits)
            splits.append(None)
            low, high = walk(node["left_child"]), walk(node["right_child"])
            splits[at] = f"{node['split_feature']}:{node['threshold']:.9g}:{low}:{high}"
            return at

        walk(info["tree_structure"])
        words = [f"tree {number}"] + splits + ["leaves"] + [f"{v:.5g}" for v in leaves]
        line = ""
        for word in words:
            if len(line) + len(word) > 136:
                lines.append(line)
                line = " "
            line += ("" if not line else " ") + word
        lines.append(line)
    FOREST.write_text("\n".join(lines) + "\n")
    print(f"train: {FOREST.name}: {len(trees)} trees, {FOREST.stat().st_size // 1024} kB")


def wilson(k, n):
    if not n:
        return [0.0, 0.0, 0.0]
    p, z = k / n, 1.96
    c, h = (p + z * z / 2 / n) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return [round(100 * v, 2) for v in (p, c - h, c + h)]


RECORDED = ("prompts", "reading", "lines", "letters")
AUTO = {"machine", "screening", "ivr", "music", "other"}
SIDE = {"human", "machine", "screening", "ivr"}


def measure(truth, verdicts, only=None):
    """Figures with 95 % intervals: [value, low, high] in percent."""
    rows = [(t, v) for t, v in zip(truth, verdicts) if only is None or only(t)]
    side = [(t["class"] == "human", v["verdict"]) for t, v in rows if t["class"] in SIDE]
    people = [v for t, v in rows if t["class"] == "human"]
    machines = [v for t, v in rows if t["class"] == "machine"]
    other = {"fax", "sit", "busy", "ringback"}
    exact = [v["verdict"] in t["accept"] or (v["verdict"] == "other" and t["class"] in other) for t, v in rows]
    wait = [v["decided_at_ms"] - t["greeting_end_ms"] for t, v in rows if t["class"] == "human" and v["verdict"] == "human"]
    late = [v["decided_at_ms"] for t, v in rows if t["class"] == "machine" and v["verdict"] not in ("human", "unknown")]
    q = lambda a, p: int(np.percentile(a, p)) if a else None
    return {"clips": len(rows), "human_vs_recorded": wilson(sum(v != "unknown" and (v == "human") == h for h, v in side), len(side)),
            "human_called_automated": wilson(sum(v["verdict"] in AUTO for v in people), len(people)),
            "machine_called_human": wilson(sum(v["verdict"] == "human" for v in machines), len(machines)),
            "exact": wilson(sum(exact), len(exact)), "unknown": wilson(sum(v["verdict"] == "unknown" for _, v in rows), len(rows)),
            "human_after_greeting_ms": [q(wait, 50), q(wait, 95)], "machine_decided_ms": [q(late, 50), q(late, 95)]}


def judged(rows, probs, mode, step=STEP):
    return [decide(r, p, MODES[mode], step) for r, p in zip(rows, probs)]


def table(title, m):
    cell = lambda v: f"{v[0]:6.2f} [{v[1]:.1f}-{v[2]:.1f}]"
    print(f"{title:34s} n={m['clips']:5d} hvr {cell(m['human_vs_recorded'])} h->a {cell(m['human_called_automated'])} m->h {cell(m['machine_called_human'])} "
          f"exact {m['exact'][0]:.1f} wait {m['human_after_greeting_ms']} mach {m['machine_decided_ms']}", flush=True)


def calibration(truth, rows, probs):
    """Probability of a person against the share of persons, at 0.6 s after speech has ended or 3 s after it began."""
    out, seen, right = [], [], []
    for t, r, p in zip(truth, rows, probs):
        if t["class"] not in SIDE or not len(r):
            continue
        at = next((n for n, v in enumerate(r) if v[6] >= 0.6 or v[2] >= 3.0 and v[4] > 0), len(r) - 1)
        seen.append(p[at][0])
        right.append(t["class"] == "human")
    seen, right = np.array(seen), np.array(right)
    for low in np.arange(0, 1, 0.1):
        mine = (seen >= low) & (seen < low + 0.1 + 1e-9)
        if mine.any():
            out.append([round(float(low), 1), int(mine.sum()), round(float(seen[mine].mean()), 3), round(float(right[mine].mean()), 3)])
    return out


def greetings(split):
    """Log odds of an offer of help and of a welcome, 0.7 s after the greetings of persons, and whether they are a business's."""
    all_names, x, y = names()[0], [], []
    for t, r in zip(*load(split)):
        roles = {s["role"] for s in t["speech"]}
        if t["class"] != "human" or not len(r) or roles <= {"rec", "word"}:
            continue
        v = r[max(0, min(len(r) - 1, int((t["greeting_end_ms"] + 700) / STEP)))]
        x.append([1.0, *(v[all_names.index(name)] for name in ("said_help", "said_welcome"))])
        y.append("business" in roles)
    return np.array(x), np.array(y, float)


def line():
    """Logistic regression by Newton's method; its figures on the hold-out."""
    x, y = greetings("trees")
    c = np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ c))
        c += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(3), x.T @ (y - p))
    print("line: CONSTANT, HELP, WELCOME =", c.round(2))
    x, y = greetings("held")
    p = 1 / (1 + np.exp(-x @ c))
    for title, part in (("business, from 0.6", p >= 0.6), ("residence, up to 0.15", p <= 0.15), ("no hint", (p > 0.15) & (p < 0.6))):
        print(f"line: {title}: {part.sum()} of {len(y)} greetings, {y[part].mean():.2f} of them by a business")


def main():
    what = sys.argv[1]
    if what == "line":
        return line()
    if what == "features":
        return features()
    if what == "fit":
        truth, rows = load("trees")
        model = fit(truth, rows)
        model.save()
        export(model)
        np.savez(CACHE / "held-probs.npz", *probabilities(model, load("held")[1]))
    if what in ("fit", "report"):
        held, held_rows = load("held")
        model, stored = Model.saved(), np.load(CACHE / "held-probs.npz")
        probs = [stored[f"arr_{n}"] for n in range(len(held))]
        report = {"held_clips": len(held), "modes": {}}
        for mode in MODES:
            verdicts = judged(held_rows, probs, mode)
            report["modes"][mode] = measure(held, verdicts)
            table(f"hold-out {mode}", report["modes"][mode])
            if mode == "balanced":
                for kind in sorted({t["kind"] for t in held if t["kind"]}):
                    report[f"held_{kind}"] = measure(held, verdicts, lambda t: t["kind"] == kind)
                    table(f"  voices: {kind}", report[f"held_{kind}"])
                for title, test in (("recorded people", lambda t: t["kind"] in RECORDED),
                                    ("synthetic voices", lambda t: t["kind"] not in (*RECORDED, "")), ("unheard synthesisers", lambda t: t["kind"] in ("pico", "festival"))):
                    report[title] = measure(held, verdicts, test)
                    table(f"  {title}", report[title])
                for key in sorted({(t["class"], t["subclass"]) for t in held if t["class"] in ("human", "machine", "screening", "ivr")}):
                    m = [v["verdict"] for t, v in zip(held, verdicts) if (t["class"], t["subclass"]) == key]
                    print("   ", *key, len(m), {v: m.count(v) for v in sorted(set(m))})
        report["calibration"] = calibration(held, held_rows, probs)
        print("calibration", report["calibration"])
        gain = model.person.feature_importance("gain")
        feature_names, _ = names()
        report["importance"] = {feature_names[n]: round(float(gain[n] / gain.sum()), 4) for n in np.argsort(-gain)}
        print("importance", list(report["importance"].items())[:25])
        (CACHE / "report.json").write_text(json.dumps(report, indent=1))
    if what == "parity":
        base = sorted((CACHE / "clips/held").glob("*.jsonl"))[0]
        first = json.loads(base.read_text().splitlines()[0])
        pcm = np.load(base.with_suffix(".npy"), mmap_mode="r")[first["at"] : first["at"] + first["n"]]
        both = extract([pcm], STEP, True)[0]
        model = Model.saved()
        far = np.abs(model.predict(both[:, : -len(CLASSES)]) - both[:, -len(CLASSES) :]).max()
        print(f"train: the engine's forest and the trainer's differ by at most {far:.5f}")
        sys.exit(int(far > 0.005))
    if what == "dev":
        folder = Path(sys.argv[2])
        truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
        rows = extract([soundfile.read(folder / "clips" / f"{t['clip']}.flac", dtype="int16")[0] for t in truth], 100)
        model = Model.saved()
        probs = probabilities(model, rows)
        report = {}
        for mode in MODES:
            verdicts = judged(rows, probs, mode, 100)
            report[mode] = measure(truth, verdicts)
            table(f"dev {mode}", report[mode])
            if mode == "balanced":
                report["recorded people"] = measure(truth, verdicts, lambda t: t["voice"].startswith("recorded"))
                report["synthetic"] = measure(truth, verdicts, lambda t: t["voice"] and not t["voice"].startswith("recorded"))
                table("  recorded people", report["recorded people"])
            if mode == "balanced" or len(sys.argv) > 3:
                for t, v in zip(truth, verdicts):
                    if t["class"] in SIDE and (v["verdict"] == "human") != (t["class"] == "human"):
                        print("   ", t["clip"], t["class"], t["subclass"], t["voice"], t["speech_onset_ms"], t["greeting_end_ms"], t["beep_start_ms"], t["noise"], t["snr_db"], "->", v)
            out = CACHE / f"dev-{mode}.jsonl"
            # The tone detectors of `codecs` name signalling tones; here they are one class, which score.py would count as wrong.
            out.write_text("".join(json.dumps({"clip": t["clip"], **v, "verdict": t["class"] if v["verdict"] == "other" and t["class"] in ("fax", "sit", "busy", "ringback")
                                               else "unknown" if v["verdict"] == "other" else v["verdict"]}) + "\n" for t, v in zip(truth, verdicts)))
            if mode == "balanced":
                subprocess.run([sys.executable, str(folder / "score.py"), str(out)], check=True)
        (CACHE / "dev-report.json").write_text(json.dumps(report, indent=1))
    if what == "tune":
        tune()
    if what == "studies":
        studies()


# A person waits for a voice for at most 2 s, so patience ends before.
GRID = {"least": [0.8, 1.0, 1.2, 1.6], "automated": [(0.9, 0.6), (0.93, 0.7), (0.95, 0.7), (0.97, 0.8), (0.98, 0.9), (0.99, 0.8), (0.99, 0.95), (0.995, 0.9)],
        "pause": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8], "human": [(0.8, 0.5), (0.9, 0.5), (0.95, 0.5), (0.95, 0.6), (0.97, 0.6), (0.98, 0.5), (0.99, 0.5)],
        "patience": [0.9, 1.0, 1.2, 1.5, 1.7, 1.8], "limit": [2.5, 3.0, 3.5, 4.0, 4.5, 5.5, 7.0], "last": [4.0, 5.0, 6.0, 7.5, 9.0],
        "kind": [0.0, 0.5, 0.7, 0.8, 0.9, 0.95], "until": [1.5, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0]}
# Greatest p50 and p95 of a person's wait after the greeting and of a machine's decision, in ms.
BOUNDS = {"fast": (600, 1200, 2500, 5000), "balanced": (900, 1800, 3500, 6000), "careful": (1500, 3000, 6000, 9500)}


def tune():
    """Draws thresholds for each mode, then changes of the best, and keeps those with the least errors within the mode's times, on every
    other clip of the hold-out."""
    held, rows = load("held")
    stored = np.load(CACHE / "held-probs.npz")
    probs = [stored[f"arr_{n}"].tolist() for n in range(len(held))]
    rows = [[[float(v) for v in r[:36]] for r in clip] for clip in rows]
    half = [n for n in range(len(held)) if n % 2 == 0 and held[n]["class"] in SIDE]
    rng = np.random.default_rng(15)
    pick = lambda key: GRID[key][int(rng.integers(len(GRID[key])))]
    for mode in sys.argv[3:] or MODES:
        best = (1e9, None)
        draws = int(sys.argv[2]) if len(sys.argv) > 2 else 300
        for k in range(draws):
            draw = dict(MODES[mode] if k == 0 else best[1])
            # The first half draws anew, the second one changes two of the best.
            for key in () if k == 0 else GRID if k < draws // 2 else rng.permutation(list(GRID))[:2]:
                draw[str(key)] = pick(key)
            if draw["patience"] <= draw["pause"] or draw["last"] < draw["limit"] or draw["limit"] <= draw["least"]:
                continue
            m = measure([held[n] for n in half], [decide(rows[n], probs[n], draw, STEP) for n in half])
            times = m["human_after_greeting_ms"] + m["machine_decided_ms"]
            late = sum(max(0, (t or 9999) / b - 1) for t, b in zip(times, BOUNDS[mode]))
            cost = m["human_called_automated"][0] + m["machine_called_human"][0] + (100 - m["human_vs_recorded"][0]) + 0.4 * (100 - m["exact"][0]) + 40 * late
            if cost < best[0]:
                best = (cost, draw, m)
        print(mode, round(best[0], 1), json.dumps(best[1]))
        table("  chosen on", best[2])
        other = [n for n in range(len(held)) if n % 2 == 1]
        table("  others", measure([held[n] for n in other], [decide(rows[n], probs[n], best[1], STEP) for n in other]))


def studies():
    """Ablations and leave-one-synthesiser-out, with a third of the trees and of the clips; compare them with each other only."""
    truth, rows = load("trees")
    some = range(0, len(truth), 3)
    held, held_rows = load("held")
    _, groups = names()
    report = {}

    def note(title, model, test_truth, test_rows):
        report[title] = measure(test_truth, judged(test_rows, probabilities(model, test_rows), "balanced"))
        table(title, report[title])
        (CACHE / "studies.json").write_text(json.dumps(report, indent=1))

    def trained(chosen, columns=None):
        return fit([truth[n] for n in chosen], [rows[n] for n in chosen], columns, True)

    everything = trained(some)
    note("all features", everything, held, held_rows)
    note("all but words", trained(some, [n for n in range(len(names()[0])) if n not in groups["words"]]), held, held_rows)
    note("words and timing", trained(some, list(groups["timing"]) + list(groups["words"])), held, held_rows)
    note("timing", trained(some, list(groups["timing"])), held, held_rows)
    note("timing and voice", trained(some, list(groups["timing"]) + list(groups["voice"])), held, held_rows)
    for kind in sorted({t["kind"] for t in truth if t["kind"]}, key=lambda kind: kind in ("espeak", *RECORDED)):
        test = [n for n in range(1, len(truth), 3) if truth[n]["kind"] == kind]
        test_truth, test_rows = [truth[n] for n in test], [rows[n] for n in test]
        note(f"{kind}, trained with", everything, test_truth, test_rows)
        note(f"{kind}, trained without", trained([n for n in some if truth[n]["kind"] != kind]), test_truth, test_rows)


if __name__ == "__main__":
    main()
