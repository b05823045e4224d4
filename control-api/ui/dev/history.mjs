// Canned past calls for mock.mjs: 173 of them, with words, outcome, notes and a recording that can be played.
import { randomUUID } from "node:crypto";
import { amdOf, SCRIPTS } from "./amd.mjs";
import { CLAUSE_TALK, spokenInClauses } from "./clauses.mjs";
import { Refusal } from "./organization.mjs";

const SECONDS = 75;
const RATE = 8000;
const OUTCOMES = ["Sale", "Call back", "Not interested", "Voicemail", "Resolved, the customer wants a written confirmation", null, null];
const WORDS = [
  ["customer", 1, "Good morning, I would like to check my order.", "Buenos días, quisiera consultar mi pedido."],
  ["agent", 6, "Claro que sí. ¿Me da el número de pedido, por favor?", "Of course. May I have the order number, please?"],
  ["customer", 11, "The order number is four seven one two.", "El número de pedido es cuatro siete uno dos."],
  ["customer", 16, "", null],
  [
    "agent",
    21,
    "Veo que salió ayer de nuestro almacén y que el transportista ha intentado entregarlo esta mañana, pero no había nadie en casa; por eso vuelve mañana entre las nueve y las doce.",
    "I see that it left our warehouse yesterday and that the carrier tried to deliver it this morning, but nobody was at home; so they come again tomorrow between nine and twelve.",
  ],
  [
    "customer",
    34,
    "Tomorrow is fine. Could you please ask them to call me before they come?",
    "Mañana está bien. ¿Podría pedirles que me llamen antes de venir?",
  ],
  ["agent", 41, "Por supuesto, lo anoto en el pedido.", "Certainly, I note it on the order."],
  ["customer", 48, "Thank you very much for your help.", "Muchas gracias por su ayuda."],
  ["agent", 53, "Gracias a usted. Que tenga un buen día.", "Thank you. Have a nice day."],
];
/** Sentences that were said in clauses, after the words above. */
const IN_CLAUSES = CLAUSE_TALK.slice(2, 4).map((sentence, index) => [sentence.leg, 58 + index * 7, sentence]);

/** Returns a WAV file with a tone where somebody speaks, the customer on the left and the agent on the right. */
function recording() {
  const frames = SECONDS * RATE;
  const wav = Buffer.alloc(44 + frames * 4);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(2, 22);
  wav.writeUInt32LE(RATE, 24);
  wav.writeUInt32LE(RATE * 4, 28);
  wav.writeUInt16LE(4, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(frames * 4, 40);
  for (const [leg, from] of WORDS) {
    for (let n = from * RATE; n < (from + 4) * RATE; n += 1) {
      const sample = Math.round(
        4000 * Math.sin((2 * Math.PI * (leg === "agent" ? 330 : 220) * n) / RATE) * (0.5 + 0.5 * Math.sin(n / 900)),
      );
      wav.writeInt16LE(sample, 44 + n * 4 + (leg === "agent" ? 2 : 0));
    }
  }
  return wav;
}

export function history(config, organization) {
  const wav = recording();
  const calls = new Map();
  const notes = new Map();
  const outcomes = new Map();
  const agents = ["ana", "luis", "bob", "oluwaseun.adebayo"];
  for (let n = 0; n < 173; n += 1) {
    const began = Date.now() - 1_800_000 - n * 2_700_000 - (n % 7) * 61_000;
    const id = `01993f2e-7b11-7d4e-9c39-${String(n).padStart(12, "0")}`;
    const failed = n % 11 === 4;
    const crashed = n % 31 === 30;
    const direct = n % 9 === 8;
    const talked = 40_000 + ((n * 37_137) % 900_000);
    const other =
      n % 13 === 6
        ? "sip:reception.desk.second-floor@branch-office.customer-with-a-long-name.example"
        : `+44 20 7946 0${String(100 + n).padStart(3, "0")}`;
    const inbound = n % 3 !== 1;
    const outcome = failed ? null : OUTCOMES[n % OUTCOMES.length];
    calls.set(id, {
      id,
      status: failed ? "failed" : "ended",
      direction: inbound ? "inbound" : "outbound",
      mode: inbound ? null : direct ? "direct" : "webrtc",
      from: inbound ? (n % 17 === 5 ? null : other) : "+34 910 000 001",
      to: inbound ? "+34 910 000 001" : other,
      agent: direct ? null : agents[n % 4],
      config: { ...config, live_translate: n % 5 !== 3, record: n % 5 !== 3 },
      created_at: new Date(began).toISOString(),
      answered_at: failed ? null : new Date(began + 11_000).toISOString(),
      ended_at: new Date(began + 11_000 + (failed ? 0 : talked)).toISOString(),
      ended_reason: failed ? ["busy", "no_answer", "rejected"][n % 3] : crashed ? "crash" : "normal",
      outcome,
    });
    outcomes.set(
      id,
      outcome
        ? [
            {
              outcome,
              note: n % 2 ? "Wants the offer by mail first, then another call on Thursday afternoon." : null,
              set_by: "Ana Ruiz",
              at: new Date(began + talked + 60_000).toISOString(),
            },
            { outcome: "Call back", note: null, set_by: "Bob", at: new Date(began + talked + 20_000).toISOString() },
          ]
        : [],
    );
    notes.set(
      id,
      n % 2
        ? []
        : [
            {
              id: randomUUID(),
              text: "The customer asked for a written confirmation.\nAddress is the one that we have.",
              author: { id: "01993f2e-0000-7000-8000-000000000001", name: "Ana Ruiz" },
              created_at: new Date(began + talked).toISOString(),
              updated_at: new Date(began + talked).toISOString(),
            },
            {
              id: randomUUID(),
              text: "Sent it. https://example.com/a/very/long/link/that/does/not/break/anywhere/because/it/has/no/spaces/at/all",
              author: { id: "x", name: "Luis Alejandro Fernández-Montenegro de la Torre" },
              created_at: new Date(began + talked + 900_000).toISOString(),
              updated_at: new Date(began + talked + 1_900_000).toISOString(),
            },
          ],
    );
  }
  const callOf = (id) =>
    calls.get(id) ??
    (() => {
      throw new Refusal(404, "there is no such call");
    })();
  const segments = (call) => {
    if (!call.config.live_translate || call.answered_at === null) return [];
    const inClauses = IN_CLAUSES.map(([leg, offset, sentence], index) => ({
      segment: WORDS.length + index + 1,
      leg,
      language: leg === "agent" ? "es" : "en",
      ...spokenInClauses(sentence, 1 + index * 10),
      version: 1,
      source: "live",
      started_at: new Date(Date.parse(call.answered_at) + offset * 1000).toISOString(),
    }));
    const whole = WORDS.flatMap(([leg, offset, text, translation], index) => {
      const one = {
        segment: index + 1,
        leg,
        language: leg === "agent" ? "es" : "en",
        text,
        translation,
        version: 1,
        source: "live",
        started_at: new Date(Date.parse(call.answered_at) + offset * 1000).toISOString(),
      };
      return index === 3 && call.agent === "ana"
        ? [
            one,
            {
              ...one,
              text: "Hold on, my daughter is at the door.",
              translation: "Un momento, mi hija está en la puerta.",
              version: 2,
              source: "recording",
            },
          ]
        : [one];
    });
    return [...whole, ...inClauses];
  };
  const spoken = (call) =>
    segments(call)
      .map(({ text, translation }) => `${text} ${translation ?? ""}`)
      .join(" ")
      .toLowerCase();

  function list(query, running) {
    const of = (name) => query.get(name) ?? "";
    for (const name of ["from", "to"])
      if (of(name) && Number.isNaN(Date.parse(of(name)))) throw new Refusal(422, `${name}: expected a time (RFC 3339)`, name);
    if (of("number") && !/^\+?\d{2,15}$/.test(of("number")))
      throw new Refusal(422, "number: expected E.164 or its first digits, such as +4420", "number");
    const digits = (text) => (text ?? "").replace(/\D/g, "");
    const all = (organization.state.empty ? [] : [...running, ...calls.values()]).filter(
      (call) =>
        ["status", "direction", "agent", "outcome"].every((name) => !of(name) || call[name] === of(name)) &&
        (!of("number") || [call.from, call.to].some((number) => digits(number).startsWith(digits(of("number"))))) &&
        (!of("from") || call.created_at >= of("from")) &&
        (!of("to") || call.created_at < of("to")) &&
        (!of("q") ||
          of("q")
            .toLowerCase()
            .split(/\s+/)
            .every((word) => spoken(call).includes(word))),
    );
    const from = Number(of("cursor") || 0);
    const limit = Number(of("limit") || 50);
    return { calls: all.slice(from, from + limit), next_cursor: from + limit < all.length ? String(from + limit) : null };
  }

  function detail(call) {
    const start = Date.parse(call.created_at);
    const after = (ms) => new Date(start + ms).toISOString();
    const end = Date.parse(call.ended_at) - start;
    const event = (type, ms, more) => ({ type: `call.${type}`, call_id: call.id, at: after(ms), ...more });
    const quality = {
      packets_received: 14_000,
      packets_sent: 14_020,
      packets_lost: 31,
      packets_late: 2,
      jitter_ms: 3.1,
      round_trip_ms: 41,
      incoming: { mos: null, mos_call: 4.21, loss_percent: null, jitter_ms: null, delay_ms: null },
      outgoing: { mos: null, mos_call: 4.02, loss_percent: null, jitter_ms: null, delay_ms: null },
    };
    const flow = { incoming: { state: "flowing", detail: null }, outgoing: { state: "sending", detail: null } };
    const answered = call.answered_at !== null;
    const leg = (number, role, codec, peer, change = {}) => ({
      leg: number,
      role,
      state: "ended",
      peer,
      codec,
      created_at: after(0),
      answered_at: call.answered_at,
      ended_at: call.ended_at,
      flow,
      quality,
      held: false,
      muted: false,
      supervises: null,
      ending: { cause: call.ended_reason === "crash" ? "shutdown" : "normal", by: number === 1 ? "far_end" : "tandem" },
      ...change,
    });
    // Calls that Tandem dialled were screened.
    const answers = Object.keys(SCRIPTS);
    const answer =
      call.direction === "outbound" && answered ? answers[Math.floor(Number(call.id.slice(-3)) / 3) % answers.length] : undefined;
    const screened = answer
      ? [
          event("amd", 11_000, { leg: 1, role: "customer", stage: "listening", mode: "balanced" }),
          ...SCRIPTS[answer].news.map(([ms, news]) => event("amd", 11_000 + ms, { leg: 1, role: "customer", ...news })),
        ]
      : [];
    // A long call as in a contact centre: a hold, a colleague who is busy, another who answers, and a supervisor.
    const busy = answered && call.agent !== null && end > 60_000;
    const part = (share) => 11_000 + Math.round((end - 11_000) * share);
    const seat = (number, role, share, change) =>
      event("seat", part(share), { leg: number, role, held: false, muted: false, supervises: null, ...change });
    const more = busy
      ? [
          leg(3, "agent", null, "mei", {
            state: "ended",
            created_at: after(part(0.3)),
            answered_at: null,
            ended_at: after(part(0.36)),
            flow: null,
            quality: null,
            ending: { cause: "busy", by: "far_end", sip_status: 486, q850: 17, text: "Busy Here" },
          }),
          leg(4, "agent", "opus", "bob", {
            created_at: after(part(0.38)),
            answered_at: after(part(0.42)),
            ending: { cause: "normal", by: "tandem" },
          }),
          leg(5, "supervisor", "opus", "oluwaseun.adebayo", {
            created_at: after(part(0.5)),
            answered_at: after(part(0.51)),
            ended_at: after(part(0.9)),
            ending: { cause: "normal", by: "far_end" },
          }),
        ]
      : [];
    const seats = busy
      ? [
          seat(1, "customer", 0.25, { held: true }),
          seat(1, "customer", 0.42, {}),
          seat(2, "agent", 0.6, { muted: true }),
          seat(2, "agent", 0.7, {}),
          event("leg", part(0.36), { leg: 3, role: "agent", state: "ended", peer: "mei", codec: null, ending: more[0].ending }),
          seat(5, "supervisor", 0.51, { supervises: "listen" }),
          seat(5, "supervisor", 0.65, { supervises: { whisper: 4 } }),
          seat(5, "supervisor", 0.75, { supervises: "barge" }),
        ]
      : [];
    // The steps of the number's program before the agent's phone rang.
    const step = (ms, path, verb, outcome, took, change = {}) => [
      event("program", ms, {
        leg: 1,
        state: "step_started",
        program: 0,
        step: Number(/\d+/.exec(path)),
        path,
        verb,
        outcome: null,
        detail: null,
        ...change,
      }),
      event("program", ms + took, {
        leg: 1,
        state: "step_ended",
        program: 0,
        step: Number(/\d+/.exec(path)),
        path,
        verb,
        outcome,
        detail: null,
        duration_ms: took,
        ...change,
      }),
    ];
    const programmed =
      busy && call.direction === "inbound"
        ? [
            ...step(900, "steps[1]", "gather", "timeout", 4_800),
            ...step(5_700, "steps[1]", "gather", "digits", 2_600, { digits: "1" }),
            ...step(8_300, "steps[6]", "speak", "completed", 1_700),
            ...step(10_000, "steps[7]", "webhook", "fetched", 310, { detail: "https://programs.example.com/tandem/who-takes-this-call" }),
            ...step(10_400, "steps[0]", "dial", "talked", end - 10_500, { program: 1, digits: undefined }),
            event("program", end, {
              leg: 1,
              state: "ended",
              program: null,
              step: null,
              path: null,
              verb: null,
              outcome: "caller_gone",
              detail: null,
            }),
          ]
        : [];
    const parked =
      busy && call.agent === "luis"
        ? [
            event("parked", part(0.8), { leg: 1, role: "customer", slot: 71, parked_by: "bob", until: after(part(0.9)) }),
            event("unparked", part(0.82), { leg: 1, role: "customer", slot: 71, why: "picked_up" }),
          ]
        : [];
    const events = [
      ...screened,
      ...programmed,
      ...parked,
      event("created", 0),
      event("status", 300, { status: "ringing" }),
      event("leg", 400, { leg: 1, role: "customer", state: "ringing", peer: call.from ?? call.to }),
      ...(answered
        ? [
            event("leg", 11_000, { leg: 1, role: "customer", state: "answered", peer: call.from ?? call.to, codec: "PCMA" }),
            event("status", 11_000, { status: "answered" }),
            event("recording", 11_020, { state: "started", note: null }),
            event("leg", 11_400, { leg: 2, role: "agent", state: "answered", peer: call.agent, codec: "opus" }),
            event("status", 11_500, { status: "bridged" }),
            event("flow", 23_000, {
              leg: 1,
              role: "customer",
              flow: { incoming: { state: "stopped", detail: "no packet for 2 s" }, outgoing: { state: "sending", detail: null } },
            }),
            event("flow", 26_000, { leg: 1, role: "customer", flow }),
            event("dtmf", 31_000, { leg: 1, role: "customer", digit: "4" }),
            ...seats,
          ]
        : []),
      event("status", end, { status: call.status, cause: call.ended_reason }),
      ...(answered ? [event("recording", end + 40, { state: "finished", note: null })] : []),
    ]
      .sort((a, b) => a.at.localeCompare(b.at))
      .map((one, index) => ({ ...one, id: index + 1 }));
    const sound =
      answered && call.config.record
        ? {
            state: call.ended_reason === "crash" ? "interrupted" : "finished",
            note: call.ended_reason === "crash" ? "the server stopped during the call" : null,
            duration_ms: Math.min(SECONDS * 1000, end - 11_000),
            started_at: call.answered_at,
            ended_at: call.ended_at,
            url: `/api/calls/${call.id}/recording`,
          }
        : null;
    return {
      ...call,
      legs: answered
        ? [
            leg(1, "customer", "PCMA", call.from ?? "anonymous", answer ? { amd: amdOf(answer) } : {}),
            ...(call.agent ? [leg(2, "agent", "opus", `sip:${call.agent}@tandem.example.com`)] : []),
            ...more,
          ]
        : [
            leg(1, "customer", null, call.to, {
              answered_at: null,
              flow: null,
              quality: null,
              ending: { cause: call.ended_reason, by: "far_end", sip_status: 486, text: "Busy Here" },
            }),
          ],
      events,
      recording: sound,
    };
  }

  /** Returns the recordings of a call, with their gaps and a channel for each leg. */
  function recordings(call) {
    const whole = detail(call);
    if (!whole.recording) return [];
    const { state, note, duration_ms: ms, started_at: began } = whole.recording;
    const place = (s) => new Date(Date.parse(began) + s * 1000).toISOString();
    const url = (number, part) => `/api/calls/${call.id}/recording?number=${number}&part=${part}`;
    const channel = (number, leg, role, peer, from, until) => ({
      channel: number,
      leg,
      role,
      peer,
      agent: role === "customer" ? null : peer,
      from: place(from),
      until: place(until),
    });
    const seconds = ms / 1000;
    const file = (number, part, change) => ({
      part,
      state,
      note,
      duration_ms: ms,
      started_at: began,
      ended_at: place(seconds),
      url: url(number, part),
      original_url: `${url(number, part)}&channels=all`,
      channels: [],
      ...change,
    });
    const customer = (until) => channel(0, 1, "customer", call.from ?? "anonymous", 0, until);
    const withHeard = (said) => [...said, ...said.map((each) => ({ ...each, channel: each.channel + said.length, heard: true }))];
    const long = whole.legs.length > 3;
    const one = {
      number: 1,
      leg: null,
      state,
      note,
      duration_ms: ms,
      started_at: began,
      ended_at: place(seconds),
      gaps: long ? [{ from: place(24), until: place(33) }] : [],
    };
    if (!long)
      return [
        {
          ...one,
          parts: [
            file(1, 1, {
              channels: withHeard([customer(seconds), ...(call.agent ? [channel(1, 2, "agent", call.agent, 0.4, seconds)] : [])]),
            }),
          ],
        },
      ];
    return [
      {
        ...one,
        parts: [
          file(1, 1, {
            channels: [
              customer(seconds),
              channel(1, 2, "agent", call.agent, 0.4, 62),
              channel(2, 4, "agent", "bob", 20, seconds),
              channel(3, 5, "supervisor", "oluwaseun.adebayo", 48, 57),
            ],
          }),
          file(1, 2, {
            started_at: place(seconds),
            channels: [customer(seconds * 2), channel(1, 4, "agent", "bob", seconds, seconds * 2)].map((each) => ({
              ...each,
              from: place(seconds),
            })),
          }),
        ],
      },
      {
        number: 2,
        leg: 1,
        state: "finished",
        note: null,
        duration_ms: 21_000,
        started_at: place(40),
        ended_at: place(61),
        gaps: [],
        parts: [
          file(2, 1, {
            state: "finished",
            note: null,
            duration_ms: 21_000,
            started_at: place(40),
            ended_at: place(61),
            channels: [channel(0, 1, "customer", call.from ?? "anonymous", 40, 61)],
          }),
        ],
      },
    ];
  }

  const outcomeOf = (id) => ({ outcome: outcomes.get(id)?.[0]?.outcome ?? null, history: outcomes.get(id) ?? [] });
  const me = { id: "01993f2e-0000-7000-8000-000000000001", name: "Ana Ruiz" };
  const notesOf = (id) => notes.get(id) ?? notes.set(id, []).get(id);
  const routes = [
    ["GET", /^\/calls\/([\w-]+)$/, ([id]) => [200, detail(callOf(id))]],
    ["GET", /^\/calls\/([\w-]+)\/recordings$/, ([id]) => [200, { recordings: recordings(callOf(id)) }]],
    ["GET", /^\/calls\/([\w-]+)\/transcript$/, ([id]) => [200, { segments: segments(callOf(id)) }]],
    ["GET", /^\/calls\/([\w-]+)\/translations$/, () => [200, { translations: [] }]],
    ["GET", /^\/calls\/([\w-]+)\/outcome$/, ([id]) => [200, outcomeOf(id)]],
    [
      "PUT",
      /^\/calls\/([\w-]+)\/outcome$/,
      ([id], { outcome, note }) => {
        if (outcome.length > 60) throw new Refusal(422, "outcome: expected 1 to 60 characters", "outcome");
        outcomes.set(id, [{ outcome, note: note ?? null, set_by: me.name, at: new Date().toISOString() }, ...(outcomes.get(id) ?? [])]);
        if (calls.has(id)) calls.get(id).outcome = outcome;
        return [200, outcomeOf(id)];
      },
    ],
    ["GET", /^\/calls\/([\w-]+)\/notes$/, ([id]) => [200, { notes: notesOf(id) }]],
    [
      "POST",
      /^\/calls\/([\w-]+)\/notes$/,
      ([id], { text }) => {
        const time = new Date().toISOString();
        notesOf(id).push({ id: randomUUID(), text, author: me, created_at: time, updated_at: time });
        return [201, {}];
      },
    ],
    [
      "PATCH",
      /^\/calls\/([\w-]+)\/notes\/([\w-]+)$/,
      ([id, note], { text }) => {
        Object.assign(
          notesOf(id).find((one) => one.id === note),
          { text, updated_at: new Date().toISOString() },
        );
        return [200, {}];
      },
    ],
    [
      "DELETE",
      /^\/calls\/([\w-]+)\/notes\/([\w-]+)$/,
      ([id, note]) => {
        const others = notesOf(id).filter((one) => one.id !== note);
        notes.set(id, others);
        return [204];
      },
    ],
    [
      "POST",
      /^\/recordings\/([\w-]+)\/signed-url$/,
      ([id]) => [
        201,
        {
          url: `/api/recordings/${id}/audio?expires=1795400000&signature=${randomUUID().replaceAll("-", "")}`,
          expires_at: new Date(Date.now() + 3_600_000).toISOString(),
        },
      ],
    ],
  ];
  return { routes, list, wav };
}

/** Sends the requested range of bytes (RFC 9110 section 14). */
export function sendSound(request, response, wav) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const head = { "Content-Type": "audio/wav", "Accept-Ranges": "bytes", "Cache-Control": "no-store" };
  if (first === undefined) {
    response.writeHead(200, { ...head, "Content-Length": wav.length });
    return response.end(wav);
  }
  const end = Math.min(last ? Number(last) : wav.length - 1, wav.length - 1);
  response.writeHead(206, { ...head, "Content-Length": end - Number(first) + 1, "Content-Range": `bytes ${first}-${end}/${wav.length}` });
  response.end(wav.subarray(Number(first), end + 1));
}
