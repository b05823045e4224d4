// A call whose sentences flow in clauses while they are said, for mock.mjs.
//
// Each sentence is a list of clauses; words appear one by one, and a clause is translated and heard after its last word. A clause that
// was heard wrongly (`first`) is corrected when it is committed, or afterwards if the sentence has `corrections`.

const clause = (text, translation, total, change = {}) => ({ text, translation, total, heard: "voice", ...change });

export const CLAUSE_TALK = [
  {
    leg: "customer",
    clauses: [
      clause("Good morning,", "Buenos días,", 1180),
      clause("we met on Monday", "nos vimos el lunes", 1420),
      clause("and talked about the new offer.", "y hablamos de la nueva oferta.", 1730, { speed: 1.1 }),
    ],
  },
  {
    leg: "agent",
    clauses: [clause("Sí, lo recuerdo.", "Yes, I remember.", 980), clause("¿En qué puedo ayudarle?", "How can I help you?", 1240)],
  },
  {
    leg: "customer",
    corrections: 1,
    clauses: [
      clause("My colleague Anna would like", "A mi colega le gustaría", 1610, { differences: ["Anna → missing"] }),
      clause("to order fifteen chairs", "encargar 50 sillas", 1890, {
        first: "to order fifty chairs",
        differences: ["15 → 50"],
        speed: 1.1,
      }),
      clause("and have them delivered", "y que se las entreguen", 2260, { speed: 1.15 }),
      clause("before the end of the month,", "antes de fin de mes,", 2740, { speed: 1.2 }),
      clause("if that is possible at all.", "si eso es posible.", 3420, { heard: "text" }),
    ],
  },
  {
    leg: "agent",
    clauses: [
      clause("Claro que sí,", "Of course,", 1370),
      clause("pero el transporte cuesta", "but the transport costs", 1580),
      clause("cuarenta euros más.", null, null, { heard: "original" }),
    ],
  },
  { leg: "customer", clauses: [clause("Fine, thank you.", "Bien, gracias.", 1120)] },
];

const NO_LAG = { stt: null, translate: null, tts: null, total: null };
const LANGUAGES = { customer: ["en", "es"], agent: ["es", "en"] };

/** Returns a clause as the API sends it; `stage`: how far it has come. */
function told({ text, first, translation, total, heard, speed, differences }, number, stage, corrected = true) {
  const isHeard = stage === "heard";
  return {
    clause: number,
    text: corrected ? text : (first ?? text),
    translation: stage === "cut" ? null : translation,
    heard: isHeard ? heard : "pending",
    ...(speed && isHeard ? { speed } : {}),
    lag_ms:
      total === null
        ? NO_LAG
        : { stt: 310, translate: stage === "cut" ? null : 140, tts: isHeard ? 90 : null, total: isHeard ? total : null },
    ...(differences && stage !== "cut" ? { differences } : {}),
  };
}

const joined = (clauses) =>
  clauses
    .map(({ translation }) => translation)
    .filter(Boolean)
    .join(" ") || null;

/** Returns the fields that a sentence with clauses has when it is complete. */
export function spokenInClauses({ clauses: said, corrections }, first = 1) {
  const clauses = said.map((one, index) => told(one, first + index, "heard"));
  return {
    text: said.map(({ text }) => text).join(" "),
    translation: joined(clauses),
    clauses,
    ...(corrections ? { corrections } : {}),
  };
}

/** Returns a function that starts such a call, or lets a running call speak so. `words`: the sentences of the mock's calls, by call. */
export function clauseTalk({ make, emit, calls, legs, leg, flows, words }) {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  let number = 0;

  async function say(id, segment, sentence, pace) {
    const [source, target] = LANGUAGES[sentence.leg];
    const state = {
      segment,
      call_id: id,
      leg: sentence.leg,
      source_language: source,
      target_language: target,
      text: "",
      translation: null,
      final: false,
      lag_ms: NO_LAG,
    };
    const tell = (kind, change) => {
      Object.assign(state, change);
      state.translation = joined(state.clauses ?? []);
      words.get(id).set(segment, { ...state });
      emit(`translation.${kind}`, state);
    };
    const numbers = sentence.clauses.map(() => number++);
    const upTo = (last, stage, corrected) =>
      sentence.clauses.slice(0, last + 1).map((one, at) => told(one, numbers[at], at < last ? "heard" : stage, corrected || at < last));
    let settled = "";
    for (const [at, one] of sentence.clauses.entries()) {
      const spoken = (one.first ?? one.text).split(" ");
      for (let count = 1; count <= spoken.length; count += 1) {
        tell("partial", { text: `${settled} ${spoken.slice(0, count).join(" ")}`.trim() });
        await pause(pace * 260);
      }
      const committed = `${settled} ${spoken.join(" ")}`.trim().split(" ").length;
      tell("partial", { committed, clauses: upTo(at, "cut", false) });
      await pause(pace * 300);
      tell("partial", { clauses: upTo(at, "translated", false) });
      await pause(pace * 300);
      settled = `${settled} ${one.text}`.trim();
      tell("partial", { text: settled, clauses: upTo(at, "heard", true), ...(one.first ? { corrections: sentence.corrections } : {}) });
    }
    const total = sentence.clauses.at(-1).total;
    tell("final", { final: true });
    tell("lag", { lag_ms: { stt: 310, translate: 140, tts: 90, total } });
    await pause(pace * 900);
  }

  async function talk(id, rounds, pace) {
    const said = words.get(id) ?? words.set(id, new Map()).get(id);
    for (let round = 0; round < rounds; round += 1)
      for (const sentence of CLAUSE_TALK) {
        if (!calls.has(id) || calls.get(id).ended_at) return;
        await say(id, Math.max(0, ...said.keys()) + 1, sentence, pace);
      }
  }

  /** `call`: id of a running call; without one, a new call is made. `pace`: 1 is the speed of speech; less is faster. */
  return ({ call, rounds = 4, pace = 1 }) => {
    const id = call ?? `01993f2e-7b11-7d4e-9c39-c1${String(Date.now() % 10_000_000_000).padStart(10, "0")}`;
    if (!calls.has(id)) {
      const began = Date.now() - 8_000;
      const made = make(id, {
        from: "+44 20 7946 0177",
        agent: "mei",
        created_at: new Date(began).toISOString(),
        answered_at: new Date(began + 3_000).toISOString(),
      });
      calls.set(id, made);
      legs[id] = [
        { ...leg(1, "customer", "PCMU", flows), peer: made.from },
        { ...leg(2, "agent", "opus", flows), peer: made.agent },
      ];
      emit("call.created", { type: "call.created", call_id: id, at: made.created_at, call: made });
    }
    void talk(id, rounds, pace);
    return id;
  };
}
