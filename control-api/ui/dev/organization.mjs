// A canned organization for mock.mjs: people, keys, voice, capabilities, caller identities, targets. Kept in memory.
import { randomUUID } from "node:crypto";

const ACTIONS = [
  ["organization.read", "view the organization, its members and roles"],
  ["organization.write", "change the organization"],
  ["team.write", "invite people, change roles, remove members"],
  ["api_keys.read", "view API keys"],
  ["api_keys.write", "create and revoke API keys"],
  ["voice.read", "view voice configuration, targets, caller IDs and capabilities"],
  ["voice.write", "change voice configuration, targets, caller IDs and capabilities"],
  ["calls.read_own", "view the user's own calls"],
  ["calls.read", "view every call"],
  ["calls.dial", "start and end calls"],
  ["calls.monitor", "listen to running calls, whisper, barge in"],
  ["calls.annotate", "set outcomes and write notes"],
  ["calls.export", "export calls"],
  ["calls.trace", "view SIP messages in full"],
  ["recordings.read_own", "listen to recordings of the user's own calls"],
  ["recordings.read", "listen to every recording"],
  ["retention.write", "change retention times"],
  ["audit.read", "read the audit log"],
  ["usage.read", "view usage and limits"],
];
const ALL = ACTIONS.map(([word]) => word);
const ROLES = {
  owner: ALL,
  admin: ALL.filter((word) => word !== "retention.write"),
  supervisor: [
    "organization.read",
    "voice.read",
    "calls.read_own",
    "calls.read",
    "calls.dial",
    "calls.monitor",
    "calls.annotate",
    "calls.export",
    "recordings.read_own",
    "recordings.read",
    "usage.read",
  ],
  agent: ["organization.read", "voice.read", "calls.read_own", "calls.dial", "calls.annotate", "recordings.read_own"],
  compliance: [
    "organization.read",
    "calls.read_own",
    "calls.read",
    "calls.export",
    "recordings.read_own",
    "recordings.read",
    "retention.write",
    "audit.read",
    "usage.read",
  ],
  viewer: ["organization.read", "calls.read_own", "calls.read", "usage.read"],
};

const day = 86_400_000;
const at = (offset) => new Date(Date.now() + offset).toISOString();

export class Refusal extends Error {
  constructor(status, detail, field) {
    super(detail);
    Object.assign(this, { status, field });
  }
}

export function organization() {
  const me = {
    user_id: "01993f2e-0000-7000-8000-000000000001",
    email: "ana@example.com",
    name: "Ana Ruiz",
    role: "owner",
    sip_name: "ana",
    created_at: at(-400 * day),
    last_login_at: at(-180_000),
  };
  const state = {
    role: "owner",
    signup: "invitation",
    mail: false,
    empty: false,
    name: "Example Translation Services",
    password: "demo",
    retention: { recordings_days: 180, events_days: null },
  };
  const person = (email, name, role, sip_name, last) => ({
    user_id: randomUUID(),
    email,
    name,
    role,
    sip_name,
    created_at: at(-100 * day),
    last_login_at: last,
  });
  const members = [
    me,
    person("luis.fernandez-montenegro@example.com", "Luis Alejandro Fernández-Montenegro de la Torre", "admin", "luis", at(-5 * 3_600_000)),
    person("mei@example.com", "陳美玲", "supervisor", "mei", at(-2 * day)),
    person("bob@example.com", "Bob", "agent", "bob", at(-40 * day)),
    person(
      "a.very.long.address.that.does.not.end@subdomain.of.a.long.company-name.example",
      "Oluwaseun Adebayo",
      "agent",
      "oluwaseun.adebayo",
      null,
    ),
    person("carol@example.com", "Carol Whitfield", "compliance", "carol", at(-9 * day)),
    person("vera@example.com", "Vera Lindqvist", "viewer", "vera", null),
  ];
  const invitations = [
    {
      id: randomUUID(),
      email: "nina@example.com",
      role: "agent",
      invited_by: "Ana Ruiz",
      created_at: at(-day),
      expires_at: at(6 * day),
      state: "open",
    },
    {
      id: randomUUID(),
      email: "old@example.com",
      role: "viewer",
      invited_by: "Ana Ruiz",
      created_at: at(-20 * day),
      expires_at: at(-13 * day),
      state: "expired",
    },
    {
      id: randomUUID(),
      email: "bob@example.com",
      role: "agent",
      invited_by: "Ana Ruiz",
      created_at: at(-99 * day),
      expires_at: at(-92 * day),
      state: "accepted",
    },
  ];
  const keys = [
    {
      id: randomUUID(),
      name: "CRM",
      prefix: "tdm_7Fq2",
      scopes: [],
      created_at: at(-90 * day),
      expires_at: null,
      last_used_at: at(-60_000),
      revoked_at: null,
    },
    {
      id: randomUUID(),
      name: "Wallboard in the Madrid office, second floor",
      prefix: "tdm_9aXc",
      scopes: ["calls.read", "calls.read_own", "usage.read", "recordings.read", "calls.export"],
      created_at: at(-30 * day),
      expires_at: at(5 * day),
      last_used_at: null,
      revoked_at: null,
    },
    {
      id: randomUUID(),
      name: "Old importer",
      prefix: "tdm_11Zb",
      scopes: ["calls.read"],
      created_at: at(-300 * day),
      expires_at: at(-200 * day),
      last_used_at: at(-220 * day),
      revoked_at: null,
    },
    {
      id: randomUUID(),
      name: "Leaked",
      prefix: "tdm_Qw0e",
      scopes: ["calls.dial"],
      created_at: at(-60 * day),
      expires_at: null,
      last_used_at: at(-50 * day),
      revoked_at: at(-50 * day),
    },
  ];
  const numbers = [
    { id: randomUUID(), number: "+34910000001", label: "Madrid office", proven_at: at(-day), created_at: at(-day) },
    {
      id: randomUUID(),
      number: "+442079460123",
      label: "London, sales and renewals for the United Kingdom and Ireland",
      created_at: at(-day),
    },
    { id: randomUUID(), number: "+15555550100", label: null, created_at: at(-day) },
  ];
  const rule = (position, number, change) => ({
    id: randomUUID(),
    position,
    number_id: number.id,
    number: number.number,
    agent: null,
    campaign: null,
    destination_prefix: null,
    created_at: at(-day),
    ...change,
  });
  const rules = [
    rule(1, numbers[1], { destination_prefix: "+44" }),
    rule(2, numbers[2], { agent: "bob", campaign: "renewals-autumn" }),
    rule(3, numbers[0], {}),
  ];
  const targets = [
    { id: randomUUID(), name: "Interpreter desk", address: "sip:interpreters@example.com", created_at: at(-day), updated_at: at(-day) },
    { id: randomUUID(), name: "Ambulance dispatch, non-urgent", address: "+34910000112", created_at: at(-day), updated_at: at(-day) },
  ];
  const sounds = [
    ["Greeting", 4_200],
    ["Hold music: a quiet piece for piano, recorded in the Madrid studio", 183_000],
    ["Office closed", 7_900],
  ].map(([name, ms], n) => ({
    id: `01993f2e-0000-7000-8000-0000000000a${n + 1}`,
    name,
    size_bytes: 32 * ms,
    rate_hz: 16_000,
    duration_ms: ms,
    created_at: at(-(n * 40 + 1) * day),
  }));
  const config = {
    live_translate: true,
    transcribe: false,
    translate_from: "en",
    translate_to: "es",
    voice_to_voice: true,
    record: true,
    amd: {
      mode: "balanced",
      limit_s: 10,
      actions: {
        machine: {
          message: {
            message: { text: "This is Acme, calling about your order. Please call us back on +34 910 000 001.", language: "en" },
            beep_s: 20,
            person: { targets: [{ agent: "ana" }], ring_s: 15 },
          },
        },
        screening: { reply: { text: "This is Acme, calling about your order.", language: "en" } },
        busy: { retry_later: {} },
        ivr: { program: [{ pause: { ms: 500 } }, { hangup: {} }] },
      },
    },
  };
  const programSecret = { secret: "tps_6d0c0b1f4f7e4f2f9c5d8a3be2a1774c5e1b9c20", previous: null };
  const programs = new Map([
    [
      numbers[0].id,
      {
        number_id: numbers[0].id,
        program_url: null,
        fallback: null,
        updated_at: at(-day),
        program: [
          { speak: { text: "Welcome. For bookings, press 1. For anything else, please hold the line.", language: "en" } },
          { label: "menu" },
          {
            gather: {
              prompts: [{ speak: { text: "Please press a key.", language: "en" } }],
              max_digits: 1,
              first_timeout_ms: 6000,
              on_digits: { 1: "bookings" },
              on_timeout: "others",
            },
          },
          { label: "others" },
          { dial: { targets: [{ agent: "ana" }, { agent: "luis" }], ring_s: 20 } },
          { hangup: {} },
          { label: "bookings" },
          { transfer: { targets: [{ to: "+442079460123" }] } },
        ],
      },
    ],
  ]);
  const glossary = {
    terms: [
      { from: "en", source: "smart meter", to: "es", target: "contador inteligente" },
      { from: "en", source: "standing charge", to: "es", target: "cuota fija" },
    ],
    names: ["Grünwald Energía", "Oluwaseun Adebayo"],
  };
  const handling = { hold_music: sounds[1].name, supervision_notice: true };
  const capabilities = {
    record: true,
    transcribe: true,
    translate: true,
    voice_to_voice: true,
    amd: false,
    transfer: true,
    conference: true,
    api_dialing: false,
  };

  const session = () => ({
    user: { id: me.user_id, email: me.email, name: me.name, role: state.role, sip_name: me.sip_name },
    organization: { id: "o", name: state.name },
    permissions: ROLES[state.role],
    expires_at: at(12 * 3_600_000),
    csrf_token: "canned",
  });
  const need = (action) => {
    if (!ROLES[state.role].includes(action)) throw new Refusal(403, `your role, ${state.role}, lacks ${action}`);
  };
  const found = (list, id, name = "id") =>
    list.find((one) => one[name] === id) ??
    (() => {
      throw new Refusal(404, "there is no such thing");
    })();
  const drop = (list, id, name = "id") => list.splice(list.indexOf(found(list, id, name)), 1);
  const e164 = (value, field) => {
    if (!/^\+[1-9]\d{6,14}$/.test(value ?? "")) throw new Refusal(422, `${field}: expected a number such as +442079460123`, field);
  };
  const named = (value, field) => {
    if (!value?.trim() || /forbidden/i.test(value))
      throw new Refusal(422, `${field}: expected 1 to 100 characters without the word forbidden`, field);
  };
  const page = (name, list) => (_, __, query) => {
    const from = Number(query.get("cursor") ?? 0);
    const all = state.empty ? [] : list;
    return [200, { [name]: all.slice(from, from + 50), next_cursor: from + 50 < all.length ? String(from + 50) : null }];
  };

  const patchAmd = ({ mode, limit_s: limitS, actions }) => {
    if (mode && mode !== "off" && !capabilities.amd)
      throw new Refusal(403, "`amd` is switched off in your organization's call capabilities; an admin can switch it on", "amd");
    for (const [verdict, action] of Object.entries(actions ?? {})) {
      const path = `amd.actions.${verdict}`;
      const beep = action?.message?.message;
      if (beep && /forbidden/i.test(beep.text))
        throw new Refusal(
          422,
          `${path}.message.message.text: expected 1 to 1,000 characters without the word forbidden`,
          `${path}.message.message.text`,
        );
      const targets = action?.transfer?.targets ?? action?.message?.person?.targets ?? [];
      const unknown = targets.findIndex(({ agent }) => agent && !members.some((member) => member.sip_name === agent));
      if (unknown >= 0) {
        const field = `${path}.${action.transfer ? "transfer" : "message.person"}.targets[${unknown}].agent`;
        throw new Refusal(422, `${field}: no agent of your organization has this SIP user name`, field);
      }
      if (action === null) delete config.amd.actions[verdict];
      else config.amd.actions[verdict] = action;
    }
    config.amd.mode = mode ?? config.amd.mode;
    config.amd.limit_s = limitS ?? config.amd.limit_s;
    return config;
  };

  // Method, path and handler: ([parts of the path], body, query) => [status, body].
  const routes = [
    ["GET", /^\/auth\/providers$/, () => [200, { password: true, signup: state.signup, mail: state.mail }]],
    [
      "POST",
      /^\/auth\/signup$/,
      (_, body) => {
        if (body.password.length < 12) throw new Refusal(422, "password: expected 12 to 256 characters", "password");
        if (body.email === "ana@example.com") throw new Refusal(409, "email: exists already", "email");
        return [201, session()];
      },
    ],
    [
      "POST",
      /^\/auth\/invitation$/,
      (_, { token }) => {
        if (!token.startsWith("good")) throw new Refusal(404, "there is no such invitation");
        return [200, { organization: state.name, email: "nina@example.com", role: "agent", expires_at: at(6 * day) }];
      },
    ],
    ["GET", /^\/auth\/session$/, () => [200, session()]],
    [
      "POST",
      /^\/auth\/password$/,
      (_, { current, new: next }) => {
        if (current !== state.password) throw new Refusal(422, "current: this is not your current password", "current");
        if (next.length < 12) throw new Refusal(422, "new: expected 12 to 256 characters", "new");
        return [204];
      },
    ],
    [
      "PATCH",
      /^\/users\/me$/,
      (_, { name }) => {
        named(name, "name");
        me.name = name;
        return [200, {}];
      },
    ],
    [
      "GET",
      /^\/organizations\/current$/,
      () => [200, { id: "o", name: state.name, created_at: at(-400 * day), limits: state.limits ?? {}, retention: state.retention }],
    ],
    [
      "PATCH",
      /^\/organizations\/current$/,
      (_, { name, limits }) => {
        need("organization.write");
        if (name !== undefined) {
          named(name, "name");
          state.name = name;
        }
        if (limits) state.limits = limits;
        return [200, {}];
      },
    ],
    [
      "PUT",
      /^\/organizations\/current\/retention$/,
      (_, body) => {
        need("retention.write");
        state.retention = body;
        return [200, {}];
      },
    ],
    [
      "GET",
      /^\/usage\/limits$/,
      () => [
        200,
        {
          limits: [
            { name: "speech", limit: null, window_s: null, remaining: null, reset_s: null },
            { name: "default", limit: 600, window_s: 60, remaining: 588, reset_s: 40 },
            { name: "calls", limit: 20, window_s: 300, remaining: 20, reset_s: 300 },
            { name: "configuration", limit: 10, window_s: 900, remaining: 3, reset_s: 200 },
          ],
        },
      ],
    ],
    [
      "GET",
      /^\/usage$/,
      () => {
        need("usage.read");
        const days = state.empty
          ? []
          : Array.from({ length: 24 }, (_, n) => ({
              day: at(-(23 - n) * day).slice(0, 10),
              calls_inbound: 40 + ((n * 37) % 90),
              calls_outbound: (n * 17) % 60,
              call_seconds: 20_000 + ((n * 7919) % 30_000),
              recorded_seconds: 15_000 + ((n * 4999) % 9000),
              segments_translated: (n * 613) % 2400,
            }));
        const total = { calls_inbound: 0, calls_outbound: 0, call_seconds: 0, recorded_seconds: 0, segments_translated: 0 };
        for (const one of days) for (const name of Object.keys(total)) total[name] += one[name];
        return [200, { days, total }];
      },
    ],
    ["GET", /^\/audit-logs\/verify$/, () => [200, { intact: true, checked: 1873 }]],
    [
      "GET",
      /^\/audit-logs$/,
      (_, __, query) => {
        need("audit.read");
        const all = [
          ["user", "ana@example.com", "member.update", `member:${members[3].user_id}`, { role: "viewer" }, { role: "agent" }],
          ["key", "CRM", "call.outcome", `call:${randomUUID()}`, null, "Sale"],
          [
            "user",
            "luis.fernandez-montenegro@example.com",
            "voice_config.update",
            "voice_config",
            config,
            { ...config, record: false, translate_to: "fr" },
          ],
          ["user", "carol@example.com", "recording.read", `call:${randomUUID()}`, null, null],
          ["system", "", "retention.run", "recordings", null, { deleted: 12 }],
          ["user", "ana@example.com", "session.open", "session", null, null],
        ].map(([kind, name, action, target, before, after], n) => ({
          id: randomUUID(),
          at: at(-n * 4_000_000),
          actor: { kind, id: randomUUID(), name },
          address: kind === "system" ? null : "2001:db8:85a3::8a2e:370:7334",
          request_id: randomUUID(),
          action,
          target,
          before,
          after,
          hash: "",
        }));
        return [
          200,
          {
            audit_logs: all.filter(
              (one) =>
                (!query.get("actor") || one.actor.name === query.get("actor")) &&
                (!query.get("action") || one.action === query.get("action")),
            ),
            next_cursor: null,
          },
        ];
      },
    ],
    ["GET", /^\/team\/members$/, page("members", members)],
    [
      "PATCH",
      /^\/team\/members\/([\w-]+)$/,
      ([id], { role }) => {
        need("team.write");
        const member = found(members, id, "user_id");
        if (member.role === "owner" && role !== "owner" && members.filter((one) => one.role === "owner").length === 1)
          throw new Refusal(409, "the last owner stays: make somebody else owner first");
        member.role = role;
        return [200, member];
      },
    ],
    [
      "DELETE",
      /^\/team\/members\/([\w-]+)$/,
      ([id]) => {
        need("team.write");
        if (found(members, id, "user_id").role === "owner") throw new Refusal(409, "the last owner stays: make somebody else owner first");
        drop(members, id, "user_id");
        return [204];
      },
    ],
    ["GET", /^\/team\/invitations$/, page("invitations", invitations)],
    [
      "POST",
      /^\/team\/invitations$/,
      (_, { email, role }) => {
        need("team.write");
        if (members.some((member) => member.email === email)) throw new Refusal(409, "email: this person is a member already", "email");
        const made = { id: randomUUID(), email, role, invited_by: me.name, created_at: at(0), expires_at: at(7 * day), state: "open" };
        invitations.unshift(made);
        return [
          201,
          { ...made, url: `https://tandem.example.com/invitation#good_${randomUUID().replaceAll("-", "")}`, mailed: state.mail },
        ];
      },
    ],
    [
      "DELETE",
      /^\/team\/invitations\/([\w-]+)$/,
      ([id]) => {
        found(invitations, id).state = "revoked";
        return [204];
      },
    ],
    ["GET", /^\/rbac\/roles$/, () => [200, { roles: Object.entries(ROLES).map(([role, permissions]) => ({ role, permissions })) }]],
    [
      "GET",
      /^\/rbac\/permissions$/,
      () => [200, { permissions: ACTIONS.map(([permission, description]) => ({ permission, description })) }],
    ],
    ["GET", /^\/api-keys$/, page("api_keys", keys)],
    [
      "POST",
      /^\/api-keys$/,
      (_, body) => {
        need("api_keys.write");
        named(body.name, "name");
        const made = {
          id: randomUUID(),
          name: body.name,
          prefix: "tdm_New1",
          scopes: body.scopes ?? [],
          created_at: at(0),
          expires_at: body.expires_in_days ? at(body.expires_in_days * day) : null,
          last_used_at: null,
          revoked_at: null,
        };
        keys.unshift(made);
        return [201, { ...made, key: `tdm_New1${randomUUID().replaceAll("-", "")}` }];
      },
    ],
    [
      "DELETE",
      /^\/api-keys\/([\w-]+)$/,
      ([id]) => {
        found(keys, id).revoked_at = at(0);
        return [204];
      },
    ],
    ["GET", /^\/voice\/config$/, () => [200, config]],
    [
      "PUT",
      /^\/voice\/config$/,
      (_, body) => {
        need("voice.write");
        if (body.amd) return [200, patchAmd(body.amd)];
        for (const field of ["translate_from", "translate_to"])
          if (body[field] !== undefined && !/^[a-z]{2,3}(-\w{2,8})*$/i.test(body[field]))
            throw new Refusal(422, `${field}: expected a BCP 47 language tag such as \`en\` or \`es-419\``, field);
        return [200, Object.assign(config, body)];
      },
    ],
    [
      "GET",
      /^\/caller-id\/numbers\/([\w-]+)\/program$/,
      ([id]) => {
        if (!programs.has(id)) throw new Refusal(404, "the number has no program");
        return [200, programs.get(id)];
      },
    ],
    [
      "PUT",
      /^\/caller-id\/numbers\/([\w-]+)\/program$/,
      ([id], body) => {
        need("voice.write");
        for (const name of ["program", "fallback"]) {
          (body[name] ?? []).forEach((step, at) => {
            if (step.gather?.max_digits > 64)
              throw new Refusal(
                422,
                `${name}: steps[${at}].gather.max_digits: expected a whole number from 1 to 64, found ${step.gather.max_digits}`,
                name,
              );
            if (step.speak && !step.speak.language)
              throw new Refusal(422, `${name}: steps[${at}].speak: expected the field \`language\``, name);
          });
        }
        if (body.program_url !== undefined && !/^https?:\/\//.test(body.program_url))
          throw new Refusal(422, "program_url: expected an absolute URL of https or http", "program_url");
        const made = {
          number_id: id,
          program: body.program ?? null,
          program_url: body.program_url ?? null,
          fallback: body.fallback ?? null,
          updated_at: at(0),
        };
        programs.set(id, made);
        return [200, made];
      },
    ],
    [
      "DELETE",
      /^\/caller-id\/numbers\/([\w-]+)\/program$/,
      ([id]) => {
        programs.delete(id);
        return [204];
      },
    ],
    [
      "GET",
      /^\/voice\/program-secret$/,
      () => {
        need("voice.write");
        return [200, programSecret];
      },
    ],
    [
      "POST",
      /^\/voice\/program-secret$/,
      () => {
        need("voice.write");
        programSecret.previous = { secret: programSecret.secret, until: new Date(Date.now() + 24 * 3_600_000).toISOString() };
        programSecret.secret = `tps_${randomUUID().replaceAll("-", "")}`;
        return [200, programSecret];
      },
    ],
    [
      "DELETE",
      /^\/voice\/program-secret\/previous$/,
      () => {
        need("voice.write");
        programSecret.previous = null;
        return [204];
      },
    ],
    ["GET", /^\/glossary$/, () => [200, glossary]],
    [
      "PUT",
      /^\/glossary$/,
      (_, body) => {
        need("voice.write");
        return [200, Object.assign(glossary, body)];
      },
    ],
    ["GET", /^\/call-handling$/, () => [200, handling]],
    [
      "PUT",
      /^\/call-handling$/,
      (_, body) => {
        need("voice.write");
        if (body.hold_music && !sounds.some(({ name }) => name === body.hold_music))
          throw new Refusal(422, "hold_music: there is no such sound", "hold_music");
        return [200, Object.assign(handling, body)];
      },
    ],
    ["GET", /^\/media$/, page("media", sounds)],
    ["GET", /^\/media\/([\w-]+)\/audio$/, () => ["sound"]],
    [
      "POST",
      /^\/media$/,
      (_, __, query) => {
        need("voice.write");
        const name = query.get("name");
        named(name, "name");
        if (sounds.some((one) => one.name === name)) throw new Refusal(409, "name: there is a sound of this name already", "name");
        sounds.push({ id: randomUUID(), name, size_bytes: 64_000, rate_hz: 16_000, duration_ms: 2_000, created_at: at(0) });
        return [201, {}];
      },
    ],
    [
      "DELETE",
      /^\/media\/([\w-]+)$/,
      ([id]) => {
        drop(sounds, id);
        return [204];
      },
    ],
    ["GET", /^\/call-capabilities$/, () => [200, capabilities]],
    [
      "PUT",
      /^\/call-capabilities$/,
      (_, body) => {
        need("voice.write");
        return [200, Object.assign(capabilities, body)];
      },
    ],
    ["GET", /^\/caller-id\/numbers$/, page("numbers", numbers)],
    [
      "POST",
      /^\/caller-id\/numbers$/,
      (_, body) => {
        e164(body.number, "number");
        numbers.push({ id: randomUUID(), label: null, created_at: at(0), ...body });
        return [201, {}];
      },
    ],
    ["PATCH", /^\/caller-id\/numbers\/([\w-]+)$/, ([id], body) => [200, Object.assign(found(numbers, id), body)]],
    [
      "DELETE",
      /^\/caller-id\/numbers\/([\w-]+)$/,
      ([id]) => {
        drop(numbers, id);
        return [204];
      },
    ],
    ["GET", /^\/caller-id\/rules$/, page("rules", rules)],
    [
      "POST",
      /^\/caller-id\/rules$/,
      (_, body) => {
        if (body.agent && !members.some((member) => member.sip_name === body.agent))
          throw new Refusal(422, "agent: no agent of your organization has this SIP user name", "agent");
        rules.push(rule(rules.length + 1, found(numbers, body.number_id), body));
        return [201, {}];
      },
    ],
    [
      "PATCH",
      /^\/caller-id\/rules\/([\w-]+)$/,
      ([id], body) => [200, Object.assign(found(rules, id), body, { number: found(numbers, body.number_id).number })],
    ],
    [
      "DELETE",
      /^\/caller-id\/rules\/([\w-]+)$/,
      ([id]) => {
        drop(rules, id);
        return [204];
      },
    ],
    ["GET", /^\/voice\/targets$/, page("targets", targets)],
    [
      "POST",
      /^\/voice\/targets$/,
      (_, body) => {
        named(body.name, "name");
        if (!body.address.startsWith("sip:")) e164(body.address, "address");
        targets.push({ id: randomUUID(), created_at: at(0), updated_at: at(0), ...body });
        return [201, {}];
      },
    ],
    ["PATCH", /^\/voice\/targets\/([\w-]+)$/, ([id], body) => [200, Object.assign(found(targets, id), body)]],
    [
      "DELETE",
      /^\/voice\/targets\/([\w-]+)$/,
      ([id]) => {
        drop(targets, id);
        return [204];
      },
    ],
  ];
  return { state, routes, session, may: (action) => ROLES[state.role].includes(action) };
}
