"""The decision policy: probabilities of each moment in, one verdict out. `media-engine/src/amd` follows the same rules.

At each step, with the features `quiet` and `loud_quiet` (time since the last speech; the longer one counts), `speech` and `elapsed`, and p the probability of a person:

  1. speech runs, or has run, for `least` seconds and p <= 1 - `automated` for two steps  -> the likeliest automated class
  2. quiet for `pause` seconds and p >= `human`                                          -> human
  3. quiet for `patience` seconds, or speech began `limit` seconds ago                    -> the likelier side
  4. no speech for `wait` seconds                                                         -> the likeliest of silence, music, other
"""

CLASSES = ["human", "machine", "screening", "ivr", "music", "silence", "other"]
ELAPSED, SINCE, SPEECH, BURSTS, QUIET, LOUD_QUIET = 0, 2, 3, 4, 6, 33

MODES = {
    "fast": {"least": 0.8, "automated": 0.88, "pause": 0.3, "human": 0.75, "patience": 1.0, "limit": 4.0, "wait": 5.0, "even": 0.5},
    "balanced": {"least": 1.0, "automated": 0.93, "pause": 0.5, "human": 0.85, "patience": 1.5, "limit": 5.0, "wait": 6.5, "even": 0.5},
    "careful": {"least": 1.2, "automated": 0.97, "pause": 0.7, "human": 0.93, "patience": 2.2, "limit": 8.0, "wait": 8.0, "even": 0.5},
}


def decide(rows, probs, mode, step_ms):
    sure = 0
    at = 0
    for n, (row, p) in enumerate(zip(rows, probs)):
        at = (n + 1) * step_ms
        human = p[0]
        if row[BURSTS] < 1:
            if p[6] + p[4] > 0.97 and row[ELAPSED] > 2.5:
                return {"verdict": CLASSES[6 if p[6] > p[4] else 4], "decided_at_ms": at, "p": round(float(max(p)), 3)}
            if row[ELAPSED] >= mode["wait"]:
                k = max((1, 4, 5, 6), key=lambda k: p[k])
                return {"verdict": CLASSES[k], "decided_at_ms": at, "p": round(float(p[k]), 3)}
            continue
        quiet = max(row[QUIET], row[LOUD_QUIET])
        likely = max((1, 2, 3, 4, 6), key=lambda k: p[k])
        sure = sure + step_ms if human <= 1 - mode["automated"] and row[SPEECH] >= mode["least"] else 0
        if sure >= 200:
            return {"verdict": CLASSES[likely], "decided_at_ms": at, "p": round(float(1 - human), 3)}
        if quiet >= mode["pause"] and human >= mode["human"]:
            return {"verdict": "human", "decided_at_ms": at, "p": round(float(human), 3)}
        if quiet >= mode["patience"] or row[SINCE] >= mode["limit"]:
            if human >= mode["even"]:
                return {"verdict": "human", "decided_at_ms": at, "p": round(float(human), 3)}
            return {"verdict": CLASSES[likely], "decided_at_ms": at, "p": round(float(1 - human), 3)}
    if not len(rows):
        return {"verdict": "unknown", "decided_at_ms": 0, "p": 0.0}
    k = max(range(7), key=lambda k: probs[-1][k])
    return {"verdict": CLASSES[k], "decided_at_ms": at, "p": round(float(probs[-1][k]), 3)}
