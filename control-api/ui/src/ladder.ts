/** A call's SIP messages as a ladder diagram: converts the API's object to lanes and rungs. */

/** A call's SIP trace, as the API sends it. */
export interface Ladder {
  began_at: string;
  running: boolean;
  /** Number of earlier messages that are no longer stored. */
  dropped: number;
  parties: LadderParty[];
  steps: LadderStep[];
}

export interface LadderParty {
  leg: number;
  role: string;
  peer: string;
  address: string;
}

export interface LadderStep {
  number: number;
  after_ms: number;
  leg: number;
  sent: boolean;
  label: string;
  body: string;
  again: boolean;
  address: string;
  /** Full text; only if it was requested. */
  message?: string;
  cut: boolean;
}

/** One vertical line of the ladder. */
export interface Lane {
  title: string;
  peer: string;
  address: string;
}

export type Tone = "request" | "progress" | "success" | "challenge" | "failure";

/** One arrow. Lanes are counted from 0; `to` is left of `from` for arrows that point left. */
export interface Rung {
  number: number;
  time: string;
  from: number;
  to: number;
  label: string;
  /** Kind of body, whether it is a retransmission, and the address if it is not the party's first one. */
  notes: string[];
  tone: Tone;
  again: boolean;
  /** The arrow in words, for screen readers. */
  spoken: string;
}

/** Tandem's lane: right of the first party, left of the others. */
const TANDEM = 1;

/** Parses the server's answer; `undefined` if it is malformed. */
export function parseLadder(value: unknown): Ladder | undefined {
  const ladder = value as Partial<Ladder> | null | undefined;
  if (!ladder || !Array.isArray(ladder.parties) || !Array.isArray(ladder.steps)) return undefined;
  return {
    began_at: String(ladder.began_at),
    running: ladder.running === true,
    dropped: Number(ladder.dropped) || 0,
    parties: ladder.parties,
    steps: ladder.steps,
  };
}

/** Returns the lanes from left to right. */
export function lanes(ladder: Ladder): Lane[] {
  const parties = ladder.parties.map(({ role, peer, address }) => ({ title: capital(role), peer, address }));
  return [...parties.slice(0, TANDEM), { title: "Tandem", peer: "", address: "" }, ...parties.slice(TANDEM)];
}

/** Returns the arrows in the order of time. */
export function rungs(ladder: Ladder): Rung[] {
  return ladder.steps.map((step) => {
    const index = Math.max(
      0,
      ladder.parties.findIndex((party) => party.leg === step.leg),
    );
    const party = ladder.parties[index];
    const lane = index < TANDEM ? index : index + 1;
    const [from, to] = step.sent ? [TANDEM, lane] : [lane, TANDEM];
    const elsewhere = party !== undefined && party.address !== step.address ? step.address : "";
    const notes = [step.body, step.again ? "again" : "", elsewhere].filter(Boolean);
    const who = capital(party?.role ?? "party");
    const [speaker, listener] = step.sent ? ["Tandem", who] : [who, "Tandem"];
    return {
      number: step.number,
      time: time(step.after_ms),
      from,
      to,
      label: step.label,
      notes,
      tone: tone(step.label),
      again: step.again,
      spoken: `${time(step.after_ms)} s, ${speaker} to ${listener}: ${[step.label, ...notes].join(", ")}`,
    };
  });
}

function time(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function tone(label: string): Tone {
  const status = /^(\d{3}) /.exec(`${label} `)?.[1];
  if (status === undefined) return "request";
  if (status === "401" || status === "407") return "challenge";
  return status < "200" ? "progress" : status < "300" ? "success" : "failure";
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
