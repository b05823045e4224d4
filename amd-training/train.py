"""Trains the forest, chooses the thresholds of the policy, and reports.

    train.py features            features of all clips (by the engine's own code, amd-features)
    train.py fit                 trains, writes media-engine/src/amd/forest.txt and report.json
    train.py parity              compares the engine's forest with the trainer's on a clip
    train.py dev DEV_FOLDER      scores the development clips in place with its score.py
    train.py studies             leave-one-synthesiser-out and ablations (slower)

Rows are taken at every 200 ms of a clip. A row's label is the class of its clip.
"""

import json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightgbm
import numpy as np
import soundfile

from policy import MODES, decide
from sources import CACHE

HERE = Path(__file__).parent
FOREST = HERE.parent / "media-engine/src/amd/forest.txt"
TOOL = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "features/target")) / "release/amd-features"
CLASSES = ["human", "machine", "screening", "ivr", "music", "silence", "other"]
STEP = 200
LIMIT_S = 16.0
PARAMS = {"objective": "multiclass", "num_class": len(CLASSES), "num_leaves": 15, "learning_rate": 0.12, "min_data_in_leaf": 150, "feature_fraction": 0.5,
          "bagging_fraction": 0.6, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63, "num_threads": 2, "verbose": -1, "seed": 15}
ROUNDS = 90


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
    for split in ("train", "held"):
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
        # Single letters and syllables make no prompt that anybody would play.
        keep = [not (t["class"] != "human" and "klettres" in t["voice"]) for t in mine]
        truth += [t for t, k in zip(mine, keep) if k]
        rows += [r for r, k in zip(np.split(d["rows"], np.cumsum(d["counts"])[:-1]), keep) if k]
    return truth, rows


def flat(truth, rows):
    """Rows, labels and weights for training. What comes long after the moment of decision counts for less."""
    x, y, w = [], [], []
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
    return np.concatenate(x), np.concatenate(y), np.concatenate(w)


def fit(truth, rows, columns=None, rounds=ROUNDS):
    x, y, w = flat(truth, rows)
    if columns is not None:
        x = x[:, columns]
    return lightgbm.train(PARAMS, lightgbm.Dataset(x, y, weight=w), rounds)


def probabilities(model, rows, columns=None):
    counts = [len(r) for r in rows]
    x = np.concatenate(rows)
    p = model.predict(x if columns is None else x[:, columns])
    return np.split(p, np.cumsum(counts)[:-1])


def export(model):
    """Writes the forest: of each tree its class, its splits `feature threshold low high` (negative: leaf -1-n), its leaf values."""
    feature_names, _ = names()
    lines = ["# Weights of the answer classifier, written by amd-training/train.py; see amd-training/CARD.md.",
             "# tree CLASS; splits as feature:threshold:low:high, where value <= threshold goes low and -1-n is leaf n; then the leaves.",
             "classes " + " ".join(CLASSES)]
    width = 0
    for at in range(0, len(feature_names), 10):
        lines.append("features " + " ".join(feature_names[at : at + 10]))
    for n, info in enumerate(model.dump_model()["tree_info"]):
        splits, leaves = [], []

        def walk(node):
            if "leaf_value" in node:
                leaves.append(node["leaf_value"])
                return -len(leaves)
            at = len(splits)
            splits.append(None)
            low, high = walk(node["left_child"]), walk(node["right_child"])
            splits[at] = f"{node['split_feature']}:{node['threshold']:.6g}:{low}:{high}"
            return at

        walk(info["tree_structure"])
        words = [f"tree {n % len(CLASSES)}"] + splits + ["leaves"] + [f"{v:.4g}" for v in leaves]
        line = ""
        for word in words:
            if len(line) + len(word) > 136:
                lines.append(line)
                line = " "
            line += ("" if not line else " ") + word
        lines.append(line)
    FOREST.write_text("\n".join(lines) + "\n")
    print(f"train: {FOREST.name}: {n + 1} trees, {FOREST.stat().st_size // 1024} kB")


def wilson(k, n):
    if not n:
        return [0.0, 0.0, 0.0]
    p, z = k / n, 1.96
    c, h = (p + z * z / 2 / n) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return [round(100 * v, 2) for v in (p, c - h, c + h)]


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


def main():
    what = sys.argv[1]
    if what == "features":
        return features()
    if what == "fit":
        truth, rows = load("train")
        model = fit(truth, rows)
        model.save_model(str(CACHE / "model.txt"))
        export(model)
        held, held_rows = load("held")
        probs = probabilities(model, held_rows)
        np.savez(CACHE / "held-probs.npz", *probs)
        report = {"train_clips": len(truth), "held_clips": len(held), "modes": {}}
        for mode in MODES:
            verdicts = judged(held_rows, probs, mode)
            report["modes"][mode] = measure(held, verdicts)
            table(f"hold-out {mode}", report["modes"][mode])
            if mode == "balanced":
                for kind in sorted({t["kind"] for t in held if t["kind"]}):
                    report[f"held_{kind}"] = measure(held, verdicts, lambda t: t["kind"] == kind)
                    table(f"  voices: {kind}", report[f"held_{kind}"])
                for key in sorted({(t["class"], t["subclass"]) for t in held if t["class"] in ("human", "machine", "screening", "ivr")}):
                    m = [v["verdict"] for t, v in zip(held, verdicts) if (t["class"], t["subclass"]) == key]
                    print("   ", *key, len(m), {v: m.count(v) for v in sorted(set(m))})
        report["calibration"] = calibration(held, held_rows, probs)
        print("calibration", report["calibration"])
        gain = model.feature_importance("gain")
        feature_names, _ = names()
        report["importance"] = {feature_names[n]: round(float(gain[n] / gain.sum()), 4) for n in np.argsort(-gain)}
        print("importance", list(report["importance"].items())[:25])
        (CACHE / "report.json").write_text(json.dumps(report, indent=1))
    if what == "parity":
        base = sorted((CACHE / "clips/held").glob("*.jsonl"))[0]
        first = json.loads(base.read_text().splitlines()[0])
        pcm = np.load(base.with_suffix(".npy"), mmap_mode="r")[first["at"] : first["at"] + first["n"]]
        both = extract([pcm], STEP, True)[0]
        model = lightgbm.Booster(model_file=str(CACHE / "model.txt"))
        far = np.abs(model.predict(both[:, : -len(CLASSES)]) - both[:, -len(CLASSES) :]).max()
        print(f"train: the engine's forest and the trainer's differ by at most {far:.5f}")
        sys.exit(far > 0.02)
    if what == "dev":
        folder = Path(sys.argv[2])
        truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
        rows = extract([soundfile.read(folder / "clips" / f"{t['clip']}.flac", dtype="int16")[0] for t in truth], 100)
        model = lightgbm.Booster(model_file=str(CACHE / "model.txt"))
        probs = probabilities(model, rows)
        for mode in MODES:
            verdicts = judged(rows, probs, mode, 100)
            table(f"dev {mode}", measure(truth, verdicts))
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
    if what == "studies":
        studies()


def studies():
    truth, rows = load("train")
    held, held_rows = load("held")
    _, groups = names()
    report = {}
    columns = []
    for group in groups:
        columns = columns + list(groups[group])
        if group == "channel":
            continue
        model = fit(truth, rows, columns)
        verdicts = judged(held_rows, probabilities(model, held_rows, columns), "balanced")
        report[f"ablation up to {group}"] = measure(held, verdicts)
        table(f"features up to {group}", report[f"ablation up to {group}"])
    for kind in sorted({t["kind"] for t in truth if t["kind"]}):
        mine = [n for n, t in enumerate(truth) if t["kind"] != kind]
        model = fit([truth[n] for n in mine], [rows[n] for n in mine])
        test = [n for n, t in enumerate(truth) if t["kind"] == kind]
        verdicts = judged([rows[n] for n in test], probabilities(model, [rows[n] for n in test]), "balanced")
        report[f"without {kind}"] = measure([truth[n] for n in test], verdicts)
        table(f"trained without {kind}, tested on", report[f"without {kind}"])
    (CACHE / "studies.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
