// Screened calls for mock.mjs: calls to customers, with what the detection of answering machines hears and reports.
//
// Every answer has a script: stretches of speech and tones with the time in milliseconds since the answer, and the news of the detection.
const STEP_MS = 100;

const evidence = (ground, change = {}) => ({ ground, hz: [], speech: [], phrases: [], features: [], ...change });
const VOICEMAIL = [
  [480, 2300],
  [2700, 6100],
];
const VERDICT_MACHINE = {
  verdict: "machine",
  probability: 0.97,
  decided_at_ms: 3400,
  action: "message",
  evidence: evidence("sound", {
    speech: [
      [480, 2300],
      [2700, 3400],
    ],
    phrases: [
      { phrase: "you have reached", probability: 0.94 },
      { phrase: "leave a message", probability: 0.71 },
    ],
    features: [
      { name: "phrase_longest", value: 2.9, weight: -1.4 },
      { name: "speech_share", value: 0.86, weight: -0.8 },
      { name: "floor", value: -71.5, weight: -0.4 },
      { name: "zero_before", value: 0.4, weight: -0.3 },
      { name: "pitch", value: 16.1, weight: 0.2 },
      { name: "pitch_spread", value: 2.25, weight: -0.1 },
    ],
  }),
};
const VERDICT_HUMAN = {
  verdict: "human",
  probability: 0.94,
  decided_at_ms: 1900,
  action: "connect",
  evidence: evidence("sound", {
    speech: [[620, 1130]],
    line: "residence",
    phrases: [{ phrase: "hello", probability: 0.9 }],
    features: [
      { name: "quiet", value: 0.77, weight: 1.1 },
      { name: "first", value: 0.51, weight: 0.9 },
      { name: "phrases", value: 1, weight: 0.5 },
      { name: "pitch_end", value: 3.5, weight: 0.4 },
      { name: "floor", value: -48, weight: 0.3 },
    ],
  }),
};

/** What is heard and reported for each answer. `human`: probability of a person in percent, at times in seconds. */
export const SCRIPTS = {
  machine: {
    speech: VOICEMAIL,
    tones: [[6500, 6900]],
    human: [0.5, 0.42, 0.46, 0.3, 0.12, 0.05, 0.03, 0.03],
    news: [
      [3400, { stage: "verdict", ...VERDICT_MACHINE }],
      [6600, { stage: "greeting_end", at_ms: 6100 }],
      [6950, { stage: "beep", start_ms: 6500, end_ms: 6900, hz: [1000] }],
      [7000, { stage: "message_begun", at_ms: 6950, after: "beep" }],
      [13_000, { stage: "message_left", at_ms: 12_900, end: "left" }],
    ],
    end: 13_600,
  },
  human: { speech: [[620, 1130]], tones: [], human: [0.5, 0.5, 0.72, 0.91, 0.94], news: [[1900, { stage: "verdict", ...VERDICT_HUMAN }]] },
  screening: {
    speech: [
      [350, 1900],
      [2150, 4300],
      [9300, 9900],
    ],
    tones: [],
    human: [0.5, 0.4, 0.33, 0.25, 0.2, 0.16, 0.12, 0.1, 0.1, 0.1, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.5, 0.7, 0.9, 0.93],
    news: [
      [
        4700,
        {
          stage: "verdict",
          verdict: "screening",
          probability: 0.91,
          decided_at_ms: 4700,
          action: "reply",
          evidence: evidence("sound", { speech: [[350, 4300]], features: [{ name: "phrase_longest", value: 2.15, weight: -0.7 }] }),
        },
      ],
      [
        10_600,
        {
          stage: "verdict",
          verdict: "human",
          probability: 0.93,
          decided_at_ms: 10_600,
          action: "connect",
          evidence: evidence("sound", { speech: [[9300, 9900]], features: [{ name: "first", value: 0.6, weight: 0.8 }] }),
        },
      ],
    ],
  },
  revised: {
    speech: [
      [700, 1400],
      [3100, 5600],
    ],
    tones: [[6300, 6750]],
    human: [0.5, 0.55, 0.8, 0.9, 0.92],
    news: [
      [2100, { stage: "verdict", ...VERDICT_HUMAN, decided_at_ms: 2100, probability: 0.92 }],
      [6800, { stage: "beep", start_ms: 6300, end_ms: 6750, hz: [1400] }],
      [
        6850,
        {
          stage: "revised",
          verdict: "machine",
          probability: 0.99,
          decided_at_ms: 6850,
          action: "",
          evidence: evidence("beep", { hz: [1400] }),
        },
      ],
    ],
  },
  sit: {
    speech: [],
    tones: [[300, 1300]],
    human: [0.5, 0.2, 0.02],
    news: [
      [
        1350,
        {
          stage: "verdict",
          verdict: "sit",
          probability: 0.999,
          decided_at_ms: 1350,
          action: "hang_up",
          evidence: evidence("sit", { hz: [914, 1429, 1777] }),
        },
      ],
    ],
    end: 1900,
  },
};

/** Returns the `amd` of a leg after `upTo` milliseconds, as the API has it. */
export function amdOf(answer, upTo = Number.POSITIVE_INFINITY) {
  const amd = { mode: "balanced", revised: null, later: [], beeps: [] };
  for (const [at, { stage, ...news }] of SCRIPTS[answer].news) {
    if (at > upTo) break;
    if (stage === "verdict" && amd.verdict) amd.later.push(news);
    else if (stage === "verdict") Object.assign(amd, news);
    else if (stage === "revised") amd.revised = news;
    else if (stage === "greeting_end") amd.greeting_end_ms = news.at_ms;
    else if (stage === "beep") amd.beeps.push(news);
    else if (stage === "message_begun") Object.assign(amd, { message_begun_ms: news.at_ms, message_after: news.after });
    else if (stage === "message_left") Object.assign(amd, { message_end_ms: news.at_ms, message_end: news.end });
  }
  return amd;
}

/** Returns the sound of a script from `from` to `to`, as in the event of the stage `heard`. */
function heard({ speech, tones, human }, from, to) {
  const within = (list, at) => list.some(([start, end]) => at >= start && at < end);
  const steps = Array.from({ length: (to - from) / STEP_MS }, (_, index) => from + index * STEP_MS);
  const wave = (at) => Math.sin(at / 137) * 5 + Math.sin(at / 53) * 3;
  const chance = (at) => {
    const [place, part] = [Math.floor(at / 500), (at % 500) / 500];
    const [a, b] = [human[place] ?? human.at(-1), human[place + 1] ?? human.at(-1)];
    return Math.round(100 * (a + (b - a) * part));
  };
  return {
    stage: "heard",
    from_ms: from,
    level_dbfs: steps.map((at) => Math.round(within(speech, at) ? -21 + wave(at) : within(tones, at) ? -17 : -54 + wave(at) / 3)),
    speech: steps.map((at) => within(speech, at)),
    human: steps.map(chance),
  };
}

/** Returns a function that starts a screened call and returns its id. The arguments are those of `crowd`. */
export function screenedCalls({ make, emit, calls, legs, leg, flows }) {
  let count = 0;
  return (answer, pace = 1) => {
    const script = SCRIPTS[answer];
    count += 1;
    const id = `01993f2e-7b11-7d4e-9c39-a3d0${String(count).padStart(8, "0")}`;
    const began = Date.now();
    const call = make(id, {
      direction: "outbound",
      mode: "direct",
      from: "+34 910 000 001",
      to: `+44 20 7946 0${300 + count}`,
      status: "answered",
      agent: answer === "human" || answer === "revised" ? "mei" : null,
      created_at: new Date(began - 9_000).toISOString(),
      answered_at: new Date(began).toISOString(),
    });
    const customer = { ...leg(1, "customer", "PCMA", flows), peer: call.to, amd: amdOf(answer, 0) };
    calls.set(id, call);
    legs[id] = [customer];
    const tell = (name, body, kept = true) =>
      emit(name, { type: name, call_id: id, at: new Date().toISOString(), leg: 1, role: "customer", ...body }, kept);
    const later = (ms, run) => setTimeout(run, ms * pace);
    tell("call.created", { call });
    tell("call.amd", { stage: "listening", mode: "balanced" });
    const decided = script.news.filter(([, { stage }]) => stage === "verdict").at(-1)[0];
    for (let from = 0; from < decided; from += 500) {
      const to = Math.min(from + 500, Math.ceil(decided / STEP_MS) * STEP_MS);
      later(to, () => tell("call.amd", heard(script, from, to), false));
    }
    for (const [at, news] of script.news)
      later(at, () => {
        customer.amd = amdOf(answer, at);
        tell("call.amd", news);
        if (news.action !== "connect") return;
        legs[id].push({ ...leg(2, "agent", "opus", flows), peer: call.agent ?? "mei" });
        Object.assign(call, { status: "bridged" });
        tell("call.leg", { leg: 2, role: "agent", state: "answered", peer: "mei", codec: "opus" });
        tell("call.status", { status: "bridged", call });
      });
    if (script.end)
      later(script.end, () => {
        Object.assign(customer, { state: "ended", ending: { cause: "normal", by: "tandem" } });
        Object.assign(call, { status: "ended", ended_reason: "normal", ended_at: new Date().toISOString() });
        tell("call.leg", { state: "ended", peer: call.to, codec: "PCMA", ending: customer.ending });
        tell("call.status", { status: "ended", cause: "normal", call });
      });
    return id;
  };
}
