/**
 * The supervision state of one page: the supervised call and the mode.
 *
 *   idle ─ ask ─▶ joining: phone, microphone, request, ring ─▶ in ─ ask ─▶ in, another mode
 *     ▲                      │ refused, or no ring                  │ left, or the call has ended
 *     └──────────────────────┴──────────────────────────────────────┘
 *
 * Pure except for the phone (`line.ts`) and the requests that it is given. Invariants: one call at a time; a requested mode is shown at
 * once, and reverted with the server's sentence if the server refuses; the microphone is open only while somebody may hear it.
 */
import type { Supervises } from "../legs.js";

/** The page's own phone. Its errors are sentences for the user. */
export interface Line {
  /** Resolves once the phone is registered. */
  open(): Promise<void>;
  /** Sends the microphone's sound, or silence. */
  speak(on: boolean): Promise<void>;
  /** Accepts the INVITE of this call only; resolves once it is connected. */
  join(call: string): Promise<void>;
  hangUp(): void;
}

/** Returns a line whose code is loaded on the first `open`. */
export function lazyLine(load: () => Promise<Line>): Line {
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

/** The requests to the server; `start` returns the number of the supervisor's leg. */
export interface Requests {
  start(call: string, wish: Supervises): Promise<number>;
  change(call: string, leg: number, wish: Supervises): Promise<void>;
  drop(call: string, leg: number): Promise<void>;
}

export type State =
  | { phase: "idle" }
  | { phase: "joining"; call: string; wish: Supervises; step: string }
  /** `now`: confirmed mode; `wish`: requested mode that the server has not confirmed yet. */
  | { phase: "in"; call: string; leg: number; now: Supervises; wish: Supervises | undefined };

/** A failed request, as a sentence. */
export interface Problem {
  call: string;
  text: string;
}

export class Supervisor {
  state: State = { phase: "idle" };
  /** Why the last request failed. */
  problem: Problem | undefined;
  /** Incremented at each start and end, so that late answers do not change newer state. */
  private turn = 0;
  private changes: Promise<void> = Promise.resolve();

  constructor(
    private readonly line: Line,
    private readonly requests: Requests,
    private readonly onChange: () => void,
  ) {}

  /** Starts to supervise a call, or changes the mode. Leaves another call first. */
  async ask(call: string, wish: Supervises): Promise<void> {
    const { state } = this;
    this.problem = undefined;
    if (state.phase === "in" && state.call === call) return this.change(state.leg, wish);
    if (state.phase === "joining" && state.call === call && same(state.wish, wish)) return;
    this.leave();
    await this.join(call, wish);
  }

  /** Leaves the supervised call. */
  leave(): void {
    this.turn += 1;
    const was = this.state;
    this.set({ phase: "idle" });
    if (was.phase !== "idle") this.line.hangUp();
  }

  /** Handles the end of the phone's call, which this page did not request. */
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
    step("Connecting your phone …");
    try {
      await this.line.open();
      if (!current()) return;
      await this.line.speak(wish.mode !== "listen");
      if (!current()) return;
      step("Joining the call …");
      // The INVITE may arrive before the answer to the request.
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

  /** Sends one change after the other; of several that wait, only the newest is sent. */
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
    // Nobody hears a listener, so the microphone is closed.
    if (this.state.phase === "in" && this.state.now.mode === "listen" && !this.state.wish)
      await this.line.speak(false).catch(() => undefined);
  }

  /** Hangs up a leg that this page has requested but will not use. */
  private async drop(call: string, leg: number): Promise<void> {
    await this.requests.drop(call, leg).catch(() => undefined);
  }

  private fail(call: string, error: unknown): void {
    this.problem = { call, text: error instanceof Error ? error.message : "This could not be done." };
    this.onChange();
  }

  private set(state: State): void {
    this.state = state;
    this.onChange();
  }
}

/** Whether two modes are equal, including the listener of a whisper. */
export function same(a: Supervises, b: Supervises): boolean {
  return a.mode === b.mode && a.to === b.to;
}

/** Returns the current or requested mode in this call; `undefined` if this call is not supervised from here. */
export function inCall(state: State, call: string): { wish: Supervises; busy: boolean } | undefined {
  if (state.phase === "idle" || state.call !== call) return undefined;
  return state.phase === "joining" ? { wish: state.wish, busy: true } : { wish: state.wish ?? state.now, busy: state.wish !== undefined };
}
