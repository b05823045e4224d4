/**
 * Detects dead connections: sends a probe regularly, and reports when nothing comes back.
 *
 *   start ─▶ ask ─▶ dataArrived ─▶ … ask ─▶ nothing within the patience ─▶ dead
 *
 * After a change of network, old connections look open for minutes.
 */
export interface Rhythm {
  /** Interval between probes, in ms. */
  every: number;
  /** Maximum time until an answer, in ms. */
  patience: number;
}

/** For a connection without a call. */
export const CALM: Rhythm = { every: 20_000, patience: 5_000 };
/** For a connection with a call, whose other side hears nothing until a dead connection is replaced. */
export const ALERT: Rhythm = { every: 1_000, patience: 1_000 };

/** Sends probes by `ask` and calls `dead` once if nothing answers. */
export class Pulse {
  private rhythm = CALM;
  private running = false;
  private next: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private alive: (() => void) | undefined;

  constructor(
    private readonly ask: () => void,
    private readonly dead: () => void,
  ) {}

  start(): void {
    this.stop();
    this.running = true;
    this.plan();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.next);
    this.relax();
    this.alive = undefined;
  }

  /** Switches to another rhythm. Sends a probe at once, with this rhythm's patience, and calls `alive` when something arrives. */
  beat(rhythm: Rhythm, alive?: () => void): void {
    this.rhythm = rhythm;
    if (!this.running) return;
    this.relax();
    this.alive = alive;
    this.probe();
  }

  /** Reports that data has arrived; anything at all proves that the connection is alive. */
  dataArrived(): void {
    this.relax();
    const { alive } = this;
    this.alive = undefined;
    alive?.();
  }

  private relax(): void {
    clearTimeout(this.deadline);
    this.deadline = undefined;
  }

  private plan(): void {
    clearTimeout(this.next);
    this.next = setTimeout(() => this.probe(), this.rhythm.every);
  }

  private probe(): void {
    this.plan();
    // A new probe does not extend the deadline of one that is still unanswered.
    this.deadline ??= setTimeout(() => {
      this.stop();
      this.dead();
    }, this.rhythm.patience);
    this.ask();
  }
}
