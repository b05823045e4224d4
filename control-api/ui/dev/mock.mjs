// Serves dist/ with a canned API and a canned conversation, to look at the pages without the engine.
//
//   npm run build && npm run mock        http://127.0.0.1:8088, any email, password "demo"
//   POST /mock/ring, /mock/hangup, /mock/drop (cuts all event streams), /mock/provider
//   POST /mock/set {"role": "viewer", "empty": true, "signup": "open", "broken": true, "refuse": "reason for a refusal", "ring": 1500}
//   POST /mock/holds {"on": true}: the other phone puts the call on hold
//   POST /mock/park {"calls": 2} parks this number of other agents' calls
//   POST /mock/crowd {"calls": 50, "word_ms": 350} starts this number of talking calls; {"calls": 0} stops their words
//   POST /mock/clauses {"pace": 1, "rounds": 4} starts a call whose sentences flow in clauses; with "call" a running call speaks so
//   POST /mock/screen {"answer": "machine", "pace": 1} starts a screened call that is answered by "machine", "human", "screening",
//     "sit", or by a person who turns out to be a machine ("revised")
//
// Running calls are in this file, past calls in history.mjs, people and settings in organization.mjs.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { screenedCalls } from "./amd.mjs";
import { clauseTalk } from "./clauses.mjs";
import { crowd } from "./crowd.mjs";
import { history, sendSound } from "./history.mjs";
import { organization } from "./organization.mjs";
import { sipPeer } from "./sip.mjs";
import { upgrade } from "./websocket.mjs";

/** The pages with a pattern of their paths, from the table that the server reads too. */
const PAGES = JSON.parse(await readFile(new URL("../pages.json", import.meta.url), "utf8")).map(({ name, path }) => ({
  name,
  pattern: new RegExp(`^${path.replace("{id}", "[\\w-]+")}$`),
}));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP =
  "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const CONFIG = { live_translate: true, transcribe: false, translate_from: "en", translate_to: "es", voice_to_voice: true, record: true };
const CALL_A = "01993f2e-7b11-7d4e-9c39-5b1f0a6f2a01";
const CALL_B = "01993f2e-7b11-7d4e-9c39-5b1f0a6f2a02";

const SAID = [
  ["customer", "Good morning, I would like to check my order.", "Buenos días, quisiera consultar mi pedido."],
  ["agent", "Claro que sí. ¿Me da el número de pedido, por favor?", "Of course. May I have the order number, please?"],
  ["customer", "The order number is four seven one two.", "El número de pedido es cuatro siete uno dos."],
  ["customer", null, null],
  ["agent", "Su pedido llegará mañana por la mañana.", "Your order will arrive tomorrow morning."],
  ["customer", "Thank you very much for your help.", "Muchas gracias por su ayuda."],
];

const SCORE = { mos: 4.38, mos_call: 4.35, loss_percent: 0, loss_percent_call: 0.1, jitter_ms: 1.2, delay_ms: 46 };
const NO_SCORE = { mos: null, mos_call: null, loss_percent: null, loss_percent_call: null, jitter_ms: null, delay_ms: null };
const leg = (number, role, codec, flow, outgoing = SCORE, peer = role) => ({
  leg: number,
  role,
  state: "answered",
  peer,
  codec,
  held: false,
  muted: false,
  supervises: null,
  flow,
  quality: {
    packets_received: 4000,
    packets_sent: 4000,
    packets_lost: 4,
    packets_late: 0,
    jitter_ms: 1.2,
    round_trip_ms: 24,
    incoming: flow.incoming.state === "flowing" ? SCORE : NO_SCORE,
    outgoing,
  },
});
const FLOWS = { incoming: { state: "flowing", detail: null }, outgoing: { state: "sending", detail: null } };
const DEAF = {
  incoming: { state: "wrong_address", detail: "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000" },
  outgoing: { state: "far_end_reports_nothing", detail: "the far end sends no RTCP, so it is unknown whether it receives our packets" },
};
const RUNNING_LEGS = {
  [CALL_A]: [
    leg(1, "customer", "PCMU", FLOWS, SCORE, "+15555550142"),
    leg(
      2,
      "agent",
      "opus",
      { ...FLOWS, outgoing: { state: "far_end_reports_loss", detail: "the far end reports a loss of 9 % of our packets" } },
      { ...SCORE, mos: 3.48, loss_percent: 9 },
      "ana",
    ),
  ],
  [CALL_B]: [leg(3, "customer", "PCMA", DEAF, NO_SCORE), leg(4, "agent", "opus", FLOWS)],
};

const RINGING_ONLY = {
  offer: async () => SDP,
  accept: async () => SDP,
  answer: async () => {},
  reoffer: async () => SDP,
  close() {},
};
const SDP = `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 ${Array(32).fill("AA").join(":")}\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n`;

export function start({ port = 8088, media = RINGING_ONLY, log = () => {}, pace = 90, dist = join(import.meta.dirname, "../dist") } = {}) {
  const state = {
    signedIn: true,
    streams: new Set(),
    events: [],
    id: 0,
    /** Sentences of each call, by segment. */
    said: new Map([[CALL_A, new Map()]]),
    phones: new Set(),
    providerDown: false,
    legs: 10,
    parked: [],
    recordings: new Map(),
  };
  const now = Date.now();
  const call = (id, change) => ({
    id,
    status: "bridged",
    direction: "inbound",
    mode: null,
    from: "+1 555 555 0142",
    to: "+34 910 000 001",
    agent: "ana",
    config: CONFIG,
    created_at: new Date(now - 95_000).toISOString(),
    answered_at: new Date(now - 83_000).toISOString(),
    ended_at: null,
    ended_reason: null,
    outcome: null,
    ...change,
  });
  const calls = new Map([
    [CALL_A, call(CALL_A, {})],
    [
      CALL_B,
      call(CALL_B, {
        from: "+44 20 7946 0123",
        agent: "luis",
        status: "answered",
        config: { ...CONFIG, live_translate: false, record: false },
        created_at: new Date(now - 20_000).toISOString(),
        answered_at: new Date(now - 12_000).toISOString(),
      }),
    ],
  ]);

  const LEGS = structuredClone(RUNNING_LEGS);
  const many = crowd({
    make: call,
    emit: (...event) => emit(...event),
    calls,
    legs: LEGS,
    leg,
    flows: FLOWS,
    deaf: DEAF,
    words: state.said,
  });
  const screen = screenedCalls({ make: call, emit: (...event) => emit(...event), calls, legs: LEGS, leg, flows: FLOWS });
  const inClauses = clauseTalk({ make: call, emit: (...event) => emit(...event), calls, legs: LEGS, leg, flows: FLOWS, words: state.said });
  const tenant = organization();
  const past = history(CONFIG, tenant);
  const canned = [...tenant.routes, ...past.routes];

  function emit(name, data, keep = true) {
    const event = { id: keep ? ++state.id : 0, name, data: JSON.stringify(data) };
    if (keep) state.events.push(event);
    for (const stream of state.streams) write(stream, event);
  }
  const write = (stream, { id, name, data }) => stream.write(`${id ? `id: ${id}\n` : ""}event: ${name}\ndata: ${data}\n\n`);

  async function talk() {
    const pause = (ms) => new Promise((done) => setTimeout(done, ms));
    let segment = 0;
    for (;;) {
      for (const [leg, text, meaning] of SAID) {
        segment += 1;
        const [source, target] = leg === "customer" ? ["en", "es"] : ["es", "en"];
        const base = {
          segment,
          call_id: CALL_A,
          leg,
          source_language: source,
          target_language: target,
          text: "",
          translation: null,
          final: false,
          lag_ms: { stt: null, translate: null, tts: null, total: null },
        };
        const tell = (name, change) => {
          Object.assign(base, change);
          state.said.get(CALL_A).set(segment, { ...base });
          emit(`translation.${name}`, base);
        };
        if (text === null) {
          tell("final", { final: true, unrecognised: true });
          await pause(pace * 10);
          continue;
        }
        const words = text.split(" ");
        for (let count = 1; leg === "customer" && count < words.length; count += 1) {
          tell("partial", { text: words.slice(0, count).join(" ").toLowerCase() });
          await pause(pace * 2);
        }
        const lag = leg === "customer" ? { stt: 180 + segment * 7 } : {};
        tell("final", { text, final: true, lag_ms: { ...base.lag_ms, ...lag } });
        await pause(pace);
        tell("translation", { translation: meaning, lag_ms: { ...base.lag_ms, translate: 9 + segment } });
        await pause(pace);
        tell("lag", { lag_ms: { ...base.lag_ms, tts: 31, total: (base.lag_ms.stt ?? 0) + 40 + segment } });
        await pause(pace * 14);
      }
      if (segment >= 12) return;
    }
  }

  const json = (response, status, value) => {
    response.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json" });
    response.end(value === undefined ? "" : JSON.stringify(value));
  };
  const problem = (response, status, detail, field) =>
    json(response, status, { type: "about:blank", title: detail, status, detail, field });
  const read = async (request) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    return text && !/^audio/.test(request.headers["content-type"] ?? "") ? JSON.parse(text) : {};
  };
  const providers = () => [
    {
      kind: "stt",
      name: "local",
      state: state.providerDown ? "restarting" : "up",
      detail: state.providerDown ? "the speech process stopped; calls go on without translation" : null,
    },
    { kind: "stt", name: "local es", state: "unsupported", detail: "Spanish speech cannot be recognised offline." },
    { kind: "translator", name: "local", state: "up", detail: null },
    { kind: "tts", name: "local", state: "up", detail: null },
  ];

  const ROUTES = {
    "POST /api/auth/login": async (request, response) => {
      const { password } = await read(request);
      if (password !== "demo") return problem(response, 401, "the e-mail address or the password is wrong");
      state.signedIn = true;
      response.setHeader("Set-Cookie", "tandem_csrf=canned; Path=/; SameSite=Lax");
      json(response, 200, tenant.session());
    },
    "POST /api/auth/logout": (_, response) => {
      state.signedIn = false;
      json(response, 204);
    },
    "POST /api/webrtc/token": (_, response) =>
      json(response, 200, {
        username: "ana",
        password: "x",
        expires_at: new Date(Date.now() + 600_000).toISOString(),
        ws_url: `ws://127.0.0.1:${port}/sip`,
        sip_uri: "sip:ana@127.0.0.1",
        ice_servers: [],
      }),
    "GET /api/calls": (request, response) =>
      json(response, 200, past.list(new URL(request.url, "http://x").searchParams, [...calls.values()].reverse())),
    "GET /api/providers": (_, response) => json(response, 200, { providers: providers() }),
    "GET /api/events": (request, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      response.write("retry: 300\n\n");
      const after = Number(request.headers["last-event-id"] ?? state.id);
      for (const event of state.events) if (event.id > after) write(response, event);
      state.streams.add(response);
      request.on("close", () => state.streams.delete(response));
    },
    "POST /mock/set": async (request, response) => {
      Object.assign(tenant.state, await read(request));
      json(response, 204);
    },
    "POST /mock/crowd": async (request, response) => {
      const { calls: count, word_ms: wordMs } = await read(request);
      if (count === 0) many.stop();
      json(response, 200, { calls: many.start(count, wordMs) });
    },
    "POST /mock/clauses": async (request, response) => json(response, 200, { call: inClauses(await read(request)) }),
    "POST /mock/screen": async (request, response) => {
      const { answer = "machine", pace = 1 } = await read(request);
      json(response, 200, { call: screen(answer, pace) });
    },
    "POST /mock/park": async (request, response) => {
      const { calls: count } = await read(request);
      for (let n = 0; n < count; n += 1)
        park(
          `01993f2e-7b11-7d4e-9c39-9a000000000${n}`,
          ["+44 20 7946 0188", "sip:reception.second-floor@branch-office.example", "+33 1 99 00 51 22"][n % 3],
          ["luis", "mei", null][n % 3],
          30 + n * 50,
        );
      json(response, 204);
    },
    "GET /api/parked": (_, response) => json(response, 200, { parked: state.parked }),
    "POST /mock/ring": (_, response) => {
      state.phones.forEach((phone) => void phone.ring("+15555550142"));
      json(response, 204);
    },
    "POST /mock/hangup": (_, response) => {
      hangUpPhones();
      json(response, 204);
    },
    "POST /mock/drop": (_, response) => {
      for (const stream of state.streams) stream.destroy();
      json(response, 204);
    },
    "POST /mock/holds": async (request, response) => {
      const [one] = LEGS[CALL_A];
      one.holds = (await read(request)).on !== false;
      emit("call.seat", {
        type: "call.seat",
        call_id: CALL_A,
        leg: one.leg,
        role: one.role,
        held: one.held,
        muted: one.muted,
        holds: one.holds,
        gain_db: 0,
        supervises: null,
      });
      json(response, 204);
    },
    "POST /mock/provider": (_, response) => {
      state.providerDown = !state.providerDown;
      emit("provider", { type: "provider", provider: providers()[0] }, false);
      json(response, 204);
    },
  };

  function park(call, peer, by, ago = 0) {
    const slot = [...Array(99).keys()].map((n) => n + 1).find((n) => !state.parked.some((one) => one.slot === n));
    const since = Date.now() - ago * 1000;
    state.parked.push({
      slot,
      call_id: call,
      leg: 1,
      peer,
      parked_by: by,
      since: new Date(since).toISOString(),
      until: new Date(since + 120_000).toISOString(),
      state: "waiting",
    });
    emit("call.parked", {
      type: "call.parked",
      call_id: call,
      at: new Date().toISOString(),
      leg: 1,
      slot,
      parked_by: by,
      until: new Date(since + 120_000).toISOString(),
    });
    return slot;
  }

  function hangUpPhones() {
    for (const phone of state.phones) phone.hangup();
  }

  /** Rings the page's phone for a parked call. */
  function pickUp(response, slot) {
    const found = state.parked.find((one) => one.slot === slot);
    if (tenant.state.refuse) return problem(response, 409, tenant.state.refuse);
    if (!found) return problem(response, 404, "there is no parked call in this slot");
    found.state = "picking_up";
    setTimeout(() => {
      state.parked.splice(state.parked.indexOf(found), 1);
      const legs = LEGS[found.call_id];
      const made = legs && { ...leg(++state.legs, "agent", "opus", FLOWS, SCORE, "ana") };
      if (made) {
        legs.push(made);
        emit("call.leg", {
          type: "call.leg",
          call_id: found.call_id,
          leg: made.leg,
          role: "agent",
          state: "answered",
          peer: "ana",
          codec: "opus",
        });
      }
      emit("call.unparked", {
        type: "call.unparked",
        call_id: found.call_id,
        at: new Date().toISOString(),
        leg: 1,
        slot,
        why: "picked_up",
      });
      state.phones.forEach((phone) => void phone.ring(found.peer, [`Tandem-Picks-Up: ${found.call_id}`]));
    }, 900);
    return json(response, 201, { call_id: found.call_id, leg: 9 });
  }

  /** Runs an action on a running call. New legs answer after a while, except agent `bob`, who is not registered. */
  async function verb(request, response, call, rest) {
    const body = await read(request);
    const legs = LEGS[call.id];
    const tell = (name, data) => emit(name, { type: name, call_id: call.id, at: new Date().toISOString(), ...data });
    const reportLeg = (one) =>
      tell("call.leg", { leg: one.leg, role: one.role, state: one.state, peer: one.peer, codec: one.codec, ending: one.ending ?? null });
    const seat = (one) => tell("call.seat", { leg: one.leg, role: one.role, held: one.held, muted: one.muted, supervises: null });
    const endLeg = (one, ending) => {
      Object.assign(one, { state: "ended", ending });
      legs.splice(legs.indexOf(one), 1);
      reportLeg(one);
      if (legs.filter(({ state }) => state === "answered").length === 2)
        for (const held of legs.filter((other) => other.held)) seat(Object.assign(held, { held: false }));
    };
    const dial = ({ agent, to }, then) => {
      const made = { ...leg(++state.legs, agent ? "agent" : "customer", null, FLOWS, SCORE, agent ?? to), state: "ringing" };
      legs.push(made);
      reportLeg(made);
      setTimeout(() => {
        if (!legs.includes(made)) return;
        if (agent === "bob") {
          endLeg(made, { cause: "no_answer", by: "far_end", sip_status: 480, text: "Not Registered" });
          then?.(undefined);
          return;
        }
        reportLeg(Object.assign(made, { state: "answered", codec: "opus" }));
        then?.(made);
      }, tenant.state.ring ?? 1500);
      return made.leg;
    };
    if (tenant.state.refuse) return problem(response, 409, tenant.state.refuse);
    if (rest === "/transfer") {
      const [target] = body.targets;
      dial(target, (heir) => {
        tell("call.transfer", {
          leg: body.leg,
          role: "agent",
          to: target.agent ?? target.to,
          stage: heir ? "done" : "failed",
          cause: heir ? null : "no_answer",
          other_call_id: null,
        });
        if (heir) hangUpPhones();
      });
      return json(response, 202, { leg: body.leg });
    }
    if (rest === "/park") {
      const partner = legs.find(({ leg: n, state: now }) => n !== body.leg && now === "answered");
      if (legs.filter(({ state: now }) => now === "answered").length !== 2)
        return problem(response, 409, "only a call between two can be parked: there are more parties in this one");
      const own = legs.find(({ leg: n }) => n === body.leg);
      const slot = park(call.id, partner.peer, "ana");
      setTimeout(() => {
        endLeg(own, { cause: "requested", by: "request" });
        hangUpPhones();
      }, 60);
      return json(response, 200, { leg: partner.leg, slot });
    }
    if (rest === "/legs") return json(response, 201, { leg: dial(body) });
    const [, number, what] = /^\/legs\/(\d+)(?:\/(\w+))?$/.exec(rest) ?? [];
    const one = legs.find((known) => known.leg === Number(number));
    if (!one) return problem(response, 404, "the call has no such leg");
    if (!what) endLeg(one, { cause: "requested", by: "request" });
    else seat(Object.assign(one, { hold: { held: true }, resume: { held: false }, mute: { muted: true }, unmute: { muted: false } }[what]));
    json(response, 200, { leg: one.leg });
  }

  /** Returns the recordings of a running call; if its configuration says so, it has been recorded since its answer. */
  function recordingsOf(call) {
    if (!state.recordings.has(call.id)) {
      const channels = (LEGS[call.id] ?? []).map((one, channel) => ({
        channel,
        leg: one.leg,
        role: one.role,
        peer: one.peer,
        agent: one.role === "agent" ? one.peer : null,
        from: call.answered_at,
        until: null,
      }));
      const one = (number, startedAt) => ({
        number,
        leg: null,
        state: "started",
        note: null,
        duration_ms: 0,
        started_at: startedAt,
        ended_at: null,
        gaps: [],
        parts: [{ part: 1, state: "started", note: null, duration_ms: 0, started_at: startedAt, ended_at: null, channels }],
      });
      state.recordings.set(call.id, { list: call.config.record ? [one(1, call.answered_at)] : [], one });
    }
    return state.recordings.get(call.id);
  }

  /** Returns how the sides of a call listen, or changes it. */
  async function listen(request, response, call) {
    const { translate_from, translate_to, customer_hears = "ducked", agent_hears = "ducked" } = call.config;
    if (!call.config.live_translate) return problem(response, 409, "the call is not translated");
    call.listening ??= {
      customer: { language: translate_from, hears: customer_hears, level: "voice" },
      agent: { language: translate_to, hears: agent_hears, level: "voice" },
    };
    if (request.method === "PATCH") {
      const patch = await read(request);
      for (const side of ["customer", "agent"]) Object.assign(call.listening[side], patch[side]);
      emit("call.listening", { type: "call.listening", call_id: call.id, at: new Date().toISOString(), ...call.listening });
    }
    return json(response, 200, call.listening);
  }

  /** Starts, pauses, resumes and stops recordings of a running call. */
  function record(request, response, call, rest) {
    const { list, one } = recordingsOf(call);
    const [, number, act] = /^\/recordings\/(\d+)\/(\w+)$/.exec(rest) ?? [];
    const tell = (found, word) =>
      emit("call.recording", {
        type: "call.recording",
        call_id: call.id,
        at: new Date().toISOString(),
        number: found.number,
        ...(/ed$/.test(word) && word !== "paused" && word !== "resumed" ? { part: 1, note: null, duration_ms: 0, channels: [] } : {}),
        state: word,
      });
    if (request.method === "GET") return json(response, 200, { recordings: list });
    if (tenant.state.refuse) return problem(response, 409, tenant.state.refuse);
    if (!act) {
      const made = one(list.length + 1, new Date().toISOString());
      list.push(made);
      tell(made, "started");
      return json(response, 201, { recording: made.number });
    }
    const found = list.find((known) => known.number === Number(number));
    if (!found) return problem(response, 404, "the call has no such recording");
    const time = new Date().toISOString();
    if (act === "pause") found.gaps.push({ from: time, until: null });
    if (act === "resume") found.gaps.at(-1).until = time;
    if (act === "stop")
      Object.assign(found.parts[0], { state: "finished", ended_at: time, duration_ms: Date.now() - Date.parse(found.started_at) });
    Object.assign(found, { pause: { state: "paused" }, resume: { state: "started" }, stop: { state: "finished", ended_at: time } }[act]);
    tell(found, { pause: "paused", resume: "resumed", stop: "finished" }[act]);
    return json(response, 200, { recording: found.number });
  }

  /** Creates, changes and removes a supervisor's leg; a new one rings the page's phone. */
  async function supervise(request, response, found, rest) {
    if (tenant.state.refuse) return problem(response, 409, tenant.state.refuse);
    LEGS[found.id] ??= [];
    const legs = LEGS[found.id];
    const body = await read(request);
    const number = Number(rest.split("/")[2] ?? 1 + legs.reduce((most, { leg: n }) => Math.max(most, n), 0));
    const seat = (one) =>
      emit("call.seat", {
        type: "call.seat",
        call_id: found.id,
        leg: one.leg,
        role: one.role,
        held: false,
        muted: false,
        supervises: one.supervises,
      });
    const reportLeg = (one) =>
      emit("call.leg", {
        type: "call.leg",
        call_id: found.id,
        leg: one.leg,
        role: one.role,
        state: one.state,
        peer: one.peer,
        codec: one.codec,
      });
    const mode = body.mode === "whisper" ? { whisper: body.whisper_to ?? null } : body.mode;
    if (request.method === "POST") {
      const one = { ...leg(number, "supervisor", "opus", FLOWS), peer: "ana", supervises: mode, held: false, muted: false };
      legs.push(one);
      const gone = () => {
        one.state = "ended";
        reportLeg(one);
      };
      state.phones.forEach((phone) => void phone.ring(found.from, [`Tandem-Supervises: ${found.id}`], gone));
      reportLeg(one);
      seat(one);
      return json(response, 201, { leg: number });
    }
    const one = legs.find(({ leg: n }) => n === number);
    if (!one) return problem(response, 404, "there is no such leg");
    if (request.method === "PUT") one.supervises = mode;
    else one.state = "ended";
    if (request.method === "PUT") seat(one);
    else reportLeg(one);
    json(response, 200, { leg: number });
  }

  /** Serves the routes of a running call. */
  async function running(request, response, found, rest) {
    if (rest === "/translations")
      return json(response, 200, {
        translations: [...(state.said.get(found.id) ?? new Map()).values()],
      });
    const of = Number(rest.split("/")[2]);
    const supervises = (LEGS[found.id] ?? []).some((one) => one.leg === of && one.role === "supervisor");
    if (rest.startsWith("/supervise") || supervises) return supervise(request, response, found, rest);
    if (rest === "/say") {
      const { text } = await read(request);
      emit("translation.final", {
        segment: 1000 + state.id,
        call_id: found.id,
        leg: "agent",
        source_language: "es",
        target_language: "en",
        text,
        translation: null,
        final: true,
        lag_ms: {},
      });
      return json(response, 202, {});
    }
    if (rest === "/hangup") {
      for (const one of LEGS[found.id] ?? []) {
        Object.assign(one, { state: "ended", ending: { cause: "requested", by: "request" } });
        emit("call.leg", {
          type: "call.leg",
          call_id: found.id,
          at: new Date().toISOString(),
          leg: one.leg,
          role: one.role,
          state: "ended",
          peer: one.peer,
          codec: one.codec,
          ending: one.ending,
        });
      }
      Object.assign(found, { status: "ended", ended_reason: "requested", ended_at: new Date().toISOString() });
      emit("call.status", { type: "call.status", call_id: found.id, at: found.ended_at, status: "ended", cause: "requested", call: found });
      return json(response, 202, {});
    }
    if (rest.startsWith("/recordings")) return record(request, response, found, rest);
    if (rest === "/listening") return listen(request, response, found);
    if (/^\/(legs|transfer|park)/.test(rest)) return verb(request, response, found, rest);
    const recording = found.config.record
      ? {
          state: found.ended_at ? "finished" : "started",
          note: null,
          duration_ms: 75_000,
          started_at: found.answered_at,
          ended_at: found.ended_at,
          url: "",
        }
      : null;
    const events = [
      { id: 1, type: "call.created", call_id: found.id, at: found.created_at },
      { id: 2, type: "call.status", call_id: found.id, at: found.answered_at, status: "bridged" },
    ];
    return json(response, 200, { ...found, legs: LEGS[found.id] ?? [], events, recording });
  }

  async function api(request, response, url) {
    const path = url.pathname.slice("/api".length);
    if (!state.signedIn && !path.startsWith("/auth/")) return problem(response, 401, "log in first");
    const sound = /^\/calls\/[\w-]+\/recording$/.test(path);
    if (sound) return sendSound(request, response, past.wav);
    const [, id, rest = ""] =
      /^\/calls\/([\w-]+)(\/translations|\/listening|\/say|\/hangup|\/transfer|\/park|\/recordings(?:\/\d+\/\w+)?|\/supervise(?:\/\d+)?|\/legs(?:\/\d+(?:\/\w+)?)?)?$/.exec(
        path,
      ) ?? [];
    if (calls.has(id)) return running(request, response, calls.get(id), rest);
    const [, slot] = /^\/parked\/(\d+)\/pickup$/.exec(path) ?? [];
    if (slot) return pickUp(response, Number(slot));
    const csrf =
      request.method === "GET" ||
      path.startsWith("/auth/") ||
      request.headers["x-csrf-token"] === "canned" ||
      !/tandem_csrf/.test(request.headers.cookie ?? "");
    if (!csrf) return problem(response, 403, "the X-CSRF-Token header is missing");
    if (calls.has(path.split("/")[2]) && path.endsWith("/transcript")) return json(response, 200, { segments: [] });
    const old = tenant.state.broken && !/^\/(auth|calls\/[\w-]+)(\/session)?$/.test(path) ? [] : canned;
    for (const [method, pattern, run] of old) {
      const parts = method === request.method && pattern.exec(path);
      if (!parts) continue;
      try {
        const [status, body] = run(parts.slice(1), method === "GET" ? {} : await read(request), url.searchParams);
        return status === "sound" ? sendSound(request, response, past.wav) : json(response, status, body);
      } catch (error) {
        if (!error.status) throw error;
        return problem(response, error.status, error.message, error.field);
      }
    }
    problem(response, 404, "there is no such resource");
  }

  async function handle(request, response) {
    const url = new URL(request.url, "http://x");
    const path = url.pathname;
    const route = ROUTES[`${request.method} ${path}`];
    if (route && (state.signedIn || !path.startsWith("/api/") || path.startsWith("/api/auth/"))) {
      try {
        return await route(request, response);
      } catch (error) {
        if (!error.status) throw error;
        return problem(response, error.status, error.message, error.field);
      }
    }
    if (path.startsWith("/api/")) return api(request, response, url);
    const page = PAGES.find(({ pattern }) => pattern.test(path));
    const name = page ? `/${page.name}.html` : path;
    try {
      const bytes = await readFile(join(dist, normalize(name)));
      response.writeHead(200, {
        "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
        "Content-Security-Policy": CSP,
        "X-Content-Type-Options": "nosniff",
      });
      response.end(bytes);
    } catch {
      problem(response, 404, "not found");
    }
  }

  const server = createServer(
    (request, response) => void handle(request, response).catch((error) => problem(response, 500, String(error))),
  );
  server.on("upgrade", (request, socket) => {
    const connection = upgrade(request, socket, "sip");
    const phone = sipPeer(connection, media, log);
    state.phones.add(phone);
    connection.onClose = () => state.phones.delete(phone);
  });
  server.listen(port, "127.0.0.1");
  setTimeout(() => void talk(), 1500);
  return server;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  start({ port: Number(process.env.PORT ?? 8088), log: console.log });
  console.log(`http://127.0.0.1:${process.env.PORT ?? 8088}/agent`);
}
