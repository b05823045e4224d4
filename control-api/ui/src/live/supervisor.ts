/**
 * One supervisor at one page: which call is supervised, and how.
 *
 *   idle ─ ask ─▶ joining: telephone, microphone, request, ring ─▶ in ─ ask ─▶ in, another mode
 *     ▲                      │ refused, or no ring                  │ left, or the call has ended
 *     └──────────────────────┴──────────────────────────────────────┘
 *
 * Pure but for what it is given: the telephone (`line.ts`) and the requests. Invariants: one call at a time; what is asked for is shown
 * at once, and taken back with the server's sentence when it refuses; the microphone is open only where somebody may hear it.
 */
import type { Supervises } from "../legs.js";

/** The page's own telephone. Its refusals are sentences. */
export interface Line {
  /** Resolves once it can be called. */
  open(): Promise<void>;
  /** Sends the microphone's sound, or silence. */
  speak(on: boolean): Promise<void>;
  /** Takes the INVITE of this call, and no other; resolves once it is connected. */
  join(call: string): Promise<void>;
  hangUp(): void;
}

/** The telephone of this page, whose code is loaded when it is first wanted. */
export function lateLine(load: () => Promise<Line>): Line {
  let line: Line | undefined;
  return {
    async open() {
      line ??= await load();
      await line.open();
    },
    speak: async (on) => line?.speak(on),
    join: async (call) => line?.join(call),
    hangUp: () => line?.hangUp(),
  };
}

export interface Requests {
  start(call: string, wish: Supervises): Promise<number>;
  change(call: string, leg: number, wish: Supervises): Promise<void>;
  drop(call: string, leg: number): Promise<void>;
}

export type State =
  | { phase: "idle" }
  | { phase: "joining"; call: string; wish: Supervises; step: string }
  /** `wish`: asked for, and not answered yet. */
  | { phase: "in"; call: string; leg: number; now: Supervises; wish: Supervises | undefined };

export interface Problem {
  call: string;
  text: string;
}

export class Supervisor {
  state: State = { phase: "idle" };
  /** Why the last thing that was asked for did not happen. */
  problem: Problem | undefined;
  /** Grows with every beginning and end, so that what comes late changes nothing newer. */
  private turn = 0;
  private changes: Promise<void> = Promise.resolve();

  constructor(
    private readonly line: Line,
    private readonly requests: Requests,
    private readonly onChange: () => void,
  ) {}

  /** Begins to supervise a call, or changes how. Another call is left for it. */
  async ask(call: string, wish: Supervises): Promise<void> {
    const { state } = this;
    this.problem = undefined;
    if (state.phase === "in" && state.call === call) return this.change(state.leg, wish);
    if (state.phase === "joining" && state.call === call && same(state.wish, wish)) return;
    this.leave();
    await this.join(call, wish);
  }

  /** Leaves the call that is supervised. */
  leave(): void {
    this.turn += 1;
    const was = this.state;
    this.set({ phase: "idle" });
    if (was.phase !== "idle") this.line.hangUp();
  }

  /** The telephone's call is over, and not by this page. */
  lineEnded(): void {
    if (this.state.phase !== "in") return;
    this.turn += 1;
    this.set({ phase: "idle" });
  }

  private async join(call: string, wish: Supervises): Promise<void> {
    const turn = ++this.turn;
    const current = (): boolean => turn === this.turn;
    const step = (text: string): void => this.set({ phase: "joining", call, wish, step: text });
    let leg: number | undefined;
    step("Your telephone connects …");
    try {
      await this.line.open();
      if (!current()) return;
      await this.line.speak(wish.mode !== "listen");
      if (!current()) return;
      step("The call takes you in …");
      // The INVITE may come before the answer.
      const joined = this.line.join(call);
      joined.catch(() => undefined);
      leg = await this.requests.start(call, wish);
      if (current()) await joined;
      if (!current()) return await this.drop(call, leg);
      this.set({ phase: "in", call, leg, now: wish, wish: undefined });
    } catch (error) {
      if (leg !== undefined) await this.drop(call, leg);
      if (!current()) return;
      this.leave();
      this.fail(call, error);
    }
  }

  /** One after the other; of several that wait, the newest alone is asked for. */
  private change(leg: number, wish: Supervises): Promise<void> {
    const { state } = this;
    if (state.phase !== "in" || same(state.wish ?? state.now, wish)) return Promise.resolve();
    this.set({ ...state, wish });
    this.changes = this.changes.then(() => this.carryOut(leg, wish));
    return this.changes;
  }

  private async carryOut(leg: number, wish: Supervises): Promise<void> {
    const wanted = (): (State & { phase: "in" }) | undefined => {
      const { state } = this;
      return state.phase === "in" && state.leg === leg && state.wish === wish ? state : undefined;
    };
    const before = wanted();
    if (!before) return;
    try {
      if (wish.mode !== "listen") await this.line.speak(true);
      if (!wanted()) return;
      await this.requests.change(before.call, leg, wish);
      if (this.state.phase !== "in" || this.state.leg !== leg) return;
      const newer = this.state.wish === wish ? undefined : this.state.wish;
      this.set({ ...this.state, now: wish, wish: newer });
    } catch (error) {
      const state = wanted();
      if (!state) return;
      this.set({ ...state, wish: undefined });
      this.fail(state.call, error);
    }
    // Nobody hears a listener: the microphone is closed.
    if (this.state.phase === "in" && this.state.now.mode === "listen" && !this.state.wish) await this.line.speak(false).catch(() => undefined);
  }

  /** A leg that this page asked for and does not take. */
  private async drop(call: string, leg: number): Promise<void> {
    await this.requests.drop(call, leg).catch(() => undefined);
  }

  private fail(call: string, error: unknown): void {
    this.problem = { call, text: error instanceof Error ? error.message : "It was not done." };
    this.onChange();
  }

  private set(state: State): void {
    this.state = state;
    this.onChange();
  }
}

export function same(a: Supervises, b: Supervises): boolean {
  return a.mode === b.mode && a.to === b.to;
}

/** What the supervisor does, or is about to, in a call; nothing: it is another call's, or nobody's. */
export function inCall(state: State, call: string): { wish: Supervises; busy: boolean } | undefined {
  if (state.phase === "idle" || state.call !== call) return undefined;
  return state.phase === "joining" ? { wish: state.wish, busy: true } : { wish: state.wish ?? state.now, busy: state.wish !== undefined };
}
