// Many simultaneous calls for mock.mjs, to look at a busy live page and to measure its load (tests/browser/live_load.mjs).
//
// Each call speaks a word every `word_ms`, ends a sentence every eight words, and reports its legs' quality every two seconds, which is
// more than in real calls.
const NUMBERS = ["+44 20 7946 0", "+1 555 555 0", "+34 910 000 ", "+33 1 99 00 5"];
const AGENTS = ["ana", "luis", "bob", "oluwaseun.adebayo", "mei", "priya"];
const WORDS =
  "good morning I would like to know where my order is because it should have come on monday and nobody called me about it so far".split(
    " ",
  );

/**
 * Returns functions that start and stop the calls. `make`: creates a call of the mock; `emit`: sends an event; `calls`, `legs`, `words`:
 * the mock's calls, legs and sentences, by call; `leg`: creates a leg; `flows`, `deaf`: flow states of a good and a faulty leg.
 */
export function crowd({ make, emit, calls, legs, leg, flows, deaf, words }) {
  let timers = [];

  function one(n, wordMs) {
    const id = `01993f2e-7b11-7d4e-9c39-c0${String(Date.now() % 1_000_000).padStart(6, "0")}${String(n).padStart(4, "0")}`;
    const began = Date.now() - 4_000 - n * 7_000;
    const made = make(id, {
      from: `${NUMBERS[n % 4]}${100 + n}`,
      agent: AGENTS[n % 6],
      direction: n % 4 === 3 ? "outbound" : "inbound",
      created_at: new Date(began).toISOString(),
      answered_at: new Date(began + 3_000).toISOString(),
    });
    calls.set(id, made);
    legs[id] = [
      { ...leg(1, "customer", "PCMU", n % 13 === 7 ? deaf : flows), peer: made.from },
      { ...leg(2, "agent", "opus", flows), peer: made.agent },
    ];
    emit("call.created", { type: "call.created", call_id: id, at: made.created_at, call: made });
    talk(id, n, wordMs);
    return id;
  }

  function talk(id, n, wordMs) {
    let [segment, count] = [1, 0];
    const said = words.get(id) ?? words.set(id, new Map()).get(id);
    const speak = () => {
      if (!calls.has(id) || calls.get(id).ended_at) return;
      count += 1;
      const role = segment % 2 ? "customer" : "agent";
      const text = Array.from({ length: count }, (_, at) => WORDS[(n * 5 + segment * 3 + at) % WORDS.length]).join(" ");
      const final = count >= 8;
      const body = {
        segment,
        call_id: id,
        leg: role,
        source_language: "en",
        target_language: "es",
        text,
        translation: final ? `${text} (es)` : null,
        final,
        lag_ms: { stt: final ? 210 : null, translate: null, tts: null, total: null },
      };
      said.set(segment, body);
      emit(`translation.${final ? "translation" : "partial"}`, body, false);
      if (final) [segment, count] = [segment + 1, 0];
    };
    const report = () => {
      const [first] = legs[id];
      emit("call.quality", { type: "call.quality", call_id: id, leg: first.leg, role: first.role, quality: first.quality }, false);
    };
    // The calls start at different times within an interval.
    timers.push(setTimeout(() => timers.push(setInterval(speak, wordMs), setInterval(report, 2_000)), (n * 37) % wordMs));
  }

  return {
    /** Starts `count` calls and returns their ids. */
    start(count, wordMs = 350) {
      return Array.from({ length: count }, (_, n) => one(n, wordMs));
    },
    stop() {
      for (const timer of timers) {
        clearTimeout(timer);
        clearInterval(timer);
      }
      timers = [];
    },
  };
}
