"""The decision policy: probabilities of each moment in, one verdict out. `media-engine/src/amd` follows the same rules.

At each step p is the probability of a person, `quiet` the longer one of the features `quiet` and `loud_quiet`, and `since` the time since
the onset. What must be reached changes evenly between two moments (`between`):

  1. since the onset `least` s and two steps running with 1 - p >= automated (from the first value at `least` to the second one at `limit`)
                                                              -> the likeliest automated class, once its share of 1 - p
     is `kind`, or nothing was said for 0.7 s, or the onset was `until` s ago
  2. quiet for `pause` s and p >= human (from the first value at `pause` to the second one at `patience`)  -> human
  3. quiet for `patience` s, or since >= `last` and speech runs (or 2 s more)                             -> the likelier side
  4. no speech for `wait` s                                   -> the likeliest of machine, silence, music, other
  5. no speech, after 2.5 s, music and other together 0.97   -> the likelier one
"""

CLASSES = ["human", "machine", "screening", "ivr", "music", "silence", "other"]
ELAPSED, SINCE, SPEECH, BURSTS, QUIET, LOUD_QUIET = 0, 2, 3, 4, 6, 33

MODES = {
    "fast": {"least": 0.8, "automated": (0.93, 0.7), "pause": 0.5, "human": (0.9, 0.5), "patience": 1.5, "limit": 3.5, "last": 7.5, "wait": 5.0, "kind": 0.0, "until": 5.0},
    "balanced": {"least": 1.2, "automated": (0.97, 0.85), "pause": 0.6, "human": (0.97, 0.5), "patience": 1.8, "limit": 5.5, "last": 8.0, "wait": 6.5, "kind": 0.5, "until": 3.0},
    "careful": {"least": 1.5, "automated": (0.985, 0.9), "pause": 0.7, "human": (0.97, 0.6), "patience": 2.6, "limit": 6.0, "last": 9.0, "wait": 8.0, "kind": 0.8, "until": 7.0},
}


def between(ends, low, high, at):
    share = min(max((at - low) / (high - low), 0.0), 1.0)
    return ends[0] + (ends[1] - ends[0]) * share


def decide(rows, probs, mode, step_ms):
    sure, at = 0, 0
    for n, (row, p) in enumerate(zip(rows, probs)):
        at = (n + 1) * step_ms
        human = p[0]
        # Tones are left to their detectors until 2 s after the wait.
        early = row[ELAPSED] < mode["wait"] + 2.0
        if row[BURSTS] < 1:
            if p[6] + p[4] > 0.97 and row[ELAPSED] > 2.5 and not (early and p[6] > p[4]):
                return verdict(6 if p[6] > p[4] else 4, p, at)
            if row[ELAPSED] >= mode["wait"] and not (early and max((1, 4, 5, 6), key=lambda k: p[k]) == 6):
                return verdict(max((1, 4, 5, 6), key=lambda k: p[k]), p, at)
            continue
        quiet, since = max(row[QUIET], row[LOUD_QUIET]), row[SINCE]
        likely = max((1, 2, 3, 4, 6), key=lambda k: p[k])
        wanted = between(mode["automated"], mode["least"], mode["limit"], since)
        sure = sure + 1 if 1 - human >= wanted and since >= mode["least"] else 0
        clear = p[likely] >= mode["kind"] * (1 - human) or quiet >= 0.7 or since >= mode["until"]
        if sure >= 2 and clear and not (early and likely == 6):
            return verdict(likely, p, at)
        if quiet >= mode["pause"] and human >= between(mode["human"], mode["pause"], mode["patience"], quiet):
            return verdict(0, p, at)
        # At the end a fresh pause is waited out: a person who has finished gives the word back.
        late = since >= mode["last"] and (quiet < 0.2 or since >= mode["last"] + 2.0)
        if (quiet >= mode["patience"] or late) and not (early and human < 0.5 and likely == 6):
            return verdict(0 if human >= 0.5 else likely, p, at)
    if not len(rows):
        return {"verdict": "unknown", "decided_at_ms": 0, "p": 0.0}
    return verdict(max(range(7), key=lambda k: probs[-1][k]), probs[-1], at)


def verdict(k, p, at):
    share = p[k] if k in (0, 5) else 1 - p[0]
    return {"verdict": CLASSES[k], "decided_at_ms": at, "p": round(float(share), 3)}
